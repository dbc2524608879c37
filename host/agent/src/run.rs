//! One run of lightmon: builds the stages from the settings, runs them on a thread of their own, and watches over
//! signals, time limits and the containers' runtimes meanwhile.

mod reload;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use caps::Capability;
use jiff::Timestamp;
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::timeout,
};

use crate::{
    config::Config,
    pipeline::{self, Pipeline},
};
use lightmon_capture::{
    Source, ebpf, replay,
    self_test::{self, SelfTest},
};
use lightmon_event::{Notice, Stats};
use lightmon_identity::{
    Identity,
    container::{Containers, cri, docker},
};
use lightmon_output::{DRAIN_TIMEOUT, Output};
use lightmon_plugin_host::{Chain, Files, Limits};
use lightmon_thread::{
    Stop,
    privileges::{self, FOR_THINGS_OF_OTHERS},
    stderr,
};

/// What the pipeline is given beyond the output's time: it may be inside of a plugin.
const SPARE: Duration = Duration::from_millis(300);

/// What it takes to read other processes, folders of containers, plugins, and the kernel program's maps: before Linux 5.19
/// those need CAP_BPF where only root may use bpf(2).
const AFTER_THE_START: &[Capability] = &[
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_BPF,
];

/// All that can be wrong with the settings has been found: only the machine can still object.
pub struct Prepared {
    config: Config,
    replay: Option<replay::Replay>,
    plugins: Chain,
}

/// Builds what needs neither kernel nor daemon.
///
/// # Errors
/// When a plugin or a recording can't be used.
pub fn prepare(config: Config) -> anyhow::Result<Prepared> {
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    if config.replay.is_none() {
        ebpf::prefetch();
    }
    let limits = Limits::default();
    // What is in the files meets no capability: it is looked at on a thread that has none.
    let files = Files::read(&config.plugins, &limits, config.cache_dir.as_deref());
    let mut plugins = privileges::without("plugin-start", || {
        files.load(&limits, lightmon_plugin_host::when)
    })
    .context("give up the capabilities to start the plugins")??;
    if let Some(file) = &config.dead_letters {
        plugins.keep_dead_letters(file.clone(), lightmon_output::zone());
    }
    let replay = config
        .replay
        .as_deref()
        .map(replay::Replay::open)
        .transpose()?;
    Ok(Prepared {
        config,
        replay,
        plugins,
    })
}

impl Prepared {
    /// Runs until the source ends, a limit is reached or a signal comes, and says what became of all events.
    ///
    /// # Errors
    /// When the machine does not allow it, or something failed on the way.
    pub fn run(mut self) -> anyhow::Result<()> {
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(|| privileges::give_up_all_but(FOR_THINGS_OF_OTHERS))
            .build()
            .context("start the runtime")?;
        let stop = Stop::new().context("create an eventfd")?;
        let stats = Arc::new(Stats::new(self.plugins.names()));
        // Before anything is attached, so that no signal can end us between the two.
        let mut signals = {
            let _in_runtime = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let hangup = Stop::new().context("create an eventfd")?;
        let reload = self.plugins.reload();
        // Without plugins it ends lightmon, as it does others that have nothing to load again.
        if reload.is_some() {
            let (_in_runtime, hangup) = (runtime.enter(), hangup.clone());
            let mut hangups = signal(SignalKind::hangup())?;
            runtime.spawn(async move {
                while hangups.recv().await.is_some() {
                    hangup.set();
                }
            });
        }
        let (duration, watch) = (self.config.duration, self.config.watch);
        let (pipeline, counters) = self.pipeline(&runtime, &stop, &stats)?;
        let output = pipeline.output.handle();
        privileges::give_up_all_but(AFTER_THE_START);
        if let Some(reload) = reload {
            reload::start(reload, hangup, watch)
                .context("start the thread that loads plugins again")?;
        }

        let (done, mut ended) = oneshot::channel();
        let (stop_too, stats_too) = (stop.clone(), stats.clone());
        let stages = thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || {
                let result = pipeline.run(&stop_too, &stats_too);
                let _ = done.send(());
                result
            })?;
        let has_ended = runtime.block_on(async {
            let has_ended = tokio::select! {
                _ = &mut ended => true,
                _ = signals.0.recv() => false,
                _ = signals.1.recv() => false,
                () = sleep(duration) => false,
            };
            stop.set();
            if !has_ended {
                output.end_within(DRAIN_TIMEOUT);
            }
            has_ended || timeout(DRAIN_TIMEOUT + SPARE, ended).await.is_ok()
        });
        runtime.shutdown_background();
        let result = if has_ended {
            stages.join().unwrap_or_else(|_| {
                Err(anyhow::anyhow!("the pipeline has panicked; this is a bug"))
            })
        } else {
            // What the kernel program has sent and nobody has read is lost as well.
            if let Some(counters) = counters {
                stats.seen.fetch_max(counters.connections()?, Relaxed);
                stats
                    .excluded_kernel
                    .fetch_max(counters.excluded()?, Relaxed);
            }
            stats.lost_output.fetch_add(stats.unaccounted(), Relaxed);
            Err(anyhow::anyhow!(
                "the pipeline does not end; what it had not written after {:?} is lost",
                DRAIN_TIMEOUT + SPARE
            ))
        };
        for plugin in &stats.plugins {
            stderr::log(format_args!("lightmon: plugin {plugin}"));
        }
        stderr::log(format_args!("lightmon: {stats}"));
        result?;
        if stats.malformed.load(Relaxed) > 0 {
            bail!("some of the input was malformed and skipped");
        }
        Ok(())
    }

    /// All stages, and the counters of a live source.
    fn pipeline(
        self,
        runtime: &Runtime,
        stop: &Stop,
        stats: &Arc<Stats>,
    ) -> anyhow::Result<(Pipeline, Option<ebpf::Counters>)> {
        let Self {
            config,
            replay,
            plugins,
        } = self;
        let is_lossless = replay.is_some();
        let options = lightmon_output::Options {
            is_lossless,
            pods: config.k8s,
            labels: config.label,
            ..lightmon_output::Options::new(
                config.format,
                config.log_path,
                !plugins.names().is_empty(),
            )
        };
        let stop_too = stop.clone();
        let output = Output::open(&options, stats.clone(), move || stop_too.set())
            .context("open the output")?;
        let (source, enrich, counters, own): (Box<dyn Source>, _, _, _) = match replay {
            Some(replay) => (Box::new(replay), None, None, None),
            None => {
                let source = ebpf::EbpfSource::open(&ebpf::Options {
                    object: config.ebpf_object,
                    buffer_size: config.buffer_size,
                    exclude: config.exclude.rules(),
                    ..ebpf::Options::default()
                })?;
                for degraded in &source.degraded {
                    tracing::warn!("{degraded}");
                }
                let containers = Containers::new();
                if config.resolve_peers {
                    containers.resolve_peers();
                }
                for host in docker::hosts(config.docker_host) {
                    runtime.spawn(docker::watch(containers.clone(), host));
                }
                for socket in cri::sockets(config.cri_socket) {
                    runtime.spawn(cri::watch(containers.clone(), socket));
                }
                let own = config
                    .canary_interval
                    .map(|interval| {
                        watched(SelfTest::new(&source.degraded), interval, stop, &output)
                    })
                    .transpose()
                    .context("start the canary")?;
                tracing::info!("watching");
                let (counters, moves) = (source.counters(), source.cgroup_migrations());
                let enrich = Identity::new(containers).counting_migrations(move || moves.now());
                (Box::new(source), Some(enrich), Some(counters), own)
            }
        };
        let pipeline = Pipeline {
            source,
            enrich,
            exclude: config.exclude,
            plugins,
            output,
            count: config.count,
            is_lossless,
            own,
        };
        Ok((pipeline, counters))
    }
}

/// Flies the canary until `stop`, and says where the events go when it is not seen. Gives the eye to see it with.
fn watched(
    canary: SelfTest,
    interval: Duration,
    stop: &Stop,
    output: &Output,
) -> std::io::Result<pipeline::Watcher> {
    let output = output.handle();
    let eye = self_test::periodic::start(canary, interval, stop.clone(), move |sight| {
        let time = Timestamp::now();
        output.notice(match sight {
            Ok(()) => Notice::Sighted { time },
            Err(reason) => Notice::Blind { time, reason },
        });
    })?;
    Ok(Box::new(move |event| eye.observe(event)))
}

/// For ever without a duration.
async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

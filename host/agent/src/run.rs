//! One run of lightmon: builds the stages from the settings and runs them on a thread of their own. Meanwhile, handles signals,
//! the time limit and the connections to container runtimes.

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
use lightmon_capture::{Source, ebpf, replay, self_test::SelfTest};
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

/// Time for the pipeline to end after the output has ended: a plugin may still run.
const PIPELINE_END_TIMEOUT: Duration = Duration::from_millis(300);

/// Capabilities that the main thread keeps after the start: to read other processes, folders of containers, plugins, and the
/// maps of the kernel program. Before Linux 5.19, maps need CAP_BPF if only root may use bpf(2).
const CAPABILITIES_AFTER_START: &[Capability] = &[
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_BPF,
];

/// A run whose settings, plugins and recording are valid. Nothing is attached yet.
pub struct Prepared {
    config: Config,
    replay: Option<replay::Replay>,
    plugins: Chain,
}

/// Builds everything that needs neither kernel nor daemon.
///
/// # Errors
/// When a plugin or a recording cannot be used.
pub fn prepare(config: Config) -> anyhow::Result<Prepared> {
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    if config.replay.is_none() {
        ebpf::prefetch();
    }
    let limits = Limits::default();
    // Plugins compile and start on a thread without capabilities, since their content is not trusted.
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
    /// Runs until the source ends, a limit is reached or a signal arrives. Then writes the summary of all events.
    ///
    /// # Errors
    /// When the kernel refuses a hook, or a stage fails.
    pub fn run(mut self) -> anyhow::Result<()> {
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(|| privileges::give_up_all_but(FOR_THINGS_OF_OTHERS))
            .build()
            .context("start tokio")?;
        let stop = Stop::new().context("create an eventfd")?;
        let stats = Arc::new(Stats::new(self.plugins.names()));
        // Before anything is attached, so that a signal always ends with a summary.
        let mut signals = {
            let _in_runtime = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let hangup = Stop::new().context("create an eventfd")?;
        let reload = self.plugins.reload();
        // Without plugins, SIGHUP ends lightmon.
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
        privileges::give_up_all_but(CAPABILITIES_AFTER_START);
        if let Some(reload) = reload {
            reload::start(reload, hangup, watch)
                .context("start the thread that reloads plugins")?;
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
            has_ended
                || timeout(DRAIN_TIMEOUT + PIPELINE_END_TIMEOUT, ended)
                    .await
                    .is_ok()
        });
        runtime.shutdown_background();
        let result = if has_ended {
            stages.join().unwrap_or_else(|_| {
                Err(anyhow::anyhow!(
                    "the pipeline panicked; report this as a bug"
                ))
            })
        } else {
            // Events that are still in the ring buffer are lost too.
            if let Some(counters) = counters {
                stats.seen.fetch_max(counters.connections()?, Relaxed);
                stats
                    .excluded_kernel
                    .fetch_max(counters.excluded()?, Relaxed);
            }
            stats.lost_output.fetch_add(stats.unaccounted(), Relaxed);
            Err(anyhow::anyhow!(
                "the pipeline did not end within {:?}; events that it had not written are lost",
                DRAIN_TIMEOUT + PIPELINE_END_TIMEOUT
            ))
        };
        for plugin in &stats.plugins {
            stderr::log(format_args!("lightmon: plugin {plugin}"));
        }
        stderr::log(format_args!("lightmon: {stats}"));
        result?;
        if stats.malformed.load(Relaxed) > 0 {
            bail!("lightmon skipped malformed lines of the input");
        }
        Ok(())
    }

    /// Builds all stages. Returns the counters of a live source too.
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
                        start_self_test(SelfTest::new(&source.degraded), interval, stop, &output)
                    })
                    .transpose()
                    .context("start the self-test")?;
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

/// Runs the self-test at each interval until `stop`, and writes a notice when it fails or passes again. Returns the observer of
/// lightmon's own connections.
fn start_self_test(
    self_test: SelfTest,
    interval: Duration,
    stop: &Stop,
    output: &Output,
) -> std::io::Result<pipeline::Watcher> {
    let output = output.handle();
    let observer = lightmon_capture::self_test::periodic::start(
        self_test,
        interval,
        stop.clone(),
        move |result| {
            let time = Timestamp::now();
            output.notice(match result {
                Ok(()) => Notice::Sighted { time },
                Err(reason) => Notice::Blind { time, reason },
            });
        },
    )?;
    Ok(Box::new(move |event| observer.observe(event)))
}

/// Sleeps for this duration; without a duration, forever.
async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

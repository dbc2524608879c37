//! All settings in one place. The first source that sets an option wins: flag, environment, config.yaml, default.
//! Only this module reads config.yaml; the stages get values.

mod buffer_size;
mod flags;
mod plugins;
mod time;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use self::plugins::Plugin;
pub use self::{buffer_size::BufferSize, flags::Flags, time::duration};
use lightmon_filter::Exclude;
use lightmon_output::Format;

/// The file that is read if the user names none.
const DEFAULT_FILE: &str = "config.yaml";

/// `ipv6: false` as an exclude expression. IPv4-mapped addresses are IPv4.
const EXCLUDE_IPV6: &str = "dip='::/0'";

/// All settings of a run.
#[derive(Debug)]
pub struct Config {
    /// Format of the output.
    pub format: Format,
    /// Directory for files; stdout if none.
    pub log_path: Option<PathBuf>,
    /// Events to leave out.
    pub exclude: Exclude,
    /// The plugins, in the order of the chain.
    pub plugins: Vec<lightmon_plugin_host::Spec>,
    /// Directory for compiled plugins; if none, they are not kept.
    pub cache_dir: Option<PathBuf>,
    /// Whether plugins are reloaded when their files change.
    pub watch: bool,
    /// File of the dead-letter queue; if none, dead letters are not kept.
    pub dead_letters: Option<PathBuf>,
    /// Number of events after which the run stops.
    pub count: Option<u64>,
    /// Time after which the run stops.
    pub duration: Option<Duration>,
    /// Recording that is read instead of the kernel.
    pub replay: Option<PathBuf>,
    /// Size of the ring buffer, in bytes.
    pub buffer_size: Option<u32>,
    /// Interval of the self-test; if none, there is no self-test.
    pub canary_interval: Option<Duration>,
    /// Sockets of daemons that speak Docker's API; if empty, the usual ones.
    pub docker_host: Vec<String>,
    /// Whether a table shows pods as namespace/pod/container.
    pub k8s: bool,
    /// Labels of containers that the log has.
    pub label: Vec<String>,
    /// Whether lightmon names the local container or pod at the destination.
    pub resolve_peers: bool,
    /// Sockets of runtimes that speak the CRI; if empty, the usual ones.
    pub cri_socket: Vec<String>,
    /// Kernel object to load instead of the embedded one.
    pub ebpf_object: Option<PathBuf>,
    /// Warnings about settings that have no effect.
    pub notes: Vec<&'static str>,
}

/// The keys of config.yaml. The first eight are those of the original lightmon.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    ipv6: Option<bool>,
    k8s: Option<bool>,
    #[serde(default, deserialize_with = "format")]
    format: Option<Format>,
    #[serde(rename = "docker_runtime")]
    docker_runtime: Option<PathBuf>,
    #[serde(rename = "docker_data")]
    docker_data: Option<PathBuf>,
    exclude: Option<String>,
    log_path: Option<PathBuf>,
    ebpf_type: Option<u32>,
    plugins: Option<Vec<Plugin>>,
    #[serde(rename = "cache_dir")]
    cache_dir: Option<PathBuf>,
    watch: Option<bool>,
    #[serde(rename = "dead_letters")]
    dead_letters: Option<PathBuf>,
    count: Option<u64>,
    #[serde(rename = "buffer_size")]
    buffer_size: Option<BufferSize>,
    #[serde(
        default,
        rename = "canary_interval",
        deserialize_with = "canary_interval"
    )]
    canary_interval: Option<Duration>,
    #[serde(default, rename = "cri_socket", deserialize_with = "one_or_more")]
    cri_socket: Vec<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    label: Vec<String>,
    #[serde(rename = "resolve_peers")]
    resolve_peers: Option<bool>,
}

/// A text, or a list of them.
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::More(texts) => texts,
    })
}

fn format<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
    let word = String::deserialize(deserializer)?;
    word.parse().map(Some).map_err(serde::de::Error::custom)
}

fn canary_interval<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    time::self_test_interval(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

impl Config {
    /// Merges flags, the environment (which clap has read), config.yaml and defaults.
    ///
    /// # Errors
    /// When config.yaml cannot be read or has an error, or an exclude expression has one.
    pub fn layered(flags: Flags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            Some(path) => read(path)?,
            None => read_default()?,
        };
        let Flags {
            config: _,
            format,
            log_path,
            exclude,
            plugin,
            cache_dir,
            watch,
            dead_letters,
            count,
            duration,
            replay,
            buffer_size,
            canary_interval,
            docker_host,
            cri_socket,
            v6,
            k8s,
            label,
            resolve_peers,
            docker_runtime,
            docker_data,
            ebpf_type,
            ebpf_object,
        } = flags;
        let mut exclude = if exclude.is_empty() {
            file.exclude.into_iter().collect()
        } else {
            exclude
        };
        let hides_ipv6 = !v6 && file.ipv6 == Some(false);
        exclude.extend(hides_ipv6.then(|| EXCLUDE_IPV6.to_owned()));
        let canary_interval = canary_interval.or(file.canary_interval);
        let notes = [
            (
                canary_interval.is_some() && replay.is_some(),
                "canary_interval: has no effect with --replay",
            ),
            (
                hides_ipv6,
                "ipv6: false: IPv6 connections are not reported; they are counted as excluded",
            ),
            (
                docker_runtime.or(file.docker_runtime).is_some()
                    || docker_data.or(file.docker_data).is_some(),
                "docker_runtime, docker_data: have no effect; the Docker daemon names containers (--docker-host)",
            ),
            (
                ebpf_type.or(file.ebpf_type).is_some(),
                "ebpf_type: has no effect; there is one kernel program for all kernels",
            ),
        ];
        Ok(Self {
            format: format.or(file.format).unwrap_or_default(),
            log_path: log_path
                .or(file.log_path)
                .filter(|path| !path.as_os_str().is_empty()),
            exclude: Exclude::parse(exclude).map_err(anyhow::Error::new)?,
            plugins: match plugin.is_empty() {
                true => file
                    .plugins
                    .into_iter()
                    .flatten()
                    .map(lightmon_plugin_host::Spec::from)
                    .collect(),
                false => plugin,
            },
            cache_dir: lightmon_plugin_host::default_paths::cache_dir(cache_dir.or(file.cache_dir)),
            watch: watch || file.watch == Some(true),
            dead_letters: lightmon_plugin_host::default_paths::dead_letters(
                dead_letters.or(file.dead_letters),
            ),
            count: count.or(file.count),
            duration,
            replay,
            buffer_size: buffer_size.or(file.buffer_size).map(BufferSize::bytes),
            canary_interval,
            docker_host,
            k8s: k8s || file.k8s == Some(true),
            label: match label.is_empty() {
                true => file.label,
                false => label,
            },
            resolve_peers: resolve_peers || file.resolve_peers == Some(true),
            cri_socket: match cri_socket.is_empty() {
                true => file.cri_socket,
                false => cri_socket,
            },
            ebpf_object,
            notes: notes
                .into_iter()
                .filter_map(|(applies, note)| applies.then_some(note))
                .collect(),
        })
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("read settings from {}", path.display()))?;
    parse(path, &text)
}

/// Reads config.yaml in the working directory. Refuses a file that another user can write: in /tmp, it could hide connections
/// from root.
fn read_default() -> anyhow::Result<File> {
    let path = Path::new(DEFAULT_FILE);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => {
            return Err(error).with_context(|| format!("read settings from {DEFAULT_FILE}"));
        }
    };
    let (owner, me) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if (owner != 0 && owner != me) || metadata.permissions().mode() & 0o022 != 0 {
        bail!(
            "{DEFAULT_FILE} in the working directory: another user owns it or can write it; to use it anyway, pass `-c {DEFAULT_FILE}`"
        );
    }
    read(path)
}

fn parse(path: &Path, text: &str) -> anyhow::Result<File> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map_or(String::new(), |at| {
            format!(":{}:{}", at.line(), at.column())
        });
        // File, line and column come first, where editors and terminals look for them.
        let text = error.without_snippet().to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(reason, _)| reason);
        anyhow::anyhow!("{}{place}: {reason}", path.display())
    })
}

#[cfg(test)]
mod tests;

//! All settings in one place: flag, environment, file, default, the first that says something wins.
//! The only reader of config.yaml; stages get what they need as values.

mod buffer_size;
mod plugins;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

pub use self::buffer_size::BufferSize;
use self::plugins::Plugin;
use crate::cli::{self, Args};
use lightmon_filter::Exclude;
use lightmon_output::Format;

/// Read when no file is named.
const DEFAULT_FILE: &str = "config.yaml";

/// `ipv6: false` as an exclude expression; IPv4-mapped addresses are IPv4.
const ALL_OF_IPV6: &str = "dip='::/0'";

/// What lightmon is to do.
#[derive(Debug)]
pub struct Config {
    /// Of the output.
    pub format: Format,
    /// Folder for files instead of stdout.
    pub log_path: Option<PathBuf>,
    /// What to leave out.
    pub exclude: Exclude,
    /// The chain, in order.
    pub plugins: Vec<lightmon_plugin_host::Spec>,
    /// Folder for compiled plugins; they are not kept without.
    pub cache_dir: Option<PathBuf>,
    /// Whether plugins are loaded again when their files change.
    pub watch: bool,
    /// File for events that plugins fail on; they are not kept without.
    pub dead_letters: Option<PathBuf>,
    /// Events to write before the end.
    pub count: Option<u64>,
    /// Time to run.
    pub duration: Option<Duration>,
    /// Recording to read instead of the kernel.
    pub replay: Option<PathBuf>,
    /// Bytes of the kernel's ring buffer.
    pub buffer_size: Option<u32>,
    /// How often to try whether connections are seen; not at all without.
    pub canary_interval: Option<Duration>,
    /// Sockets of daemons that speak Docker's API; the usual ones when empty.
    pub docker_host: Vec<String>,
    /// Whether a table shows pods.
    pub k8s: bool,
    /// The labels of containers that a log has.
    pub label: Vec<String>,
    /// Whether the container that a connection goes to is looked for.
    pub resolve_peers: bool,
    /// Sockets of runtimes that speak Kubernetes' CRI; the usual ones when empty.
    pub cri_socket: Vec<String>,
    /// Kernel object to load.
    pub ebpf_object: Option<PathBuf>,
    /// What the user should know about settings that no longer do anything.
    pub notes: Vec<&'static str>,
}

/// config.yaml; the first eight are the original's.
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
    cli::canary_interval(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

impl Config {
    /// Puts flags (and the environment, which clap has read) over the file over the defaults.
    ///
    /// # Errors
    /// When the file can't be read or understood, or an exclude expression is wrong.
    pub fn layered(args: Args) -> anyhow::Result<Self> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None => read_default()?,
        };
        let Args {
            command: _,
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
        } = args;
        let mut exclude = if exclude.is_empty() {
            file.exclude.into_iter().collect()
        } else {
            exclude
        };
        let hides_ipv6 = !v6 && file.ipv6 == Some(false);
        exclude.extend(hides_ipv6.then(|| ALL_OF_IPV6.to_owned()));
        let canary_interval = canary_interval.or(file.canary_interval);
        let notes = [
            (
                canary_interval.is_some() && replay.is_some(),
                "canary_interval: has no effect on a recording",
            ),
            (
                hides_ipv6,
                "ipv6: false: connections over IPv6 are not reported; they are counted as excluded",
            ),
            (
                docker_runtime.or(file.docker_runtime).is_some()
                    || docker_data.or(file.docker_data).is_some(),
                "docker_runtime, docker_data: no longer used: containers are named by the Docker daemon (--docker-host)",
            ),
            (
                ebpf_type.or(file.ebpf_type).is_some(),
                "ebpf_type: no longer used: there is one kernel program for all kernels",
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
            cache_dir: lightmon_plugin_host::folders::cache_dir(cache_dir.or(file.cache_dir)),
            watch: watch || file.watch == Some(true),
            dead_letters: lightmon_plugin_host::folders::dead_letters(
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

/// The file in the working folder, unless it is somebody else's: it could hide connections from a root that
/// happens to stand in /tmp.
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
            "{DEFAULT_FILE} in this folder belongs to or can be written by others; if it is yours, say `-c {DEFAULT_FILE}`"
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
        // The place stands before it, where editors and terminals look for it.
        let text = error.without_snippet().to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(reason, _)| reason);
        anyhow::anyhow!("{}{place}: {reason}", path.display())
    })
}

#[cfg(test)]
mod tests;

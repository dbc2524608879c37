//! The options of the monitor itself, as the command line and the environment have them. [`Config`](super::Config) puts them
//! over config.yaml.

use std::{path::PathBuf, time::Duration};

use clap::{
    ValueHint,
    builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
};

use super::{
    BufferSize,
    time::{duration, self_test_interval},
};
use lightmon_output::Format;

/// Options of the monitor.
#[derive(Debug, Default, clap::Args)]
pub struct Flags {
    /// Read settings from FILE
    ///
    /// Flags and LIGHTMON_… variables take precedence over the file. Default: config.yaml in the working directory, if it exists.
    #[arg(short, long, value_name = "FILE", env = "LIGHTMON_CONFIG", hide_env = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Write events in this format
    ///
    /// Default: log.
    #[arg(
        short,
        long,
        alias = "output",
        env = "LIGHTMON_FORMAT",
        hide_env = true,
        value_parser = format_parser(),
        help_heading = "Output"
    )]
    pub format: Option<Format>,

    /// Write log or JSON to files in DIR
    ///
    /// The files are DIR/lightmon.log.%Y%m%d%H%M. lightmon starts a new file each hour, and keeps the newest 8.
    #[arg(long, alias = "log_path", value_name = "DIR", env = "LIGHTMON_LOG_PATH", hide_env = true, value_hint = ValueHint::DirPath, help_heading = "Output")]
    pub log_path: Option<PathBuf>,

    /// Leave out events that match EXPRESSION
    ///
    /// Example: 'dport=53; dip="10.0.0.0/8" && keyword="nginx"'. May be repeated. `lightmon help filters` describes the language.
    #[arg(
        long,
        value_name = "EXPRESSION",
        env = "LIGHTMON_EXCLUDE",
        hide_env = true,
        help_heading = "Filter"
    )]
    pub exclude: Vec<String>,

    /// Run a WebAssembly plugin over the events
    ///
    /// May be repeated. Plugins run in the order in which they are given. `lightmon help plugins` lists the keys.
    #[arg(long, value_name = "FILE[:KEY=VALUE,…]", env = "LIGHTMON_PLUGIN", hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Filter")]
    pub plugin: Vec<lightmon_plugin_host::Spec>,

    /// Keep compiled plugins in DIR
    ///
    /// Other users must not be able to write to DIR. `none` keeps no compiled plugins. Default: /var/cache/lightmon for root,
    /// else ~/.cache/lightmon.
    #[arg(long, value_name = "DIR", env = "LIGHTMON_CACHE_DIR", hide_env = true, value_hint = ValueHint::DirPath, help_heading = "Filter")]
    pub cache_dir: Option<PathBuf>,

    /// Reload a plugin when its file changes
    ///
    /// Without this option, SIGHUP reloads plugins whose files have changed.
    #[arg(long, env = "LIGHTMON_WATCH", hide_env = true, value_parser = BoolishValueParser::new(), help_heading = "Filter")]
    pub watch: bool,

    /// Keep the events that a plugin fails on in FILE
    ///
    /// This is the dead-letter queue; --replay reads it. `none` keeps no dead letters. Default:
    /// /var/lib/lightmon/dead-letters.jsonl for root, else ~/.local/state/lightmon/dead-letters.jsonl.
    #[arg(long, value_name = "FILE", env = "LIGHTMON_DEAD_LETTERS", hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Filter")]
    pub dead_letters: Option<PathBuf>,

    /// Stop after N events were written
    #[arg(long, value_name = "N", env = "LIGHTMON_COUNT", hide_env = true, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    pub count: Option<u64>,

    /// Stop after TIME, such as 30s, 5m or 1h30m
    #[arg(long, value_name = "TIME", env = "LIGHTMON_DURATION", hide_env = true, value_parser = duration, help_heading = "Run")]
    pub duration: Option<Duration>,

    /// Read events from FILE instead of the kernel
    ///
    /// FILE has the JSON lines that `-f json` writes; - is stdin. A replay needs no privileges.
    #[arg(long, value_name = "FILE", env = "LIGHTMON_REPLAY", hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Run")]
    pub replay: Option<PathBuf>,

    /// Set the size of the ring buffer
    ///
    /// The kernel program hands events over in this buffer. SIZE is a power of two from 64K to 1G. A larger buffer absorbs longer
    /// bursts. Default: 8M.
    #[arg(
        long,
        value_name = "SIZE",
        env = "LIGHTMON_BUFFER_SIZE",
        hide_env = true,
        help_heading = "Run"
    )]
    pub buffer_size: Option<BufferSize>,

    /// Run the self-test every TIME, at least 1s
    ///
    /// The self-test makes connections over loopback and checks that lightmon sees them. If it fails, lightmon writes the notice
    /// `blind`; when it passes again, the notice `sighted`.
    #[arg(long, value_name = "TIME", env = "LIGHTMON_CANARY_INTERVAL", hide_env = true, value_parser = self_test_interval, help_heading = "Run")]
    pub canary_interval: Option<Duration>,

    /// Ask this Docker or Podman daemon for container names
    ///
    /// May be repeated. Default: unix:///var/run/docker.sock and unix:///run/podman/podman.sock.
    #[arg(
        long,
        value_name = "unix://SOCKET",
        env = "DOCKER_HOST",
        value_delimiter = ',',
        hide_env = true,
        help_heading = "Run"
    )]
    pub docker_host: Vec<String>,

    /// Ask this containerd or CRI-O for pod names
    ///
    /// May be repeated. Default: containerd, CRI-O and k3s at their usual sockets in /run.
    #[arg(long, value_name = "PATH", env = "LIGHTMON_CRI_SOCKET", value_delimiter = ',', hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Run")]
    pub cri_socket: Vec<String>,

    /// Accept the original's flag; IPv6 is always reported
    ///
    /// Only `ipv6: false` in config.yaml leaves IPv6 out; this flag overrides it.
    #[arg(long = "v6", help_heading = "Original")]
    pub v6: bool,

    /// Show pods as namespace/pod/container in a table
    #[arg(long, env = "LIGHTMON_K8S", hide_env = true, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub k8s: bool,

    /// Add this label of the container to the log
    ///
    /// If the container does not have the label KEY, lightmon writes the label of its pod. May be repeated. JSON always has all
    /// labels.
    #[arg(
        long,
        value_name = "KEY",
        env = "LIGHTMON_LABEL",
        value_delimiter = ',',
        hide_env = true,
        help_heading = "Output"
    )]
    pub label: Vec<String>,

    /// Name the local container or pod at the destination
    ///
    /// JSON has the name in `peer`.
    #[arg(long, env = "LIGHTMON_RESOLVE_PEERS", hide_env = true, value_parser = BoolishValueParser::new(), help_heading = "Run")]
    pub resolve_peers: bool,

    /// Accept the original's option; the Docker daemon names containers
    #[arg(long, alias = "docker_runtime", value_name = "DIR", hide = true)]
    pub docker_runtime: Option<PathBuf>,

    /// Accept the original's option; the Docker daemon names containers
    #[arg(long, alias = "docker_data", value_name = "DIR", hide = true)]
    pub docker_data: Option<PathBuf>,

    /// Accept the original's option; lightmon selects the hooks
    #[arg(long, alias = "ebpf_type", value_name = "N", hide = true)]
    pub ebpf_type: Option<u32>,

    /// Load this kernel object instead of the embedded one
    #[arg(long, value_name = "FILE", env = "LIGHTMON_EBPF_OBJECT", hide = true)]
    pub ebpf_object: Option<PathBuf>,
}

/// Offers all formats, with their help.
fn format_parser() -> impl TypedValueParser<Value = Format> {
    let possible = |format: Format| {
        PossibleValue::new(format.as_str())
            .aliases(format.alias())
            .help(format.summary())
    };
    PossibleValuesParser::new(Format::ALL.map(possible)).try_map(|name| name.parse::<Format>())
}

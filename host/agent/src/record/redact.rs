//! Redacts events: replaces private values, and keeps what plugins decide by. The same value always gets the same replacement.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use lightmon_event::{Container, Event, Parent, Pod, Process};

/// Replacement of a value.
const HIDDEN: &str = "***";

/// Parts of events that are not redacted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Keep {
    /// Values of arguments.
    pub args: bool,
    /// Names of users, also in paths below /home.
    pub users: bool,
    /// Ids, names and images of containers, and the values of their labels.
    pub containers: bool,
    /// Public addresses.
    pub addresses: bool,
    /// Values of tags.
    pub tags: bool,
}

/// Redacts events, and remembers the replacement of each value.
#[derive(Debug, Default)]
pub struct Redact {
    keep: Keep,
    users: Names,
    ids: Names,
    names: Names,
    images: Names,
    labels: Names,
    ipv4: HashMap<Ipv4Addr, Ipv4Addr>,
    ipv6: HashMap<Ipv6Addr, Ipv6Addr>,
}

/// Numbers of the replacements, by the value that they replace, in order of appearance.
type Names = HashMap<Arc<str>, usize>;

impl Redact {
    /// Starts without any replacements.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Redacts one event.
    pub fn redact(&mut self, event: &mut Event) {
        // Lists all fields, so that a new field cannot be forgotten here.
        let Event {
            time: _,
            kernel_time: _,
            protocol: _,
            source,
            destination,
            outcome: _,
            errno: _,
            latency: _,
            pid: _,
            tid: _,
            uid: _,
            gid: _,
            user,
            comm: _,
            process,
            container,
            exec_id: _,
            container_provenance: _,
            unit: _,
            peer,
            cgroup_id: _,
            tags,
            line,
        } = event;
        self.address(source);
        self.address(destination);
        if let Some(user) = user {
            *user = self.user(user);
        }
        *process = Arc::new(self.process(process));
        if let Some(container) = container {
            *container = Arc::new(self.container(container));
        }
        if let Some(peer) = peer {
            *peer = Arc::new(self.container(peer));
        }
        if !self.keep.tags {
            for (_, value) in tags {
                HIDDEN.clone_into(value);
            }
        }
        *line = None;
    }

    fn process(&mut self, process: &Process) -> Process {
        let Process {
            pid,
            started,
            comm,
            path,
            args,
            args_cut,
            parents,
            provenance,
        } = process;
        let parents = parents.iter().map(|parent| Parent {
            path: parent.path.as_ref().map(|path| self.path(path)),
            ..parent.clone()
        });
        Process {
            pid: *pid,
            started: *started,
            comm: comm.clone(),
            parents: parents.collect(),
            path: path.as_ref().map(|path| self.path(path)),
            args: args.as_ref().map(|args| self.args(args)),
            args_cut: *args_cut,
            provenance: *provenance,
        }
    }

    fn args(&mut self, args: &[Arc<str>]) -> Arc<[Arc<str>]> {
        if self.keep.args {
            return args.iter().map(|arg| self.path(arg)).collect();
        }
        let mut args = args.iter();
        let program = args.next().map(|program| {
            // Servers write their status and users' names into their first argument.
            let word = program.split_whitespace().next().unwrap_or_default();
            let name = self.path(word);
            match word.len() == program.len() {
                true => name,
                false => format!("{name} {HIDDEN}").into(),
            }
        });
        program
            .into_iter()
            .chain(args.map(|arg| flag(arg).into()))
            .collect()
    }

    /// Replaces the user's name in a path below /home.
    fn path(&mut self, path: &str) -> Arc<str> {
        const HOME: &str = "/home/";
        let Some((before, rest)) = path.split_once(HOME) else {
            return path.into();
        };
        let (user, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if user.is_empty() {
            return path.into();
        }
        format!("{before}{HOME}{}{below}", self.user(user)).into()
    }

    fn user(&mut self, name: &str) -> Arc<str> {
        if self.keep.users || name == "root" {
            return name.into();
        }
        format!("user{}", number(&mut self.users, name)).into()
    }

    fn container(&mut self, container: &Container) -> Container {
        if self.keep.containers {
            return container.clone();
        }
        let Container {
            id,
            name,
            image,
            image_digest: _,
            runtime,
            pod,
            labels,
        } = container;
        let replacement = |names: &mut Names, word: &str, of: &Arc<str>| -> Arc<str> {
            format!("{word}{}", number(names, of)).into()
        };
        Container {
            // As long as a real id.
            id: match id.is_empty() {
                true => id.clone(),
                false => format!("{:064x}", number(&mut self.ids, id)).into(),
            },
            name: name
                .as_ref()
                .map(|name| replacement(&mut self.names, "container", name)),
            image: image
                .as_ref()
                .map(|image| replacement(&mut self.images, "image", image)),
            image_digest: None,
            runtime: runtime.clone(),
            pod: pod.as_deref().map(|pod| {
                Arc::new(Pod {
                    name: replacement(&mut self.names, "pod", &pod.name),
                    namespace: replacement(&mut self.names, "namespace", &pod.namespace),
                    uid: Arc::default(),
                    container: replacement(&mut self.names, "container", &pod.container),
                    labels: Vec::new(),
                })
            }),
            labels: labels
                .iter()
                .map(|(key, value)| (key.clone(), replacement(&mut self.labels, "label", value)))
                .collect(),
        }
    }

    fn address(&mut self, address: &mut SocketAddr) {
        if self.keep.addresses {
            return;
        }
        let ip = match address.ip().to_canonical() {
            IpAddr::V4(ip) if is_public_ipv4(ip) => {
                let n = self.ipv4.len();
                IpAddr::V4(*self.ipv4.entry(ip).or_insert_with(|| ipv4(n)))
            }
            IpAddr::V6(ip) if is_public_ipv6(ip) => {
                let n = self.ipv6.len() as u128 + 1;
                let replacement = Ipv6Addr::from_bits((0x2001_0db8 << 96) | n);
                IpAddr::V6(*self.ipv6.entry(ip).or_insert(replacement))
            }
            _ => return,
        };
        *address = SocketAddr::new(ip, address.port());
    }
}

/// Returns the number of a name, from 1.
fn number(names: &mut Names, name: &str) -> usize {
    let next = names.len() + 1;
    match names.get(name) {
        Some(number) => *number,
        None => *names.entry(name.into()).or_insert(next),
    }
}

/// Keeps the name of a flag and hides its value. Of `-psecret`, only `-p` is certainly not secret.
fn flag(arg: &str) -> String {
    match arg.split_once('=') {
        Some((name, _)) if name.starts_with("--") => format!("{name}={HIDDEN}"),
        None if arg.starts_with("--") => arg.to_owned(),
        _ if arg.starts_with('-') => {
            let mut letters = arg.chars();
            let flag: String = letters.by_ref().take(2).collect();
            let value = if letters.next().is_some() { HIDDEN } else { "" };
            format!("{flag}{value}")
        }
        _ => HIDDEN.to_owned(),
    }
}

/// Addresses for documentation count as public: they may be replacements of an earlier run.
fn is_public_ipv4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_unspecified()
        || ip.is_broadcast()
        || is_shared)
}

fn is_public_ipv6(ip: Ipv6Addr) -> bool {
    !(ip.is_unique_local()
        || ip.is_loopback()
        || ip.is_unicast_link_local()
        || ip.is_multicast()
        || ip.is_unspecified())
}

/// Returns the n-th replacement: the networks for documentation (RFC 5737), then the network for benchmarks (RFC 2544).
fn ipv4(n: usize) -> Ipv4Addr {
    const HOSTS: usize = 254;
    const MORE: usize = (1 << 17) - 2;
    let networks = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
    match networks.get(n / HOSTS) {
        Some([a, b, c]) => Ipv4Addr::new(*a, *b, *c, (n % HOSTS + 1) as u8),
        None => {
            let host = (n - networks.len() * HOSTS) % MORE + 1;
            Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + host as u32)
        }
    }
}

#[cfg(test)]
mod tests;

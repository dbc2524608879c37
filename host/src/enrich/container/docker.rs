//! Watches a daemon that speaks Docker's API, which Podman does too: the containers that there are, then what happens to them.
//! Only tells [`Containers`] what there is: whose connection it is, is decided there. Speaks to a unix socket only.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as DockerError,
    models::{
        ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings,
        EventMessage, EventMessageTypeEnum, SystemVersion,
    },
    query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};
use tracing::{debug, info, warn};

use super::{Containers, Runtime, cgroup, socket};
use crate::event::Container;

/// Where Docker listens unless it is told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Where root's Podman listens, if its service is on. Those of other users are never asked unless they are given: whoever
/// answers can give any container any name.
pub(crate) const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// Seconds that Docker has to answer.
const ANSWER_SECONDS: u64 = 10;

/// Pauses between attempts to connect: each twice as long as the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Most containers that are looked up at the same time.
const MAX_LOOKUPS: usize = 64;

/// The events that change what is known. `die` takes a container its addresses only, since what is dead can be started again
/// under the same name, until `destroy`; `update` changes limits. Podman says `died` and `remove`; networks `connect` and `disconnect`.
const EVENTS: [&str; 9] = [
    "create",
    "start",
    "rename",
    "die",
    "died",
    "destroy",
    "remove",
    "connect",
    "disconnect",
];

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("the event stream has ended")]
    Ended,
}

/// The daemons to watch: those that are given, else the usual ones. One that goes by two names is watched once.
pub fn hosts(given: Vec<String>) -> Vec<String> {
    let mut hosts = match given.is_empty() {
        true => [DEFAULT_SOCKET, PODMAN_SOCKET].map(str::to_owned).to_vec(),
        false => given,
    };
    let mut known = Vec::new();
    hosts.retain(|host| {
        let path = host.strip_prefix("unix://").unwrap_or(host);
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let is_new = !known.contains(&path);
        known.push(path);
        is_new
    });
    hosts
}

/// Watches the daemon at `host` (a path or `unix://` and a path) for as long as it is
/// polled. Where there is none it goes on looking for one, ever more rarely; the same after it has gone.
///
/// It can be asked as soon as this returns: who is seen before it has told what there is waits for it.
pub fn watch(containers: Containers, host: String) -> impl Future<Output = ()> + Send {
    let runtime = containers.runtime();
    let questions = runtime.connect();
    run(runtime, questions, host)
}

async fn run(runtime: Runtime, questions: mpsc::Receiver<Arc<str>>, host: String) {
    let socket = host.strip_prefix("unix://").unwrap_or(&host);
    if !socket.starts_with('/') {
        warn!(
            host,
            "docker containers will have no names: only unix sockets can be watched; set DOCKER_HOST to unix:///path"
        );
        return;
    }
    let mut first = Some(questions);
    let mut pause = PAUSES.0;
    let mut warned = false;
    loop {
        let begun = Instant::now();
        let mut connected = false;
        let Err(error) = session(socket, &runtime, first.take(), &mut connected).await;
        if connected {
            info!(socket, %error, "docker connection lost, looking for it again");
            // Not for one that lets us in and throws us out at once.
            if begun.elapsed() >= pause {
                pause = PAUSES.0;
            }
        } else if is_permission(&error) {
            if !warned {
                warn!(
                    socket,
                    "docker containers will have no names: permission denied; run as root or as a member of the group docker"
                );
                warned = true;
            }
        } else if pause == PAUSES.0 {
            debug!(socket, %error, "no docker here yet");
        }
        socket::wait(socket.as_ref(), pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// From connecting to the end of the connection. Without `questions` it can be asked as soon as somebody listens.
async fn session(
    socket: &str,
    runtime: &Runtime,
    questions: Option<mpsc::Receiver<Arc<str>>>,
    connected: &mut bool,
) -> Result<Infallible, Error> {
    // bollard says of each failure to connect the same, and only with the first question.
    drop(UnixStream::connect(socket).await?);
    let mut questions = questions.unwrap_or_else(|| runtime.connect());
    let docker = Docker::connect_with_unix(socket, ANSWER_SECONDS, API_DEFAULT_VERSION)?
        .negotiate_version()
        .await?;
    let name = runtime_name(&docker.version().await?);
    let mut lookups = Lookups::new(docker.clone(), name);

    // The stream begins before the list is made, so that nothing is missed between them: Docker keeps recent events.
    let since = Timestamp::now();
    let all = ListContainersOptionsBuilder::new().all(true).build();
    let mut list = docker.list_containers(Some(all)).await?;
    list.sort_by_key(|summary| summary.state == Some(ContainerSummaryStateEnum::RUNNING));
    // Podman leaves them out here.
    let addresses: HashMap<String, Vec<IpAddr>> = list
        .iter()
        .filter_map(|summary| {
            let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
            let is_told = !networks.is_empty();
            is_told.then_some((summary.id.clone()?, addresses(networks)))
        })
        .collect();
    let from_summary = |summary| from_summary(summary, name);
    let list: Vec<_> = list.into_iter().filter_map(from_summary).collect();
    info!(socket, containers = list.len(), "{name} connected");
    *connected = true;
    let incomplete: Vec<_> = list
        .iter()
        .filter(|container| {
            let is_at = addresses.contains_key(&*container.id);
            container.image.is_none() || (runtime.wants_addresses() && !is_at)
        })
        .map(|container| container.id.clone())
        .collect();
    runtime.list(list);
    for (id, addresses) in addresses {
        runtime.locate(&id, addresses);
    }
    for id in incomplete {
        lookups.start(id);
    }

    let types = vec!["container", "network"];
    let filters = HashMap::from([("type", types), ("event", EVENTS.to_vec())]);
    let since = format!("{}.{:09}", since.as_second(), since.subsec_nanosecond());
    let options = EventsOptionsBuilder::new().since(&since).filters(&filters);
    let mut events = pin!(docker.events(Some(options.build())));
    loop {
        tokio::select! {
            event = events.next() => heard(event.ok_or(Error::Ended)??, runtime, &mut lookups),
            // It may have been told meanwhile.
            Some(id) = questions.recv(), if lookups.has_room() => if !runtime.is_told(&id) { lookups.start(id) },
            Some((container, addresses)) = lookups.next() => {
                let id = container.id.clone();
                runtime.tell(container);
                runtime.locate(&id, addresses);
            }
        }
    }
}

/// An event carries the name, the image and the labels: they are used at once, since the answer to a question may come
/// only after the container's program has started. The question is asked nevertheless, because a label that is called
/// `name` or `image` is not in the event.
fn heard(event: EventMessage, runtime: &Runtime, lookups: &mut Lookups) {
    let (Some(action), Some(actor)) = (event.action, event.actor) else {
        return;
    };
    let attributes = actor.attributes.unwrap_or_default();
    if event.typ == Some(EventMessageTypeEnum::NETWORK) {
        // Told of `create` and `destroy` of networks as well, which have no container.
        if let Some(id) = attributes.get("container")
            && runtime.wants_addresses()
        {
            lookups.start(id.as_str().into());
        }
        return;
    }
    let Some(id) = actor.id.filter(|id| cgroup::is_id(id.as_bytes())) else {
        return;
    };
    match action.as_str() {
        "create" | "start" if !runtime.is_told(&id) => {
            let container = from_attributes(&id, attributes, lookups.runtime);
            runtime.tell(container);
            lookups.start(id.into());
        }
        // It has got other addresses.
        "start" if runtime.wants_addresses() => lookups.start(id.into()),
        "die" | "died" => {
            runtime.locate(&id, []);
            lookups.outdate(&id);
        }
        "rename" => {
            if let Some(name) = attributes.get("name") {
                runtime.rename(&id, bare(name));
            }
            lookups.start(id.into());
        }
        "destroy" | "remove" => runtime.end(&id),
        _ => {}
    }
}

/// Questions to Docker about single containers.
struct Lookups {
    docker: Docker,
    /// What the runtime is called.
    runtime: &'static str,
    tasks: JoinSet<(Arc<str>, Result<ContainerInspectResponse, DockerError>)>,
    /// Those under way, and whether something has happened since they were asked: then the answer may be stale.
    under_way: HashMap<Arc<str>, bool>,
}

impl Lookups {
    fn new(docker: Docker, runtime: &'static str) -> Self {
        Self {
            docker,
            runtime,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    fn start(&mut self, id: Arc<str>) {
        if let Some(stale) = self.under_way.get_mut(&id) {
            *stale = true;
        } else if self.has_room() {
            self.under_way.insert(id.clone(), false);
            let docker = self.docker.clone();
            self.tasks.spawn(async move {
                let answer = docker.inspect_container(&id, None).await;
                (id, answer)
            });
        } else {
            debug!(%id, "too many docker containers at once, not looking this one up");
        }
    }

    /// An answer that is under way is of no use any more.
    fn outdate(&mut self, id: &str) {
        if let Some(stale) = self.under_way.get_mut(id) {
            *stale = true;
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < MAX_LOOKUPS
    }

    /// The next one that is found, with its addresses; `None` when no question is under way any more.
    async fn next(&mut self) -> Option<(Container, Vec<IpAddr>)> {
        loop {
            let Ok((id, answer)) = self.tasks.join_next().await? else {
                continue;
            };
            if self.under_way.remove(&id) == Some(true) {
                self.start(id);
                continue;
            }
            match answer {
                Ok(details) => {
                    let networks = details.network_settings.as_ref();
                    let networks = networks.and_then(|settings| settings.networks.as_ref());
                    let addresses = networks.map(addresses).unwrap_or_default();
                    return Some((from_inspection(id, details, self.runtime), addresses));
                }
                // Not found is normal: of another runtime, or removed already.
                Err(error) => debug!(%id, %error, "docker container not looked up"),
            }
        }
    }
}

/// From the list. Its image is the name that was given, unless that name has another image by now: then it is the
/// image's id, which nobody would recognise.
fn from_summary(summary: ContainerSummary, runtime: &str) -> Option<Container> {
    let id = summary.id.filter(|id| cgroup::is_id(id.as_bytes()))?;
    let names = summary.names.unwrap_or_default();
    // A legacy link adds a name `/other/alias`.
    let name = names
        .iter()
        .map(|name| bare(name))
        .find(|name| !name.contains('/'));
    let image = summary.image.filter(|image| !image.starts_with("sha256:"));
    Some(Container {
        image_digest: digest(summary.image_id),
        ..container(
            &id,
            name,
            image,
            summary.labels.unwrap_or_default(),
            runtime,
        )
    })
}

fn from_inspection(id: Arc<str>, details: ContainerInspectResponse, runtime: &str) -> Container {
    let config = details.config.unwrap_or_default();
    let name = details.name.as_deref().map(bare);
    Container {
        image_digest: digest(details.image),
        ..container(
            &id,
            name,
            config.image,
            config.labels.unwrap_or_default(),
            runtime,
        )
    }
}

fn from_attributes(id: &str, mut attributes: HashMap<String, String>, runtime: &str) -> Container {
    let name = attributes.remove("name");
    let image = attributes.remove("image");
    container(id, name.as_deref().map(bare), image, attributes, runtime)
}

fn container(
    id: &str,
    name: Option<&str>,
    image: Option<String>,
    labels: HashMap<String, String>,
    runtime: &str,
) -> Container {
    let mut labels: Vec<_> = labels
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    labels.sort_unstable();
    Container {
        id: id.into(),
        name: name.filter(|name| !name.is_empty()).map(Arc::from),
        image: image.filter(|image| !image.is_empty()).map(Arc::from),
        runtime: Some(runtime.into()),
        labels,
        ..Container::default()
    }
}

/// On all its networks. One that does not run has none, one that has the host's network neither.
fn addresses(networks: &HashMap<String, EndpointSettings>) -> Vec<IpAddr> {
    let texts = networks
        .values()
        .flat_map(|it| [&it.ip_address, &it.global_ipv6_address]);
    texts.flatten().filter_map(|it| it.parse().ok()).collect()
}

/// Podman says so among its components.
fn runtime_name(version: &SystemVersion) -> &'static str {
    let mut components = version.components.iter().flatten();
    match components.any(|component| component.name.contains("Podman")) {
        true => "podman",
        false => "docker",
    }
}

/// Of an image, in one form: Podman leaves out the algorithm in places.
fn digest(image: Option<String>) -> Option<Arc<str>> {
    let image = image?;
    match image.strip_prefix("sha256:").unwrap_or(&image) {
        digits if cgroup::is_id(digits.as_bytes()) => Some(format!("sha256:{digits}").into()),
        _ => None,
    }
}

/// Docker writes a slash before names.
fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// Whether the socket is there, but not for us.
fn is_permission(error: &Error) -> bool {
    matches!(error, Error::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        enrich::Enrich,
        event::{Event, Record},
    };
    use bollard::models::SystemVersionComponents;
    use std::{
        fs,
        io::{BufRead, BufReader, Write},
        os::unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
        sync::mpsc,
        thread,
    };
    use tempfile::TempDir;
    use tokio::runtime;

    const A: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn container_of_an_event() {
        let attributes = labels(&[
            ("name", "web"),
            ("image", "nginx:1.27"),
            ("z", "1"),
            ("a", "2"),
        ]);
        let container = from_attributes(A, attributes, "docker");
        assert_eq!(&*container.id, A);
        assert_eq!(container.name.as_deref(), Some("web"));
        assert_eq!(container.image.as_deref(), Some("nginx:1.27"));
        assert_eq!(
            container.labels,
            [("a".into(), "2".into()), ("z".into(), "1".into())]
        );
        assert_eq!(from_attributes(A, HashMap::new(), "docker").name, None);
    }

    #[test]
    fn names_and_digests() {
        let version = |component: &str| SystemVersion {
            components: Some(vec![SystemVersionComponents {
                name: component.to_owned(),
                ..SystemVersionComponents::default()
            }]),
            ..SystemVersion::default()
        };
        assert_eq!(runtime_name(&version("Podman Engine")), "podman");
        assert_eq!(runtime_name(&version("Engine")), "docker");
        assert_eq!(runtime_name(&SystemVersion::default()), "docker");
        let expect = Some(format!("sha256:{A}").into());
        assert_eq!(digest(Some(A.to_owned())), expect);
        assert_eq!(digest(Some(format!("sha256:{A}"))), expect);
        assert_eq!(digest(Some("nginx".to_owned())), None);
    }

    #[test]
    fn one_daemon_of_two_names_is_watched_once() {
        let folder = TempDir::new().unwrap();
        let [real, link] = ["real", "link"].map(|name| folder.path().join(name));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let given = [
            format!("unix://{}", link.display()),
            real.display().to_string(),
        ];
        assert_eq!(hosts(given.to_vec()), given[..1]);
        assert!(hosts(Vec::new()).contains(&DEFAULT_SOCKET.to_owned()));
    }

    #[test]
    fn container_of_the_list() {
        let summary = |names: &[&str], image: &str| ContainerSummary {
            id: Some(A.to_owned()),
            names: Some(names.iter().map(|&name| name.to_owned()).collect()),
            image: Some(image.to_owned()),
            ..ContainerSummary::default()
        };
        let container =
            from_summary(summary(&["/other/alias", "/web"], "nginx"), "docker").unwrap();
        assert_eq!(container.name.as_deref(), Some("web"));
        assert_eq!(container.image.as_deref(), Some("nginx"));
        let container = from_summary(summary(&[], "sha256:0a24d80e"), "docker").unwrap();
        assert_eq!((container.name, container.image), (None, None));
        assert!(from_summary(ContainerSummary::default(), "docker").is_none());
    }

    /// A Docker daemon that answers what the test says. Dropped: nobody listens any more.
    struct Fake {
        folder: TempDir,
        requests: mpsc::Receiver<(String, UnixStream)>,
    }

    impl Fake {
        fn start() -> Self {
            let folder = TempDir::new().unwrap();
            let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
            let (sender, requests) = mpsc::channel();
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let mut lines = BufReader::new(&stream).lines();
                    let Some(Ok(request)) = lines.next() else {
                        continue;
                    };
                    // Up to the empty line that ends the headers.
                    lines.map_while(Result::ok).find(String::is_empty);
                    if sender.send((request, stream)).is_err() {
                        return;
                    }
                }
            });
            Self { folder, requests }
        }

        fn socket(&self) -> String {
            self.folder.path().join("socket").display().to_string()
        }

        /// The next request, which must be for this path.
        #[track_caller]
        fn expect(&self, path: &str) -> UnixStream {
            let deadline = Duration::from_secs(30);
            let (request, stream) = self.requests.recv_timeout(deadline).unwrap();
            assert!(request.contains(path), "{request} is not for {path}");
            stream
        }

        #[track_caller]
        fn answer(&self, path: &str, status: &str, body: &str) {
            answer(&self.expect(path), status, body);
        }

        /// The first requests of a session, with no containers; the stream for the events.
        fn connect(&self) -> UnixStream {
            self.connect_with("[]")
        }

        /// The same with this list of containers.
        fn connect_with(&self, list: &str) -> UnixStream {
            for _to_agree_and_for_the_name in 0..2 {
                self.answer("/version", "200 OK", r#"{"ApiVersion":"1.41"}"#);
            }
            self.answer("/containers/json?all=true", "200 OK", list);
            let events = self.expect("/events?since=");
            write!(&events, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
            events
        }
    }

    fn answer(mut stream: &UnixStream, status: &str, body: &str) {
        // The other side may have gone.
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }

    fn event(action: &str, name: &str) -> String {
        format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{A}","Attributes":{{"name":"{name}","image":"bb"}}}}}}"#
        ) + "\n"
    }

    fn inspection(name: &str) -> String {
        format!(
            r#"{{"Id":"{A}","Name":"/{name}","Config":{{"Image":"bb","Labels":{{"name":"label"}}}}}}"#
        )
    }

    /// Runs a watcher in the background until the result is dropped.
    fn watching(containers: &Containers, socket: String) -> runtime::Runtime {
        background(watch(containers.clone(), socket))
    }

    fn background(task: impl Future<Output = ()> + Send + 'static) -> runtime::Runtime {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(task);
        runtime
    }

    #[track_caller]
    fn wait(containers: &Containers, what: impl Fn(&Container) -> bool) {
        wait_for(containers, A, what);
    }

    #[track_caller]
    fn wait_for(containers: &Containers, id: &str, what: impl Fn(&Container) -> bool) {
        let begun = Instant::now();
        while !what(&containers.by_id(id)) {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{:?}",
                containers.by_id(id)
            );
            thread::yield_now();
        }
    }

    fn is_named(name: &str) -> impl Fn(&Container) -> bool {
        move |container| container.name.as_deref() == Some(name)
    }

    #[test]
    fn stale_answer_does_not_undo_a_rename() {
        let docker = Fake::start();
        let containers = Containers::new();
        let _watching = watching(&containers, docker.socket());
        let mut events = docker.connect();
        events.write_all(event("create", "old").as_bytes()).unwrap();
        let first = docker.expect("/json");
        wait(&containers, is_named("old"));
        events.write_all(event("rename", "new").as_bytes()).unwrap();
        wait(&containers, is_named("new"));
        answer(&first, "200 OK", &inspection("old"));
        let second = docker.expect("/json");
        assert_eq!(containers.by_id(A).name.as_deref(), Some("new"));
        assert_eq!(containers.by_id(A).labels, []);
        answer(&second, "200 OK", &inspection("new"));
        wait(&containers, |container| {
            container.labels == [("name".into(), "label".into())]
        });
        assert_eq!(containers.by_id(A).name.as_deref(), Some("new"));
    }

    #[test]
    fn unknown_container_is_asked_for_once() {
        let docker = Fake::start();
        let containers = Containers::new();
        let _watching = watching(&containers, docker.socket());
        let mut events = docker.connect();
        let other = A.replace('f', "0");
        containers.by_id(&other);
        containers.by_id(&other);
        docker.answer(
            &other,
            "404 Not Found",
            r#"{"message":"No such container"}"#,
        );
        containers.by_id(&other);
        // What comes next is the question for A: no second one for the other.
        wait(&containers, |container| container.name.is_none());
        docker.answer(A, "200 OK", &inspection("web"));
        wait(&containers, is_named("web"));
        assert_eq!(containers.by_id(&other).name, None);
        // The stream breaks: all is asked again, and what is gone by then has ended.
        events.write_all(b"{\n").unwrap();
        drop(events);
        docker.connect();
    }

    #[test]
    fn who_is_seen_before_the_list_waits_for_it() {
        let docker = Fake::start();
        let containers = Containers::new();
        let mut enrich = Enrich::new(containers.clone());
        let version = r#"{"ApiVersion":"1.41"}"#;
        let list =
            |id: &str, name: &str| format!(r#"[{{"Id":"{id}","Names":["/{name}"],"Image":"bb"}}]"#);

        // Nobody has even connected yet.
        let watcher = watch(containers.clone(), docker.socket());
        see(&mut enrich, A);
        let _watching = background(watcher);
        let stream = docker.connect_with(&list(A, "web"));
        wait_for(&containers, A, is_named("web"));
        assert_eq!(released(&mut enrich).as_deref(), Some("web"));

        // It has gone and comes back. Who is on the list is not asked for any more.
        drop(stream);
        let asked = docker.expect("/version");
        let other = A.replace('f', "0");
        see(&mut enrich, &other);
        answer(&asked, "200 OK", version);
        docker.answer("/version", "200 OK", version);
        let all = list(&other, "db");
        docker.answer("/containers/json?all=true", "200 OK", &all);
        docker.expect("/events?since=");
        wait_for(&containers, &other, is_named("db"));
        assert_eq!(released(&mut enrich).as_deref(), Some("db"));
    }

    /// The first connection of a new container, which must wait.
    #[track_caller]
    fn see(enrich: &mut Enrich, id: &str) {
        let event = Event {
            cgroup_id: 4711,
            container: None,
            ..Event::sample()
        };
        let made = Record::Cgroup {
            id: event.cgroup_id,
            path: format!("/docker/{id}").into_bytes(),
        };
        let mut events = Vec::new();
        enrich.apply([made, Record::Connection(event.into())], &mut events);
        assert_eq!((enrich.held(), events.len()), (1, 0));
    }

    /// The container's name in the event that has waited.
    #[track_caller]
    fn released(enrich: &mut Enrich) -> Option<Arc<str>> {
        let mut events = Vec::new();
        enrich.apply([], &mut events);
        let [event] = &events[..] else {
            panic!("one event, not {events:?}");
        };
        event.container.as_ref()?.name.clone()
    }

    #[test]
    fn nonsense_ends_the_session_only() {
        let docker = Fake::start();
        let containers = Containers::new();
        let (told, socket) = (containers.clone(), docker.socket());
        // As `watch`, but without pauses.
        let _watching = background(async move {
            let runtime = told.runtime();
            loop {
                let Err(_) = session(&socket, &runtime, None, &mut false).await;
            }
        });
        docker.answer("/version", "500 Internal Server Error", "\x1b[31m");
        docker.answer("/version", "200 OK", "[]");
        docker.answer("/version", "200 OK", r#"{"ApiVersion":"new"}"#);
        drop(docker.expect("/version"));
        docker.answer("/version", "200 OK", r#"{"ApiVersion":"1.41"}"#);
        docker.answer("/version", "200 OK", r#"{"Components":[{}]}"#);
        docker.answer("/version", "200 OK", r#"{"ApiVersion":"1.41"}"#);
        docker.answer("/version", "200 OK", r#"{"Version":"1"}"#);
        docker.answer("/containers/json", "200 OK", r#"[{"Id":7}]"#);
        let mut events = docker.connect();
        events.write_all(b"{\"Type\":\"container\"}\n{\"Action\":\"create\",\"Actor\":{\"ID\":\"../x\"}}\n\xff\xfe\n").unwrap();
        let mut events = docker.connect();
        events.write_all(event("create", "web").as_bytes()).unwrap();
        wait(&containers, is_named("web"));
    }

    /// As user nobody (only this thread's view of files), also when root runs the test.
    #[test]
    fn permission_denied_is_recognised() {
        let docker = Fake::start();
        let socket = docker.socket();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
        let recognised = thread::spawn(move || {
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            let containers = Containers::new();
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let ask = |socket: &str| {
                let Err(error) =
                    runtime.block_on(session(socket, &containers.runtime(), None, &mut false));
                is_permission(&error)
            };
            let in_folder = ask(&socket);
            fs::set_permissions(docker.folder.path(), fs::Permissions::from_mode(0o755)).ok();
            [in_folder, ask("/nonexistent/socket")]
        });
        assert_eq!(recognised.join().unwrap(), [true, false]);
    }
}

//! Makes the field `extra` of an event: its fields that are not in version 0.1 of the contract, as pairs of key and value.
//! The keys are documented in `wit/v0.1/plugin.wit`, and are never renamed.

use lightmon_event::{Container, Event, Pod, Unit};

/// A key and its value.
pub(super) type Pair<'a> = (String, &'a str);

/// The pairs of an event; the labels of a pod only if `labels` is set. `None` if there are no pairs.
pub(super) fn pairs(event: &Event, labels: bool) -> Option<Vec<Pair<'_>>> {
    let mut pairs = Pairs(Vec::new());
    if let Some(container) = event.container.as_deref() {
        pairs.container(container, labels);
    }
    if let Some(unit) = event.unit.as_deref() {
        let Unit { name, slice } = unit;
        pairs.add("unit", Some(name));
        pairs.add("slice", Some(slice));
    }
    if let Some(peer) = event.peer.as_deref() {
        pairs.peer(peer);
    }
    (!pairs.0.is_empty()).then_some(pairs.0)
}

struct Pairs<'a>(Vec<Pair<'a>>);

impl<'a> Pairs<'a> {
    /// Adds a pair, if the value is known.
    fn add<T: AsRef<str> + ?Sized>(&mut self, key: &str, value: Option<&'a T>) {
        if let Some(value) = value.map(AsRef::as_ref).filter(|it| !it.is_empty()) {
            self.0.push((key.to_owned(), value));
        }
    }

    fn container(&mut self, container: &'a Container, labels: bool) {
        self.add("container.runtime", container.runtime.as_ref());
        self.add("container.digest", container.image_digest.as_ref());
        self.add("compose.project", container.compose_project());
        self.add("compose.service", container.compose_service());
        if let Some(pod) = container.pod.as_deref() {
            let Pod {
                name,
                namespace,
                uid,
                container,
                labels: all,
            } = pod;
            self.add("pod.name", Some(name));
            self.add("pod.namespace", Some(namespace));
            self.add("pod.uid", Some(uid));
            self.add("pod.container", Some(container));
            for (key, value) in all.iter().filter(|_| labels) {
                self.0.push((format!("pod.labels/{key}"), value));
            }
        }
    }

    fn peer(&mut self, peer: &'a Container) {
        self.add("peer.id", Some(&peer.id));
        self.add("peer.name", peer.name.as_ref());
        self.add("peer.image", peer.image.as_ref());
        if let Some(pod) = peer.pod.as_deref() {
            self.add("peer.pod.name", Some(&pod.name));
            self.add("peer.pod.namespace", Some(&pod.namespace));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn pod() -> Pod {
        Pod {
            name: "web-0".into(),
            namespace: "shop".into(),
            uid: "1f0c".into(),
            container: "nginx".into(),
            labels: vec![("app".into(), "web".into())],
        }
    }

    #[track_caller]
    fn check(event: &Event, labels: bool, expect: &[(&str, &str)]) {
        let pairs = pairs(event, labels).unwrap_or_default();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (&**key, *value)).collect();
        assert_eq!(pairs, expect);
    }

    #[test]
    fn unknown_fields_are_left_out() {
        let bare = Event {
            container: None,
            ..Event::sample()
        };
        assert!(pairs(&bare, true).is_none());
        let unknown = Event {
            container: Some(Arc::new(Container {
                id: "0123".into(),
                ..Container::default()
            })),
            ..bare.clone()
        };
        assert!(pairs(&unknown, true).is_none());
        let unit = Event {
            unit: Some(Arc::new(Unit {
                name: "".into(),
                slice: "system.slice".into(),
            })),
            ..bare
        };
        check(&unit, true, &[("slice", "system.slice")]);
    }

    #[test]
    fn container_pod_and_peer() {
        let container = Container {
            runtime: Some("containerd".into()),
            image_digest: Some("sha256:00".into()),
            pod: Some(Arc::new(pod())),
            labels: vec![
                ("com.docker.compose.project".into(), "shop".into()),
                ("com.docker.compose.service".into(), "web".into()),
            ],
            ..Container::default()
        };
        let peer = Container {
            id: "0123".into(),
            name: Some("db".into()),
            image: Some("postgres:17".into()),
            pod: Some(Arc::new(pod())),
            ..Container::default()
        };
        let event = Event {
            container: Some(Arc::new(container)),
            peer: Some(Arc::new(peer)),
            ..Event::sample()
        };
        let expect = [
            ("container.runtime", "containerd"),
            ("container.digest", "sha256:00"),
            ("compose.project", "shop"),
            ("compose.service", "web"),
            ("pod.name", "web-0"),
            ("pod.namespace", "shop"),
            ("pod.uid", "1f0c"),
            ("pod.container", "nginx"),
            ("pod.labels/app", "web"),
            ("peer.id", "0123"),
            ("peer.name", "db"),
            ("peer.image", "postgres:17"),
            ("peer.pod.name", "web-0"),
            ("peer.pod.namespace", "shop"),
        ];
        check(&event, true, &expect);
        let without_labels: Vec<_> = expect
            .into_iter()
            .filter(|(key, _)| !key.starts_with("pod.labels/"))
            .collect();
        check(&event, false, &without_labels);
    }
}

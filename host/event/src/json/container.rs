//! The objects `pod` and `peer` in an event's line, and back.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::map::Map;
use crate::{Container, Pod};

/// The pod of a container.
#[derive(Serialize, Deserialize)]
pub(super) struct PodKeys<'a> {
    name: Arc<str>,
    namespace: Arc<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    uid: Arc<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    container: Arc<str>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    labels: Map<'a, Arc<str>>,
}

impl<'a> From<&'a Pod> for PodKeys<'a> {
    fn from(pod: &'a Pod) -> Self {
        let Pod {
            name,
            namespace,
            uid,
            container,
            labels,
        } = pod;
        Self {
            name: name.clone(),
            namespace: namespace.clone(),
            uid: uid.clone(),
            container: container.clone(),
            labels: Map(Cow::Borrowed(labels)),
        }
    }
}

impl From<PodKeys<'_>> for Pod {
    fn from(pod: PodKeys<'_>) -> Self {
        let mut labels = pod.labels.0.into_owned();
        labels.sort();
        Self {
            name: pod.name,
            namespace: pod.namespace,
            uid: pod.uid,
            container: pod.container,
            labels,
        }
    }
}

/// The container at the destination.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PeerKeys<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Arc<str>>,
    container_id: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_image: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_runtime: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<PodKeys<'a>>,
}

impl<'a> From<&'a Container> for PeerKeys<'a> {
    fn from(container: &'a Container) -> Self {
        Self {
            container: container.name.clone(),
            container_id: container.id.clone(),
            container_image: container.image.clone(),
            container_runtime: container.runtime.clone(),
            pod: container.pod.as_deref().map(PodKeys::from),
        }
    }
}

impl From<PeerKeys<'_>> for Container {
    fn from(peer: PeerKeys<'_>) -> Self {
        Self {
            id: peer.container_id,
            name: peer.container,
            image: peer.container_image,
            runtime: peer.container_runtime,
            pod: peer.pod.map(|pod| Arc::new(pod.into())),
            ..Self::default()
        }
    }
}

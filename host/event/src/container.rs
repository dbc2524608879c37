//! Where a process runs: a container, its pod, or a systemd unit.

use std::sync::Arc;

/// A container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The full id, 64 hex digits with Docker.
    pub id: Arc<str>,
    /// Name; `None` until the runtime has reported it.
    pub name: Option<Arc<str>>,
    /// Image; `None` until the runtime has reported it.
    pub image: Option<Arc<str>>,
    /// Digest of the image, `sha256:` and 64 hex digits; `None` until the runtime has reported it.
    pub image_digest: Option<Arc<str>>,
    /// The runtime: `docker`, `podman`, or the name of a CRI runtime, such as `containerd` or `cri-o`.
    pub runtime: Option<Arc<str>>,
    /// The Kubernetes pod that the container is part of.
    pub pod: Option<Arc<Pod>>,
    /// Labels, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A Kubernetes pod, as seen from one of its containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Name of the pod.
    pub name: Arc<str>,
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// Uid of the pod, which no other pod ever has; empty if not known.
    pub uid: Arc<str>,
    /// Name of the container in the pod; empty for the sandbox that holds the pod's namespaces.
    pub container: Arc<str>,
    /// Labels of the pod, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A systemd unit, named by its cgroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// Name, such as `nginx.service`; empty if the process is directly in the slice.
    pub name: Arc<str>,
    /// The slice that contains the unit, such as `system.slice`.
    pub slice: Arc<str>,
}

impl Container {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&Arc<str>> {
        let found = self
            .labels
            .binary_search_by(|(it, _)| (**it).cmp(key))
            .ok()?;
        Some(&self.labels[found].1)
    }

    /// The compose project that has started the container (docs.docker.com/reference/compose-file, labels).
    pub fn compose_project(&self) -> Option<&Arc<str>> {
        self.label("com.docker.compose.project")
    }

    /// The name of the service in the compose project.
    pub fn compose_service(&self) -> Option<&Arc<str>> {
        self.label("com.docker.compose.service")
    }
}

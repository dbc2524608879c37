//! What a process runs in: a container, its pod, or a systemd unit.

use std::sync::Arc;

/// A container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The full id, 64 hex digits with Docker.
    pub id: Arc<str>,
    /// Name, when the runtime has told it.
    pub name: Option<Arc<str>>,
    /// Image, when the runtime has told it.
    pub image: Option<Arc<str>>,
    /// The image's content, `sha256:` and 64 hex digits, when the runtime has told it.
    pub image_digest: Option<Arc<str>>,
    /// Who runs it: `docker`, `podman`, or what a CRI runtime calls itself, such as `containerd` and `cri-o`.
    pub runtime: Option<Arc<str>>,
    /// The Kubernetes pod that it is part of.
    pub pod: Option<Arc<Pod>>,
    /// Labels, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A Kubernetes pod, seen from one of its containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Name of the pod.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its uid, which no other pod ever has; empty when not known.
    pub uid: Arc<str>,
    /// What the pod calls the container; empty for the sandbox that holds the pod's namespaces.
    pub container: Arc<str>,
    /// Labels of the pod, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A systemd unit, by the name of its cgroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// Such as `nginx.service`; empty when the process is directly in the slice.
    pub name: Arc<str>,
    /// The slice around it, such as `system.slice`.
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

    /// The compose project that it was started by (docs.docker.com/reference/compose-file, labels).
    pub fn compose_project(&self) -> Option<&Arc<str>> {
        self.label("com.docker.compose.project")
    }

    /// What the compose project calls it.
    pub fn compose_service(&self) -> Option<&Arc<str>> {
        self.label("com.docker.compose.service")
    }
}

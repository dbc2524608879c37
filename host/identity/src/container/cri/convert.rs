//! Converts the messages of the CRI to containers, pods and addresses.

use std::{collections::HashMap, iter, net::IpAddr, sync::Arc};

use lightmon_event::{Container, Pod};

use super::{
    super::cgroup,
    api::runtime::{self, ImageSpec, NamespaceMode, PodSandbox, PodSandboxState, PodSandboxStatus},
};

/// A container of a pod.
pub(super) fn container(
    container: runtime::Container,
    sandbox: Option<&PodSandbox>,
    runtime: Option<&Arc<str>>,
) -> Container {
    let name = container.metadata.map(|it| it.name).unwrap_or_default();
    let name: Option<Arc<str>> = (!name.is_empty()).then(|| name.into());
    Container {
        id: container.id.into(),
        image: image_name(container.image.as_ref()).map(Arc::from),
        image_digest: digest(&container.image_ref).map(Arc::from),
        runtime: runtime.cloned(),
        pod: sandbox.map(|sandbox| pod(sandbox, name.clone().unwrap_or_default()).into()),
        labels: sorted(container.labels),
        name,
    }
}

/// The sandbox of a pod. It is a container too: it holds the namespaces of the pod.
pub(super) fn sandbox(sandbox: &PodSandbox, runtime: Option<&Arc<str>>) -> Container {
    let pod = pod(sandbox, Arc::default());
    Container {
        id: sandbox.id.as_str().into(),
        name: (!pod.name.is_empty()).then(|| pod.name.clone()),
        runtime: runtime.cloned(),
        pod: Some(pod.into()),
        ..Container::default()
    }
}

fn pod(sandbox: &PodSandbox, container: Arc<str>) -> Pod {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    Pod {
        name: metadata.name.into(),
        namespace: metadata.namespace.into(),
        uid: metadata.uid.into(),
        container,
        labels: sorted(sandbox.labels.clone()),
    }
}

fn sorted(labels: HashMap<String, String>) -> Vec<(Arc<str>, Arc<str>)> {
    let mut labels: Vec<_> = labels
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    labels.sort_unstable();
    labels
}

/// The addresses of a pod. A pod with the node's network has none, whatever the runtime says. A pod that does not run has none
/// either: another pod may have its addresses by now.
pub(super) fn addresses(status: PodSandboxStatus) -> Vec<IpAddr> {
    // The fields are compared as numbers, because their accessors return the first value for an unknown one.
    let is_ready = status.state == PodSandboxState::SandboxReady as i32;
    if !is_ready || network_mode(&status) == NamespaceMode::Node as i32 {
        return Vec::new();
    }
    let network = status.network.unwrap_or_default();
    let additional = network.additional_ips.iter().map(|it| &it.ip);
    let all = iter::once(&network.ip).chain(additional);
    all.filter_map(|ip| ip.parse().ok()).collect()
}

/// The network that a pod has. By default it has its own.
fn network_mode(status: &PodSandboxStatus) -> i32 {
    let namespaces = status.linux.as_ref().and_then(|it| it.namespaces.as_ref());
    let options = namespaces.and_then(|it| it.options.as_ref());
    options.map_or(NamespaceMode::Pod as i32, |it| it.network)
}

/// The name that the user gave to the image; `None` if only its id is known, which users do not recognise.
pub(super) fn image_name(image: Option<&ImageSpec>) -> Option<&str> {
    let image = image?;
    [&image.user_specified_image, &image.image]
        .into_iter()
        .find(|name| {
            let hex = name.strip_prefix("sha256:").unwrap_or(name);
            !name.is_empty() && !cgroup::is_id(hex.as_bytes())
        })
        .map(String::as_str)
}

/// The digest in `sha256:…` or `example.org/image@sha256:…`.
fn digest(image_ref: &str) -> Option<&str> {
    let start = image_ref.rfind("sha256:")?;
    let digest = &image_ref[start..];
    let hex = digest.strip_prefix("sha256:")?;
    cgroup::is_id(hex.as_bytes()).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::{
        super::api::runtime::{
            LinuxPodSandboxStatus, Namespace, NamespaceOption, PodIp, PodSandboxNetworkStatus,
        },
        *,
    };

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn an_image_has_the_name_that_the_user_gave() {
        let name = |image: &str, user: &str| {
            let image = ImageSpec {
                image: image.into(),
                user_specified_image: user.into(),
            };
            image_name(Some(&image)).map(str::to_owned)
        };
        let id = format!("sha256:{HEX}");
        assert_eq!(name("nginx:1.27", "").as_deref(), Some("nginx:1.27"));
        assert_eq!(name(&id, "nginx").as_deref(), Some("nginx"));
        assert_eq!(name(&id, ""), None);
        assert_eq!(name(HEX, ""), None);
        assert_eq!(name("", ""), None);
        assert_eq!(image_name(None), None);
    }

    #[test]
    fn only_a_complete_sha256_is_a_digest() {
        let id = format!("sha256:{HEX}");
        assert_eq!(digest(&id), Some(&*id));
        assert_eq!(digest(&format!("example.org/web@{id}")), Some(&*id));
        for other in [HEX, "nginx:1.27", "sha256:", &id[..70], &format!("{id}0")] {
            assert_eq!(digest(other), None, "{other}");
        }
    }

    #[test]
    fn a_pod_that_runs_in_its_own_network_has_addresses() {
        let status = |state, network| PodSandboxStatus {
            state,
            network: Some(PodSandboxNetworkStatus {
                ip: "10.88.7.2".into(),
                additional_ips: ["fd00::2", "", "none"]
                    .map(|ip| PodIp { ip: ip.into() })
                    .to_vec(),
            }),
            linux: Some(LinuxPodSandboxStatus {
                namespaces: Some(Namespace {
                    options: Some(NamespaceOption { network }),
                }),
            }),
        };
        const READY: i32 = PodSandboxState::SandboxReady as i32;
        const NODE: i32 = NamespaceMode::Node as i32;
        let own = 0;
        let expected: [IpAddr; 2] = ["10.88.7.2", "fd00::2"].map(|it| it.parse().unwrap());
        assert_eq!(addresses(status(READY, own)), expected);
        assert!(addresses(status(PodSandboxState::SandboxNotready as i32, own)).is_empty());
        assert!(addresses(status(READY, NODE)).is_empty());
        let unspecified = PodSandboxStatus {
            linux: None,
            ..status(READY, NODE)
        };
        assert_eq!(addresses(unspecified), expected);
    }
}

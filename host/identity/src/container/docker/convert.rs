//! Converts the answers and events of Docker's API to containers and addresses.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, SystemVersion,
};

use super::cgroup;
use lightmon_event::Container;

/// The name of Podman as a runtime.
pub(super) const PODMAN: &str = "podman";

/// A container of the list. In the list, `image` is the name that the user gave. If that name belongs to another image by now,
/// `image` is the image's id, which users do not recognise, so it is left out.
pub(super) fn from_summary(summary: ContainerSummary, runtime: &str) -> Option<Container> {
    let id = summary.id.filter(|id| cgroup::is_id(id.as_bytes()))?;
    let names = summary.names.unwrap_or_default();
    // A link (a legacy feature) adds a name `/other/alias`.
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

/// A container as `inspect` describes it.
pub(super) fn from_inspection(
    id: Arc<str>,
    details: ContainerInspectResponse,
    runtime: &str,
) -> Container {
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

/// A container as an event describes it.
pub(super) fn from_attributes(
    id: &str,
    mut attributes: HashMap<String, String>,
    runtime: &str,
) -> Container {
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

/// The addresses of a container on all its networks. There are none if the container does not run, or has the host's network.
pub(super) fn addresses(networks: &HashMap<String, EndpointSettings>) -> Vec<IpAddr> {
    let texts = networks
        .values()
        .flat_map(|it| [&it.ip_address, &it.global_ipv6_address]);
    texts.flatten().filter_map(|it| it.parse().ok()).collect()
}

/// The name of the runtime: Podman names itself among its components.
pub(super) fn runtime_name(version: &SystemVersion) -> &'static str {
    let mut components = version.components.iter().flatten();
    match components.any(|component| component.name.contains("Podman")) {
        true => PODMAN,
        false => "docker",
    }
}

/// The digest of an image with its algorithm, which Podman leaves out in some answers.
fn digest(image: Option<String>) -> Option<Arc<str>> {
    let image = image?;
    match image.strip_prefix("sha256:").unwrap_or(&image) {
        digits if cgroup::is_id(digits.as_bytes()) => Some(format!("sha256:{digits}").into()),
        _ => None,
    }
}

/// A name without the slash that Docker puts before it.
pub(super) fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::SystemVersionComponents;

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
}

use super::{
    api::runtime::{
        LinuxPodSandboxStatus, Namespace, NamespaceOption, PodIp, PodSandboxNetworkStatus,
    },
    *,
};

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn an_image_has_the_name_that_the_user_gave_it() {
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
fn only_a_whole_sha256_is_a_digest() {
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
    let unsaid = PodSandboxStatus {
        linux: None,
        ..status(READY, NODE)
    };
    assert_eq!(addresses(unsaid), expected);
}

#[test]
fn sockets_are_the_given_ones_or_the_usual_ones() {
    let given = vec!["unix:///run/a.sock".into(), "/run/b.sock".into()];
    let expected = ["/run/a.sock", "/run/b.sock"].map(PathBuf::from);
    assert_eq!(sockets(given), expected);
    assert_eq!(sockets(Vec::new()), SOCKETS.map(PathBuf::from));
}

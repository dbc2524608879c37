use super::*;

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
fn sockets_are_the_given_ones_or_the_usual_ones() {
    let given = vec!["unix:///run/a.sock".into(), "/run/b.sock".into()];
    let expected = ["/run/a.sock", "/run/b.sock"].map(PathBuf::from);
    assert_eq!(sockets(given), expected);
    assert_eq!(sockets(Vec::new()), SOCKETS.map(PathBuf::from));
}

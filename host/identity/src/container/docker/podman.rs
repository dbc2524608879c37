//! Finds containers in the list that Podman keeps on disk. Podman writes the list before a container starts.
//!
//! Podman's API does not answer about a container while it starts it. On a busy machine that takes longer than events wait for a
//! name. If Podman's events go to a file, Podman reads them only four times a second. The list is read without Podman's locks.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bollard::Docker;
use nix::libc::O_NONBLOCK;
use serde::Deserialize;
use tracing::debug;

use super::convert::PODMAN;
use lightmon_event::Container;

/// The file names of the lists. The second list has the containers that are removed when they end (`containers.go` in
/// containers/storage).
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// Longest list that is read. It has about 10,000 containers.
const MAX_LIST_BYTES: u64 = 8 << 20;

/// The folder of the lists.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

/// The fields of a list's entry that are used.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    names: Vec<Cow<'a, str>>,
    /// A string that contains JSON.
    #[serde(borrow, default)]
    metadata: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "image-name", default)]
    image: String,
}

impl Store {
    /// Asks Podman for the folder. `None` if it does not answer, or if the folder is not on this host.
    pub(super) async fn of(docker: Docker) -> Option<Self> {
        let info = docker.info().await;
        let info =
            info.inspect_err(|error| debug!(%error, "podman did not tell where its storage is"));
        let info = info.ok()?;
        let folder =
            PathBuf::from(info.docker_root_dir?).join(format!("{}-containers", info.driver?));
        debug!(
            ?folder,
            found = folder.is_dir(),
            "podman's list of containers"
        );
        folder.is_dir().then_some(Self(folder))
    }

    /// The name and the image of a container.
    pub(super) fn find(&self, id: &str) -> Option<Container> {
        LISTS.iter().find_map(|list| {
            let text = read(&self.0.join(list)).ok()?;
            find(&text, id)
        })
    }
}

fn find(list: &[u8], id: &str) -> Option<Container> {
    let entries: Vec<Entry> = serde_json::from_slice(list).ok()?;
    let entry = entries.into_iter().find(|entry| entry.id == id)?;
    let metadata: Option<Metadata> = serde_json::from_str(&entry.metadata).ok();
    let image = metadata
        .map(|it| it.image)
        .filter(|image| !image.is_empty());
    let name = entry.names.first().filter(|name| !name.is_empty())?;
    Some(Container {
        id: id.into(),
        name: Some((**name).into()),
        image: image.map(Into::into),
        runtime: Some(PODMAN.into()),
        ..Container::default()
    })
}

/// Reads a regular file of at most [`MAX_LIST_BYTES`].
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_LIST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = Vec::with_capacity(metadata.len() as usize);
    file.take(MAX_LIST_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Written by Podman 4.3.1.
    const LIST: &str = r#"[{"id":"15bed41ac77ba09ace0fc3a67b97f5dee9aea3cdb78c142f66b9fd147d5ce470","names":["c0"],"image":"be94c8cb4c9656b4299f1567b16899fc18c37c32e535ebbb3474be65c7f72d30","layer":"c315bc2de7024c229cf5debdd5f87cece96a231652373a025495d3c486034290","metadata":"{\"image-name\":\"localhost/t:1\",\"image-id\":\"be94c8cb4c9656b4299f1567b16899fc18c37c32e535ebbb3474be65c7f72d30\",\"name\":\"c0\",\"created-at\":1795883396}","created":"2026-11-28T16:29:56.556318727Z","flags":{"MountLabel":"","ProcessLabel":""}}]"#;
    const ID: &str = "15bed41ac77ba09ace0fc3a67b97f5dee9aea3cdb78c142f66b9fd147d5ce470";

    #[test]
    fn a_container_has_its_name_and_image() {
        let found = find(LIST.as_bytes(), ID).unwrap();
        assert_eq!(found.name.as_deref(), Some("c0"));
        assert_eq!(found.image.as_deref(), Some("localhost/t:1"));
        assert_eq!(find(LIST.as_bytes(), &ID.replace('1', "2")), None);
    }

    #[test]
    fn an_invalid_list_has_no_containers() {
        for list in [
            "",
            "{}",
            "[1]",
            r#"[{"id":7}]"#,
            &LIST[..100],
            &LIST.replace("c0", ""),
        ] {
            assert_eq!(find(list.as_bytes(), ID), None, "{list}");
        }
        let bare = format!(r#"[{{"id":"{ID}","names":["a"],"metadata":"no JSON"}}]"#);
        let found = find(bare.as_bytes(), ID).unwrap();
        assert_eq!((found.name.as_deref(), found.image), (Some("a"), None));
    }

    #[test]
    fn both_lists_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store(folder.path().to_owned());
        assert_eq!(store.find(ID), None);
        fs::write(folder.path().join(LISTS[0]), "[]").unwrap();
        fs::write(folder.path().join(LISTS[1]), LIST).unwrap();
        assert_eq!(store.find(ID).unwrap().name.as_deref(), Some("c0"));
        let large = File::create(folder.path().join(LISTS[1])).unwrap();
        large.set_len(MAX_LIST_BYTES + 1).unwrap();
        assert_eq!(store.find(ID), None);
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&pipe).is_err(), "does not wait for a writer");
    }
}

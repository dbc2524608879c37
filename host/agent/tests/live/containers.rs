//! Container identity with a real Docker daemon, as a user sees it in events.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use crate::dockerd::{Dockerd, IMAGE, wait_until};
use lightmon_event::Container;
use lightmon_identity::container::{Containers, docker};
use tokio::runtime::{Builder, Runtime};

/// Watches in the background until the result is dropped.
fn watch(containers: &Containers, dockerd: &Dockerd) -> Runtime {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(docker::watch(containers.clone(), dockerd.host()));
    runtime
}

/// The cgroup id as the kernel would report it: the inode of the process's cgroup2 folder.
fn cgroup_id(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = path.expect("this needs a kernel with cgroup2");
    let tree = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .map(Path::new)
        .into_iter()
        .find(|tree| tree.join("cgroup.controllers").exists())
        .expect("this needs a mounted cgroup2");
    fs::metadata(tree.join(path)).unwrap().ino()
}

/// Waits for the name of a container.
#[track_caller]
fn wait_for_name(containers: &Containers, id: &str, name: Option<&str>) {
    wait_until(&format!("{id} is called {name:?}"), || {
        containers.by_id(id).name.as_deref() == name
    });
}

#[track_caller]
fn assert_is(container: &Option<Arc<Container>>, id: &str, name: &str, labels: &[(&str, &str)]) {
    let container = container.as_deref().expect("in a container");
    // An event does not tell it; the answer to the question that follows does.
    let digest = container.image_digest.as_deref();
    assert!(
        digest.is_none_or(|it| it.starts_with("sha256:")),
        "{digest:?}"
    );
    let expect = Container {
        id: id.into(),
        name: Some(name.into()),
        image: Some(IMAGE.into()),
        labels: labels
            .iter()
            .map(|&(key, value)| (key.into(), value.into()))
            .collect(),
        image_digest: container.image_digest.clone(),
        runtime: Some("docker".into()),
        ..Container::default()
    };
    assert_eq!(container, &expect);
}

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn container_life_cycle() {
    let dockerd = Dockerd::start();
    let containers = Containers::remembering(Duration::from_millis(200));

    // This container exists before the watcher. Its labels have the names of the runtime's attributes.
    let labels = ["--label", "name=label", "--label", "app=shop"];
    let run = ["run", "--detach", "--name", "early"];
    let early = dockerd.docker(&[&run[..], &labels, &[IMAGE, "sleep", "1000"]].concat());
    let _watching = watch(&containers, &dockerd);
    wait_for_name(&containers, &early, Some("early"));
    let early_pid = dockerd.pid_of("early");
    let container = containers.of(cgroup_id(early_pid), early_pid);
    assert_is(
        &container,
        &early,
        "early",
        &[("app", "shop"), ("name", "label")],
    );
    assert_eq!(
        containers.of(cgroup_id(std::process::id()), std::process::id()),
        None
    );

    // Another one comes later: it has its name before its program runs.
    let create = ["create", "--name", "late"];
    let late = dockerd.docker(&[&create[..], &labels, &[IMAGE, "sleep", "1000"]].concat());
    wait_for_name(&containers, &late, Some("late"));
    dockerd.docker(&["start", "late"]);
    let late_pid = dockerd.pid_of("late");
    let late_cgroup = cgroup_id(late_pid);
    // As seen by the kernel, of a process that is gone meanwhile.
    assert_eq!(&*containers.id_of(late_cgroup, u32::MAX).unwrap(), &*late);
    wait_until("the labels are complete", || {
        containers.by_id(&late).labels.len() == 2
    });
    assert_is(
        &containers.of(late_cgroup, late_pid),
        &late,
        "late",
        &[("app", "shop"), ("name", "label")],
    );

    let before = containers.of(late_cgroup, late_pid);
    dockerd.docker(&["rename", "late", "later"]);
    wait_for_name(&containers, &late, Some("later"));
    assert_is(
        &before,
        &late,
        "late",
        &[("app", "shop"), ("name", "label")],
    );

    // It ends, but is not removed: started again it is the same.
    dockerd.docker(&["kill", "later"]);
    dockerd.docker(&["start", "later"]);
    let pid = dockerd.pid_of("later");
    assert_is(
        &containers.of(cgroup_id(pid), pid),
        &late,
        "later",
        &[("app", "shop"), ("name", "label")],
    );

    // Removed, and forgotten; the other one is not, and a new one may have the name.
    dockerd.docker(&["rm", "--force", "later"]);
    wait_for_name(&containers, &late, None);
    let heir = dockerd.docker(&["run", "--detach", "--name", "later", IMAGE, "sleep", "1000"]);
    wait_for_name(&containers, &heir, Some("later"));
    assert_eq!(containers.by_id(&late).name, None);
    assert_eq!(containers.by_id(&early).name.as_deref(), Some("early"));
}

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn short_lived_containers() {
    let dockerd = Dockerd::start();
    let containers = Containers::new();
    let _watching = watch(&containers, &dockerd);
    let folder = tempfile::tempdir().unwrap();
    for i in 0..5 {
        let name = format!("short-{i}");
        let file = folder.path().join(&name);
        let run = ["run", "--rm", "--name", &name, "--cidfile"];
        dockerd.docker(&[&run[..], &[file.to_str().unwrap(), IMAGE, "true"]].concat());
        let id = fs::read_to_string(file).unwrap();
        // Gone by now, and remembered for the events that are still on their way.
        wait_for_name(&containers, &id, Some(&name));
    }
}

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn image_without_a_name() {
    let dockerd = Dockerd::start();
    let id = dockerd.docker(&["run", "--detach", "--name", "old", IMAGE, "sleep", "1000"]);
    // The name gets another image.
    dockerd.docker(&["commit", "--change", "LABEL a=b", "old", IMAGE]);
    let image = dockerd.docker(&["ps", "--no-trunc", "--format", "{{.Image}}"]);
    assert!(
        image.starts_with("sha256:"),
        "the list has the name still: {image}"
    );
    let containers = Containers::new();
    let _watching = watch(&containers, &dockerd);
    wait_until("the image is known", || {
        containers.by_id(&id).image.is_some()
    });
    assert_is(&Some(containers.by_id(&id)), &id, "old", &[]);
}

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn daemon_restart() {
    let mut dockerd = Dockerd::stopped();
    let containers = Containers::remembering(Duration::from_millis(200));
    let _watching = watch(&containers, &dockerd);
    // Without Docker, there is no error and no container.
    assert_eq!(
        containers.of(cgroup_id(std::process::id()), std::process::id()),
        None
    );

    dockerd.resume();
    dockerd.import_image();
    let gone = dockerd.docker(&[
        "run", "--detach", "--rm", "--name", "gone", IMAGE, "sleep", "1000",
    ]);
    let kept = dockerd.docker(&["run", "--detach", "--name", "kept", IMAGE, "sleep", "1000"]);
    wait_for_name(&containers, &gone, Some("gone"));
    wait_for_name(&containers, &kept, Some("kept"));

    dockerd.stop();
    assert_eq!(containers.by_id(&kept).name.as_deref(), Some("kept"));
    dockerd.resume();
    dockerd.docker(&["start", "kept"]);
    dockerd.docker(&["rename", "kept", "kept-2"]);
    wait_for_name(&containers, &kept, Some("kept-2"));
    wait_for_name(&containers, &gone, None);
    let pid = dockerd.pid_of("kept-2");
    assert_is(&containers.of(cgroup_id(pid), pid), &kept, "kept-2", &[]);
}

/// Tests the tool of these tests: after a failed test, no daemon, mount or container is left.
#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn private_daemon_leaves_nothing() {
    let mut left = None;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let dockerd = Dockerd::start();
        dockerd.docker(&["run", "--detach", "--name", "it", IMAGE, "sleep", "1000"]);
        left = Some((dockerd.socket(), dockerd.pid_of("it")));
        dockerd.docker(&["run", "an image that does not exist"]);
    }));
    assert!(panicked.is_err());
    let (socket, pid) = left.expect("it started");
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists());
    let folder = socket.parent().unwrap();
    assert!(!folder.exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()));
}

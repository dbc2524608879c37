//! The cache of compiled plugins: lightmon uses only entries that no other user can have written.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

use crate::{
    Host, events,
    guest::{component, module},
    logged, patient, ports,
};

const NOBODY: u32 = 65534;

/// A plugin that drops what goes to port 53, and a folder for it to be kept in.
fn host(cache: &Path) -> Host {
    cached(cache, module(&["drop_port"]))
}

fn cached(cache: &Path, plugin: impl AsRef<[u8]>) -> Host {
    let mut host = Host::new(patient()).with("p.wasm", plugin, "");
    host.cache = Some(cache.to_owned());
    host
}

/// Loads the plugin, and checks its verdicts.
fn works(host: &Host) -> Vec<String> {
    logged(|| assert_eq!(ports(&host.run().pass(events(&[53, 80]))), [80]))
}

/// The files in the folder.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// The only one.
fn entry(cache: &Path) -> PathBuf {
    let [entry] = entries(cache).try_into().expect("one entry");
    entry
}

/// Changes what an entry holds, as its owner could.
fn edit(entry: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(entry).expect("an entry");
    edit(&mut bytes);
    fs::write(entry, bytes).expect("write");
}

/// Puts other code in an entry, with the digest that says that it belongs there.
fn forge(entry: &Path, code: &[u8]) {
    let name = entry.to_str().expect("a name");
    let hex = &name[name.len() - 64..];
    let key: Vec<u8> = (0..64)
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal"))
        .collect();
    let digest = Sha256::new()
        .chain_update(key)
        .chain_update(code)
        .finalize();
    fs::write(entry, [&digest[..], code].concat()).expect("write");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").mode() & 0o777
}

#[test]
fn cached_plugins_are_private_and_behave_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("a/b");
    for bytes in [module(&["drop_port"]), component(&["drop_port"])] {
        let _ = fs::remove_dir_all(&cache);
        let host = cached(&cache, bytes);
        assert_eq!(works(&host), [""; 0]);
        assert_eq!((mode(&cache), mode(&entry(&cache))), (0o700, 0o600));
        let written = entry(&cache).metadata().expect("an entry");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        fs::File::open(entry(&cache))
            .and_then(|file| file.set_modified(long_ago))
            .expect("set the time");

        assert_eq!(works(&host), [""; 0]);
        let used = entry(&cache).metadata().expect("an entry");
        assert_eq!(used.ino(), written.ino(), "it is not written again");
        assert!(used.modified().expect("a time") > long_ago, "it is in use");
    }
}

#[test]
fn the_cached_code_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = host(folder.path());
    works(&ours);
    let ours_entry = entry(folder.path());
    cached(folder.path(), module(&["keep"])).run();
    let mut both = entries(folder.path());
    both.retain(|path| *path != ours_entry);
    let other = fs::read(&both[0]).expect("an entry");

    // Another plugin's entry under this one's name is recognised,
    fs::write(&ours_entry, &other).expect("write");
    let messages = works(&ours);
    assert!(
        messages[0].contains("damaged, or another plugin's"),
        "{messages:?}"
    );
    assert_eq!(works(&ours), [""; 0], "it was put right");

    // and with the right digest it is believed: so it does come from there.
    forge(&ours_entry, &other[32..]);
    assert_eq!(ports(&ours.run().pass(events(&[53, 80]))), [53, 80]);
}

#[test]
fn a_changed_plugin_has_another_cache_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    works(&host(folder.path()));
    // An empty custom section.
    let changed = [module(&["drop_port"]), b"\0\x02\x01x".to_vec()].concat();
    works(&cached(folder.path(), changed));
    assert_eq!(entries(folder.path()).len(), 2);
}

#[test]
fn code_for_another_engine_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    works(&host);
    // It has no deadlines.
    let code = wasmtime::Engine::default()
        .precompile_component(&component(&["drop_port"]))
        .expect("machine code");
    forge(&entry(folder.path()), &code);
    let messages = works(&host);
    assert!(
        messages[0].contains("the stored one is refused"),
        "{messages:?}"
    );
    assert_eq!(works(&host), [""; 0], "it was put right");
}

#[test]
fn damaged_entries_are_compiled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    works(&host);
    let entry = entry(folder.path());
    let good = fs::read(&entry).expect("an entry");
    let middle = good.len() / 2;
    for (what, damage) in [
        ("empty", (|bytes| bytes.clear()) as fn(&mut Vec<u8>)),
        ("no whole digest", |bytes| bytes.truncate(31)),
        ("no code", |bytes| bytes.truncate(32)),
        ("the last byte is missing", |bytes| _ = bytes.pop()),
        ("a byte more", |bytes| bytes.push(0)),
        ("a bit of the digest", |bytes| bytes[0] ^= 1),
        ("a bit of the code", |bytes| {
            *bytes.last_mut().expect("a byte") ^= 0x80
        }),
    ] {
        edit(&entry, damage);
        let messages = works(&host);
        assert!(messages[0].contains("is damaged"), "{what}: {messages:?}");
        assert_eq!(messages.len(), 1, "{what}");
        assert_eq!(works(&host), [""; 0], "{what}: it was put right");
    }
    edit(&entry, |bytes| bytes[middle] ^= 1);
    assert!(works(&host)[0].contains("is damaged"));
}

#[test]
fn entries_writable_by_others_are_compiled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    works(&host);
    let entry = entry(folder.path());
    for mode_of_entry in [0o620, 0o602, 0o666] {
        set_mode(&entry, mode_of_entry);
        let messages = works(&host);
        let expected = format!("can be written by others (mode {mode_of_entry:03o})");
        assert!(messages[0].contains(&expected), "{messages:?}");
        assert_eq!(mode(&entry), 0o600, "it was put right");
    }

    // A link to what would be a good entry.
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).expect("rename");
    symlink(&elsewhere, &entry).expect("a link");
    let messages = works(&host);
    assert!(messages[0].contains("is a symbolic link"), "{messages:?}");
    assert!(entry.symlink_metadata().expect("an entry").is_file());

    fs::remove_file(&entry).expect("remove");
    nix::unistd::mkfifo(&entry, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let messages = works(&host);
    assert!(
        messages[0].contains("is not a regular file"),
        "{messages:?}"
    );

    // Nobody can replace it.
    fs::remove_file(&entry).expect("remove");
    fs::create_dir(&entry).expect("a folder");
    let messages = works(&host);
    assert!(
        messages[0].contains("is not a regular file"),
        "{messages:?}"
    );
    assert!(
        messages[1].contains("can't be stored for the next start"),
        "{messages:?}"
    );
    assert_eq!(
        entries(folder.path()).len(),
        2,
        "nothing unfinished is left"
    );
}

#[test]
#[ignore = "needs root: make test runs it"]
fn entries_and_folders_of_others_are_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    works(&host);
    let entry = entry(folder.path());
    chown(&entry, Some(NOBODY), None).expect("chown");
    let messages = works(&host);
    assert!(
        messages[0].contains("belongs to another user (uid 65534)"),
        "{messages:?}"
    );
    assert_eq!(
        entry.metadata().expect("an entry").uid(),
        0,
        "it was put right"
    );

    edit(&entry, Vec::clear);
    chown(folder.path(), Some(NOBODY), None).expect("chown");
    let messages = works(&host);
    assert!(
        messages[0].contains("belongs to another user (uid 65534)"),
        "{messages:?}"
    );
    assert_eq!(
        entry.metadata().expect("an entry").len(),
        0,
        "it is left alone"
    );
}

#[test]
fn folders_writable_by_others_are_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("cache");
    let unused = |path: &Path, why: &str| {
        let mut host = host(path);
        host = host.with("q.wasm", module(&["keep"]), "");
        let messages = works(&host);
        assert!(messages[0].contains(why), "{messages:?}");
        assert_eq!(messages.len(), 1, "said once, not for each plugin");
    };
    fs::create_dir(&cache).expect("a folder");
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        set_mode(&cache, mode);
        unused(&cache, "can be written by others");
        assert!(entries(&cache).is_empty());
    }
    set_mode(&cache, 0o755);
    let link = folder.path().join("link");
    symlink(&cache, &link).expect("a link");
    unused(&link, "is a symbolic link");
    unused(&link.join(""), "is a symbolic link");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    unused(&file, "can't be used: ");
    assert!(entries(&cache).is_empty());

    assert_eq!(works(&host(&cache)), [""; 0], "others may read it");
    assert_eq!(entries(&cache).len(), 1);
}

#[test]
fn an_unwritable_folder_gives_one_message() {
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o500);
    // File modes do not stop root, but nobody can create files here.
    let read_only = match nix::unistd::geteuid().is_root() {
        true => Path::new("/sys/kernel"),
        false => folder.path(),
    };
    let host = host(read_only).with("q.wasm", module(&["keep"]), "");
    let messages = works(&host);
    assert!(
        messages[0].contains("can't be stored for the next start"),
        "{messages:?}"
    );
    assert_eq!(messages.len(), 1);
}

/// Runs a recording through the plugin in another process.
fn start(program: &Path, plugin: &Path, cache: &Path, uid: u32) -> Child {
    Command::new(program)
        .args(["-f", "json", "--replay", "/dev/null", "--plugin"])
        .arg(plugin)
        .arg("--cache-dir")
        .arg(cache)
        .current_dir("/")
        .uid(uid)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lightmon")
}

fn messages(child: Child) -> String {
    let output = child.wait_with_output().expect("its end");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

#[test]
fn concurrent_writers_leave_one_valid_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plugin, cache) = (folder.path().join("p.wasm"), folder.path().join("cache"));
    fs::write(&plugin, module(&["drop_port"])).expect("a plugin");
    let program = Path::new(env!("CARGO_BIN_EXE_lightmon"));
    let me = nix::unistd::geteuid().as_raw();
    let all: Vec<Child> = (0..4)
        .map(|_| start(program, &plugin, &cache, me))
        .collect();
    for child in all {
        let text = messages(child);
        assert!(!text.contains("WARN"), "{text}");
    }
    entry(&cache);
    assert!(!messages(start(program, &plugin, &cache, me)).contains("WARN"));
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_setuid_program_uses_no_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o755);
    let (plugin, cache) = (folder.path().join("p.wasm"), folder.path().join("cache"));
    fs::write(&plugin, module(&["drop_port"])).expect("a plugin");
    let program = folder.path().join("lightmon");
    fs::copy(env!("CARGO_BIN_EXE_lightmon"), &program).expect("a copy");
    set_mode(&program, 0o4755);
    let text = messages(start(&program, &plugin, &cache, NOBODY));
    assert!(
        text.contains("more rights than the user who started it"),
        "{text}"
    );
    assert!(!cache.exists());
    let text = messages(start(&program, &plugin, &cache, 0));
    assert!(!text.contains("WARN"), "{text}");
    entry(&cache);
}

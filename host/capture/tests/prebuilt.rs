//! Checks that the prebuilt kernel program was built from the sources in `ebpf`.

use std::{fs, path::Path};

use sha2::{Digest as _, Sha256};

#[test]
fn prebuilt_program_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![
        "ebpf/Cargo.toml".to_owned(),
        "ebpf/common/Cargo.toml".to_owned(),
    ];
    for folder in ["ebpf/src", "ebpf/common/src"] {
        let mut sources: Vec<_> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| {
                format!(
                    "{folder}/{}",
                    entry.unwrap().file_name().into_string().unwrap()
                )
            })
            .collect();
        sources.sort();
        files.extend(sources);
    }
    files.push("ebpf/prebuilt/lightmon.bpf.o".to_owned());
    let expected: Vec<_> = files
        .into_iter()
        .map(|file| {
            let digest = Sha256::digest(fs::read(root.join(&file)).unwrap());
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}  {file}")
        })
        .collect();
    let stamp = fs::read_to_string(root.join("ebpf/prebuilt/stamp")).unwrap();
    let stamped: Vec<_> = stamp
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(
        stamped, expected,
        "the prebuilt kernel program is older than its sources: run `make ebpf` and commit ebpf/prebuilt"
    );
}

//! lightmon refuses invalid plugins before anything runs. The message names the file, the cause and what to do.

use std::{os::unix::ffi::OsStrExt, time::Duration};

use lightmon_plugin_host::{Chain, Limits, Spec};

use crate::{
    Host,
    guest::{component, encode, module, of_version, text, typed, wit},
    patient, when,
};

fn refused(bytes: impl AsRef<[u8]>) -> String {
    Host::new(patient()).with("p.wasm", bytes, "").error()
}

#[test]
fn files_that_are_not_plugins_are_refused() {
    let good = module(&["keep"]);
    let elf = std::fs::read("/proc/self/exe").expect("this program");
    for (bytes, expected) in [
        (
            &b""[..],
            "plugin p.wasm: is empty: build or download it again",
        ),
        (
            b"#!/bin/sh\n",
            "plugin p.wasm: is not WebAssembly: give the .wasm file that the plugin's build makes",
        ),
        (
            &elf[..4096],
            "plugin p.wasm: is not WebAssembly: give the .wasm file that the plugin's build makes",
        ),
        (
            b"\n(module)",
            "plugin p.wasm: is WebAssembly text: convert it first, with `wasm-tools parse -o plugin.wasm`",
        ),
        (
            b"\0asm\x01\0\0\0",
            "plugin p.wasm: is a core module without a component-type section: build it with the plugin SDK or wit-bindgen",
        ),
        (
            b"\0asm\x0d\0\x01\0",
            "plugin p.wasm: is not a lightmon plugin: it exports nothing, but not lightmon:plugin/filter; build it with the plugin SDK",
        ),
    ] {
        assert_eq!(refused(bytes), expected);
    }
    let untyped = wat::parse_str(text(&["keep"])).expect("a module");
    assert!(refused(untyped).contains("without a component-type section"));

    for length in [4, 7, 9, good.len() / 2, good.len() - 1] {
        let text = refused(&good[..length]);
        let start = "plugin p.wasm: is damaged, truncated or too new: build or download it again (";
        assert!(text.starts_with(start), "{length}: {text}");
    }
}

#[test]
fn paths_that_are_not_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |path: &std::path::Path| {
        let spec = Spec {
            path: path.to_owned(),
            ..Spec::default()
        };
        let error = Chain::load(&[spec], &Limits::default(), None, when);
        error.err().expect("must not load").to_string()
    };
    assert_eq!(
        error(folder.path()),
        format!(
            "plugin {}: is not a regular file: name the .wasm file itself",
            folder.path().display()
        )
    );
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert!(error(&fifo).contains("is not a regular file"));
    assert!(error("/dev/zero".as_ref()).contains("is not a regular file"));
    let hostile = std::ffi::OsStr::from_bytes(b"no/\x1b[2J\xff.wasm");
    assert_eq!(
        error(hostile.as_ref()),
        r"plugin no/\u{1b}[2J�.wasm: can't be read: No such file or directory (os error 2)"
    );
}

#[test]
fn files_that_are_too_large_are_refused() {
    let limits = Limits {
        file: 1 << 20,
        ..Limits::default()
    };
    let host = Host::new(limits).with("p.wasm", vec![0; (1 << 20) + 1], "");
    assert_eq!(
        host.error(),
        "plugin p.wasm: is larger than 1 MiB: build it with optimisation and without debug information"
    );
}

#[test]
fn precompiled_code() {
    let engine = wasmtime::Engine::default();
    let code = engine
        .precompile_component(&component(&["keep"]))
        .expect("machine code");
    let host = Host::new(patient()).with("p.cwasm", code, "");
    assert_eq!(
        host.error(),
        "plugin p.cwasm: is precompiled code, which can't be trusted: give the .wasm file that it was made from"
    );
}

#[test]
fn other_versions_of_the_contract() {
    assert_eq!(
        refused(of_version("9.9.0")),
        "plugin p.wasm: needs version 9.9.0 of the plugin contract, this lightmon has 0.1: upgrade lightmon"
    );
    assert_eq!(
        refused(of_version("0.0.3")),
        "plugin p.wasm: needs version 0.0.3 of the plugin contract, this lightmon has 0.1: upgrade the plugin"
    );
    let host = Host::new(patient()).with("p.wasm", of_version("0.1.7"), "");
    assert!(host.load().is_ok(), "a patch version is no other contract");
}

#[test]
fn missing_export_is_refused() {
    let wit = "package other:thing@1.0.0;
        interface greeter { greet: func(); }
        world plugin { export greeter; export run: func(); }";
    let module = wat::parse_str(
        r#"(module (func (export "other:thing/greeter@1.0.0#greet")) (func (export "run")))"#,
    );
    let bytes = encode(&typed(&module.expect("a module"), wit));
    assert_eq!(
        refused(bytes),
        "plugin p.wasm: is not a lightmon plugin: it exports run, other:thing/greeter@1.0.0, but not lightmon:plugin/filter; build it with the plugin SDK"
    );
}

#[test]
fn exports_with_wrong_types_are_refused() {
    let wit = "package lightmon:plugin@0.1.0;
        interface filter { init: func(config: string) -> u32; process: func(); }
        world plugin { export filter; }";
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
            (func (export "lightmon:plugin/filter@0.1.0#init") (param i32 i32) (result i32) (i32.const 0))
            (func (export "lightmon:plugin/filter@0.1.0#process")))"#,
    )
    .expect("a module");
    let text = refused(typed(&module, wit));
    let start = "plugin p.wasm: does not match the plugin contract that it names: build it again with the plugin SDK (";
    assert!(text.starts_with(start), "{text}");

    let less = wit.replace("process: func();", "");
    let text = refused(typed(&module, &less));
    assert!(text.contains("there is no function `process`"), "{text}");
}

#[test]
fn other_imports_are_refused() {
    let wit = wit().replace(
        "world plugin {",
        "interface files { open: func(path: string) -> u32; }
        world plugin { import files; import shell: func();",
    );
    let text = text(&["keep"]).replacen(
        "(module",
        r#"(module
            (import "lightmon:plugin/files@0.1.0" "open" (func (param i32 i32) (result i32)))
            (import "$root" "shell" (func))"#,
        1,
    );
    let module = wat::parse_str(text).expect("a module");
    let expected = "plugin p.wasm: imports lightmon:plugin/files@0.1.0, shell, which lightmon does not provide: build it without";
    let bytes = typed(&module, &wit);
    assert_eq!(refused(&bytes), expected);
    assert_eq!(refused(encode(&bytes)), expected);
}

#[test]
fn imports_outside_of_the_component_model_are_refused() {
    let text = text(&["keep"]).replacen(
        "(module",
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
        1,
    );
    let module = wat::parse_str(text).expect("a module");
    let text = refused(typed(&module, &wit()));
    assert!(
        text.starts_with("plugin p.wasm: can't be encoded as a component: build it for wasm32-unknown-unknown with the plugin SDK (")
            && text.contains("wasi_snapshot_preview1"),
        "{text}"
    );
}

#[test]
fn init_error_is_reported() {
    assert_eq!(
        refused(module(&["keep", "init_error"])),
        r"plugin p.wasm: refuses to start: no key\n\u{1b}[31mroot: all is well"
    );
    for guest in ["init_trap", "start_trap"] {
        assert_eq!(
            refused(module(&["keep", guest])),
            "plugin p.wasm: can't start: init trapped: wasm `unreachable` instruction executed"
        );
    }
}

#[test]
fn endless_init_is_stopped() {
    let limits = Limits {
        init: Duration::from_millis(50),
        ..Limits::default()
    };
    for endless in ["init_loop", "start_loop"] {
        let host = Host::new(limits.clone()).with("p.wasm", module(&["keep", endless]), "");
        assert_eq!(
            host.error(),
            "plugin p.wasm: can't start: init took longer than 50ms"
        );
    }
}

#[test]
fn too_large_initial_memory_is_refused() {
    let limits = Limits {
        memory: 1 << 20,
        ..patient()
    };
    let host = Host::new(limits).with("p.wasm", module(&["keep"]), "");
    assert_eq!(
        host.error(),
        "plugin p.wasm: can't start: init requested 4194304 bytes of memory, the limit is 1048576"
    );
}

#[test]
fn invalid_when_expression_is_refused() {
    let text = text(&["keep", "init_when"]).replace("dport=53", "nonsense");
    let module = wat::parse_str(text).expect("a module");
    assert_eq!(
        refused(typed(&module, &wit())),
        "plugin p.wasm: asks for events with an invalid expression, `nonsense`: unknown key"
    );
}

#[test]
fn damage_anywhere_is_an_error_or_harmless() {
    let good = module(&["keep"]);
    for at in (0..good.len()).step_by(3) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        // Whatever it is now, it must not bring the host down.
        drop(Host::new(patient()).with("p.wasm", bytes, "").load());
    }
}

/// The encoder would recurse on such packages until the stack is full.
#[test]
fn packages_that_use_each_other() {
    let mut bytes = module(&["keep"]);
    let name = b"lightmon:plugin/types";
    let at = bytes.windows(name.len()).position(|window| window == name);
    let at = at.expect("the section names the interface");
    bytes[at..at + 8].copy_from_slice(b"ligitmon");
    assert_eq!(
        refused(bytes),
        "plugin p.wasm: imports ligitmon:plugin/types@0.1.0, which lightmon does not provide: build it without"
    );
}

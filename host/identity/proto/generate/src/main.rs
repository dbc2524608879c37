//! Generates the messages and clients of `host/identity/proto/*.proto` into `host/identity/src/container/cri/api`.
//! Needs no protoc. Run it after a change to a .proto file.

use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = protox::compile(["runtime.proto", "containerd.proto"], [&proto])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .out_dir(proto.join("../src/container/cri/api"))
        .compile_fds(files)?;
    Ok(())
}

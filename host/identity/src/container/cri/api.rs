//! The messages and clients of the CRI v1 API and of containerd's event service.
//!
//! The code is generated from `host/identity/proto/*.proto` by the program in `host/identity/proto/generate`, and checked in: so
//! building lightmon needs no protobuf compiler.

/// The CRI v1 API, generated from `runtime.proto`.
pub(super) mod runtime {
    #![allow(
        dead_code,
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::enum_variant_names,
        reason = "generated code"
    )]
    include!("api/runtime.v1.rs");
}

/// containerd's event service, generated from `containerd.proto`.
pub(super) mod containerd {
    #![allow(
        dead_code,
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::enum_variant_names,
        reason = "generated code"
    )]
    include!("api/containerd.services.events.v1.rs");
}

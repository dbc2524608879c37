//! The messages and clients of the CRI v1 API and of containerd's event service, generated from `proto/*.proto`.
//! Generated code is checked in, so that building needs no protobuf compiler.

/// The CRI v1 API, from `proto/runtime.proto`.
pub(super) mod runtime {
    #![allow(
        dead_code,
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::enum_variant_names,
        reason = "generated code covers more than what is used"
    )]
    include!("proto/runtime.v1.rs");
}

/// containerd's event service, from `proto/containerd.proto`.
pub(super) mod containerd {
    #![allow(
        dead_code,
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::enum_variant_names,
        reason = "generated code covers more than what is used"
    )]
    include!("proto/containerd.services.events.v1.rs");
}

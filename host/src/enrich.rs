//! Adds what the kernel record lacks: process, user, container.

pub mod container;

//! lightmon with the real kernel and real container runtimes. Each test checks only the connections that it makes.

mod containers;
mod docker;
mod host;
mod matrix;
mod node;
mod peers;
mod plugins;
mod pods;
mod self_test;
mod sinks;
mod ticks;
mod units;

mod cgroup_migrations;
mod cgroups;
mod containerd;
mod cri;
mod dockerd;
mod kubelet;
mod lightmon;
mod turn;

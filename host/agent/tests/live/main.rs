//! lightmon on the real kernel and beside real container runtimes. Looks only at what it has started itself.

mod canary;
mod containers;
mod docker;
mod host;
mod matrix;
mod moves;
mod node;
mod peers;
mod plugins;
mod pods;
mod sinks;
mod ticks;
mod units;

mod cgroups;
mod containerd;
mod cri;
mod dockerd;
mod kubelet;
mod lightmon;
mod turn;

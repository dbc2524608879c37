//! Drops DNS queries. Shows what a plugin without the standard library must define: an allocator and a panic handler.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::String;

use lightmon_plugin::{Config, Event, Plugin, Verdict};

/// The allocator that the standard library uses in WebAssembly.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

lightmon_plugin::panic_handler!();

struct NoDns;

impl Plugin for NoDns {
    fn new(config: &Config) -> Result<Self, String> {
        config.none().map(|()| Self)
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if event.destination_port() == 53 {
            Verdict::drop()
        } else {
            Verdict::keep()
        }
    }
}

lightmon_plugin::register!(NoDns, example: "--plugin tiny.wasm");

#[cfg(test)]
mod tests {
    use lightmon_plugin::test::{Harness, event};

    use super::*;

    #[test]
    fn drops_only_dns_queries() {
        let mut plugin = Harness::<NoDns>::new("{}").unwrap();
        let to = |destination| event().destination(destination);
        assert_eq!(plugin.event(to("192.0.2.1:53")), Verdict::drop());
        assert_eq!(plugin.event(to("192.0.2.1:443")), Verdict::keep());
    }
}

//! Connects a plugin to the exports of the contract. [`register!`](crate::register) uses this module; authors do not call it.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use crate::{
    Actions, Batch, Config, Plugin, Report, Role,
    bindings::{self, Guest, Setup, StopGuest, TickGuest},
};

/// The shortest period that the host accepts, in milliseconds.
const MIN_PERIOD_MS: u32 = 100;

/// A plugin with its manifest.
pub trait Registered: Plugin + 'static {
    /// The manifest's JSON.
    const MANIFEST: &'static [u8];

    /// What the plugin does to events.
    const ROLE: Role;
}

/// The slot that holds the plugin's only instance. A WebAssembly instance has one thread and one plugin.
pub trait PluginSlot: Registered {
    /// Calls `run` with the slot, which is empty until `init` succeeds.
    fn with<T>(run: impl FnOnce(&mut Option<Self>) -> T) -> T;
}

impl<P: PluginSlot> Guest for P {
    fn init(config: String) -> Result<Setup, String> {
        #[cfg(all(target_arch = "wasm32", feature = "panic-log"))]
        std::panic::set_hook(alloc::boxed::Box::new(|panic| {
            log_panic(P::ROLE, panic.location(), panic.payload_as_str());
        }));
        let plugin = P::new(&Config::from_json(&config)?)?;
        let setup = Setup {
            needs: plugin.needs(),
            when: plugin.when(),
            kinds: plugin.kinds().into_iter().map(|kind| kind.0).collect(),
        };
        P::with(|slot| *slot = Some(plugin));
        Ok(setup)
    }

    fn process(batch: bindings::Batch) -> Vec<bindings::Action> {
        let mut actions = Actions::default();
        P::with(|slot| {
            if let Some(plugin) = slot {
                plugin.on_batch(&Batch(batch), &mut actions);
            }
        });
        actions.0
    }
}

impl<P: PluginSlot> TickGuest for P {
    fn period() -> u32 {
        let period = P::with(|slot| slot.as_ref().and_then(Plugin::tick_period));
        period.map_or(0, |period| {
            u32::try_from(period.as_millis())
                .unwrap_or(u32::MAX)
                .max(MIN_PERIOD_MS)
        })
    }

    fn tick(now: u64) -> Vec<bindings::Report> {
        reports::<P>(|plugin| plugin.on_tick(Duration::from_nanos(now)))
    }
}

impl<P: PluginSlot> StopGuest for P {
    fn stop(now: u64) -> Vec<bindings::Report> {
        reports::<P>(|plugin| plugin.on_stop(Duration::from_nanos(now)))
    }
}

fn reports<P: PluginSlot>(run: impl FnOnce(&mut P) -> Vec<Report>) -> Vec<bindings::Report> {
    let reports = P::with(|slot| slot.as_mut().map(run)).unwrap_or_default();
    let reports = reports
        .into_iter()
        .map(|Report { name, fields }| bindings::Report { name, fields });
    reports.collect()
}

/// Does nothing at run time. Refers to the plugin, so that the compiler does not report it as unused.
pub const fn assert_registered<P: Registered>() {}

/// Logs a panic before the plugin traps. For a redactor it logs only the location, because the message may contain a secret.
#[cfg(all(target_arch = "wasm32", feature = "panic-log"))]
fn log_panic(role: Role, location: Option<&core::panic::Location<'_>>, message: Option<&str>) {
    let message = match role {
        Role::Redactor => None,
        Role::Filter | Role::Formatter => message,
    };
    let text = match (location, message) {
        (Some(location), Some(message)) => alloc::format!("panicked at {location}: {message}"),
        (Some(location), None) => alloc::format!("panicked at {location}"),
        (None, message) => alloc::format!("panicked: {}", message.unwrap_or("no message")),
    };
    crate::log::error(text);
}

/// The slot of a plugin that is built without the standard library.
#[cfg(not(feature = "std"))]
#[derive(Debug)]
pub struct Slot<P>(core::cell::RefCell<Option<P>>);

#[cfg(not(feature = "std"))]
impl<P> Slot<P> {
    /// An empty slot.
    #[expect(clippy::new_without_default, reason = "used only in a static")]
    pub const fn new() -> Self {
        Self(core::cell::RefCell::new(None))
    }

    /// Calls `run` with the content of the slot.
    pub fn with<T>(&self, run: impl FnOnce(&mut Option<P>) -> T) -> T {
        run(&mut self.0.borrow_mut())
    }
}

// SAFETY: without atomics, WebAssembly has one thread.
#[cfg(all(
    not(feature = "std"),
    target_arch = "wasm32",
    not(target_feature = "atomics")
))]
#[expect(
    unsafe_code,
    reason = "a static that holds the plugin; there is only one thread"
)]
unsafe impl<P> Sync for Slot<P> {}

/// Registers a type that implements [`Plugin`](crate::Plugin) as the plugin of the crate. Call it once in a crate.
///
/// Set the fields of [`Manifest`](crate::Manifest) that do not come from Cargo.toml like this:
///
/// ```
/// # use lightmon_plugin::{Config, Event, Plugin, Role, Verdict};
/// # struct Hide;
/// # impl Plugin for Hide {
/// #     fn new(_: &Config) -> Result<Self, String> { Ok(Self) }
/// #     fn on_event(&mut self, _: &Event) -> Verdict { Verdict::keep() }
/// # }
/// lightmon_plugin::register!(Hide, role: Role::Redactor, example: "--plugin hide.wasm");
/// ```
#[macro_export]
macro_rules! register {
    ($plugin:ident $(, $field:ident: $value:expr)* $(,)?) => {
        const _: () = {
            const MANIFEST: $crate::Manifest = $crate::Manifest {
                $($field: $value,)*
                ..$crate::Manifest {
                    name: ::core::env!("CARGO_PKG_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    description: ::core::env!("CARGO_PKG_DESCRIPTION"),
                    license: ::core::env!("CARGO_PKG_LICENSE"),
                    homepage: if ::core::env!("CARGO_PKG_HOMEPAGE").is_empty() {
                        ::core::env!("CARGO_PKG_REPOSITORY")
                    } else {
                        ::core::env!("CARGO_PKG_HOMEPAGE")
                    },
                    role: $crate::Role::Filter,
                    permissions: &[],
                    config: "",
                    example: "",
                    notice: "",
                }
            };

            // Other targets have no custom sections.
            #[cfg(target_arch = "wasm32")]
            #[unsafe(link_section = "lightmon:manifest")]
            #[used]
            static JSON: [u8; MANIFEST.json_len()] = MANIFEST.json();

            impl $crate::register::Registered for $plugin {
                const MANIFEST: &'static [u8] = &MANIFEST.json::<{ MANIFEST.json_len() }>();
                const ROLE: $crate::Role = MANIFEST.role;
            }

            $crate::plugin_slot!($plugin);

            // On other targets nothing calls the plugin; avoid the warning about unused code.
            const _: () = $crate::register::assert_registered::<$plugin>();

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::export!($plugin with_types_in $crate::bindings);
        };
    };
}

/// Defines the plugin's slot, one for each thread because tests run in parallel.
#[cfg(feature = "std")]
#[doc(hidden)]
#[macro_export]
macro_rules! plugin_slot {
    ($plugin:ident) => {
        ::std::thread_local! {
            static SLOT: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::register::PluginSlot for $plugin {
            fn with<T>(run: impl FnOnce(&mut ::std::option::Option<Self>) -> T) -> T {
                SLOT.with_borrow_mut(run)
            }
        }
    };
}

/// Defines the plugin's slot in WebAssembly. Other targets need no slot.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! plugin_slot {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        static SLOT: $crate::register::Slot<$plugin> = $crate::register::Slot::new();

        #[cfg(target_arch = "wasm32")]
        impl $crate::register::PluginSlot for $plugin {
            fn with<T>(run: impl FnOnce(&mut ::core::option::Option<Self>) -> T) -> T {
                SLOT.with(run)
            }
        }
    };
}

/// Defines the panic handler of a plugin that is built without the standard library. The handler traps, and lightmon creates a
/// new instance. It logs nothing, so the plugin does not have to import the log.
///
/// On other targets the macro expands to nothing: tests use the panic handler of the standard library.
#[macro_export]
macro_rules! panic_handler {
    () => {
        #[cfg(target_arch = "wasm32")]
        #[panic_handler]
        fn panicked(_: &::core::panic::PanicInfo<'_>) -> ! {
            ::core::arch::wasm32::unreachable()
        }
    };
}

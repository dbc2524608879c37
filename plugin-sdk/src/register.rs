//! What [`register!`](crate::register) writes for a plugin. No author calls it.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use crate::{
    Actions, Batch, Config, Plugin, Report, Role,
    bindings::{self, Guest, Setup, StopGuest, TickGuest},
};

/// Milliseconds: the host takes no shorter period.
const SHORTEST_PERIOD: u32 = 100;

/// A plugin with its manifest.
pub trait Registered: Plugin + 'static {
    /// The manifest's JSON.
    const MANIFEST: &'static [u8];

    /// What it does to events.
    const ROLE: Role;
}

/// A registered plugin with its place: WebAssembly instances have one thread and one plugin.
pub trait Placed: Registered {
    /// Runs that with the place, which has a plugin once it is initialised.
    fn with<T>(run: impl FnOnce(&mut Option<Self>) -> T) -> T;
}

impl<P: Placed> Guest for P {
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
        P::with(|place| *place = Some(plugin));
        Ok(setup)
    }

    fn process(batch: bindings::Batch) -> Vec<bindings::Action> {
        let mut actions = Actions::default();
        P::with(|place| {
            if let Some(plugin) = place {
                plugin.on_batch(&Batch(batch), &mut actions);
            }
        });
        actions.0
    }
}

impl<P: Placed> TickGuest for P {
    fn period() -> u32 {
        let period = P::with(|place| place.as_ref().and_then(Plugin::tick_period));
        period.map_or(0, |period| {
            u32::try_from(period.as_millis())
                .unwrap_or(u32::MAX)
                .max(SHORTEST_PERIOD)
        })
    }

    fn tick(now: u64) -> Vec<bindings::Report> {
        reports::<P>(|plugin| plugin.on_tick(Duration::from_nanos(now)))
    }
}

impl<P: Placed> StopGuest for P {
    fn stop(now: u64) -> Vec<bindings::Report> {
        reports::<P>(|plugin| plugin.on_stop(Duration::from_nanos(now)))
    }
}

fn reports<P: Placed>(run: impl FnOnce(&mut P) -> Vec<Report>) -> Vec<bindings::Report> {
    let reports = P::with(|place| place.as_mut().map(run)).unwrap_or_default();
    let reports = reports
        .into_iter()
        .map(|Report { name, fields }| bindings::Report { name, fields });
    reports.collect()
}

/// Names the plugin, and does nothing.
pub const fn used<P: Registered>() {}

/// Says why a plugin traps. What a redactor's panic says may hold what was to be masked: only its place is told.
#[cfg(all(target_arch = "wasm32", feature = "panic-log"))]
fn log_panic(role: Role, place: Option<&core::panic::Location<'_>>, message: Option<&str>) {
    let message = match role {
        Role::Redactor => None,
        Role::Filter | Role::Formatter => message,
    };
    let text = match (place, message) {
        (Some(place), Some(message)) => alloc::format!("panicked at {place}: {message}"),
        (Some(place), None) => alloc::format!("panicked at {place}"),
        (None, message) => alloc::format!("panicked: {}", message.unwrap_or("no message")),
    };
    crate::log::error(text);
}

/// The place of a plugin that can do without the standard library.
#[cfg(not(feature = "std"))]
#[derive(Debug)]
pub struct Place<P>(core::cell::RefCell<Option<P>>);

#[cfg(not(feature = "std"))]
impl<P> Place<P> {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self(core::cell::RefCell::new(None))
    }

    /// Runs that with what is in it.
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
    reason = "a static that holds the plugin, without threads"
)]
unsafe impl<P> Sync for Place<P> {}

/// Makes a type that implements [`Plugin`](crate::Plugin) the crate's plugin. Once a crate.
///
/// What Cargo.toml does not say can be added, as fields of [`Manifest`](crate::Manifest):
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

            // Only WebAssembly has custom sections.
            #[cfg(target_arch = "wasm32")]
            #[unsafe(link_section = "lightmon:manifest")]
            #[used]
            static JSON: [u8; MANIFEST.json_len()] = MANIFEST.json();

            impl $crate::register::Registered for $plugin {
                const MANIFEST: &'static [u8] = &MANIFEST.json::<{ MANIFEST.json_len() }>();
                const ROLE: $crate::Role = MANIFEST.role;
            }

            $crate::place!($plugin);

            // Elsewhere nobody calls the plugin, which is no reason to warn of it.
            const _: () = $crate::register::used::<$plugin>();

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::export!($plugin with_types_in $crate::bindings);
        };
    };
}

/// The plugin's place, one a thread: tests run side by side.
#[cfg(feature = "std")]
#[doc(hidden)]
#[macro_export]
macro_rules! place {
    ($plugin:ident) => {
        ::std::thread_local! {
            static PLACE: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::register::Placed for $plugin {
            fn with<T>(run: impl FnOnce(&mut ::std::option::Option<Self>) -> T) -> T {
                PLACE.with_borrow_mut(run)
            }
        }
    };
}

/// The plugin's place in WebAssembly. Elsewhere there is none, and nobody to look for it.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! place {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        static PLACE: $crate::register::Place<$plugin> = $crate::register::Place::new();

        #[cfg(target_arch = "wasm32")]
        impl $crate::register::Placed for $plugin {
            fn with<T>(run: impl FnOnce(&mut ::core::option::Option<Self>) -> T) -> T {
                PLACE.with(run)
            }
        }
    };
}

/// Writes the panic handler of a plugin without the standard library: it traps, and lightmon makes the plugin anew. Of its
/// own it says nothing, so the plugin need not import the log.
///
/// It is empty when it is not built for WebAssembly, where tests bring the standard library's.
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

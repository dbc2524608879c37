//! What [`register!`](crate::register) writes for a plugin. No author calls it.

use std::{cell::RefCell, thread::LocalKey};

use crate::{
    Actions, Batch, Config, Plugin,
    bindings::{self, Guest, Setup},
};

/// A plugin with its place: WebAssembly instances have one thread and one plugin.
pub trait Registered: Plugin + 'static {
    /// The manifest's JSON.
    const MANIFEST: &'static [u8];

    /// The plugin, once it is initialised.
    fn slot() -> &'static LocalKey<RefCell<Option<Self>>>;
}

impl<P: Registered> Guest for P {
    fn init(config: String) -> Result<Setup, String> {
        let plugin = P::new(&Config::from_json(&config)?)?;
        let setup = Setup {
            needs: plugin.needs(),
            when: plugin.when(),
            kinds: Vec::new(),
        };
        P::slot().set(Some(plugin));
        Ok(setup)
    }

    fn process(batch: bindings::Batch) -> Vec<bindings::Action> {
        let mut actions = Actions::default();
        P::slot().with_borrow_mut(|plugin| {
            if let Some(plugin) = plugin {
                plugin.on_batch(&Batch(batch), &mut actions);
            }
        });
        actions.0
    }
}

/// Names the plugin, and does nothing.
pub const fn used<P: Registered>() {}

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
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                    description: env!("CARGO_PKG_DESCRIPTION"),
                    license: env!("CARGO_PKG_LICENSE"),
                    homepage: if env!("CARGO_PKG_HOMEPAGE").is_empty() {
                        env!("CARGO_PKG_REPOSITORY")
                    } else {
                        env!("CARGO_PKG_HOMEPAGE")
                    },
                    role: $crate::Role::Filter,
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

            ::std::thread_local! {
                static SLOT: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(None) };
            }

            impl $crate::register::Registered for $plugin {
                const MANIFEST: &'static [u8] = &MANIFEST.json::<{ MANIFEST.json_len() }>();

                fn slot() -> &'static ::std::thread::LocalKey<::std::cell::RefCell<::std::option::Option<Self>>> {
                    &SLOT
                }
            }

            // Elsewhere nobody calls the plugin, which is no reason to warn of it.
            const _: () = $crate::register::used::<$plugin>();

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::export!($plugin with_types_in $crate::bindings);
        };
    };
}

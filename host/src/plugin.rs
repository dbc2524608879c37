//! Runs WebAssembly plugins over batches of events.

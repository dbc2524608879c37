//! Rejects WebAssembly that is too large to compile safely (compile bombs).
//!
//! A file of 400 KB can hold a hundred thousand functions or a billion locals. Compiling it would take minutes and gigabytes.

use wasmparser::{FunctionBody, Parser, Payload};

use crate::error::Reason;

/// Ten times as many as a component of CPython or SpiderMonkey has. Compiling one takes 0.15 ms and 6 KB.
const MAX_FUNCTIONS: u64 = 100_000;

/// Locals of all functions together. Compiling 100,000 takes some milliseconds.
const MAX_LOCALS: u64 = 5_000_000;

/// Modules and components in the file. The cost of nested ones is quadratic: 4 s for 10,000.
const MAX_PARTS: u64 = 1000;

/// Checks the limits. A file that can't be parsed passes: the compiler rejects it.
pub(crate) fn check(wasm: &[u8]) -> Result<(), Reason> {
    let (mut functions, mut locals, mut parts) = (0, 0_u64, 0);
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::CodeSectionEntry(body) => {
                functions += 1;
                locals = locals.saturating_add(locals_of(&body));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => parts += 1,
            _ => continue,
        }
        if functions > MAX_FUNCTIONS || locals > MAX_LOCALS || parts > MAX_PARTS {
            return Err(Reason::TooComplex {
                functions: MAX_FUNCTIONS,
                locals: MAX_LOCALS,
                parts: MAX_PARTS,
            });
        }
    }
    Ok(())
}

fn locals_of(body: &FunctionBody<'_>) -> u64 {
    let groups = body.get_locals_reader().into_iter().flatten();
    groups
        .map_while(Result::ok)
        .map(|(count, _)| u64::from(count))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compile_bombs_are_rejected() {
        let functions = |n| format!("(module {})", "(func)".repeat(n));
        let locals = |n| format!("(module {})", "(func (local i32 i64 i64))".repeat(n));
        for (text, is_fine) in [
            (functions(1000), true),
            (functions(100_001), false),
            (locals(1000), true),
        ] {
            assert_eq!(check(&wat::parse_str(text).unwrap()).is_ok(), is_fine);
        }
        // One function: two groups of locals, 4,000,000 each.
        let code = b"\x01\x0b\x02\x80\x92\xf4\x01\x7f\x80\x92\xf4\x01\x7e\x0b";
        let wasm = [
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a",
            &[code.len() as u8][..],
            code,
        ]
        .concat();
        assert!(check(&wasm).is_err());
        for length in 0..wasm.len() {
            let _ = check(&wasm[..length]);
        }
    }
}

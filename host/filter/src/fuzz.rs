//! What the fuzz targets (`host/fuzz`) of this crate do with the bytes that the fuzzer makes up. Not in the program: only
//! `cfg(fuzzing)` and tests have this module.
//!
//! Each function tells whether the bytes were what the reader reads; the seeds are.

use crate::Expr;

/// Exclude expressions: one that is read is written as text that reads the same; an error fits a terminal.
pub fn exclude(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match text.parse::<Expr>() {
        Ok(expr) => {
            let written = expr.to_string();
            assert_eq!(written.parse(), Ok(expr), "{written}");
            true
        }
        Err(error) => {
            let error = error.to_string();
            assert!((3..=4).contains(&error.lines().count()), "{error}");
            assert!(
                error.lines().all(|line| line.chars().count() <= 80),
                "{error}"
            );
            assert!(
                !error.chars().any(|c| c.is_control() && c != '\n'),
                "{error:?}"
            );
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// What the fuzzer starts from must reach what it is there for.
    #[test]
    fn seeds_are_understood() {
        for (name, target) in [("exclude", exclude as fn(&[u8]) -> bool)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../fuzz/seeds")
                .join(name);
            let seeds: Vec<_> = fs::read_dir(folder).unwrap().collect();
            assert!(!seeds.is_empty(), "{name}");
            for seed in seeds {
                let path = seed.unwrap().path();
                assert!(target(&fs::read(&path).unwrap()), "{}", path.display());
            }
        }
    }
}

//! The fuzz targets of this crate (`host/fuzz`). Only `cfg(fuzzing)` and tests have this module; the program does not.
//!
//! Each function returns whether the bytes were valid input. The seeds are valid.

use crate::Expr;

/// Exclude expressions. An expression, written as text, parses into the same expression; an error fits a terminal.
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

    /// The seeds must reach the code behind the parser.
    #[test]
    fn seeds_are_valid() {
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

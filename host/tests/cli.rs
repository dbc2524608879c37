//! What the command says to its user: help, errors, replays. Runs without root.

/// `TRYCMD=overwrite cargo test --test cli` writes what it says now.
#[test]
fn commands() {
    trycmd::TestCases::new()
        .env("TZ", "UTC")
        .default_bin_name("lightmon")
        .case("tests/cmd/*.md");
}

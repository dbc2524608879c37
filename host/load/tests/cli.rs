//! What the load generator says to its user: help, errors, checks. Runs without root.

/// `TRYCMD=overwrite cargo test --package lightmon-load --test cli` writes what it says now.
#[test]
fn commands() {
    trycmd::TestCases::new()
        .env("TZ", "UTC")
        .default_bin_name("lightmon-load")
        .case("tests/commands.md");
}

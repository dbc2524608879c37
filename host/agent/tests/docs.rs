//! The examples of the README and the manual. `console` blocks run as they are; commands of `sh` blocks and the settings of
//! `yaml` blocks are parsed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, FromArgMatches as _};
use lightmon::{cli::Args, config::Config};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = fs::read_dir(root().join("host/docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// The code blocks of a language, each with its page and line.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(found) = line.strip_prefix("```") else {
                continue;
            };
            let content = lines.by_ref().map(|(_, line)| line);
            let block: Vec<_> = content.take_while(|line| *line != "```").collect();
            if found == language {
                let place = format!("{}:{}", page.display(), number + 1);
                blocks.push((place, block.join("\n")));
            }
        }
    }
    blocks
}

/// The arguments of each `lightmon` in a line of shell, without pipes, redirections, `sudo` and variables.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote, mut is_word) = (String::new(), None, false);
    for c in line.chars().chain([' ']) {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => (quote, is_word) = (Some(c), true),
            ('#', None) if !is_word => break,
            (' ' | '|' | ';' | '&' | '>' | '<', None) => {
                if is_word {
                    commands
                        .last_mut()
                        .expect("invariant: never empty")
                        .push(std::mem::take(&mut word));
                }
                is_word = false;
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            (c, None) => (word, is_word) = (word + &c.to_string(), true),
        }
    }
    if is_word {
        commands
            .last_mut()
            .expect("invariant: never empty")
            .push(word);
    }
    let lightmon = commands.into_iter().filter_map(|words| {
        let at = words
            .iter()
            .position(|word| word != "sudo" && (!word.contains('=') || word.starts_with('-')))?;
        let is_lightmon = words[at] == "lightmon" || words[at].ends_with("/lightmon");
        is_lightmon.then(|| words[at..].to_vec())
    });
    lightmon.collect()
}

#[test]
fn command_lines_of_sh_blocks_are_valid() {
    let mut count = 0;
    for (place, block) in blocks("sh") {
        // A backslash continues the line.
        for line in block.replace("\\\n", " ").lines() {
            for command in commands(line) {
                count += 1;
                let matches = Args::command()
                    .try_get_matches_from(&command)
                    .unwrap_or_else(|error| panic!("{place}: {line}\n{error}"));
                let args = Args::from_arg_matches(&matches).unwrap();
                if args.command.is_some() {
                    continue;
                }
                for expression in args.flags.exclude {
                    lightmon_filter::Exclude::parse([&expression])
                        .unwrap_or_else(|error| panic!("{place}: {line}\n{error}"));
                }
            }
        }
    }
    assert!(count > 0);
}

#[test]
fn settings_of_yaml_blocks_are_valid() {
    let blocks = blocks("yaml");
    assert!(!blocks.is_empty());
    for (place, block) in blocks {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &block).unwrap();
        let args = Args::command()
            .try_get_matches_from(["lightmon", "-c", file.path().to_str().unwrap()])
            .unwrap();
        let args = Args::from_arg_matches(&args).unwrap();
        if let Err(error) = Config::layered(args.flags) {
            panic!("{place}: {error:#}");
        }
    }
}

#[test]
fn commands_are_found_in_shell_lines() {
    for (line, expected) in [
        (
            "lightmon -f table | grep '| web '",
            &["lightmon -f table"][..],
        ),
        (
            "A='b c' sudo target/release/lightmon doctor; ls",
            &["target/release/lightmon doctor"],
        ),
        (
            "lightmon --exclude 'a; b && c' > file # lightmon",
            &["lightmon --exclude a; b && c"],
        ),
        (
            "make && lightmon && lightmon -h",
            &["lightmon", "lightmon -h"],
        ),
        ("grep lightmon", &[]),
    ] {
        let found: Vec<_> = commands(line).iter().map(|words| words.join(" ")).collect();
        assert_eq!(found, expected, "{line}");
    }
}

/// `TRYCMD=overwrite cargo test -p lightmon --test docs -- --ignored` writes the current output.
#[test]
#[ignore = "needs built plugins"]
fn console_blocks_show_the_real_output() {
    // Paths in the examples are relative to the root of the repository.
    std::env::set_current_dir(root()).unwrap();
    trycmd::TestCases::new()
        .env("TZ", "UTC")
        .env("LIGHTMON_CACHE_DIR", "none")
        .default_bin_name("lightmon")
        .case("README.md")
        .case("host/docs/*.md");
}

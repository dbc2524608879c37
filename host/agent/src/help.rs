//! `lightmon help TOPIC`: prints the pages of the manual in host/docs, which the binary embeds. Prints Markdown as it is.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use lightmon_event::escape::printable;
use lightmon_thread::stderr;

/// A page of the manual.
struct Page {
    topic: &'static str,
    text: &'static str,
}

macro_rules! pages {
    ($($topic:literal),* $(,)?) => {
        &[$(Page { topic: $topic, text: include_str!(concat!("../../docs/", $topic, ".md")) }),*]
    };
}

/// All pages, in the order of a reader.
const PAGES: &[Page] = pages![
    "index",
    "events",
    "filters",
    "output",
    "configuration",
    "containers",
    "plugins",
    "operating",
    "performance",
    "limits",
    "security",
    "compatibility",
    "architecture",
    "contributing",
];

/// Topics that are more different than this are not suggested, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.5;

/// Print a page of the manual, or list the topics
///
/// `lightmon --help` prints the options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 success, 2 no such topic.")]
pub struct Args {
    /// Print the page about TOPIC
    topic: Option<String>,
}

/// Prints the page, or the list of topics.
pub fn run(args: Args) -> ExitCode {
    let text = match &args.topic {
        None => topics(),
        Some(topic) => match PAGES.iter().find(|page| page.topic == topic) {
            Some(page) => page.text.to_owned(),
            None => {
                stderr::log(format_args!("lightmon: {}", unknown(topic)));
                stderr::finish();
                return ExitCode::from(2);
            }
        },
    };
    // If stdout is closed, there is nobody to tell.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn topics() -> String {
    let width = PAGES.iter().map(|page| page.topic.len()).max();
    let mut text = "Topics of the manual; `lightmon help TOPIC` prints one:\n\n".to_owned();
    for page in PAGES {
        let line = format!(
            "  {:<2$}  {}\n",
            page.topic,
            page.summary(),
            width.unwrap_or(0)
        );
        text.push_str(&line);
    }
    text
}

fn unknown(topic: &str) -> String {
    let similarity = |page: &&Page| strsim::jaro_winkler(page.topic, topic);
    let nearest = PAGES
        .iter()
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
        .filter(|page| similarity(page) >= MIN_SIMILARITY);
    let hint = match nearest {
        Some(page) => format!("did you mean {}?", page.topic),
        None => "`lightmon help` lists the topics".to_owned(),
    };
    format!("help: no topic `{}`: {hint}", printable(topic))
}

impl Page {
    /// The first sentence below the title.
    fn summary(&self) -> String {
        let mut paragraphs = self.text.split("\n\n");
        let first = paragraphs.nth(1).unwrap_or_default().replace('\n', " ");
        match first.split_once(". ") {
            Some((sentence, _)) => format!("{sentence}."),
            None => first,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn the_list_has_each_file_of_the_manual() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let pages = files.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
        let pages = pages.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
        let listed = PAGES.iter().map(|page| page.topic.to_owned());
        assert_eq!(
            pages.collect::<BTreeSet<_>>(),
            listed.collect::<BTreeSet<_>>()
        );
    }

    #[test]
    fn each_page_begins_with_a_title_and_a_sentence() {
        for page in PAGES {
            assert!(page.text.starts_with("# "), "{}", page.topic);
            let summary = page.summary();
            assert!(
                summary.starts_with("This page ") && summary.ends_with('.'),
                "{}: {summary}",
                page.topic
            );
        }
    }

    #[test]
    fn the_nearest_topic_is_suggested() {
        assert_eq!(
            unknown("filter"),
            "help: no topic `filter`: did you mean filters?"
        );
        assert_eq!(
            unknown("z\nz"),
            "help: no topic `z\\nz`: `lightmon help` lists the topics"
        );
    }
}

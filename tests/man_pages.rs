//! The man pages in `man/` are those of the clap tree.
//!
//! After a change of the command line: `UPDATE_MAN=1 cargo test --test man_pages`.

#![expect(clippy::unwrap_used, reason = "a failed test is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use walsmith::access::{ErrorKind, Exit};
use walsmith::diagnosis::finding::Severity;
use walsmith::diagnosis::rule::Rule;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// Every page by file name, rendered from the clap tree.
fn rendered() -> BTreeMap<String, Vec<u8>> {
    let mut root = walsmith::cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = BTreeMap::new();
    pages.insert("walsmith.1".to_owned(), page(root.clone(), "walsmith"));
    for command in root.get_subcommands() {
        let name = format!("walsmith-{}", command.get_name());
        pages.insert(format!("{name}.1"), page(command.clone(), &name));
    }
    pages.insert("walsmith-findings.7".to_owned(), findings());
    pages
}

/// The rules, from their table.
fn findings() -> Vec<u8> {
    let mut page = String::from(
        ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH walsmith-findings 7 \"\" walsmith walsmith\n\
         .SH NAME\nwalsmith\\-findings \\- what can be wrong with a SQLite database and its log\n\
         .SH DESCRIPTION\n\
         A finding is one fact about a set of files that its user must know.\n\
         \\fBwalsmith doctor\\fR shows all of them, worst first; \\fBinfo\\fR,\n\
         \\fBverify\\-checksums\\fR and \\fBrepair\\fR those that their own job shows.\n\
         Commands that write refuse where a finding that is an\n\
         error would become final. The names of the rules are stable.\n",
    );
    for (severity, title) in [
        (Severity::Error, "ERRORS: DATA IS LOST, OR WILL BE WHEN THE FILES ARE TOUCHED"),
        (Severity::Warning, "WARNINGS"),
        (Severity::Note, "NOTES"),
    ] {
        page += &format!(".SH {title}\n");
        for rule in Rule::ALL.iter().filter(|rule| rule.facts().severity == severity) {
            let facts = rule.facts();
            let text = |text: &str| text.replace('-', "\\-").replace('`', "\\(aq");
            page += &format!(
                ".TP\n\\fB{}\\fR\n{}\n.RS\n.P\n\\fISeen by:\\fR {}\n.P\n\\fIDo:\\fR {}\n.RE\n",
                text(facts.id),
                text(facts.meaning),
                text(facts.proof),
                text(facts.remedy)
            );
        }
    }
    page += ".SH SEE ALSO\n\\fBwalsmith\\-doctor\\fR(1), \\fBwalsmith\\fR(1)\n";
    page.into_bytes()
}

fn page(command: clap::Command, name: &str) -> Vec<u8> {
    // The version would make every release rewrite every page.
    let command = command.name(name.to_owned()).version(None);
    let man = clap_mangen::Man::new(command).date("").source("walsmith").manual("walsmith");
    let mut page = Vec::new();
    man.render(&mut page).unwrap();
    page.extend(b".SH EXIT STATUS\n");
    for (_, code, meaning) in Exit::TABLE {
        page.extend(format!(".TP\n\\fB{code}\\fR\n{meaning}\n").bytes());
    }
    page
}

#[test]
fn man_pages_are_those_of_the_command_line() {
    let pages = rendered();
    if std::env::var_os("UPDATE_MAN").is_some() {
        fs::create_dir_all(directory()).unwrap();
        for (name, page) in &pages {
            fs::write(directory().join(name), page).unwrap();
        }
    }
    let kept: BTreeMap<String, Vec<u8>> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect();
    assert_eq!(kept.keys().collect::<Vec<_>>(), pages.keys().collect::<Vec<_>>());
    for (name, page) in &pages {
        assert!(kept[name] == *page, "man/{name} is old; UPDATE_MAN=1 cargo test --test man_pages");
    }
}

#[test]
fn the_command_line_is_consistent() {
    walsmith::cli::command().debug_assert();
}

#[test]
fn readme_has_the_exit_codes_of_the_table() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for (_, code, meaning) in Exit::TABLE {
        assert!(readme.contains(&format!("| {code} | {meaning} |\n")), "exit code {code}");
    }
}

#[test]
fn readme_has_the_kinds_of_errors_of_the_table() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for (_, word, exit, meaning) in ErrorKind::TABLE {
        let row = format!("| `{word}` | {} | {meaning} |\n", exit.code());
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn readme_names_every_command() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for command in walsmith::cli::command().get_subcommands() {
        assert!(readme.contains(&format!("| `{} ", command.get_name())), "{}", command.get_name());
    }
}

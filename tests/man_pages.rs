//! The man pages in `man/` are those of the clap tree.
//!
//! After a change of the command line: `UPDATE_MAN=1 cargo test --test man_pages`.

#![expect(clippy::unwrap_used, reason = "a failed test is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use walsmith::access::{ErrorKind, Exit};

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
    pages
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

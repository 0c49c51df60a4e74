//! The order of the house: floors, commands, circles, lengths. `src/ARCHITECTURE.md` says why.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the ground up: a floor uses only those before it.
const FLOORS: &[&str] = &[
    "output",
    "format",
    "storage",
    "scan",
    "engine",
    "database",
    "log",
    "history",
    "sql",
    "repair",
    "access",
    "diagnosis",
    "commands",
    "cli",
];

const MOST_LINES: usize = 400;
const MOST_COLUMNS: usize = 100;

/// Files that are longer, and by how much they may be: they may only become shorter.
const LONG_FILES: &[(&str, usize)] =
    &[("commands/checkpoint_now.rs", 440), ("engine/wal/checkpoint.rs", 440)];

/// Text by path below a folder.
type Files = BTreeMap<String, String>;

fn sources() -> Files {
    files_of("src")
}

/// The Rust files below a folder of the package.
fn files_of(folder: &str) -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Files::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// Without the tests at the end, and without comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The path of the module that a file is: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module(file: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The paths that a tree of `use` names, without their braces.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inside = inside.strip_suffix('}').unwrap();
    let (mut depth, mut parts, mut start) = (0, Vec::new(), 0);
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let whole = parts.into_iter().filter(|part| !part.trim().is_empty());
    whole.flat_map(leaves).map(|leaf| format!("{before}{leaf}")).collect()
}

/// What `file` uses of the crate, as absolute paths.
fn used(file: &str, text: &str) -> Vec<Vec<String>> {
    let own = module(file);
    let code = code(text);
    let mut found = Vec::new();
    let code = format!("\n{code}");
    // At the start of a line: not what is used within a function, nor a word of a string.
    let statements = ["\nuse ", "\npub use ", "\npub(super) use ", "\npub(crate) use "]
        .into_iter()
        .flat_map(|start| code.split(start).skip(1))
        .filter_map(|rest| rest.split_once(';'));
    for leaf in statements.flat_map(|(tree, _)| leaves(&tree.replace('\n', " "))) {
        let mut parts: Vec<String> = leaf.split("::").map(|part| part.trim().to_owned()).collect();
        parts.retain(|part| !part.is_empty());
        let mut base = match parts.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => own.clone(),
            Some("super") => own[..own.len() - 1].to_vec(),
            Some(_) | None => continue,
        };
        parts.remove(0);
        while parts.first().is_some_and(|part| part == "super") {
            base.pop();
            parts.remove(0);
        }
        base.extend(parts);
        found.push(base);
    }
    found
}

/// Who uses a floor that is not below it.
fn upward(files: &Files) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let mut wrong = Vec::new();
    for (file, text) in files {
        let Some(own) = floor(&module(file)[0]) else { continue };
        for path in used(file, text) {
            if path.first().and_then(|name| floor(name)).is_some_and(|used| used > own) {
                wrong.push(format!("{file} uses {}", path.join("::")));
            }
        }
    }
    wrong
}

/// Commands that use another command: the first part below `commands` is the command.
fn sideways(files: &Files) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, text) in files {
        let own = module(file);
        let Some(command) = own.get(1).filter(|_| own[0] == "commands") else { continue };
        for path in used(file, text) {
            if path[0] == "commands" && path.get(1) != Some(command) {
                wrong.push(format!("{file} uses {}", path.join("::")));
            }
        }
    }
    wrong
}

/// Files that lead to themselves.
fn circles(files: &Files) -> BTreeSet<String> {
    let modules: BTreeMap<Vec<String>, &String> =
        files.keys().map(|file| (module(file), file)).collect();
    let resolve = |path: &[String]| {
        (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]).copied())
    };
    let edges: BTreeMap<&String, BTreeSet<&String>> = files
        .iter()
        .map(|(file, text)| {
            let targets = used(file, text).into_iter().filter_map(|path| resolve(&path));
            (file, targets.filter(|target| *target != file).collect())
        })
        .collect();
    let reaches_itself = |file: &&String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*file]);
        while let Some(next) = open.pop() {
            for target in &edges[next] {
                if target == file {
                    return true;
                }
                if seen.insert(*target) {
                    open.push(target);
                }
            }
        }
        false
    };
    files.keys().filter(reaches_itself).cloned().collect()
}

/// Files that are too long, have no module comment, or lines that are too wide.
fn misshapen(files: &Files) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, text) in files {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code.lines().count();
        let allowed = LONG_FILES.iter().find(|(long, _)| long == file).map(|(_, most)| *most);
        if lines > allowed.unwrap_or(MOST_LINES) {
            wrong.push(format!("{file} has {lines} lines"));
        }
        if allowed.is_some() && lines <= MOST_LINES {
            wrong.push(format!("{file} is no long file any more"));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{file} has no module comment"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > MOST_COLUMNS {
                wrong.push(format!("{file}:{number} is wider than {MOST_COLUMNS} columns"));
            }
        }
    }
    wrong
}

#[test]
fn floors_use_only_those_below_them() {
    assert_eq!(upward(&sources()), Vec::<String>::new());
}

#[test]
fn commands_do_not_use_each_other() {
    assert_eq!(sideways(&sources()), Vec::<String>::new());
}

#[test]
fn no_file_leads_to_itself() {
    assert_eq!(circles(&sources()), BTreeSet::new());
}

#[test]
fn files_are_short_and_say_what_they_are() {
    assert_eq!(misshapen(&sources()), Vec::<String>::new());
    assert_eq!(misshapen(&files_of("tests")), Vec::<String>::new());
}

fn planted(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_planted_upward_import_is_found() {
    let files = planted(&[
        ("scan/mod.rs", "use crate::format::{FrameNo, checksum::Checksum};"),
        ("format/mod.rs", "// use crate::cli;\nuse crate::{scan::Watch, storage};"),
    ]);
    assert_eq!(upward(&files), ["format/mod.rs uses scan::Watch", "format/mod.rs uses storage"]);
}

#[test]
fn a_planted_use_of_another_command_is_found() {
    let files = planted(&[
        ("commands/mod.rs", "pub use self::dump::Dump;"),
        ("commands/dump.rs", "use super::info::Row;\nuse self::report::Report;"),
        ("commands/dump/report.rs", "use super::Dump;\nuse crate::commands::info::{Info, wal};"),
        ("commands/info.rs", "use crate::access::Context;"),
    ]);
    assert_eq!(
        sideways(&files),
        [
            "commands/dump.rs uses commands::info::Row",
            "commands/dump/report.rs uses commands::info::Info",
            "commands/dump/report.rs uses commands::info::wal",
        ]
    );
}

#[test]
fn a_planted_circle_is_found() {
    let files = planted(&[
        ("scan/a.rs", "use super::b::{self, Thing};"),
        ("scan/b.rs", "use crate::scan::c::Other;"),
        ("scan/c.rs", "use super::a::A;"),
        ("scan/d.rs", "use super::a::A;"),
    ]);
    let found: Vec<String> = circles(&files).into_iter().collect();
    assert_eq!(found, ["scan/a.rs", "scan/b.rs", "scan/c.rs"]);
}

#[test]
fn a_long_file_without_a_comment_and_a_wide_line_are_found() {
    let wide = format!("//! It is.\n{}", "x".repeat(101));
    let files = planted(&[("scan/a.rs", &"\n".repeat(401)), ("scan/b.rs", &wide)]);
    assert_eq!(
        misshapen(&files),
        [
            "scan/a.rs has 401 lines",
            "scan/a.rs has no module comment",
            "scan/b.rs:2 is wider than 100 columns"
        ]
    );
}

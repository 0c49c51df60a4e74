//! README's transcripts are typed again, on files made here, and must print what README shows.
//!
//! After a change that is meant: `UPDATE_README=1 cargo test --test suite readme`, and read the
//! difference. Two things are not compared as they are: the pid of the reader, and the warning that
//! depends on who runs the tests.

mod stage;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use stage::Stage;

/// How commands begin that are not typed, and why. They must show no output.
const NOT_TYPED: &[(&str, &str)] = &[
    ("apt-get install ", "changes the machine"),
    ("rustup toolchain install ", "changes the machine"),
    ("cargo install ", "changes the machine"),
    ("cargo build --release --examples", "takes minutes"),
    ("cargo test", "is what runs this"),
    ("cargo run --manifest-path tests/oracle/old-sqlite/", "builds another SQLite"),
    ("cargo +nightly fuzz ", "takes minutes, and a nightly compiler"),
    ("WALSMITH_", "is a long run of these tests"),
    ("benches/against-sqlite.sh", "takes minutes"),
    ("walsmith diff app.db 41 --invert --sql | sqlite3", "is SQLite's shell"),
    ("tests/sqlite-suite/run ", "takes minutes, and SQLite's source"),
];

/// Stands for lines that a command before it has printed, too.
const AS_BEFORE: &str = "...";

/// A command and the lines that it prints.
struct Step {
    command: String,
    printed: Vec<String>,
}

/// A block of README, and how many lines are before its first command.
struct Transcript {
    line: usize,
    steps: Vec<Step>,
}

/// All blocks of README; a command outside of them is a mistake.
fn transcripts(lines: &[&str]) -> Vec<Transcript> {
    let mut found = Vec::new();
    let mut open: Option<Transcript> = None;
    for (line, content) in (1..).zip(lines) {
        if content.starts_with("```") {
            open = match open.take() {
                Some(transcript) => {
                    found.push(transcript);
                    None
                }
                None => Some(Transcript { line, steps: Vec::new() }),
            };
            continue;
        }
        let command = content.strip_prefix("$ ").map(str::to_owned);
        match (&mut open, command) {
            (Some(transcript), Some(command)) => {
                transcript.steps.push(Step { command, printed: Vec::new() });
            }
            (Some(transcript), None) => {
                let step = transcript.steps.last_mut();
                let step = step.unwrap_or_else(|| panic!("README.md:{line}: output of no command"));
                step.printed.push((*content).to_owned());
            }
            (None, Some(command)) => panic!("README.md:{line}: {command:?} is in no block"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of README has no end");
    found
}

/// The output of a step with [`AS_BEFORE`] for what was printed before, where README has it.
fn shortened(mut printed: Vec<String>, shown: &[String], before: &HashSet<String>) -> Vec<String> {
    if shown.first().is_some_and(|first| first == AS_BEFORE) {
        let known = printed.iter().take_while(|line| before.contains(*line)).count();
        assert!(known > 0, "{AS_BEFORE} stands for nothing before {printed:#?}");
        printed.splice(..known, [AS_BEFORE.to_owned()]);
    }
    printed
}

/// The lines of a transcript as today's binary prints them.
fn replayed(transcript: &Transcript) -> Vec<String> {
    let not_typed =
        |step: &Step| NOT_TYPED.iter().any(|(start, _)| step.command.starts_with(start));
    let mut stage = None;
    let mut before = HashSet::new();
    let mut lines = Vec::new();
    for step in &transcript.steps {
        lines.push(format!("$ {}", step.command));
        if not_typed(step) {
            assert!(step.printed.is_empty(), "{:?} is not typed, but prints", step.command);
            continue;
        }
        let stage = stage.get_or_insert_with(|| Stage::of(&step.command));
        let printed = stage.typed(&step.command);
        lines.extend(shortened(printed.clone(), &step.printed, &before));
        before.extend(printed);
    }
    lines
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

#[test]
fn readme_shows_what_is_printed() {
    let readme = fs::read_to_string(path()).unwrap();
    let mut lines: Vec<&str> = readme.lines().collect();
    let found = transcripts(&lines);
    let replayed: Vec<String> = found.iter().map(|found| replayed(found).join("\n")).collect();
    for (transcript, replayed) in found.iter().zip(&replayed).rev() {
        let end = transcript.line
            + transcript.steps.iter().map(|step| 1 + step.printed.len()).sum::<usize>();
        lines.splice(transcript.line..end, replayed.lines());
    }
    let today = lines.join("\n") + "\n";
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(path(), today).unwrap();
        return;
    }
    for (number, (shown, printed)) in (1..).zip(readme.lines().zip(today.lines())) {
        assert_eq!(shown, printed, "README.md:{number}: UPDATE_README=1 cargo test readme");
    }
    assert_eq!(readme, today);
}

/// What README's commands name is there: files, and tests that are chosen by name.
#[test]
fn what_is_not_typed_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(path()).unwrap();
    let suite = fs::read_to_string(root.join("tests/suite/main.rs")).unwrap();
    for command in readme.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let words: Vec<&str> = command.split(' ').collect();
        for word in &words {
            let ours = ["benches/", "tests/", "fixtures/"].iter().any(|at| word.starts_with(at));
            assert!(!ours || word.ends_with(AS_BEFORE) || root.join(word).exists(), "{command}");
        }
        if let Some(at) = words.windows(2).position(|pair| pair == ["--test", "suite"]) {
            let chosen = words[at + 2];
            assert!(suite.contains(&format!("mod {chosen}")), "no test is named so: {command}");
        }
    }
    for (start, reason) in NOT_TYPED {
        let used = readme.contains(&format!("\n$ {start}"));
        assert!(used, "README has no command {start:?} any more, which {reason}");
    }
}

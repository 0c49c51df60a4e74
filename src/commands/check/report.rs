//! The report of `check`.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::access::states::StateAt;
use crate::database::TreeKind;
use crate::database::check::{Health, Owner, Problem, Tree};
use crate::diagnosis::PairProof;
use crate::format::Pgno;
use crate::output::quantity::{counted, grouped};
use crate::output::text::escaped;
use crate::output::{FileName, Heading, Paint, Report, Room, Table, Tone, wrapped};

/// What was checked.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// The database.
    pub(super) database: Option<FileName>,
    /// Its log.
    pub(super) wal: FileName,
    /// The salts of the log that the transactions are of.
    pub(super) salts: Option<[u32; 2]>,
    /// Whether the file is what the log was written on; `None` without one of them.
    pub(super) pair: Option<PairProof>,
    /// The state.
    pub(super) at: StateAt,
    /// The log is damaged: other states come after those that are seen.
    #[serde(skip)]
    pub(super) log_is_damaged: bool,
}

/// What a check found.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport {
    #[serde(flatten)]
    pub(super) checked: Checked,
    /// Its pages.
    pub(super) db_size_pages: u32,
    /// Nothing is wrong with what was looked at.
    pub(super) sound: bool,
    /// How many problems there are.
    pub(super) problem_count: u64,
    /// The first of them.
    pub(super) problems: Vec<Told>,
    /// What a sound structure says nothing of.
    pub(super) not_checked: Vec<String>,
    /// What takes how much room, where that was asked for.
    pub(super) space: Option<Space>,
}

/// A problem, in fields and in words.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    problem: Problem,
    message: String,
}

/// What takes how much room.
#[derive(Debug, Serialize)]
pub(super) struct Space {
    page_size: u64,
    /// Tables and indexes, in the order of the schema.
    trees: Vec<TreeSpace>,
    /// Pages of the freelist.
    free_pages: u64,
    /// Pages of the pointer map, and the page of the lock bytes.
    other_pages: u64,
}

/// The room that a b-tree takes.
#[derive(Debug, Serialize)]
struct TreeSpace {
    name: String,
    table: String,
    kind: TreeKind,
    root: Pgno,
    /// Overflow pages are among them.
    pages: u64,
    bytes: u64,
    rows: u64,
}

impl CheckReport {
    /// `page_bytes` where the space is to be listed.
    pub(super) fn of(checked: Checked, health: &Health, page_bytes: Option<u64>) -> Self {
        let told =
            |problem: &Problem| Told { problem: problem.clone(), message: problem.to_string() };
        Self {
            checked,
            db_size_pages: health.size_pages,
            sound: health.is_sound(),
            problem_count: health.problem_count,
            problems: health.problems.iter().map(told).collect(),
            not_checked: health.unchecked.iter().map(ToString::to_string).collect(),
            space: page_bytes.map(|bytes| Space::of(health, bytes)),
        }
    }

    fn summary(&self) -> String {
        let state = match self.checked.at.txn {
            0 => "the file without the log".to_owned(),
            txn => format!("the state after transaction {txn}"),
        };
        let pages = counted(u64::from(self.db_size_pages), "page");
        match self.sound {
            true => format!("No problem was found: {pages}, {state}."),
            false => format!("{}: {pages}, {state}.", counted(self.problem_count, "problem")),
        }
    }
}

impl Space {
    fn of(health: &Health, page_bytes: u64) -> Self {
        let (mut free_pages, mut other_pages) = (0, 0);
        let mut pages_of: HashMap<Pgno, u64> = HashMap::new();
        for page in (1..=health.size_pages).map(Pgno) {
            match health.owners.of(page) {
                Owner::FreelistTrunk | Owner::FreelistLeaf => free_pages += 1,
                Owner::PointerMap | Owner::LockByte => other_pages += 1,
                Owner::Btree(root) | Owner::Overflow(root) => {
                    *pages_of.entry(root).or_default() += 1;
                }
                Owner::Unknown => {}
            }
        }
        let tree = |tree: &Tree| {
            let pages = pages_of.get(&tree.root).copied().unwrap_or_default();
            TreeSpace {
                name: tree.name.clone(),
                table: tree.table.clone(),
                kind: tree.kind,
                root: tree.root,
                pages,
                bytes: pages * page_bytes,
                rows: tree.rows,
            }
        };
        let trees = health.trees.iter().map(tree).collect();
        Self { page_size: page_bytes, trees, free_pages, other_pages }
    }

    fn draw(&self, paint: &Paint, width: Option<u16>) -> String {
        let mut drawn = Table::new([
            Heading::text("table or index", Room::Cut),
            Heading::text("of table", Room::IfWide(0)),
            Heading::number("rows", Room::Always),
            Heading::number("pages", Room::Always),
            Heading::number("bytes", Room::IfWide(1)),
        ]);
        for tree in &self.trees {
            let of = if tree.kind.is_table() { String::new() } else { tree.table.clone() };
            drawn.row([
                escaped(&tree.name).into_owned(),
                escaped(&of).into_owned(),
                grouped(tree.rows),
                grouped(tree.pages),
                grouped(tree.bytes),
            ]);
        }
        for (name, pages) in
            [("(free pages)", self.free_pages), ("(pointer map, lock bytes)", self.other_pages)]
        {
            if pages > 0 {
                let bytes = grouped(pages * self.page_size);
                let none = String::new;
                drawn.row([name.to_owned(), none(), none(), grouped(pages), bytes]);
            }
        }
        drawn.draw(paint, width)
    }
}

impl Report for CheckReport {
    const COMMAND: &'static str = "check";

    fn needs_attention(&self) -> bool {
        !self.sound
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        if let Some(space) = &self.space {
            writeln!(to, "{}", space.draw(paint, width))?;
        }
        for told in &self.problems {
            let line = paint.tone(Tone::Bad, &escaped(&told.message));
            writeln!(to, "{}", wrapped(&line, 0, 2, width))?;
        }
        let more = self.problem_count - self.problems.len() as u64;
        if more > 0 {
            writeln!(to, "and {} more", grouped(more))?;
        }
        writeln!(to, "{}", wrapped(&self.summary(), 0, 2, width))?;
        if !self.not_checked.is_empty() {
            let list: Vec<_> = self.not_checked.iter().map(|it| escaped(it)).collect();
            let sentence = format!("Not looked at: {}.", list.join("; "));
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        Ok(())
    }
}

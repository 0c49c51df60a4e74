//! What `index-dump` reports.

use crate::log::index_file::EntryFault;
use crate::output::quantity::{counted, grouped};
use crate::output::text::command;
use crate::output::{FileName, Heading, Paint, Report, Room, Table, key_values, wrapped};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

/// How an index fits its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// It says what an index built from the log would say.
    Same,
    /// It is right as far as it goes, and the log has more commits.
    Older,
    /// It says something else.
    Wrong,
    /// Its header is not valid: whoever attaches next rebuilds it.
    Invalid,
    /// There is no log to compare it with.
    Alone,
    /// The log cannot be read: whether the index is right is not known.
    Unread,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct IndexReport {
    /// The wal-index.
    pub shm: FileName,
    /// Its size.
    pub file_bytes: u64,
    /// Both copies of the header.
    pub headers: [HeaderReport; 2],
    /// Why the header is not valid; `None` when it is.
    pub header_fault: Option<&'static str>,
    /// Frames that are in the database.
    pub backfill_frames: u32,
    /// Frames that a checkpoint has begun to copy.
    pub backfill_attempted_frames: u32,
    /// The read marks.
    pub read_marks: Vec<MarkReport>,
    /// The blocks that the header implies.
    pub blocks: Vec<BlockReport>,
    /// How it fits the log.
    pub comparison: Comparison,
    /// What an index built from the log would say.
    pub log: Option<LogReport>,
    /// What is wrong, in sentences.
    pub differences: Vec<String>,
    /// Wrong entries, at most 20.
    pub wrong_entries: Vec<WrongEntry>,
    /// Frames are called copied that are not: building it again would not copy them.
    #[serde(skip)]
    pub(super) has_false_backfill: bool,
    /// The log beside it, for commands to type.
    #[serde(skip)]
    pub(super) wal: PathBuf,
}

/// One copy of the header.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeaderReport {
    /// 3007000.
    pub version: u32,
    /// Counts commits.
    pub change: u32,
    /// 1 when it is valid.
    pub is_init: u8,
    /// Byte order of the checksums, by the low bit of the magic.
    pub big_endian_checksum: u8,
    /// Page size; `None` before the first commit.
    pub page_size_bytes: Option<u32>,
    /// Last committed frame.
    pub mx_frame: u32,
    /// Size of the database at that frame.
    pub db_size_pages: u32,
    /// Checksum of that frame.
    pub frame_checksum1: u32,
    /// Second word.
    pub frame_checksum2: u32,
    /// Salts of the log.
    pub salt1: u32,
    /// Second word.
    pub salt2: u32,
    /// Checksum of the header.
    pub checksum1: u32,
    /// Second word.
    pub checksum2: u32,
    /// Whether that is right.
    pub checksum_is_right: bool,
}

/// A read mark.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MarkReport {
    /// Its slot.
    pub slot: usize,
    /// Its frame; `None` when not in use.
    pub read_mark_frame: Option<u32>,
    /// Whether somebody holds the lock of the slot.
    pub held: bool,
}

/// A block.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BlockReport {
    /// The block, from 0.
    pub block: u32,
    /// First frame that it can hold.
    pub first_frame: u32,
    /// Last frame that it can hold.
    pub last_frame: u32,
    /// Frames of it up to `mx_frame`.
    pub committed_frames: u32,
    /// Hash slots in use, of 8192.
    pub used_slots: usize,
    /// Whether it is in the file.
    pub present: bool,
}

/// What the log says.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LogReport {
    /// Last committed frame.
    pub mx_frame: u32,
    /// Size of the database at that frame.
    pub db_size_pages: Option<u32>,
    /// Salts; `None` without a header.
    pub salt1: Option<u32>,
    /// Second word.
    pub salt2: Option<u32>,
}

/// An entry that does not lead to its frame.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WrongEntry {
    /// The frame.
    pub frame: u32,
    /// Its page by the log.
    pub page: u32,
    /// Its page by the index.
    pub index_page: u32,
    /// What is wrong.
    pub what: EntryFault,
}

impl Report for IndexReport {
    const COMMAND: &'static str = "index-dump";

    fn needs_attention(&self) -> bool {
        self.comparison == Comparison::Wrong
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let text = |head| Heading::text(head, Room::Broken);
        let mut head = Table::new(["header", "first copy", "second copy"].map(text));
        let [one, two] = &self.headers;
        for (name, value) in HEADER_ROWS {
            head.row([(*name).to_owned(), value(one), value(two)]);
        }
        writeln!(to, "{}\n", head.draw(paint, width))?;
        let facts = [
            ("file", self.shm.to_string()),
            ("size", grouped(self.file_bytes) + " bytes"),
            ("header", self.header_fault.unwrap_or("valid").to_owned()),
            ("copied", counted(self.backfill_frames.into(), "frame")),
            ("copy begun", counted(self.backfill_attempted_frames.into(), "frame")),
        ];
        writeln!(to, "{}", key_values(&facts, width))?;
        let mut marks = Table::new(["reader slot", "mark", "held"].map(text));
        for mark in &self.read_marks {
            let frame = mark.read_mark_frame.map_or("-".to_owned(), |mark| grouped(mark.into()));
            let held = if mark.held { "yes" } else { "no" };
            marks.row([mark.slot.to_string(), frame, held.to_owned()]);
        }
        writeln!(to, "{}\n", marks.draw(paint, width))?;
        if !self.blocks.is_empty() {
            let heads = ["block", "frames", "committed", "hash slots used"];
            let mut blocks = Table::new(heads.map(text));
            for block in &self.blocks {
                let slots =
                    if block.present { grouped(block.used_slots as u64) } else { "missing".into() };
                blocks.row([
                    block.block.to_string(),
                    format!("{}..{}", block.first_frame, block.last_frame),
                    grouped(block.committed_frames.into()),
                    slots,
                ]);
            }
            writeln!(to, "{}\n", blocks.draw(paint, width))?;
        }
        let (tone, words) = self.words();
        let sentence = format!("Compared with the log: {}.", paint.tone(tone, words));
        writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        for difference in &self.differences {
            writeln!(to, "{}", wrapped(difference, 2, 4, width))?;
        }
        for wrong in &self.wrong_entries {
            let what = match wrong.what {
                EntryFault::Page => format!("the index says page {}", wrong.index_page),
                EntryFault::Hash => "its hash entry is missing".to_owned(),
            };
            writeln!(to, "  frame {}: page {} by the log, {what}", wrong.frame, wrong.page)?;
        }
        if self.has_false_backfill {
            writeln!(to, "Next: {}", command("doctor", &self.wal))?;
        } else if self.comparison == Comparison::Wrong {
            writeln!(to, "Next: {}", command("verify-checksums", &self.wal))?;
            writeln!(to, "If the log is clean: {}", command("index-rebuild", &self.wal))?;
        }
        Ok(())
    }
}

type HeaderRow = (&'static str, fn(&HeaderReport) -> String);

const HEADER_ROWS: &[HeaderRow] = &[
    ("version", |header| header.version.to_string()),
    ("change", |header| header.change.to_string()),
    ("valid", |header| header.is_init.to_string()),
    ("page size", |header| header.page_size_bytes.map_or("-".to_owned(), |size| size.to_string())),
    ("mx_frame", |header| header.mx_frame.to_string()),
    ("db size", |header| counted(header.db_size_pages.into(), "page")),
    ("frame checksum", |header| {
        format!("{:08x} {:08x}", header.frame_checksum1, header.frame_checksum2)
    }),
    ("salts", |header| format!("{:08x} {:08x}", header.salt1, header.salt2)),
    ("checksum", |header| format!("{:08x} {:08x}", header.checksum1, header.checksum2)),
    ("checksum is", |header| {
        let verdict = if header.checksum_is_right { "right" } else { "wrong" };
        verdict.to_owned()
    }),
];

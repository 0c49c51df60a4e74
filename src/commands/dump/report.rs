//! The report of `dump`: the fields of a log, or one page.

use std::io::{self, Write};

use serde::Serialize;

use crate::access::FrameRow;
use crate::database::describe::PageDescription;
use crate::format::{FrameNo, Pgno, WalHeader};
use crate::history::rows::TreeName;
use crate::log::state::SlotState;
use crate::output::hexdump::hexdump;
use crate::output::quantity::grouped;
use crate::output::text::escaped;
use crate::output::{FileName, Heading, Paint, Report, Room, Table, Tone, key_values, wrapped};

/// The inside of a log.
#[derive(Debug, Serialize)]
pub struct LogDump {
    /// The log; `None` when it is not there.
    pub wal: Option<FileName>,
    /// The fields of its header.
    pub header: Option<HeaderFields>,
    /// The first frames.
    pub frames: Vec<FrameRow>,
    /// Slots that are not shown.
    pub more_frames: u32,
    /// One page image.
    pub page: Option<PageDump>,
}

/// The header of a log as it is in the file.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeaderFields {
    /// Offset 0.
    pub magic: u32,
    /// Offset 4.
    pub format_version: u32,
    /// Offset 8.
    pub page_size_bytes: u32,
    /// Offset 12.
    pub checkpoint_seq: u32,
    /// Offset 16.
    pub salt1: u32,
    /// Offset 20.
    pub salt2: u32,
    /// Offset 24.
    pub checksum1: u32,
    /// Offset 28.
    pub checksum2: u32,
    /// The sum that bytes 0..24 have.
    pub computed_checksum1: u32,
    /// Its second word.
    pub computed_checksum2: u32,
}

/// One page image.
#[derive(Debug, Serialize)]
pub struct PageDump {
    /// The page.
    pub page: Pgno,
    /// The file that holds the image.
    pub file: FileName,
    /// Its offset there.
    pub offset_bytes: u64,
    /// The frame that holds it; `None` in the database.
    pub frame: Option<FrameNo>,
    /// That frame's state.
    pub state: Option<SlotState>,
    /// Size of the image.
    pub page_size_bytes: u32,
    /// Bytes of it after the end of the file.
    pub missing_bytes: usize,
    /// The size of the database in pages, when the page lies after its end.
    pub behind_end_of_pages: Option<u32>,
    /// The table or index that it is of; `None` where that is not known, and for others.
    pub tree: Option<TreeName>,
    /// Its parts.
    #[serde(flatten)]
    pub description: PageDescription,
    #[serde(skip)]
    pub(super) image: Vec<u8>,
}

impl HeaderFields {
    /// The fields of `header`.
    pub(super) fn of(header: &WalHeader) -> Self {
        let computed = header.computed_checksum();
        Self {
            magic: header.magic,
            format_version: header.format_version,
            page_size_bytes: header.page_size_bytes,
            checkpoint_seq: header.checkpoint_seq,
            salt1: header.salts.salt1,
            salt2: header.salts.salt2,
            checksum1: header.checksum.a,
            checksum2: header.checksum.b,
            computed_checksum1: computed.a,
            computed_checksum2: computed.b,
        }
    }

    fn checksum_is_right(&self) -> bool {
        (self.checksum1, self.checksum2) == (self.computed_checksum1, self.computed_checksum2)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let order = if self.magic & 1 == 1 { "big-endian" } else { "little-endian" };
        let computed = format!("{:08x} {:08x}", self.computed_checksum1, self.computed_checksum2);
        let stored = format!("{:08x} {:08x}", self.checksum1, self.checksum2);
        let sum = match self.checksum_is_right() {
            true => "right".to_owned(),
            false => format!("should be {computed}"),
        };
        vec![
            ("magic", format!("{:08x} ({order} checksums)", self.magic)),
            ("format version", self.format_version.to_string()),
            ("page size", self.page_size_bytes.to_string()),
            ("checkpoint sequence", self.checkpoint_seq.to_string()),
            ("salts", format!("{:08x} {:08x}", self.salt1, self.salt2)),
            ("checksum", format!("{stored} ({sum})")),
        ]
    }
}

impl Report for LogDump {
    const COMMAND: &'static str = "dump";

    fn needs_attention(&self) -> bool {
        let header = self.header.is_some_and(|header| !header.checksum_is_right());
        header || self.page.as_ref().is_some_and(PageDump::needs_attention)
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        if let Some(page) = &self.page {
            return page.human(to, *paint, width);
        }
        if let Some(wal) = &self.wal {
            writeln!(to, "{}", paint.tone(Tone::Strong, &wal.to_string()))?;
        }
        if let Some(header) = &self.header {
            write!(to, "{}", key_values(&header.facts(), width))?;
        }
        if !self.frames.is_empty() {
            writeln!(to, "{}", frames_table(&self.frames).draw(paint, width))?;
        }
        if self.more_frames > 0 {
            let more = grouped(self.more_frames.into());
            let more = format!("{more} more frames; --limit shows more, frame-list shows them all");
            writeln!(to, "{}", wrapped(&more, 0, 2, width))?;
        }
        Ok(())
    }
}

fn frames_table(frames: &[FrameRow]) -> Table {
    let hex = |one: Option<u32>, two: Option<u32>| match (one, two) {
        (Some(one), Some(two)) => format!("{one:08x} {two:08x}"),
        _ => "-".to_owned(),
    };
    let mut table = Table::new([
        Heading::number("frame", Room::Always),
        Heading::number("page", Room::IfWide(1)),
        Heading::number("commit size", Room::IfWide(0)),
        Heading::text("state", Room::Always),
        Heading::text("salts", Room::Always),
        Heading::text("checksum", Room::Always),
    ]);
    for row in frames {
        table.row([
            row.frame.0.to_string(),
            row.page.map_or("-".to_owned(), |page| page.to_string()),
            row.commit_size_pages.map_or(String::new(), |pages| pages.to_string()),
            row.state.word().to_owned(),
            hex(row.salt1, row.salt2),
            hex(row.checksum1, row.checksum2),
        ]);
    }
    table
}

impl PageDump {
    fn needs_attention(&self) -> bool {
        self.missing_bytes > 0
            || self.behind_end_of_pages.is_some()
            || !self.description.problems.is_empty()
    }

    fn human(&self, to: &mut dyn Write, paint: Paint, width: Option<u16>) -> io::Result<()> {
        let from = match (self.frame, self.state) {
            (Some(frame), Some(state)) => format!("frame {frame} ({})", state.word()),
            _ => "the database".to_owned(),
        };
        let title = format!(
            "page {} ({}, {} bytes) from {from}\n{}, offset {}",
            self.page,
            self.description.kind.word(),
            self.page_size_bytes,
            self.file,
            self.offset_bytes
        );
        writeln!(to, "{}", paint.tone(Tone::Good, &title))?;
        if let Some(TreeName { name, kind }) = &self.tree {
            let what = if kind.is_table() { "table" } else { "index" };
            writeln!(to, "of {what} {}", escaped(name))?;
        }
        if self.missing_bytes > 0 {
            let missing = grouped(self.missing_bytes as u64);
            let text = format!("the file ends inside the page: {missing} bytes are missing");
            writeln!(to, "{}", wrapped(&paint.tone(Tone::Bad, &text), 0, 2, width))?;
        }
        if let Some(pages) = self.behind_end_of_pages {
            let text = format!("after the end of the database, which has {pages} pages");
            writeln!(to, "{}", paint.tone(Tone::Bad, &text))?;
        }
        hexdump(to, &paint, &self.image, &self.description.parts, width)?;
        if self.description.header.is_some() {
            let free = grouped(self.description.free_bytes as u64);
            writeln!(to, "{free} bytes of the page are free.")?;
        }
        for problem in &self.description.problems {
            let sentence = format!("{} {problem}", paint.tone(Tone::Bad, "problem:"));
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        Ok(())
    }
}

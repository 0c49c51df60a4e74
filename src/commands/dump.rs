//! `dump`: what is inside a log, down to the bytes of one page.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::analysis::page_dump::{Layout, PageDescription, describe};
use crate::analysis::snapshot::{Target, snapshot};
use crate::analysis::state::{Slot, State, StateFold};
use crate::analysis::{Examination, LogShape};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, FRAME_HEADER_BYTES, FrameNo, PageSize, Pgno, WalHeader};
use crate::output::hexdump::hexdump;
use crate::output::quantity::grouped;
use crate::output::{Error as OutputError, Paint, Report, Tone, key_values, write_report};
use crate::storage::File;
use crate::storage::new_file::{Existing, NewFile};

use super::Context;
use super::failure::{Exit, Failure};
use super::files::{FileArgs, Files};
use super::frame_list::{FrameRow, exit_of};
use super::live::{self, Reading};

/// Show what is inside a log: header, frames, or one page as annotated hex
///
/// Without --frame or --page: every field of the log's header, and the first frames. With one of
/// them: one page image with its b-tree header, cell pointers, cells, row ids, decoded values and
/// free space. --raw gives the bytes alone.
#[derive(Args, Clone, Debug)]
pub struct Dump {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The page image in this frame, whatever its state
    #[arg(long, value_name = "N", conflicts_with = "page")]
    pub frame: Option<u32>,
    /// The newest committed image of this page, from the log or else the database
    #[arg(long, value_name = "N")]
    pub page: Option<u32>,
    /// With --page: as of this transaction
    #[arg(long, value_name = "K", requires = "page")]
    pub txn: Option<u32>,
    /// Without --frame and --page: how many frames to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// Write the bytes of the page image alone
    #[arg(long)]
    pub raw: bool,
    /// Write to this new file instead of stdout (with --raw)
    #[arg(short, long, value_name = "FILE", requires = "raw")]
    pub output: Option<PathBuf>,
    /// Replace an existing output
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// The inside of a log.
#[derive(Debug, Serialize)]
pub struct LogDump {
    /// The log; `None` when it is not there.
    pub wal: Option<String>,
    /// The fields of its header.
    pub header: Option<HeaderFields>,
    /// The first frames.
    pub frames: Vec<FrameRow>,
    /// Slots that are not shown.
    pub more_frames: u32,
    /// One page image.
    pub page: Option<PageDump>,
}

/// The header of a log as it stands in the file.
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
    pub file: String,
    /// Its offset there.
    pub offset_bytes: u64,
    /// The frame that holds it; `None` in the database.
    pub frame: Option<FrameNo>,
    /// That frame's state.
    pub state: Option<State>,
    /// Size of the image.
    pub page_size_bytes: u32,
    /// Its parts.
    #[serde(flatten)]
    pub description: PageDescription,
    #[serde(skip)]
    image: Vec<u8>,
}

/// Where a page image lies.
struct Place {
    page: Pgno,
    frame: Option<(FrameNo, State)>,
    offset_bytes: u64,
}

/// The files as far as they can be read.
struct Opened {
    files: Files,
    reading: Option<Reading>,
    database: Option<Box<dyn File>>,
}

impl Dump {
    /// Runs the command.
    ///
    /// # Errors
    /// When the page or frame is nowhere, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let reading = live::read_log(&files, context)?;
        let database = files.open_database(context.vfs)?;
        if reading.is_none() && database.is_none() {
            let found = "no such file".to_owned();
            return Err(Failure::NotALog { path: self.path.clone(), found }.into());
        }
        let opened = Opened { files, reading, database };
        let exit = opened.reading.as_ref().map_or(Exit::Done, |r| exit_of(&r.examination));
        let page = match (self.frame, self.page) {
            (None, None) if self.raw => {
                return Err(Failure::Usage("--raw needs --frame or --page".to_owned()).into());
            }
            (None, None) => None,
            (Some(frame), _) => Some(opened.frame(FrameNo(frame), context)?),
            (None, Some(page)) => Some(opened.page(Pgno(page), self.txn, context)?),
        };
        match page {
            Some(page) if self.raw => self.write_raw(&page.image, context)?,
            Some(page) => {
                let (frames, more_frames) = (Vec::new(), 0);
                let header = None;
                let wal = opened.wal();
                let report = LogDump { wal, header, frames, more_frames, page: Some(page) };
                write_report(&mut context.output, &report)?;
            }
            None => {
                let report = opened.overview(self.limit, context)?;
                write_report(&mut context.output, &report)?;
            }
        }
        Ok(exit)
    }

    fn write_raw(&self, image: &[u8], context: &mut Context) -> Result<()> {
        let Some(output) = &self.output else {
            context.output.to.write_all(image).map_err(OutputError::from)?;
            return Ok(context.output.to.flush().map_err(OutputError::from)?);
        };
        if !self.force && context.vfs.exists(output)? {
            return Err(Failure::refused(output, "it exists already", "--force replaces it").into());
        }
        let file = NewFile::beside(output)?;
        file.write_at(image, 0)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        Ok(file.publish(existing, None)?)
    }
}

impl Opened {
    fn wal(&self) -> Option<String> {
        self.reading.as_ref().map(|_| self.files.wal.display().to_string())
    }

    fn overview(&self, limit: u32, context: &Context) -> Result<LogDump> {
        let Some(Reading { file, examination }) = &self.reading else {
            let why = "there is no log beside it; --page shows pages of the database";
            return Err(Failure::unsupported(&self.files.wal, why).into());
        };
        let mut frames = Vec::new();
        let mut more_frames = 0;
        if let Some(shape) = &examination.shape {
            let count = shape.extent.slot_frames;
            more_frames = count.saturating_sub(limit);
            slots(file.as_ref(), shape, examination, FrameNo(limit), context, |slot| {
                frames.push(FrameRow::of(slot, shape));
            })?;
        }
        let header = examination.header.as_ref().map(HeaderFields::of);
        Ok(LogDump { wal: self.wal(), header, frames, more_frames, page: None })
    }

    fn frame(&self, frame: FrameNo, context: &Context) -> Result<PageDump> {
        let log = self.reading.as_ref();
        let shaped = log.and_then(|r| r.examination.shape.map(|shape| (r, shape)));
        let (Reading { file, examination }, shape) =
            shaped.ok_or_else(|| Failure::unsupported(&self.files.wal, "it holds no frames"))?;
        let mut found = None;
        slots(file.as_ref(), &shape, examination, frame, context, |slot| found = Some(*slot))?;
        let slot = found.filter(|slot| slot.judged.facts.frame == frame).ok_or_else(|| {
            let last = shape.extent.slot_frames;
            let why = format!("frame {frame} is not in the log: its last whole frame is {last}");
            Failure::unsupported(&self.files.wal, why)
        })?;
        let place = Place {
            page: slot.judged.facts.header.page,
            frame: Some((frame, slot.state)),
            offset_bytes: frame.offset_bytes(shape.page_size()) + FRAME_HEADER_BYTES as u64,
        };
        let layout = self.layout(Target::Last, shape.page_size(), context)?;
        read_page(file.as_ref(), &place, &layout)
    }

    fn page(&self, page: Pgno, txn: Option<u32>, context: &Context) -> Result<PageDump> {
        let target = txn.map_or(Target::Last, Target::Txn);
        if let Some((file, shape, frame)) = self.in_log(page, target, context)? {
            let place = Place {
                page,
                frame: Some((frame, State::Committed)),
                offset_bytes: frame.offset_bytes(shape.page_size()) + FRAME_HEADER_BYTES as u64,
            };
            return read_page(file, &place, &self.layout(target, shape.page_size(), context)?);
        }
        let nowhere = |why: String| Failure::unsupported(&self.path_of_database(), why);
        let database = self.database.as_deref().ok_or_else(|| {
            nowhere(format!("page {page} is not in the log, and there is no database"))
        })?;
        let layout = self.database_layout(context, target)?.ok_or_else(|| {
            nowhere("it has no valid header, so its page size is not known".to_owned())
        })?;
        let pages = database.size()?.div_ceil(layout.page_size.bytes_u64());
        if page.0 == 0 || u64::from(page.0) > pages {
            let why = format!("page {page} is neither in the log nor among its {pages} pages");
            return Err(nowhere(why).into());
        }
        let place = Place { page, frame: None, offset_bytes: page.offset_bytes(layout.page_size) };
        read_page(database, &place, &layout)
    }

    fn path_of_database(&self) -> PathBuf {
        self.files.database.clone().unwrap_or_else(|| self.files.wal.clone())
    }

    /// The frame that holds the newest image of `page` as of `target`.
    fn in_log(
        &self,
        page: Pgno,
        target: Target,
        context: &Context,
    ) -> Result<Option<(&dyn File, LogShape, FrameNo)>> {
        let Some(Reading { file, examination }) = &self.reading else { return Ok(None) };
        let Some(shape) = examination.shape else { return Ok(None) };
        let prefix = &examination.prefix;
        let pages = snapshot(file.as_ref(), &shape, prefix, target, context.watch)
            .with_context(|| self.files.wal.display().to_string())?
            .pages;
        Ok(pages.get(&page).map(|&frame| (file.as_ref(), shape, frame)))
    }

    /// The layout by page 1 as SQLite reads it: log first, then the database.
    fn layout(&self, target: Target, page_size: PageSize, context: &Context) -> Result<Layout> {
        let known = self.page_one(target, context)?;
        Ok(known.map_or(Layout { page_size, reserved_bytes: 0, text_encoding: 1 }, |header| {
            Layout {
                page_size,
                reserved_bytes: header.reserved_bytes,
                text_encoding: header.text_encoding,
            }
        }))
    }

    fn database_layout(&self, context: &Context, target: Target) -> Result<Option<Layout>> {
        let Some(page_size) = self.page_one(target, context)?.and_then(|one| one.page_size())
        else {
            return Ok(None);
        };
        Ok(Some(self.layout(target, page_size, context)?))
    }

    fn page_one(&self, target: Target, context: &Context) -> Result<Option<DatabaseHeader>> {
        let mut bytes = [0; DATABASE_HEADER_BYTES];
        let in_log = self.in_log(Pgno::FIRST, target, context)?;
        let read = match (in_log, &self.database) {
            (Some((file, shape, frame)), _) => {
                let offset = frame.offset_bytes(shape.page_size()) + FRAME_HEADER_BYTES as u64;
                file.read_at(&mut bytes, offset)?
            }
            (None, Some(database)) => database.read_at(&mut bytes, 0)?,
            (None, None) => 0,
        };
        let header = DatabaseHeader::decode(&bytes);
        Ok((read == bytes.len() && header.validate().is_ok()).then_some(header))
    }
}

/// Visits the slots up to and with `last`.
fn slots(
    file: &dyn File,
    shape: &LogShape,
    examination: &Examination,
    last: FrameNo,
    context: &Context,
    mut visit: impl FnMut(&Slot),
) -> Result<()> {
    let mut fold = StateFold::new(shape, &examination.prefix, &examination.tail);
    // One more, because a frame is judged with a look at its successor.
    let wanted = FrameNo::FIRST..FrameNo(last.0.saturating_add(2));
    for facts in shape.facts(file, wanted, context.watch) {
        if let Some(slot) = fold.push(facts?) {
            visit(&slot);
        }
    }
    match fold.finish() {
        Some(slot) if slot.judged.facts.frame <= last => visit(&slot),
        Some(_) | None => {}
    }
    Ok(())
}

fn read_page(file: &dyn File, place: &Place, layout: &Layout) -> Result<PageDump> {
    let mut image = vec![0; layout.page_size.in_memory()];
    file.read_at(&mut image, place.offset_bytes)?;
    Ok(PageDump {
        page: place.page,
        file: file.path().display().to_string(),
        offset_bytes: place.offset_bytes,
        frame: place.frame.map(|(frame, _)| frame),
        state: place.frame.map(|(_, state)| state),
        page_size_bytes: layout.page_size.bytes(),
        description: describe(place.page, layout, &image),
        image,
    })
}

impl HeaderFields {
    fn of(header: &WalHeader) -> Self {
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

    fn facts(&self) -> Vec<(&'static str, String)> {
        let order = if self.magic & 1 == 1 { "big-endian" } else { "little-endian" };
        let computed = format!("{:08x} {:08x}", self.computed_checksum1, self.computed_checksum2);
        let stored = format!("{:08x} {:08x}", self.checksum1, self.checksum2);
        let sum =
            if stored == computed { "right".to_owned() } else { format!("should be {computed}") };
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

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        if let Some(page) = &self.page {
            return page.human(to, *paint, width);
        }
        let wal = self.wal.as_deref().unwrap_or_default();
        writeln!(to, "{}", paint.tone(Tone::Strong, wal))?;
        if let Some(header) = &self.header {
            write!(to, "{}", key_values(&header.facts()))?;
        }
        for row in &self.frames {
            writeln!(to, "{}", frame_line(row))?;
        }
        if self.more_frames > 0 {
            let more = grouped(self.more_frames.into());
            writeln!(to, "{more} more frames; --limit shows more, frame-list shows them all")?;
        }
        Ok(())
    }
}

fn frame_line(row: &FrameRow) -> String {
    let hex = |one: Option<u32>, two: Option<u32>| match (one, two) {
        (Some(one), Some(two)) => format!("{one:08x} {two:08x}"),
        _ => "-".to_owned(),
    };
    let page = row.page.map_or("-".to_owned(), |page| page.to_string());
    let commit = row.commit_size_pages.map_or(String::new(), |pages| format!("  commit {pages}"));
    format!(
        "frame {:>6}  page {page:>6}  salts {}  checksum {}  {}{commit}",
        row.frame.0,
        hex(row.salt1, row.salt2),
        hex(row.checksum1, row.checksum2),
        row.state.word()
    )
}

impl PageDump {
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
        hexdump(to, &paint, &self.image, &self.description.parts, width)?;
        if self.description.header.is_some() {
            let free = grouped(self.description.free_bytes as u64);
            writeln!(to, "{free} bytes of the page are free.")?;
        }
        for problem in &self.description.problems {
            writeln!(to, "{} {problem}", paint.tone(Tone::Bad, "problem:"))?;
        }
        Ok(())
    }
}

//! `frame-list`: one row a frame.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::Held;
use crate::access::live::{LogOptions, Reading};
use crate::access::touched::frame_trees;
use crate::access::{Context, FrameRow, NumberRange, stream};
use crate::diagnosis::states_can_be_told;
use crate::format::{FrameNo, PageKind};
use crate::history::rows::{FrameTrees, TreeName};
use crate::log::state::{Slot, SlotState, Slots};
use crate::log::{Examination, LogShape};
use crate::output::text::escaped;
use crate::output::{Cells, Column, Fields, FileName, Format, Room, Row, RowStream, Side, Stream};
use crate::scan::{self, FrameFacts, Frames, Watch};
use crate::storage::File;

/// List the frames of a log: page, transaction, commit size, state, table or index
///
/// One row a frame, with the table or index that its page is of as of its transaction, where that
/// can be told; overflow pages are not looked up. Frames of older generations are left out unless
/// --all or --state asks for them. With --no-trees, rows are streamed: memory does not grow with
/// the log.
#[derive(Args, Clone, Debug)]
pub struct FrameList {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Only frames of this page
    #[arg(long, value_name = "N")]
    pub page: Option<u32>,
    /// Only frames A to B (A, A.. and ..B are ranges too)
    #[arg(long, value_name = "A..B")]
    pub frames: Option<NumberRange>,
    /// Only transactions A to B
    #[arg(long, value_name = "A..B")]
    pub txn: Option<NumberRange>,
    /// Only frames of this state; may be given several times
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<SlotState>,
    /// Only commit frames
    #[arg(long)]
    pub commits: bool,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Older generations too
    #[arg(short, long)]
    pub all: bool,
    /// Do not look for the tables and indexes: faster, and only the log is read
    #[arg(long)]
    pub no_trees: bool,
    /// Add the CRC-32 of each page
    #[arg(long)]
    pub digest: bool,
    /// Add salts and checksums to the table
    #[arg(short, long)]
    pub wide: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl FrameList {
    /// Runs the command.
    ///
    /// # Errors
    /// When the log cannot be read or it is not known where its frames begin.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let reading = Reading::of(&files, LogOptions::KEEPING_FRAMES, context)?;
        let Some(Reading { file, examination, .. }) = reading else {
            return self.nothing(&files, context);
        };
        let Some(shape) = examination.shape else {
            if examination.lost.is_none() && examination.file_bytes <= 32 {
                return self.nothing(&files, context);
            }
            let why = "the header is wrong and no frame proves another: there is no telling where \
                       frames begin";
            return Err(Failure::unsupported(&files.wal, why).into());
        };
        let watch = context.watch;
        let bad_only = context.output.quiet && context.output.format == Format::Table;
        let trees = match self.no_trees || bad_only || examination.prefix.mx_frame == 0 {
            true => FrameTrees::default(),
            false => {
                let can_be_told =
                    |held: &Held| states_can_be_told(&files, held, false, context).map(drop);
                let first = self.txn.map_or(1, |range| range.first);
                frame_trees(&files, first, shape.salts, &can_be_told, context)?
            }
        };
        let mut stream = self.open(&files, Some((&shape, &trees)), context)?;
        let examination = &examination;
        let list = Listing { asked: self, shape: &shape, examination, trees: &trees, bad_only };
        let listed = list.run(file.as_ref(), watch, &mut stream);
        stream::close(stream, listed)?;
        Ok(Exit::of(examination.verdict))
    }

    fn open<'o, 'a>(
        &self,
        files: &Files,
        log: Option<(&LogShape, &FrameTrees)>,
        context: &'o mut Context<'a>,
    ) -> Result<RowStream<'o, 'a>> {
        let crc32 = self.digest.then_some(0);
        let example = Listed { row: FrameRow { crc32, ..FrameRow::EXAMPLE }, tree: None };
        let stream = Stream {
            command: "frame-list",
            wal: &FileName::from(&files.wal),
            list: "frames",
            columns: self.columns(log),
            example: &example,
        };
        Ok(RowStream::open(&mut context.output, stream)?)
    }

    /// A log that is not there, or holds no frame.
    fn nothing(&self, files: &Files, context: &mut Context) -> Result<Exit> {
        let there = files.database_is_there(context.vfs)? || files.open_wal(context.vfs)?.is_some();
        if !there {
            return Err(Failure::not_found(&self.path).into());
        }
        self.open(files, None, context)?.close(None)?;
        Ok(Exit::Done)
    }

    fn columns(&self, log: Option<(&LogShape, &FrameTrees)>) -> Vec<Column> {
        let digits = |number: u64| number.to_string().len();
        let extent = log.map(|(shape, _)| shape.extent);
        let frame = digits(extent.map_or(0, |extent| extent.slot_frames.into()));
        let offset = digits(extent.map_or(0, |extent| extent.file_bytes));
        let column = |head, width_chars, side, room| Column { head, width_chars, side, room };
        // What follows from another column goes first, then what was not asked for by an option.
        let mut columns = vec![
            column("frame", frame, Side::Right, Room::Always),
            column("offset", offset, Side::Right, Room::IfWide(1)),
            column("page", 8, Side::Right, Room::IfWide(8)),
            column("txn", frame, Side::Right, Room::IfWide(5)),
            column("commit size", 11, Side::Right, Room::IfWide(3)),
            column("state", 11, Side::Left, Room::IfWide(7)),
            column("gen", 3, Side::Right, Room::IfWide(if self.all { 6 } else { 0 })),
            column("page kind", 14, Side::Left, Room::IfWide(2)),
        ];
        if !self.no_trees {
            let longest = log.map_or(0, |(_, trees)| trees.longest_name());
            let name_chars = longest.min(NAME_COLUMNS);
            columns.push(column("table or index", name_chars, Side::Left, Room::IfWide(4)));
        }
        if self.wide {
            let word = |head| column(head, 17, Side::Left, Room::Always);
            columns.extend([word("salts"), word("checksum")]);
        }
        if self.digest {
            columns.push(column("crc32", 8, Side::Left, Room::Always));
        }
        columns
    }

    fn cells(&self, Listed { row, tree }: &Listed<'_>, to: &mut Cells) {
        let number = |field: Option<u32>| field.map(u64::from);
        to.number(u64::from(row.frame.0), "-");
        to.number(row.offset_bytes, "-");
        to.number(number(row.page.map(|page| page.0)), "-");
        to.number(number(row.txn), "-");
        to.number(number(row.commit_size_pages), "");
        to.text(row.state.word());
        to.number(number(row.generation), "-");
        to.text(row.page_kind.map_or("-", PageKind::word));
        if !self.no_trees {
            to.outside(&tree.map_or("-".into(), |tree| escaped(&tree.name)));
        }
        if self.wide {
            to.words([row.salt1, row.salt2]);
            to.words([row.checksum1, row.checksum2]);
        }
        if self.digest {
            to.words([row.crc32]);
        }
    }
}

/// Most columns that the name of a table or index takes.
const NAME_COLUMNS: usize = 24;

/// A frame, and the b-tree of its page.
struct Listed<'t> {
    row: FrameRow,
    tree: Option<&'t TreeName>,
}

impl Row for Listed<'_> {
    fn fields(&self, to: &mut Fields<'_>) {
        self.row.fields(to);
        let tree = self.tree.map(|tree| json!({"name": tree.name, "kind": tree.kind}).to_string());
        to.json("tree", tree.as_deref());
    }
}

/// The rows that are wanted of one log.
struct Listing<'l> {
    asked: &'l FrameList,
    shape: &'l LogShape,
    examination: &'l Examination,
    trees: &'l FrameTrees,
    /// Only frames that SQLite drops because something is damaged.
    bad_only: bool,
}

impl Listing<'_> {
    fn run(&self, file: &dyn File, watch: &dyn Watch, stream: &mut RowStream) -> Result<()> {
        let Self { asked, shape, examination, .. } = *self;
        let slots = FrameNo::FIRST..shape.extent.end();
        let whole = if asked.digest {
            let order = shape.order;
            let judge = move |frame, slot: &[u8]| {
                let crc32 = crc32fast::hash(slot.get(24..).unwrap_or_default());
                (FrameFacts::judge(frame, slot, order), crc32)
            };
            // A slot comes when the one after it is read.
            let digests = RefCell::new(VecDeque::new());
            let facts = Frames::new(file, shape.extent, slots, watch, judge).map(|read| {
                let (facts, crc32) = read?;
                digests.borrow_mut().push_back(crc32);
                Ok(facts)
            });
            self.slots(facts, || digests.borrow_mut().pop_front(), stream)?
        } else {
            self.slots(examination.facts(file, slots, watch), || None, stream)?
        };
        if whole && shape.extent.trailing_bytes > 0 && self.wants_partial() {
            let row = Listed { row: FrameRow::partial(shape), tree: None };
            stream.row(&row, |row, to| asked.cells(row, to))?;
        }
        Ok(())
    }

    /// Writes the rows of whole slots, each with the next digest; returns whether to go on.
    fn slots(
        &self,
        facts: impl Iterator<Item = Result<FrameFacts, scan::Error>>,
        digest: impl Fn() -> Option<u32>,
        stream: &mut RowStream,
    ) -> Result<bool> {
        let Examination { prefix, tail, .. } = self.examination;
        for slot in Slots::new(facts, self.shape, prefix, tail) {
            if !self.emit(&slot?, digest(), stream)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the row of `slot` if it is wanted; returns whether to go on.
    fn emit(&self, slot: &Slot, crc32: Option<u32>, stream: &mut RowStream) -> Result<bool> {
        let asked = self.asked;
        if asked.limit.is_some_and(|limit| stream.rows() >= limit) {
            return Ok(false);
        }
        if self.wants(slot) {
            let row = FrameRow { crc32, ..FrameRow::of(slot, self.shape) };
            let tree = row.txn.and_then(|_| self.trees.of(row.frame));
            let row = Listed { row, tree };
            stream.row(&row, |row, to| asked.cells(row, to))?;
        }
        let frame = slot.judged.facts.frame.0;
        let txn_passed = |range: NumberRange| slot.txn.is_none_or(|txn| txn > range.last);
        Ok(asked.frames.is_none_or(|range| frame < range.last)
            && !asked.txn.is_some_and(txn_passed))
    }

    fn wants(&self, slot: &Slot) -> bool {
        let asked = self.asked;
        let facts = &slot.judged.facts;
        let state = match slot.state {
            _ if !asked.state.is_empty() => asked.state.contains(&slot.state),
            SlotState::Stale => asked.all,
            _ => true,
        };
        let is_bad =
            matches!(slot.state, SlotState::Damaged | SlotState::Unproven | SlotState::Unreachable);
        state
            && (is_bad || !self.bad_only)
            && asked.page.is_none_or(|page| page == facts.header.page.0)
            && asked.frames.is_none_or(|range| range.holds(facts.frame.0))
            && asked.txn.is_none_or(|range| slot.txn.is_some_and(|txn| range.holds(txn)))
            && (!asked.commits || facts.commit_size_pages().is_some())
    }

    fn wants_partial(&self) -> bool {
        let asked = self.asked;
        (asked.state.is_empty() || asked.state.contains(&SlotState::Partial))
            && !self.bad_only
            && asked.page.is_none()
            && asked.frames.is_none()
            && asked.txn.is_none()
            && !asked.commits
    }
}

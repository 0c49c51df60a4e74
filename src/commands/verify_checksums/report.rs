//! What `verify-checksums` reports.

use crate::access::failure::Exit;
use crate::access::files::Unread;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;
use crate::format::{ByteOrder, WalHeaderFault};
use crate::history::copied::SqliteSees;
use crate::log::shift::Shift;
use crate::log::{DamagedFrame, Examination, HeaderStatus, Lost, Stop, Verdict};
use crate::output::{ErrorReport, FileName, Paint, Report};
use anyhow::Result;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

use super::explain;

/// The report on all paths.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// One entry a log.
    pub files: Vec<FileReport>,
    /// A line says how many there are of each verdict.
    #[serde(skip)]
    pub(super) summary: bool,
    /// Only files that need attention are shown.
    #[serde(skip)]
    pub(super) quiet: bool,
}

/// The state of the log's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderWord {
    /// Valid.
    Ok,
    /// The file is shorter than a header.
    Short,
    /// Wrong magic.
    Magic,
    /// Unknown version under a good checksum.
    Version,
    /// Impossible page size.
    PageSize,
    /// Wrong checksum.
    Checksum,
}

/// A leftover wal-index of the same generation: the only witness of a log cut at a frame border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IndexWitness {
    /// Last committed frame by the wal-index.
    pub mx_frame: u32,
    /// It is the one that recovery finds.
    pub agrees: bool,
}

/// What was found in one log.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// The log.
    pub wal: FileName,
    /// The database it is beside.
    pub database: Option<FileName>,
    /// The verdict.
    pub verdict: Verdict,
    /// The header's state; `None` without a file.
    pub header: Option<HeaderWord>,
    /// Page size of the log.
    pub page_size_bytes: Option<u32>,
    /// Byte order of the checksums.
    pub byte_order: Option<ByteOrder>,
    /// Checkpoint sequence of the header.
    pub checkpoint_seq: Option<u32>,
    /// First salt.
    pub salt1: Option<u32>,
    /// Second salt.
    pub salt2: Option<u32>,
    /// Size of the file.
    pub file_bytes: Option<u64>,
    /// Whole slots in the file.
    pub slot_frames: Option<u32>,
    /// Frames of the unbroken prefix.
    pub valid_frames: Option<u32>,
    /// Last frame that recovery commits.
    pub mx_frame: Option<u32>,
    /// Commit frames of the prefix.
    pub transactions: Option<u32>,
    /// Database size by frame `mx_frame`.
    pub db_size_pages: Option<u32>,
    /// First slot that recovery does not accept.
    pub stop: Option<Stop>,
    /// Bytes after the last whole slot.
    pub trailing_bytes: Option<u64>,
    /// Intact frames that are not where the slots of the log are, by offset. Frames in `damaged`
    /// and `lost` are numbered with the shift undone.
    pub shifted: Vec<Shift>,
    /// Carriage returns that a translation of all line ends has added; `None` without one.
    pub line_ends_added_bytes: Option<u64>,
    /// Frames in which bytes were inserted or are missing, and that their sums show how to put
    /// together again.
    pub shifted_frames_mended: Option<u32>,
    /// Whether frames are missing there, and nobody knows how many.
    pub shifted_frames_missing: Option<bool>,
    /// Whether the header is that of the generation before the frames; `None` without a log.
    pub header_is_older: Option<bool>,
    /// Damaged frames.
    pub damaged: Vec<DamagedFrame>,
    /// What SQLite drops without a word.
    pub lost: Option<Lost>,
    /// What SQLite will see.
    pub sqlite_sees: Option<SqliteSees>,
    /// What a leftover wal-index says.
    pub index_witness: Option<IndexWitness>,
    /// What else must be known of log, header and wal-index, worst first; `None` where the files
    /// kept changing while that was looked for, or one of them cannot be read.
    pub findings: Option<Vec<Finding>>,
    /// Files beside the log that could not be read: what they would tell is not known.
    pub unread: Vec<Unread>,
    /// Why the log is unreadable.
    pub error: Option<ErrorReport>,
    /// How a run that could read nothing else ends.
    #[serde(skip)]
    pub(super) failed: Exit,
    /// It is a directory that could not be searched.
    #[serde(skip)]
    pub(super) is_directory: bool,
    /// The files that were named by options, as they are typed again.
    #[serde(skip)]
    pub(super) given: String,
}

impl FileReport {
    fn blank(wal: &Path, database: Option<&Path>, verdict: Verdict) -> Self {
        Self {
            wal: FileName::from(wal),
            database: database.map(FileName::from),
            verdict,
            header: None,
            page_size_bytes: None,
            byte_order: None,
            checkpoint_seq: None,
            salt1: None,
            salt2: None,
            file_bytes: None,
            slot_frames: None,
            valid_frames: None,
            mx_frame: None,
            transactions: None,
            db_size_pages: None,
            stop: None,
            trailing_bytes: None,
            shifted: Vec::new(),
            line_ends_added_bytes: None,
            shifted_frames_mended: None,
            shifted_frames_missing: None,
            header_is_older: None,
            damaged: Vec::new(),
            lost: None,
            sqlite_sees: None,
            index_witness: None,
            findings: None,
            unread: Vec::new(),
            error: None,
            failed: Exit::CouldNot,
            is_directory: false,
            given: String::new(),
        }
    }

    pub(super) fn absent(wal: &Path, database: Option<&Path>) -> Self {
        Self::blank(wal, database, Verdict::Absent)
    }

    pub(super) fn unreadable(path: &Path, failed: Exit, error: ErrorReport) -> Self {
        Self { error: Some(error), failed, ..Self::blank(path, None, Verdict::Unreadable) }
    }

    pub(super) fn found(
        wal: &Path,
        database: Option<&Path>,
        examination: &Examination,
        sqlite_sees: SqliteSees,
        index_witness: Option<IndexWitness>,
    ) -> Self {
        let Examination { verdict, header, file_bytes, shape, prefix, damaged, lost, .. } =
            examination;
        let displacement = &examination.displacement;
        let is_shifted = !displacement.is_none();
        let extent = shape.map(|shape| shape.extent);
        let body_bytes = file_bytes.saturating_sub(32);
        Self {
            header: Some(match examination.header_status {
                HeaderStatus::Short => HeaderWord::Short,
                HeaderStatus::Ok => HeaderWord::Ok,
                HeaderStatus::Fault(WalHeaderFault::Magic) => HeaderWord::Magic,
                HeaderStatus::Fault(WalHeaderFault::PageSize) => HeaderWord::PageSize,
                HeaderStatus::Fault(WalHeaderFault::Checksum) => HeaderWord::Checksum,
                HeaderStatus::Fault(WalHeaderFault::Version) => HeaderWord::Version,
            }),
            page_size_bytes: extent.map(|extent| extent.page_size.bytes()),
            byte_order: shape.map(|shape| shape.order),
            checkpoint_seq: header.map(|header| header.checkpoint_seq),
            salt1: header.map(|header| header.salts.salt1),
            salt2: header.map(|header| header.salts.salt2),
            file_bytes: Some(*file_bytes),
            slot_frames: Some(extent.map_or(0, |extent| extent.slot_frames)),
            valid_frames: Some(prefix.valid_frames),
            mx_frame: Some(prefix.mx_frame),
            transactions: Some(prefix.transactions),
            db_size_pages: prefix.db_size_pages,
            stop: Some(prefix.stop),
            trailing_bytes: Some(extent.map_or(body_bytes, |extent| extent.trailing_bytes)),
            shifted: displacement.shifts.clone(),
            line_ends_added_bytes: displacement.line_ends,
            shifted_frames_mended: is_shifted.then_some(displacement.mended_frames),
            shifted_frames_missing: is_shifted.then_some(displacement.frames_missing),
            header_is_older: Some(displacement.header_is_older),
            damaged: damaged.clone(),
            lost: lost.clone(),
            sqlite_sees: Some(sqlite_sees),
            index_witness,
            ..Self::blank(wal, database, *verdict)
        }
    }

    /// Whether a wal-index of this generation knows more frames than the log has.
    pub(super) fn is_cut(&self) -> bool {
        self.index_witness.is_some_and(|witness| Some(witness.mx_frame) > self.mx_frame)
    }

    /// A wal-index knows of a log that is gone.
    fn is_missing(&self) -> bool {
        self.findings.iter().flatten().any(|finding| finding.rule == Rule::LogMissing)
    }

    pub(super) fn exit(&self, strict: bool) -> Exit {
        match self.verdict {
            Verdict::Unreadable => self.failed,
            Verdict::BadHeader | Verdict::Damaged => Exit::Found,
            _ if self.findings.iter().flatten().any(Finding::is_error) => Exit::Found,
            // What it had may have been copied; as a log it is not whole.
            _ if self.is_missing() => Exit::Found,
            Verdict::TornTail if strict => Exit::Found,
            _ if strict && self.is_cut() => Exit::Found,
            Verdict::Absent
            | Verdict::TornTail
            | Verdict::UncommittedTail
            | Verdict::Empty
            | Verdict::Clean => Exit::Done,
        }
    }
}

impl Report for Verification {
    const COMMAND: &'static str = "verify-checksums";

    fn needs_attention(&self) -> bool {
        self.files.iter().any(FileReport::needs_attention)
    }

    fn example() -> Result<Option<serde_json::Value>, serde_json::Error> {
        let blank = FileReport::blank(Path::new(""), None, Verdict::Absent);
        serde_json::to_value(blank).map(Some)
    }

    fn rows(&self) -> Result<Vec<serde_json::Value>, serde_json::Error> {
        self.files.iter().map(serde_json::to_value).collect()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        explain::human(self, to, *paint, width)
    }
}

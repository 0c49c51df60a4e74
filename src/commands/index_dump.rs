//! `index-dump`: what a wal-index says, and whether that is what the log says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::access::Context;
use crate::access::failure::{Exit, Failure, is_busy};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, HoldArgs};
use crate::access::live::{LogOptions, Reading};
use crate::diagnosis::rails;
use crate::format::lock_bytes::{WAL_READ_LOCK_0, WAL_WRITE_LOCK};
use crate::format::wal_index::{READER_SLOTS, block_of};
use crate::format::{FrameNo, IndexHeader, Pgno};
use crate::log::index_file::{IndexBlock, IndexFile};
use crate::log::{Examination, LogShape};
use crate::output::quantity::{counted, grouped};
use crate::output::{FileName, Tone, write_report};
use crate::scan;
use crate::storage::{File, LockMode};

use moment::Moment;

mod moment;
mod report;

pub use report::{
    BlockReport, Comparison, HeaderReport, IndexReport, LogReport, MarkReport, WrongEntry,
};

/// Readings of index and log until they are of one moment.
const MOST_READINGS: u32 = 20;

/// Time before another reading; each waits longer.
const PAUSE: Duration = Duration::from_millis(2);

/// Most wrong entries that are listed.
const LISTED_ENTRIES: usize = 20;

/// Show a wal-index, and compare it with the log
///
/// Both copies of the header, the checkpoint information, the read marks and the blocks. Then an
/// index is built from the log and compared: the same, older than the log, or wrong and where.
/// Reads only: nothing is mapped, created or locked. Exits with 1 when the index is wrong.
#[derive(Args, Clone, Debug)]
pub struct IndexDump {
    /// A wal-index (-shm), its database or its log (-wal)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl IndexDump {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no wal-index, or a file cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let Some(shm) = files.open_shm(context.vfs)? else {
            if !context.vfs.exists(&self.path)? {
                return Err(Failure::not_found(&self.path).into());
            }
            let found = "no wal-index is there; whoever attaches next builds it".to_owned();
            let path = files.shm.clone().unwrap_or_else(|| self.path.clone());
            return Err(Failure::NoIndex { path, found }.into());
        };
        let mut report = self.report(&files, shm.as_ref(), context)?;
        if matches!(report.comparison, Comparison::Same | Comparison::Older | Comparison::Wrong) {
            report.compare_with_database(&files, context)?;
        }
        write_report(&mut context.output, &report)?;
        Ok(if report.comparison == Comparison::Wrong { Exit::Found } else { Exit::Done })
    }
}

impl IndexDump {
    /// Index and log of one moment: where somebody writes, both are read again until nothing came
    /// in between that matters.
    fn report(&self, files: &Files, shm: &dyn File, context: &Context) -> Result<IndexReport> {
        for reading in 0..MOST_READINGS {
            context.vfs.sleep(PAUSE * reading);
            let Some(index) = IndexFile::read(shm)? else {
                let found = format!("{} bytes hold no wal-index header", shm.size()?);
                return Err(Failure::NoIndex { path: shm.path().to_owned(), found }.into());
            };
            let mut report = IndexReport::of(shm, &index, files)?;
            match report.compare_with_log(files, shm, &index, context) {
                Ok(()) => {}
                Err(error) if is_shrunk(&error) => continue,
                Err(error) => return Err(error),
            }
            let byte = WAL_WRITE_LOCK..WAL_WRITE_LOCK + 1;
            let is_written = shm.lock_holder(byte, LockMode::Shared)?.is_some();
            let after = IndexFile::read(shm)?.unwrap_or(index);
            let log_frames = report.log.map_or(0, |log| log.mx_frame);
            match moment::judge(report.comparison, &index, &after, log_frames, is_written) {
                Moment::One => {}
                Moment::Followed => report.comparison = Comparison::Same,
                Moment::Several => continue,
            }
            return Ok(report);
        }
        let path = shm.path().to_owned();
        Err(Failure::KeepsChanging { path, restarts: MOST_READINGS }.into())
    }
}

/// Whether the log was cut while it was read.
fn is_shrunk(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(scan::Error::Shrunk { .. }))
}

impl HeaderReport {
    fn of(header: &IndexHeader) -> Self {
        Self {
            version: header.version,
            change: header.change,
            is_init: header.is_init,
            big_endian_checksum: header.big_endian_checksum,
            page_size_bytes: header.page_size().map(|size| size.bytes()),
            mx_frame: header.mx_frame,
            db_size_pages: header.db_size_pages,
            frame_checksum1: header.frame_checksum.a,
            frame_checksum2: header.frame_checksum.b,
            salt1: header.salts.salt1,
            salt2: header.salts.salt2,
            checksum1: header.checksum.a,
            checksum2: header.checksum.b,
            checksum_is_right: header.checksum == header.computed_checksum(),
        }
    }
}

impl IndexReport {
    fn of(shm: &dyn File, index: &IndexFile, files: &Files) -> Result<Self> {
        let info = &index.info;
        let header_fault = info.validate().err().map(|fault| fault.words());
        let mut read_marks = Vec::new();
        for (slot, &mark) in info.read_marks.iter().enumerate().take(READER_SLOTS) {
            let byte = WAL_READ_LOCK_0 + slot as u64;
            let held = shm.lock_holder(byte..byte + 1, LockMode::Exclusive)?.is_some();
            read_marks.push(MarkReport { slot, read_mark_frame: mark, held });
        }
        let mut report = Self {
            shm: FileName::from(shm.path()),
            file_bytes: index.file_bytes,
            headers: index.copies.map(|copy| HeaderReport::of(&copy)),
            header_fault,
            backfill_frames: info.backfill,
            backfill_attempted_frames: info.backfill_attempted,
            read_marks,
            blocks: Vec::new(),
            comparison: Comparison::Invalid,
            log: None,
            differences: Vec::new(),
            has_false_backfill: false,
            wrong_entries: Vec::new(),
            wal: files.wal.clone(),
        };
        if header_fault.is_none() {
            report.list_blocks(shm, index)?;
        }
        Ok(report)
    }

    fn list_blocks(&mut self, shm: &dyn File, index: &IndexFile) -> Result<()> {
        let mx_frame = index.info.mx_frame;
        // A header may promise more blocks than the file has; the first that is missing tells it.
        for block in 0..=block_of(mx_frame).min(index.blocks()) {
            let read = IndexBlock::read(shm, block)?;
            let first_frame = crate::format::wal_index::frame_before_block(block) + 1;
            let last_frame = crate::format::wal_index::frame_before_block(block + 1);
            self.blocks.push(BlockReport {
                block,
                first_frame,
                last_frame,
                committed_frames: mx_frame.min(last_frame).saturating_sub(first_frame - 1),
                used_slots: read.as_ref().map_or(0, IndexBlock::used_slots),
                present: read.is_some(),
            });
        }
        Ok(())
    }

    fn compare_with_log(
        &mut self,
        files: &Files,
        shm: &dyn File,
        index: &IndexFile,
        context: &Context,
    ) -> Result<()> {
        if self.header_fault.is_some() {
            return Ok(());
        }
        if files.open_wal(context.vfs).is_err() {
            self.comparison = Comparison::Unread;
            return Ok(());
        }
        match Reading::of(files, LogOptions::default(), context)? {
            Some(reading) => self.compare(shm, &index.copies[0], &reading, context),
            None => {
                self.comparison = Comparison::Alone;
                Ok(())
            }
        }
    }

    /// Compares with what recovery of the log would build.
    fn compare(
        &mut self,
        shm: &dyn File,
        header: &IndexHeader,
        reading: &Reading,
        context: &Context,
    ) -> Result<()> {
        let Reading { file, examination, .. } = reading;
        let prefix = &examination.prefix;
        let salts = examination.header.map(|header| header.salts);
        self.log = Some(LogReport {
            mx_frame: prefix.mx_frame,
            db_size_pages: prefix.db_size_pages,
            salt1: salts.map(|salts| salts.salt1),
            salt2: salts.map(|salts| salts.salt2),
        });
        if self.backfill_frames > header.mx_frame {
            self.has_false_backfill = true;
            self.differences.push(format!(
                "{} frames are marked as copied of a log with {}",
                self.backfill_frames, header.mx_frame
            ));
        }
        let shape = match &examination.shape {
            // A log that was reset has the new salts in the index first.
            Some(shape) if header.mx_frame > 0 => shape,
            Some(_) | None => {
                self.settle(header, examination);
                return Ok(());
            }
        };
        if salts != Some(header.salts) {
            self.differences.push("the salts are not those of the log".to_owned());
        } else {
            let frames = header.mx_frame.min(prefix.mx_frame);
            self.compare_entries(shm, file.as_ref(), shape, frames, context)?;
        }
        self.settle(header, examination);
        Ok(())
    }

    /// While somebody is attached, what counts as copied must be in the database.
    fn compare_with_database(&mut self, files: &Files, context: &Context) -> Result<()> {
        let args = HoldArgs { no_lock: true, ..HoldArgs::default() };
        let found = held::hold(files, &args, 0, context, |held| {
            let (Some(index), Some(log), Some(database)) = (&held.index, &held.log, &held.database)
            else {
                return Ok(None);
            };
            let (file, database) = (log.file.as_ref(), database.as_ref());
            let watch = context.watch;
            Ok(rails::false_backfill(index, file, &log.examination, database, watch)?)
        });
        match found {
            Ok(Some(found)) if found.missing_pages > 0 => {
                self.differences.push(found.to_string());
                self.has_false_backfill = true;
                self.comparison = Comparison::Wrong;
                Ok(())
            }
            Ok(_) => Ok(()),
            // Beside a busy writer that is not known without a lock.
            Err(error) if is_busy(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn settle(&mut self, header: &IndexHeader, examination: &Examination) {
        let log = &examination.prefix;
        if header.mx_frame > log.mx_frame {
            self.differences.push(format!(
                "it knows {}, recovery of the log finds {}",
                counted(header.mx_frame.into(), "frame"),
                grouped(log.mx_frame.into())
            ));
        } else if header.mx_frame == log.mx_frame
            && log.mx_frame > 0
            && Some(header.db_size_pages) != log.db_size_pages
        {
            self.differences.push("the size of the database is not that of the log".to_owned());
        }
        self.comparison = match () {
            () if !self.differences.is_empty() || !self.wrong_entries.is_empty() => {
                Comparison::Wrong
            }
            // After a reset the index is ahead of the file: the log still holds the old generation.
            () if header.mx_frame == 0 && log.mx_frame > 0 => match examination.header {
                Some(found) if found.salts == header.salts => Comparison::Older,
                Some(_) | None => Comparison::Same,
            },
            () if header.mx_frame < log.mx_frame => Comparison::Older,
            () => Comparison::Same,
        };
    }

    fn compare_entries(
        &mut self,
        shm: &dyn File,
        log: &dyn File,
        shape: &LogShape,
        frames: u32,
        context: &Context,
    ) -> Result<()> {
        let mut block: Option<IndexBlock> = None;
        for facts in shape.facts(log, FrameNo::FIRST..FrameNo(frames).next(), context.watch) {
            let facts = facts?;
            let (frame, page) = (facts.frame.0, facts.header.page);
            let number = block_of(frame);
            if block.as_ref().is_none_or(|block| block.number != number) {
                block = IndexBlock::read(shm, number)?;
            }
            let Some(block) = &block else {
                self.differences.push(format!("block {number} is missing"));
                return Ok(());
            };
            if let Err(what) = block.check(frame, page) {
                if self.wrong_entries.is_empty() {
                    self.differences
                        .push(format!("block {number}: the entry of frame {frame} is wrong"));
                }
                let Pgno(index_page) = block.page_of(frame);
                let wrong = WrongEntry { frame, page: page.0, index_page, what };
                self.wrong_entries.push(wrong);
                if self.wrong_entries.len() == LISTED_ENTRIES {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn words(&self) -> (Tone, &'static str) {
        match self.comparison {
            Comparison::Same => (Tone::Good, "the same as an index built from the log"),
            Comparison::Older => (Tone::Notice, "older than the log: it will be built again"),
            Comparison::Wrong => (Tone::Bad, "wrong"),
            Comparison::Invalid => (Tone::Notice, "not valid: whoever attaches next builds it"),
            Comparison::Alone => (Tone::Notice, "there is no log beside it"),
            Comparison::Unread => {
                (Tone::Notice, "the log cannot be read: whether the index is right is not known")
            }
        }
    }
}

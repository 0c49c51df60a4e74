//! The files of a `dump`, as far as they can be read, and where in them a page image is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::access::Context;
use crate::access::FrameRow;
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::live::Reading;
use crate::database::describe::{PageFormat, describe};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, FRAME_HEADER_BYTES, FrameHeader, FrameNo, PageSize, Pgno};
use crate::history::image_sums::ImageSums;
use crate::history::snapshot::{Snapshot, Target};
use crate::log::LogShape;
use crate::log::state::SlotState;
use crate::output::FileName;
use crate::output::text::command;
use crate::storage::File;

use super::report::{HeaderFields, LogDump, PageDump};

/// Where a page image lies.
struct Place {
    page: Pgno,
    frame: Option<(FrameNo, SlotState)>,
    offset_bytes: u64,
    behind_end_of_pages: Option<u32>,
}

/// The files as far as they can be read.
pub(super) struct Opened<'a> {
    pub(super) files: &'a Files,
    pub(super) reading: Option<&'a Reading>,
    pub(super) database: Option<&'a dyn File>,
    /// The state that is held; `None` where only the log is read.
    pub(super) held: Option<&'a Held>,
}

impl Opened<'_> {
    /// How the command ends.
    pub(super) fn exit(&self, path: &Path) -> Result<Exit> {
        if self.reading.is_none() && self.database.is_none() {
            return Err(Failure::not_found(path).into());
        }
        Ok(self.reading.map_or(Exit::Done, |reading| Exit::of(reading.examination.verdict)))
    }

    pub(super) fn wal(&self) -> Option<FileName> {
        self.reading.as_ref().map(|_| FileName::from(&self.files.wal))
    }

    /// The command that shows which frames and pages there are.
    fn see_frames(&self) -> Option<String> {
        let log = self.reading?.file.path();
        Some(format!("every frame and its page: {}", command("frame-list --all", log)))
    }

    pub(super) fn overview(&self, limit: u32, context: &Context) -> Result<LogDump> {
        let Some(Reading { file, examination, .. }) = self.reading else {
            let found = "there is no log; --page shows pages of the database".to_owned();
            return Err(Failure::NoLog { path: self.files.wal.clone(), found }.into());
        };
        let mut frames = Vec::new();
        let mut more_frames = 0;
        if let Some(shape) = &examination.shape {
            let count = shape.extent.slot_frames;
            more_frames = count.saturating_sub(limit);
            for slot in examination.slots(file.as_ref(), FrameNo(limit), context.watch) {
                frames.push(FrameRow::of(&slot?, shape));
            }
        }
        let header = examination.header.as_ref().map(HeaderFields::of);
        Ok(LogDump { wal: self.wal(), header, frames, more_frames, page: None })
    }

    pub(super) fn frame(&self, frame: FrameNo, context: &Context) -> Result<PageDump> {
        let log = self.reading;
        let shaped = log.and_then(|r| r.examination.shape.map(|shape| (r, shape)));
        let (Reading { file, examination, .. }, shape) =
            shaped.ok_or_else(|| Failure::unsupported(&self.files.wal, "it holds no frames"))?;
        if frame == shape.extent.end() && shape.extent.trailing_bytes >= FRAME_HEADER_BYTES as u64 {
            return self.partial_frame(file.as_ref(), &shape, context);
        }
        let found = examination.slots(file.as_ref(), frame, context.watch).last().transpose()?;
        let slot = found.filter(|slot| slot.judged.facts.frame == frame).ok_or_else(|| {
            let last = shape.extent.slot_frames;
            let path = self.files.wal.clone();
            let why = format!("frame {frame} is not in the log: its last whole frame is {last}");
            Failure::NoPage { path, why, hint: self.see_frames() }
        })?;
        let place = Place {
            page: slot.judged.facts.header.page,
            frame: Some((frame, slot.state)),
            offset_bytes: frame.offset_bytes(shape.page_size()) + FRAME_HEADER_BYTES as u64,
            behind_end_of_pages: None,
        };
        let layout = self.layout(Target::Last, shape.page_size(), context)?;
        read_page(file.as_ref(), &place, &layout)
    }

    /// The frame that the end of the file cuts, of which the header is whole.
    fn partial_frame(
        &self,
        file: &dyn File,
        shape: &LogShape,
        context: &Context,
    ) -> Result<PageDump> {
        let frame = shape.extent.end();
        let start = frame.offset_bytes(shape.page_size());
        let mut header = [0; FRAME_HEADER_BYTES];
        file.read_at(&mut header, start)?;
        let place = Place {
            page: FrameHeader::decode(&header).page,
            frame: Some((frame, SlotState::Partial)),
            offset_bytes: start + FRAME_HEADER_BYTES as u64,
            behind_end_of_pages: None,
        };
        read_page(file, &place, &self.layout(Target::Last, shape.page_size(), context)?)
    }

    pub(super) fn page(&self, page: Pgno, target: Target, context: &Context) -> Result<PageDump> {
        let database_pages =
            self.snapshot(target, context)?.and_then(|(_, _, it)| it.db_size_pages);
        if let Some((file, shape, frame)) = self.in_log(page, target, context)? {
            let place = Place {
                page,
                frame: Some((frame, SlotState::Committed)),
                offset_bytes: frame.offset_bytes(shape.page_size()) + FRAME_HEADER_BYTES as u64,
                behind_end_of_pages: None,
            };
            return read_page(file, &place, &self.layout(target, shape.page_size(), context)?);
        }
        let nowhere = |why: String| Failure::NoPage {
            path: self.path_of_database(),
            why,
            hint: self.see_frames(),
        };
        if self.database.is_none() {
            // Why it cannot be read, if that is the reason.
            self.files.open_database(context.vfs)?;
        }
        let database = self.database.ok_or_else(|| {
            nowhere(format!("page {page} is not in the log, and there is no database"))
        })?;
        self.page_is_not_newer(page, target, context)?;
        let layout = self.database_layout(context, target)?.ok_or_else(|| {
            nowhere("it has no valid header, so its page size is not known".to_owned())
        })?;
        let pages = database.size()?.div_ceil(layout.page_size.bytes_u64());
        if page.0 == 0 || u64::from(page.0) > pages {
            let why = format!("page {page} is neither in the log nor among its {pages} pages");
            return Err(nowhere(why).into());
        }
        let place = Place {
            page,
            frame: None,
            offset_bytes: page.offset_bytes(layout.page_size),
            behind_end_of_pages: database_pages.filter(|&pages| page.0 > pages),
        };
        read_page(database, &place, &layout)
    }

    /// A page that the log had not written yet comes from the file, unless a checkpoint has put a
    /// later image there.
    fn page_is_not_newer(&self, page: Pgno, target: Target, context: &Context) -> Result<()> {
        let (Some(database), Some((log, shape, snapshot))) =
            (self.database, self.snapshot(target, context)?)
        else {
            return Ok(());
        };
        let Some(reading) = self.reading else { return Ok(()) };
        let last = reading.examination.prefix.mx_frame;
        if snapshot.to_frame >= last
            || self.held.is_some_and(|held| held.holds_commit(snapshot.to_frame))
        {
            return Ok(());
        }
        let images = ImageSums::of(log, &shape, database, None)?;
        let in_file = images.of_page(page)?;
        let later = FrameNo(snapshot.to_frame).next()..FrameNo(last).next();
        for facts in reading.examination.facts(log, later, context.watch) {
            let facts = facts?;
            if facts.header.page == page && Some(images.of_frame(&facts)?) == in_file {
                let why = format!(
                    "page {page} as of transaction {} is gone: a checkpoint has put the image in \
                     frame {} there",
                    snapshot.to_txn, facts.frame
                );
                let see = command("frame-list --all", &self.files.wal) + " shows every frame";
                return Err(Failure::refused(database.path(), why, see).into());
            }
        }
        Ok(())
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
        let Some((file, shape, snapshot)) = self.snapshot(target, context)? else {
            return Ok(None);
        };
        Ok(snapshot.pages.get(&page).map(|&frame| (file, shape, frame)))
    }

    fn snapshot(
        &self,
        target: Target,
        context: &Context,
    ) -> Result<Option<(&dyn File, LogShape, Snapshot)>> {
        let shaped = self.reading.and_then(|reading| reading.examination.shape.zip(Some(reading)));
        let Some((shape, reading)) = shaped else {
            return match target {
                Target::Last | Target::Txn(0) => Ok(None),
                Target::Txn(_) | Target::Frame(_) => {
                    let why = "there is no log, and so no such state";
                    Err(Failure::unsupported(&self.files.wal, why).into())
                }
            };
        };
        let snapshot = reading.snapshot(target, context.watch);
        let snapshot = snapshot.with_context(|| About(self.files.wal.clone()))?;
        Ok(Some((reading.file.as_ref(), shape, snapshot.into_owned())))
    }

    /// The layout by page 1 as SQLite reads it: log first, then the database.
    fn layout(&self, target: Target, page_size: PageSize, context: &Context) -> Result<PageFormat> {
        let known = self.page_one(target, context)?;
        Ok(known.map_or(PageFormat { page_size, reserved_bytes: 0, text_encoding: 1 }, |header| {
            PageFormat {
                page_size,
                reserved_bytes: header.reserved_bytes,
                text_encoding: header.text_encoding,
            }
        }))
    }

    fn database_layout(&self, context: &Context, target: Target) -> Result<Option<PageFormat>> {
        let Some(page_size) = self.page_one(target, context)?.and_then(|one| one.page_size())
        else {
            return Ok(None);
        };
        Ok(Some(self.layout(target, page_size, context)?))
    }

    fn page_one(&self, target: Target, context: &Context) -> Result<Option<DatabaseHeader>> {
        let mut bytes = [0; DATABASE_HEADER_BYTES];
        let in_log = self.in_log(Pgno::FIRST, target, context)?;
        let read = match (in_log, self.database) {
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

fn read_page(file: &dyn File, place: &Place, layout: &PageFormat) -> Result<PageDump> {
    let mut image = vec![0; layout.page_size.in_memory()];
    let read_bytes = file.read_at(&mut image, place.offset_bytes)?;
    // Zeros that no file holds are not shown as its bytes.
    image.truncate(read_bytes);
    Ok(PageDump {
        page: place.page,
        file: FileName::from(file.path()),
        offset_bytes: place.offset_bytes,
        frame: place.frame.map(|(frame, _)| frame),
        state: place.frame.map(|(_, state)| state),
        page_size_bytes: layout.page_size.bytes(),
        missing_bytes: layout.page_size.in_memory() - image.len(),
        behind_end_of_pages: place.behind_end_of_pages,
        tree: None,
        description: describe(place.page, layout, &image),
        image,
    })
}

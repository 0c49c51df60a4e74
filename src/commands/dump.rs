//! `dump`: what is inside a log, down to the bytes of one page.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::access::Context;
use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files, open_if_readable};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::live::{LogOptions, Reading};
use crate::access::states::{StateName, States};
use crate::format::{FrameNo, Pgno};
use crate::history::rows::{TreeName, tree_of};
use crate::output::{Error as OutputError, FileName, write_report};
use crate::scan::KnownFrames;
use crate::storage::Existing;

use opened::Opened;
pub use report::{HeaderFields, LogDump, PageDump};

mod opened;
mod report;

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
    /// With --page: in this state: a transaction, 0 for the file before the log, last, or frame:N
    #[arg(long, value_name = "STATE", requires = "page", conflicts_with = "txn")]
    pub at: Option<StateName>,
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
    /// How the state is held while a page is read.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl Dump {
    /// Runs the command.
    ///
    /// # Errors
    /// When the page or frame is nowhere, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let (exit, page) = match (self.frame, self.page) {
            (None, None) if self.raw => {
                return Err(Failure::Usage("--raw needs --frame or --page".to_owned()).into());
            }
            (None, Some(page)) => self.held_page(&files, Pgno(page), context)?,
            (frame, _) => {
                let reading = Reading::of(&files, LogOptions::KEEPING_FRAMES, context)?;
                // Frames can be shown without it.
                let database = open_if_readable(context.vfs, files.database.as_deref());
                let opened = Opened {
                    files: &files,
                    reading: reading.as_ref(),
                    database: database.as_deref(),
                    held: None,
                };
                let exit = opened.exit(&self.path)?;
                let Some(frame) = frame else {
                    let report = opened.overview(self.limit, context)?;
                    write_report(&mut context.output, &report)?;
                    return Ok(exit);
                };
                (exit, (opened.frame(FrameNo(frame), context)?, opened.wal()))
            }
        };
        match page {
            (page, _) if self.raw => self.write_raw(&page.image, context)?,
            (page, wal) => {
                let (frames, more_frames, header) = (Vec::new(), 0, None);
                let report = LogDump { wal, header, frames, more_frames, page: Some(page) };
                write_report(&mut context.output, &report)?;
            }
        }
        Ok(exit)
    }

    /// The state of which a page is shown.
    fn state(&self) -> StateName {
        self.at.or(self.txn.map(StateName::Txn)).unwrap_or(StateName::Last)
    }

    /// A page comes from the log or from the file: both stand still.
    fn held_page(
        &self,
        files: &Files,
        page: Pgno,
        context: &Context,
    ) -> Result<(Exit, (PageDump, Option<FileName>))> {
        held::hold(files, &self.hold, KnownFrames::LIMIT, context, |held| {
            let opened = Opened {
                files,
                reading: held.log.as_ref(),
                database: held.database.as_deref(),
                held: Some(held),
            };
            let exit = opened.exit(&self.path)?;
            let state = self.state();
            let mut dump = opened.page(page, state.into(), context)?;
            dump.tree = tree(held, files, page, state, context);
            Ok((exit, (dump, opened.wal())))
        })
    }

    fn write_raw(&self, image: &[u8], context: &mut Context) -> Result<()> {
        let Some(output) = &self.output else {
            context.output.to.write_all(image).map_err(OutputError::from)?;
            return Ok(context.output.to.flush().map_err(OutputError::from)?);
        };
        if !self.force && context.vfs.exists(output)? {
            return Err(Failure::refused(output, "it exists already", "--force replaces it").into());
        }
        let file = context.vfs.new_file(output)?;
        file.write_at(image, 0)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        Ok(file.publish(existing, None)?)
    }
}

/// The table or index that a page is of in the state that is shown; `None` where that is not known.
fn tree(
    held: &Held,
    files: &Files,
    page: Pgno,
    state: StateName,
    context: &Context,
) -> Option<TreeName> {
    let states = States::of(held, files, context).ok()?;
    let snapshot = states.snapshot(state).ok()?;
    let past = states.past(snapshot.to_frame, context).ok()?;
    tree_of(&past.state(&snapshot).ok()?, page).ok().flatten()
}

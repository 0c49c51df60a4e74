//! The safety rails: what keeps a command from writing.
//!
//! [`dangers`] is the one list of what a step would make final; every command that writes asks it
//! first.

use std::path::Path;

use anyhow::Result;

use crate::access::Context;
use crate::access::files::Files;
use crate::access::live::Reading;
use crate::diagnosis::rule::Rule;
use crate::engine::page_checksum::{Doubt, Wanted};
use crate::engine::rollback::{self, Discarded, JournalState};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, PageSize, WalIndexHeader};
use crate::history::snapshot::{Snapshot, Target};
use crate::history::standing::newer::Age;
use crate::history::standing::{self, Depth, Pairing};
use crate::history::view::View;
use crate::output::quantity::counted;
use crate::output::text::command;
use crate::repair::replay;
use crate::storage::File;

use super::users;

mod backfill;
mod danger;
mod discarded;
mod log;
mod look;
mod pair;
mod processes;
mod sizes;
mod state;

pub use backfill::{FalseBackfill, false_backfill};
pub use danger::{Accepted, Consent, Consents, Danger, refuse};
pub use discarded::discarded_log;
use log::{attached_process, damaged_log, shorter_log};
pub use log::{cut_log, missing_log};
pub use look::{Looked, look, look_with};
pub use processes::{Effect, misuse, misused, process, rescue_command};
pub use sizes::{
    Contradiction, contradiction, fits_at_a_glance, page_one_is_only_in_log, page_size_by_pages,
};
pub use state::{
    Rails, log_is_its_own, no_change_was_cut_off, output_is_free, pages_of, version_is_known,
};

/// What a step is about to change, standing still.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The files that PATH means.
    pub files: &'a Files,
    /// The database.
    pub database: Option<&'a dyn File>,
    /// The log.
    pub log: Option<&'a Reading>,
    /// The wal-index, where somebody is attached who keeps it right.
    pub index: Option<&'a WalIndexHeader>,
    /// The state that the step is about.
    pub target: Target,
    /// Whether log and database belong together, where that is known already.
    pub pairing: Option<&'a Pairing>,
}

/// What was found before a step.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What the step would make final, worst first.
    pub dangers: Vec<Danger>,
    /// Frames that count as copied and are not: a checkpoint can mend that.
    pub backfill: Option<FalseBackfill>,
    /// Whether log and database belong together; `None` where it was not asked, or only quickly.
    pub pairing: Option<Pairing>,
    /// Whether the database file has what came after the log.
    pub age: Age,
    /// The state that the log gives; `None` where it gives none.
    pub newest: Option<Newest>,
    /// It is not known what pages get in the database: nobody may write any. Left to the caller,
    /// who may write none.
    pub page_checksums: Option<Danger>,
    /// Processes that could not be looked into.
    pub unseen_processes: u32,
}

/// The size of a state of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its last frame.
    pub frames: u32,
    /// Different pages of it that are in the log.
    pub pages: u32,
}

/// Everything that the step would make final.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn dangers(scene: &Scene<'_>, effect: Effect, context: &Context) -> Result<Judgement> {
    let Scene { files, database, log, index, target, pairing } = *scene;
    let users = users::find(files, context);
    if users.unseen_processes > 0 && effect == Effect::Writes {
        let unseen = counted(users.unseen_processes.into(), "process");
        context.note(format!(
            "{unseen} of other users could not be looked into; only locks tell of them"
        ));
    }
    let mut found = Judgement {
        dangers: misused(&users, files, effect),
        unseen_processes: users.unseen_processes,
        ..Judgement::default()
    };
    found.dangers.extend(hot_journal(files, database, context)?);
    // What SQLite sees comes only after the rollback; until then the file is half written.
    let is_half_written = found.dangers.iter().any(|danger| danger.rule == Rule::JournalHot);
    let Some(log) = log else {
        found.dangers.extend(missing_log(files, context)?);
        if !is_half_written {
            found.dangers.extend(file_alone(files, database)?);
        }
        return Ok(found);
    };
    let Reading { file, examination, .. } = log;
    let attached = if index.is_some() { attached_process(files, context)? } else { None };
    found.dangers.extend(damaged_log(files, examination, attached));
    let Some(shape) = examination.shape.filter(|_| examination.prefix.mx_frame > 0) else {
        if found.dangers.is_empty() && index.is_none() {
            found.dangers.extend(shorter_log(files, examination, context)?);
        }
        found.dangers.extend(file_alone(files, database)?);
        return Ok(found);
    };
    let snapshot = log.snapshot(target, context.watch)?;
    let view = View::plain(file.as_ref(), &shape, &snapshot, database);
    let depth = if index.is_some() { Depth::Foreign } else { Depth::Newest };
    let judged = match pairing {
        Some(pairing) => Some(pairing.clone()),
        None => judge_pair(log, database, depth, context)?,
    };
    let is_damaged = found.dangers.iter().any(|danger| danger.rule == Rule::LogDamaged);
    if !is_damaged && index.is_none() {
        found.dangers.extend(shorter_log(files, examination, context)?);
    }
    let discarded = match effect {
        Effect::Looks => discarded_log(files, log, database, context)?,
        Effect::Copies | Effect::Writes => None,
    };
    let sizes = match discarded {
        Some(_) => None,
        None => contradicting_sizes(files, &view)?,
    };
    let (danger, age) = pair::danger(&pair::HeldPair {
        files,
        judged: judged.as_ref(),
        log: (!is_damaged && sizes.is_none()).then_some((file.as_ref(), examination)),
        sizes_contradict: !is_damaged && sizes.is_some(),
        only_looks: effect == Effect::Looks,
        is_newest: snapshot.to_frame == examination.prefix.mx_frame,
        database,
        thoroughly: index.is_none(),
        watch: context.watch,
    })?;
    // Sizes of two states of a database cannot fit. Who writes is refused for both.
    let is_explained = sizes.is_some() && danger.is_some() && effect == Effect::Looks;
    found.dangers.extend(danger);
    found.age = age;
    found.pairing = judged.filter(|_| index.is_none()).map(|judged| judged.beside(age));
    found.dangers.extend(sizes.filter(|_| !is_explained));
    if effect == Effect::Looks {
        found.dangers.extend(match discarded {
            Some(discarded) => Some(discarded),
            // A checkpoint sets it right.
            None => page_one_of_file(files, &view)?,
        });
        let log = (file.as_ref(), examination);
        let lost = pair::lost_checkpoint(&found, files, &view, log, context.watch)?;
        found.dangers.extend(lost);
    }
    let pages = u32::try_from(snapshot.pages.len()).unwrap_or(u32::MAX);
    found.page_checksums = unknown_page_checksums(files, &view)?;
    found.newest = Some(Newest { frames: snapshot.to_frame, pages });
    if let (Some(index), Some(database)) = (index, database) {
        found.backfill =
            false_backfill(index, file.as_ref(), examination, database, context.watch)?;
    }
    Ok(found)
}

/// Whether `log` and `database` belong together, by the newest state of both.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn judge_pair(
    log: &Reading,
    database: Option<&dyn File>,
    depth: Depth,
    context: &Context,
) -> Result<Option<Pairing>> {
    let Some(shape) = &log.examination.shape else { return Ok(None) };
    let newest = log.snapshot(Target::Last, context.watch)?;
    let view = View::plain(log.file.as_ref(), shape, &newest, database);
    let view = view.knowing(&log.examination.known);
    Ok(standing::judge(&view, depth, context.watch)?)
}

/// What speaks against writing the pages of `view` into a database, because nobody knows whether
/// they get checksums of their own there.
fn unknown_page_checksums(files: &Files, view: &View) -> Result<Option<Danger>> {
    let database = files.database.as_deref().unwrap_or(&files.wal);
    Ok(match replay::page_checksums(view)? {
        Wanted::NotKnown(doubt) => {
            let danger = Danger::new(Rule::PageChecksumsUnknown, database, doubt.to_string());
            Some(danger.advice(Doubt::HINT))
        }
        Wanted::Nothing | Wanted::Checksum => None,
    })
}

/// Processes that no lock keeps out.
#[must_use]
pub fn misusers(files: &Files, effect: Effect, context: &Context) -> Vec<Danger> {
    misused(&users::find(files, context), files, effect)
}

/// What contradicts in the state that `log` and `database` give, of which they need to stand still.
///
/// # Errors
/// When a file cannot be read.
pub fn contradictions(
    files: &Files,
    log: Option<&Reading>,
    database: Option<&dyn File>,
    context: &Context,
) -> Result<Option<Danger>> {
    let with_commits = |it: &&Reading| it.examination.prefix.mx_frame > 0;
    let shaped = log.filter(with_commits).and_then(|it| Some((it, it.examination.shape?)));
    let Some((log, shape)) = shaped else { return file_alone(files, database) };
    let snapshot = log.snapshot(Target::Last, context.watch)?;
    let view = View::plain(log.file.as_ref(), &shape, &snapshot, database);
    Ok(contradicting_sizes(files, &view)?.or(page_one_of_file(files, &view)?))
}

/// Page 1 of the file is lost, and only the log has it.
///
/// # Errors
/// When a page cannot be read.
pub fn page_one_of_file(files: &Files, view: &View<'_>) -> Result<Option<Danger>> {
    if !page_one_is_only_in_log(view)? {
        return Ok(None);
    }
    let why = "page 1 of the file is no database header; the log has page 1, and without the log \
               SQLite does not open the database";
    let file = database_of(files);
    let next = command("checkpoint-now", file);
    Ok(Some(Danger::new(Rule::PageOneLost, file, why).next(next, "copies it into the file")))
}

/// What a repair would make final: the result is `view`, so damage of the log and a hot journal are
/// dealt with already.
///
/// # Errors
/// As [`dangers`].
pub fn dangers_of_repair(
    files: &Files,
    view: Option<&View<'_>>,
    pairing: Option<&Pairing>,
    is_explained: bool,
    effect: Effect,
    context: &Context,
) -> Result<Vec<Danger>> {
    let mut dangers = misusers(files, effect, context);
    dangers.extend(missing_log(files, context)?);
    dangers.extend(pairing.and_then(|judged| match is_explained {
        // What is left of a damaged log contradicts its own file, and so does a newer file.
        true => pair::foreign(files, judged).filter(|_| judged.is_of_another_origin()),
        false => pair::foreign(files, judged).or_else(|| pair::unclear(files, judged)),
    }));
    if let Some(view) = view {
        dangers.extend(contradicting_sizes(files, view)?);
    }
    Ok(dangers)
}

fn database_of(files: &Files) -> &Path {
    files.database.as_deref().unwrap_or(&files.wal)
}

/// A rollback journal that would be played back, or that SQLite would delete with what it holds.
///
/// # Errors
/// When a file cannot be read.
pub fn hot_journal(
    files: &Files,
    database: Option<&dyn File>,
    context: &Context,
) -> Result<Option<Danger>> {
    let (Some(journal), Some(database)) = (&files.journal, database) else { return Ok(None) };
    let name = journal.display();
    let (rule, why) = match rollback::judge(context.vfs, database, journal)? {
        JournalState::Absent | JournalState::Cold(_) => return Ok(None),
        JournalState::Hot => (Rule::JournalHot, format!("the rollback journal {name} is hot")),
        JournalState::Discarded(Discarded::EmptyDatabase) => {
            let held = rollback::contents(context.vfs, Some(database), journal)?;
            if held.records == 0 {
                return Ok(None);
            }
            let pages = counted(held.pages.len() as u64, "page");
            let why = format!(
                "the database has no page, and SQLite would delete the rollback journal {name} \
                 unread, which holds {pages} of it"
            );
            (Rule::JournalDiscarded, why)
        }
        JournalState::Discarded(Discarded::Committed { super_journal, was_looked_for }) => {
            let gone = super_journal.display();
            let why = format!("the rollback journal {name} names the super-journal {gone}");
            match was_looked_for {
                true => (Rule::JournalHot, format!("{why}, which is gone: SQLite would delete it")),
                false => (
                    Rule::JournalDiscarded,
                    format!(
                        "{why}, of which not even the directory is here: SQLite would delete it, \
                         and nobody can know whether its transaction was committed"
                    ),
                ),
            }
        }
    };
    let danger = Danger::new(rule, database.path(), why);
    Ok(Some(danger.next(command("repair", database.path()), "shows what can be done with it")))
}

/// The wal-index counts frames as copied that are not there, and this step does not mend that.
#[must_use]
pub fn unmended_backfill(files: &Files, found: &FalseBackfill) -> Danger {
    let file = database_of(files);
    let danger = Danger::new(Rule::FalseBackfill, file, found.to_string());
    match found.is_last() {
        true => danger.next(command("checkpoint-now --mode full", file), "copies them again"),
        false => danger
            .advice("a later commit may have been made without these pages, and no number shows it")
            .unless(Consent::Loss),
    }
}

/// The same where another mode would mend it.
#[must_use]
pub fn kept_backfill(files: &Files, found: &FalseBackfill) -> Danger {
    let (words, what) = match found.is_last() {
        true => ("checkpoint-now --mode full", "copies them again"),
        false => (
            "checkpoint-now --mode full --accept-loss",
            "copies them again; a later commit may have been made without them",
        ),
    };
    let danger = unmended_backfill(files, found).next(command(words, database_of(files)), what);
    Danger { consent: None, ..danger }
}

fn contradicting_sizes(files: &Files, view: &View<'_>) -> Result<Option<Danger>> {
    let Some(found) = contradiction(view)? else { return Ok(None) };
    let file = database_of(files);
    let danger = Danger::new(found.rule(), file, found.to_string())
        .next(command("repair", file), "shows what can be set right");
    Ok(Some(match found {
        // No checkpoint copies such a log, whatever is accepted.
        Contradiction::Growth { .. } => danger,
        Contradiction::HeaderCountsMore { .. }
        | Contradiction::InUseBeyondHeader { .. }
        | Contradiction::PageOneLost { .. } => danger.unless(Consent::Loss),
    }))
}

/// The same of a database file without a log that matters.
fn file_alone(files: &Files, database: Option<&dyn File>) -> Result<Option<Danger>> {
    let Some(database) = database else { return Ok(None) };
    // A file that ends within its header is read as if zeros followed.
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let header = match database.read_at(&mut bytes, 0)? {
        0 => None,
        _ => Some(DatabaseHeader::decode(&bytes)),
    };
    let valid = header.as_ref().filter(|header| header.validate().is_ok());
    let page_size = match (valid, &header) {
        (Some(header), _) => header.page_size(),
        (None, Some(header)) if header.has_magic() => {
            // SQLite reads a first page of any size, and refuses it.
            Some(page_size_by_pages(database)?.unwrap_or(PageSize::DEFAULT))
        }
        (None, _) => page_size_by_pages(database)?,
    };
    let Some(page_size) = page_size else { return Ok(None) };
    let snapshot = Snapshot::default();
    contradicting_sizes(files, &View::of_file(database, page_size, &snapshot))
}

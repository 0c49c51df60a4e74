//! The safety rails: what keeps a command from writing.
//!
//! [`dangers`] is the one list of what a step would make final; every command that writes asks it first.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::analysis::image_sums::ImageSums;
use crate::analysis::newer::FileAge;
use crate::analysis::pairing::{self, Pairing};
use crate::analysis::snapshot::{Snapshot, Target, snapshot_of};
use crate::analysis::view::View;
use crate::analysis::{Examination, HeaderStatus, LogShape, Verdict};
use crate::engine::page_checksum::{Doubt, Wanted};
use crate::engine::rollback::{self, Discarded, Standing};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{
    Checksum, DatabaseHeader, FrameNo, PageSize, Pgno, WalHeaderFault, WalIndexHeader,
};
use crate::output::quantity::counted;
use crate::output::text::command;
use crate::repair::replay;
use crate::repair::undo::{Set, Stage};
use crate::storage::File;
use crate::storage::new_file::is_same_file;

use super::files::{Files, with_suffix};
use super::live::Reading;
use super::{Context, Failure, holders, live, missing, users};

mod backfill;
mod danger;
mod discarded;
mod pair;
mod processes;
mod sizes;

pub use backfill::{FalseBackfill, false_backfill};
pub use danger::{Accepted, Consent, Consents, Danger, refuse};
pub use discarded::discarded_log;
pub use processes::{Effect, copy_commands, copy_lines, misuse, process};
pub use sizes::{
    Contradiction, contradiction, fits_at_a_glance, page_one_is_only_in_log, page_size_by_pages,
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
pub struct Found {
    /// What the step would make final, worst first.
    pub dangers: Vec<Danger>,
    /// Frames that count as copied and are not: a checkpoint can mend that.
    pub backfill: Option<FalseBackfill>,
    /// Whether log and database belong together; `None` where it was not asked, or only quickly.
    pub pairing: Option<Pairing>,
    /// Whether the database file has what came after the log.
    pub file_age: FileAge,
    /// The state that the log gives; `None` where it gives none.
    pub newest: Option<Newest>,
    /// It is not known what pages get in the database: nobody may write any. Left to the caller, who
    /// may write none.
    pub page_checksums: Option<Danger>,
}

/// The size of a state of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its last frame.
    pub frames: u32,
    /// Different pages of it that stand in the log.
    pub pages: u32,
}

/// Everything that the step would make final.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn dangers(scene: &Scene<'_>, effect: Effect, context: &Context) -> Result<Found> {
    let Scene { files, database, log, index, target, pairing } = *scene;
    let users = users::find(files, context);
    if users.unseen_processes > 0 && effect == Effect::Writes {
        let unseen = counted(users.unseen_processes.into(), "process");
        context.note(format!(
            "{unseen} of other users could not be looked into; only locks tell of them"
        ));
    }
    let mut found =
        Found { dangers: processes::dangers(&users, files, effect), ..Found::default() };
    found.dangers.extend(hot_journal(files, database, context)?);
    // What SQLite sees comes only after the rollback; until then the file is half written.
    let is_half_written = found.dangers.iter().any(|danger| danger.rule == "journal-hot");
    let Some(Reading { file, examination }) = log else {
        found.dangers.extend(missing_log(files, context)?);
        if !is_half_written {
            found.dangers.extend(file_alone(files, database)?);
        }
        return Ok(found);
    };
    let attached = if index.is_some() { attached_process(files, context)? } else { None };
    found.dangers.extend(damaged_log(files, examination, attached));
    let Some(shape) = examination.shape.filter(|_| examination.prefix.mx_frame > 0) else {
        if found.dangers.is_empty() && index.is_none() {
            found.dangers.extend(shorter_log(files, examination, context)?);
        }
        found.dangers.extend(file_alone(files, database)?);
        return Ok(found);
    };
    let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    let facts = examination.facts(file.as_ref(), committed, context.watch);
    let snapshot = snapshot_of(facts, target)?;
    let view = View::plain(file.as_ref(), &shape, &snapshot, database);
    let judged = match pairing {
        Some(pairing) => Some(pairing.clone()),
        // Who is attached works with this pair.
        None if index.is_some() => pairing::judge_quickly(&view, context.watch)?,
        None => pairing::judge(&view, context.watch)?,
    };
    let is_damaged = found.dangers.iter().any(|danger| danger.rule == "log-damaged");
    if !is_damaged && index.is_none() {
        found.dangers.extend(shorter_log(files, examination, context)?);
    }
    let discarded = match log {
        Some(log) if effect == Effect::Looks => discarded_log(files, log, database, context)?,
        Some(_) | None => None,
    };
    let sizes = match discarded {
        Some(_) => None,
        None => contradicting_sizes(files, &view)?,
    };
    let (danger, file_age) = pair::danger(&pair::Pair {
        files,
        judged: judged.as_ref(),
        log: (!is_damaged && sizes.is_none()).then_some((file.as_ref(), examination)),
        database,
        thoroughly: index.is_none(),
        watch: context.watch,
    })?;
    found.dangers.extend(danger);
    found.file_age = file_age;
    found.pairing = judged.filter(|_| index.is_none()).map(|judged| judged.beside(file_age));
    found.dangers.extend(sizes);
    if effect == Effect::Looks {
        found.dangers.extend(match discarded {
            Some(discarded) => Some(discarded),
            // A checkpoint sets it right.
            None => page_one_of_file(files, &view)?,
        });
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

/// What speaks against writing the pages of `view` into a database, because nobody knows whether they
/// get checksums of their own there.
fn unknown_page_checksums(files: &Files, view: &View) -> Result<Option<Danger>> {
    let database = files.database.as_deref().unwrap_or(&files.wal);
    Ok(match replay::page_checksums(view)? {
        Wanted::NotKnown(doubt) => {
            let danger = Danger::new("page-checksums-unknown", database, doubt.to_string());
            Some(danger.advice(Doubt::HINT))
        }
        Wanted::Nothing | Wanted::Checksum => None,
    })
}

/// Processes that no lock keeps out.
#[must_use]
pub fn misusers(files: &Files, effect: Effect, context: &Context) -> Vec<Danger> {
    processes::dangers(&users::find(files, context), files, effect)
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
    let Some((Reading { file, examination }, shape)) = shaped else {
        return file_alone(files, database);
    };
    let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    let facts = examination.facts(file.as_ref(), committed, context.watch);
    let snapshot = snapshot_of(facts, Target::Last)?;
    let view = View::plain(file.as_ref(), &shape, &snapshot, database);
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
    let why = "page 1 of the file is no database header; the log has page 1, and without the log SQLite \
               does not open the database";
    let file = database_of(files);
    let next = command("checkpoint-now", file);
    Ok(Some(Danger::new("page-1-lost", file, why).next(next, "copies it into the file")))
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
        true => pair::foreign(files, judged),
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
        Standing::Absent | Standing::Cold(_) => return Ok(None),
        Standing::Hot => ("journal-hot", format!("the rollback journal {name} is hot")),
        Standing::Discarded(Discarded::EmptyDatabase) => {
            let held = rollback::contents(context.vfs, Some(database), journal)?;
            if held.records == 0 {
                return Ok(None);
            }
            let pages = counted(held.pages.len() as u64, "page");
            let why = format!(
                "the database has no page, and SQLite would delete the rollback journal {name} \
                 unread, which holds {pages} of it"
            );
            ("journal-discarded", why)
        }
        Standing::Discarded(Discarded::Committed { super_journal, was_looked_for }) => {
            let gone = super_journal.display();
            let why = format!("the rollback journal {name} names the super-journal {gone}");
            match was_looked_for {
                true => ("journal-hot", format!("{why}, which is gone: SQLite would delete it")),
                false => (
                    "journal-discarded",
                    format!(
                        "{why}, of which not even the directory is here: SQLite would delete it, and \
                         nobody can know whether its transaction was committed"
                    ),
                ),
            }
        }
    };
    let danger = Danger::new(rule, database.path(), why);
    Ok(Some(danger.next(command("repair", database.path()), "shows what can be done with it")))
}

/// A process that is attached.
fn attached_process(files: &Files, context: &Context) -> Result<Option<i32>> {
    let own = i32::try_from(std::process::id()).ok();
    let rows = holders::find(files, context)?.1;
    Ok(rows.iter().filter_map(|row| row.pid).find(|&pid| Some(pid) != own))
}

fn damaged_log(files: &Files, examination: &Examination, attached: Option<i32>) -> Option<Danger> {
    let rule = match examination.verdict {
        Verdict::Damaged => "log-damaged",
        Verdict::BadHeader => "log-header",
        Verdict::Unreadable
        | Verdict::Absent
        | Verdict::TornTail
        | Verdict::UncommittedTail
        | Verdict::Empty
        | Verdict::Clean => return None,
    };
    let word = examination.verdict.word();
    let why = format!("the log is {word}: committed transactions would be dropped for good");
    let danger = Danger::new(rule, &files.wal, why).unless(Consent::Loss);
    Some(match attached {
        // Stopping it alone would destroy the evidence.
        Some(pid) => {
            let then = format!("copies what is there; then stop process {pid}");
            Danger { pid: Some(pid), ..danger.next(copy_lines(files), &then) }
        }
        None => danger.next(command("verify-checksums", &files.wal), "says which"),
    })
}

/// The log ends before what an index of the same salts, which nobody uses, has committed.
fn shorter_log(
    files: &Files,
    examination: &Examination,
    context: &Context,
) -> Result<Option<Danger>> {
    let known = live::commit_of_index(files, examination, context)?;
    let given = examination.prefix.mx_frame;
    let known = known.filter(|&known| known > given);
    Ok(known.map(|known| cut_log(files, known, given).unless(Consent::Loss)))
}

/// The wal-index has committed `known` frames, and the log gives fewer.
#[must_use]
pub fn cut_log(files: &Files, known: u32, given: u32) -> Danger {
    let why = format!(
        "the wal-index knows {}, the log gives {given}: it was cut or damaged, or copied before the index",
        counted(known.into(), "committed frame")
    );
    let danger = Danger::new("log-cut", &files.wal, why);
    danger.next(command("repair", database_of(files)), "shows what can be recovered")
}

/// A log that a valid index knows to have had commits that were not copied, and that is gone.
fn missing_log(files: &Files, context: &Context) -> Result<Option<Danger>> {
    let Some(missing) = missing::find(files, context)? else { return Ok(None) };
    let danger = Danger::new("log-missing", &files.wal, missing.to_string());
    let next = command("info", database_of(files));
    Ok(Some(danger.next(next, "shows what is known of it").unless(Consent::Loss)))
}

/// The wal-index counts frames as copied that are not there, and this step does not mend that.
#[must_use]
pub fn unmended_backfill(files: &Files, found: &FalseBackfill) -> Danger {
    let file = database_of(files);
    let danger = Danger::new("false-backfill", file, found.to_string());
    match found.is_last() {
        true => danger.next(command("checkpoint-now --mode full", file), "copies them again"),
        false => danger
            .advice("a later commit may have been made without these pages, and no number shows it")
            .unless(Consent::Loss),
    }
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

/// What the rails of a log with commits look at.
pub struct Rails<'a> {
    /// The files that PATH means.
    pub files: &'a Files,
    /// The log.
    pub log: &'a dyn File,
    /// How its frames are read.
    pub shape: &'a LogShape,
    /// The result, as it is to be written.
    pub view: View<'a>,
}

/// The output is no input, no sidecar of one, has no sidecars of its own, and does not exist
/// unless `force` replaces it.
pub fn output_is_free(
    output: &Path,
    files: &Files,
    base: Option<&Path>,
    force: bool,
    context: &Context,
) -> Result<()> {
    let inputs = [base, Some(&files.wal), files.database.as_deref(), files.shm.as_deref()];
    let inputs = inputs.into_iter().chain([files.journal.as_deref()]).flatten();
    for input in inputs {
        if is_same_file(output, input) {
            let why = format!("it is an input of this replay, or a sidecar of {}", input.display());
            return Err(Failure::refused(output, why, "choose another --output").into());
        }
    }
    for suffix in ["-wal", "-journal", "-shm"] {
        let sidecar = with_suffix(output, suffix);
        if context.vfs.exists(&sidecar)? {
            let why = format!("SQLite would apply {} to it", sidecar.display());
            return Err(Failure::refused(output, why, "choose another --output").into());
        }
    }
    if !force && context.vfs.exists(output)? {
        let hint = "--force replaces it";
        return Err(Failure::refused(output, "it exists already", hint).into());
    }
    Ok(())
}

/// A database that an in-place command has half written is neither its old nor its new self.
pub fn no_change_was_cut_off(files: &Files, context: &Context) -> Result<()> {
    let Some(database) = &files.database else { return Ok(()) };
    match Set::peek(context.vfs, database)? {
        Some(Stage::Writing | Stage::Restored) => {
            let why = "an in-place command was cut off here, and the database is half written";
            let hint = format!("to put the old state back: {}", command("undo", database));
            Err(Failure::refused(database, why, hint).into())
        }
        Some(Stage::Done) | None => Ok(()),
    }
}

/// Under a wrong version SQLite sees nothing at all, whatever is accepted.
pub fn version_is_known(files: &Files, examination: &Examination) -> Result<()> {
    if examination.header_status == HeaderStatus::Fault(WalHeaderFault::Version) {
        let why = "the format version of the log is unknown: SQLite refuses to open the database";
        return Err(Failure::unsupported(&files.wal, why).into());
    }
    Ok(())
}

/// In place the log must be the database's own: another one would leave that beside pages that it
/// does not fit.
pub fn log_is_its_own(files: &Files) -> Result<()> {
    let Some(database) = &files.database else {
        let why = "no database belongs to it; --database names one";
        return Err(Failure::unsupported(&files.wal, why).into());
    };
    let own = with_suffix(database, "-wal");
    if is_same_file(&own, &files.wal) {
        return Ok(());
    }
    let why = format!("{} is not its own log", files.wal.display());
    let hint = "--output writes the result of this pair to a new file";
    Err(Failure::refused(database, why, hint).into())
}

/// Pages of a database file by its own header; `None` without one.
pub fn pages_of(database: Option<&dyn File>) -> Result<Option<u32>> {
    let Some(file) = database else { return Ok(None) };
    let Some(page_size) = header_of(file)?.and_then(|header| header.page_size()) else {
        return Ok(None);
    };
    Ok(u32::try_from(file.size()?.div_ceil(page_size.bytes_u64())).ok())
}

fn header_of(file: &dyn File) -> Result<Option<DatabaseHeader>> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    Ok((read == bytes.len()).then(|| DatabaseHeader::decode(&bytes)))
}

impl Rails<'_> {
    /// The log's page size is that of page 1 as SQLite reads it, and there is a base to write on.
    pub fn base_fits(&self, base_was_chosen: bool) -> Result<()> {
        let log_size = self.shape.page_size();
        let in_base = match self.view.base {
            Some(base) => header_of(base)?,
            None => None,
        };
        let in_log = self.page_1_in_log()?;
        let base_bytes = match self.view.base {
            Some(base) => base.size()?,
            None => 0,
        };
        if base_bytes <= 1 && !base_was_chosen {
            return Err(discarded::empty_base(self.files).into());
        }
        if self.view.base.is_none() {
            self.log_holds_every_page()?;
        }
        // SQLite takes the page size from the log's page 1 and would then misread the file; no
        // pair that belongs together disagrees. A damaged page 1 of the file does not count when
        // the log has a better one.
        let size_of = |header: Option<DatabaseHeader>| header.and_then(|header| header.page_size());
        // Without a header anywhere, the log alone tells; what SQLite makes of that is another rail.
        let valid = |header: &DatabaseHeader| header.validate().is_ok();
        let (in_log, in_base) = (in_log.filter(valid), in_base.filter(valid));
        let fits = |header: Option<DatabaseHeader>| size_of(header) == Some(log_size);
        let wrong = match (in_log, in_base) {
            (Some(_), _) if !fits(in_log) => in_log,
            (_, None) => return Ok(()),
            (_, _) if fits(in_base) => return Ok(()),
            (_, _) => in_base,
        };
        let found =
            size_of(wrong).map_or("no valid page size".to_owned(), |n| format!("{n} bytes"));
        let why = format!("page 1 has {found}, the log has pages of {log_size} bytes");
        Err(Failure::unsupported(self.database(), why).into())
    }

    fn database(&self) -> &Path {
        self.files.database.as_deref().unwrap_or(&self.files.wal)
    }

    /// The database header of the result, where the log has it.
    fn page_1_in_log(&self) -> Result<Option<DatabaseHeader>> {
        match self.view.snapshot.pages.get(&Pgno::FIRST) {
            Some(_) => Ok(Some(self.header_of_result()?)),
            None => Ok(None),
        }
    }

    /// It is known whether pages get checksums of their own in the result, where any are written.
    pub fn page_checksums_are_known(&self) -> Result<()> {
        let danger = unknown_page_checksums(self.files, &self.view)?;
        refuse(danger.into_iter().collect(), Consents::default()).map(drop)
    }

    /// The database header of the result.
    fn header_of_result(&self) -> Result<DatabaseHeader> {
        let mut image = vec![0; self.shape.page_size().in_memory()];
        self.view.read(Pgno::FIRST, &mut image)?;
        Ok(DatabaseHeader::decode(image.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES])))
    }

    fn log_holds_every_page(&self) -> Result<()> {
        let missing = discarded::missing_pages(self.view.snapshot, self.shape.page_size());
        let shown: Vec<String> = missing.clone().take(8).map(|page| page.to_string()).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let count = missing.count();
        let list = shown.join(", ");
        let more = if count > shown.len() { ", ..." } else { "" };
        let why = format!("the log does not hold every page: {count} missing ({list}{more})");
        Err(Failure::unsupported(&self.files.wal, why).into())
    }

    /// The point-in-time trap: what a checkpoint has copied into the base cannot be taken out. Only
    /// pages that the snapshot takes from the base matter.
    pub fn past_was_not_overwritten(
        &self,
        examination: &Examination,
        base_is_own: bool,
        context: &Context,
    ) -> Result<()> {
        let Some(base) = self.view.base else { return Ok(()) };
        // Before the first transaction the size is that of the base, whatever it was.
        let size = self.view.snapshot.db_size_pages.unwrap_or(u32::MAX);
        let later =
            FrameNo(self.view.snapshot.to_frame + 1)..FrameNo(examination.prefix.mx_frame + 1);
        let page_1 = self.page_1_in_log()?;
        let images = ImageSums::of(self.log, self.shape, base, page_1.as_ref())?;
        let mut in_base: BTreeMap<Pgno, Option<Checksum>> = BTreeMap::new();
        for facts in self.shape.facts(self.log, later, context.watch) {
            let facts = facts?;
            let page = facts.header.page;
            if page.0 > size || self.view.snapshot.pages.contains_key(&page) {
                continue;
            }
            let sum = match in_base.get(&page) {
                Some(sum) => *sum,
                None => images.of_page(page)?,
            };
            in_base.insert(page, sum);
            if sum == Some(images.of_frame(&facts)?) {
                return Err(self.gone(&format!("page {page} is there as of frame {}", facts.frame)));
            }
        }
        if base_is_own && !in_base.is_empty() && self.index_says_copied(context)? {
            return Err(self.gone("its wal-index says so"));
        }
        let base_pages = base.size()? / self.shape.page_size().bytes_u64();
        let cut = in_base.keys().find(|page| u64::from(page.0) > base_pages);
        match cut.filter(|_| self.view.snapshot.db_size_pages.is_some()) {
            Some(page) => Err(self.gone(&format!("page {page} was cut off"))),
            None => Ok(()),
        }
    }

    fn index_says_copied(&self, context: &Context) -> Result<bool> {
        let Some(shm) = self.files.open_shm(context.vfs)? else { return Ok(false) };
        let mut bytes = [0; 136];
        if shm.read_at(&mut bytes, 0)? < bytes.len() {
            return Ok(false);
        }
        let index = WalIndexHeader::decode(&bytes);
        Ok(index.validate().is_ok()
            && index.salts == self.shape.salts
            && index.backfill > self.view.snapshot.to_frame)
    }

    fn gone(&self, evidence: &str) -> anyhow::Error {
        let why = format!(
            "the state after frame {} is gone: the log was copied into the database past it \
             ({evidence})",
            self.view.snapshot.to_frame
        );
        let hint = "--base FILE takes a copy of the database from before that checkpoint";
        Failure::refused(self.database(), why, hint).into()
    }
}

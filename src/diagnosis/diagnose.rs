//! The whole diagnosis of a set of files.

use std::cmp::Reverse;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::access::failure::is_busy;
use crate::access::files::{Files, Unread};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::holders::{self, Blocker};
use crate::access::live::Reading;
use crate::access::{Context, missing};
use crate::database::opaque::looks_encrypted;
use crate::database::{self, FilePages};
use crate::format::PageSize;
use crate::format::lock_bytes::SHARED_BYTES;
use crate::history::snapshot::{Snapshot, Target};
use crate::history::standing::Pairing;
use crate::history::view::View;
use crate::log::{Examination, Recoverable};
use crate::output::FileName;
use crate::output::quantity::counted;
use crate::output::text::command;
use crate::scan::KnownFrames;
use crate::storage::LockMode;

use super::finding::{Finding, Severity};
use super::forecast::{self, Forecast};
use super::judge;
use super::probe;
use super::rails::{self, Effect};
use super::rights::{Account, Rights};
use super::rule::Rule;
use super::users;

/// Problems of the structure that are listed.
const LISTED_PROBLEMS: usize = 5;

/// How a diagnosis is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How the state is held while log and database are compared.
    pub hold: HoldArgs,
    /// The structure of the whole state is checked, too.
    pub check: bool,
    /// For whom SQLite opens the files.
    pub account: Account,
}

/// What a set of files suffers from, and what SQLite does to it.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// The database; `None` for a log under a foreign name.
    pub database: Option<FileName>,
    /// The log, whether or not it is there.
    pub wal: FileName,
    /// The diagnosis in one sentence.
    pub diagnosis: String,
    /// What must be known, worst first.
    pub findings: Vec<Finding>,
    /// What SQLite does when one more process opens the database.
    pub forecast: Forecast,
    /// Processes that could not be looked into: only locks tell of them.
    pub unseen_processes: u32,
}

/// Examines everything that `files` are, and changes nothing.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn diagnose(files: &Files, options: &Options, context: &Context) -> Result<Diagnosis> {
    let rows = match files.open_database(context.vfs) {
        Ok(Some(_)) => holders::find(files, context)?.1,
        Ok(None) | Err(_) => Vec::new(),
    };
    let Content { mut findings, forecast, doubt, unseen_processes } =
        content(files, &rows, options, context)?;
    findings.extend(probe::readers::findings(files, &rows));
    findings.extend(probe::sqlite::findings(files, &rows));
    findings.extend(probe::places::findings(files));
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(Diagnosis {
        database: files.database.as_deref().map(FileName::from),
        wal: FileName::from(&files.wal),
        diagnosis: sentence(&findings, forecast, doubt),
        findings,
        forecast,
        unseen_processes,
    })
}

/// What the files hold, and who uses them without a lock.
struct Content {
    findings: Vec<Finding>,
    forecast: Forecast,
    doubt: Doubt,
    unseen_processes: u32,
}

/// What of file and log is not known, where nothing is wrong with what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    /// Whether the file is later than the log.
    Time,
    /// Whether the structure of all of it is sound: it is too large.
    Whole,
}

/// What the files hold, as far as they can be read.
fn content(
    files: &Files,
    rows: &[Blocker],
    options: &Options,
    context: &Context,
) -> Result<Content> {
    let unread = files.unread(context.vfs)?;
    if !unread.is_empty() {
        let rights = Rights::of(&options.account, files);
        return Ok(Content {
            findings: unread.iter().map(|file| not_openable(files, file)).collect(),
            forecast: Forecast::of_unread(&rights, files),
            doubt: Doubt::None,
            unseen_processes: users::find(files, context).unseen_processes,
        });
    }
    if missing::find(files, context)?.is_some_and(|missing| missing.is_attached) {
        // Nothing can be held of a log that only its users still have.
        return without_state(files, Forecast::UNKNOWN, context);
    }
    let held = held::hold(files, &options.hold, KnownFrames::LIMIT, context, |held| {
        of_held(files, held, rows, options, context)
    });
    match held {
        Ok(found) => Ok(found),
        Err(error) if is_busy(&error) => {
            context.warn(format!("{error:#}: log and database could not be compared"));
            let forecast = match is_exclusive(files, context)? {
                true => Forecast::exclusive(),
                false => Forecast::UNKNOWN,
            };
            without_state(files, forecast, context)
        }
        Err(error) => Err(error),
    }
}

fn of_held(
    files: &Files,
    held: &Held,
    rows: &[Blocker],
    options: &Options,
    context: &Context,
) -> Result<Content> {
    let judged = judge(files, held, context)?;
    let mut findings = judged.findings;
    if let Some(Reading { examination, .. }) = &held.log {
        for finding in &mut findings {
            say_what_is_damaged(finding, files, examination, held.index.is_none());
        }
        let own = i32::try_from(std::process::id()).ok();
        let is_blocked = rows.iter().any(|row| !row.blocks.is_empty() && row.pid != own);
        let index = held.index.as_ref();
        let found = probe::log::findings(files, examination, index, is_blocked);
        // What would copy the log is refused beside an error.
        let is_wrong = findings.iter().any(Finding::is_error);
        let has_all = judged.age.is_newest_state;
        let is_false = |it: &Finding| it.rule == Rule::OnlyInLog && has_all;
        let found = found.into_iter().filter(|it| !is_false(it));
        findings.extend(found.filter(|it| !is_wrong || it.needs_attention()));
    }
    findings.extend(encrypted(files, held)?);
    findings.extend(orphan(files, held, &findings, context)?);
    // Of a database that is not there, the log alone is no state.
    if options.check && held.database.is_some() {
        findings.extend(structure(files, held, context)?);
    }
    let is_open = judged.pairing.as_ref().is_some_and(Pairing::is_open_in_time);
    let is_open_in_time = is_open && !judged.age.is_newest_state;
    let mut full = forecast::forecast(files, held, judged.age.file, context)?;
    // Pages that are none of the log's may be later ones.
    let has_others = judged.pairing.as_ref().is_some_and(Pairing::has_images);
    if is_open_in_time && has_others && held.index.is_none() {
        full.taken_back = full.taken_back.filter(|it| *it);
    }
    let is_attached = held.index.is_some();
    let rights = Rights::of(&options.account, files);
    let forecast = full.limited(&rights, is_attached);
    findings.extend(probe::permissions::finding(files, &options.account, &rights, forecast));
    if let Some(owner) = options.account.owner_of(files) {
        let rights = Rights::of(&owner, files);
        let forecast = full.limited(&rights, is_attached);
        findings.extend(probe::permissions::finding(files, &owner, &rights, forecast));
    }
    let unseen_processes = judged.unseen_processes;
    let is_too_large = judged.pairing.as_ref().is_some_and(|pairing| pairing.is_too_large);
    let doubt = match is_open_in_time {
        true => Doubt::Time,
        false if is_too_large && !options.check => Doubt::Whole,
        false => Doubt::None,
    };
    Ok(Content { findings, forecast, doubt, unseen_processes })
}

/// A damaged log: where, what is lost by it, and how much of that can be recovered.
fn say_what_is_damaged(
    finding: &mut Finding,
    files: &Files,
    examination: &Examination,
    is_alone: bool,
) {
    if !matches!(finding.rule, Rule::LogDamaged | Rule::LogHeader) {
        return;
    }
    if let (Some(first), Some(page_size)) = (examination.damaged.first(), examination.page_size()) {
        finding.frame = Some(first.frame.0);
        finding.offset_bytes = Some(first.frame.offset_bytes(page_size));
    }
    if let Some(lost) = &examination.lost {
        finding.evidence.push(format!(
            "SQLite sees {} and would drop {} in {}",
            counted(examination.prefix.transactions.into(), "transaction"),
            counted(lost.transactions.into(), "later one"),
            counted(lost.frames.into(), "frame"),
        ));
        let what = match lost.recoverable {
            Recoverable::All => "all of it can be recovered",
            Recoverable::Some => "a part can be recovered, or all of it under a doubt",
            Recoverable::None => "nothing of it can be recovered from the log",
        };
        finding.evidence.push(what.to_owned());
    }
    // Beside processes the files are copied first: the last one that closes deletes the log.
    if is_alone {
        let path = files.database.as_deref().unwrap_or(&files.wal);
        finding.next = Some(command("repair", path));
    }
}

/// What can be said where no state can be held: who uses the files, and what lies beside them.
fn without_state(files: &Files, forecast: Forecast, context: &Context) -> Result<Content> {
    let users = users::find(files, context);
    let mut findings: Vec<Finding> =
        rails::misused(&users, files, Effect::Looks).into_iter().map(Finding::from).collect();
    findings.extend(rails::missing_log(files, context)?.map(Finding::from));
    let unseen_processes = users.unseen_processes;
    Ok(Content { findings, forecast, doubt: Doubt::None, unseen_processes })
}

fn is_exclusive(files: &Files, context: &Context) -> Result<bool> {
    let Some(database) = files.open_database(context.vfs)? else { return Ok(false) };
    Ok(database.lock_holder(SHARED_BYTES, LockMode::Shared)?.is_some())
}

fn not_openable(files: &Files, unread: &Unread) -> Finding {
    let message = format!("this user cannot read it: {}", unread.why);
    let path = files.path_of(unread.role).unwrap_or(&files.wal).to_owned();
    Finding::new(Rule::NotOpenable, path, message)
}

/// Pages that nobody can read without a key.
fn encrypted(files: &Files, held: &Held) -> Result<Option<Finding>> {
    let (Some(file), Some(path)) = (held.database.as_deref(), &files.database) else {
        return Ok(None);
    };
    // Only the log says how long an encrypted page is.
    let by_log = held.log.as_ref().and_then(|log| log.examination.page_size());
    let page_size = by_log.unwrap_or(PageSize::DEFAULT);
    if file.size()? < page_size.bytes_u64() || !looks_encrypted(&FilePages::new(file, page_size)?)?
    {
        return Ok(None);
    }
    let message = "the pages look encrypted: frames and commits can be judged, rows cannot";
    Ok(Some(Finding::new(Rule::Encrypted, path.clone(), message.to_owned())))
}

/// A file that has lost its database.
fn orphan(
    files: &Files,
    held: &Held,
    findings: &[Finding],
    context: &Context,
) -> Result<Option<Finding>> {
    if held.database.is_some() || findings.iter().any(Finding::is_error) {
        return Ok(None);
    }
    let of = |rule: Rule, path: &std::path::Path, what: &str| {
        Some(Finding::new(rule, path.to_owned(), format!("{what} without its database")))
    };
    if held.log.is_some() {
        return Ok(of(Rule::OrphanLog, &files.wal, "a log"));
    }
    if let Some(journal) = files.lone_journal(context.vfs)? {
        return Ok(of(Rule::OrphanJournal, journal, "a rollback journal"));
    }
    Ok(match &files.shm {
        Some(shm) if context.vfs.exists(shm)? => of(Rule::OrphanIndex, shm, "a wal-index"),
        Some(_) | None => None,
    })
}

/// The structure of the state that SQLite sees.
fn structure(files: &Files, held: &Held, context: &Context) -> Result<Option<Finding>> {
    let with_commits = |log: &&Reading| log.examination.prefix.mx_frame > 0;
    let log = held.log.as_ref().filter(with_commits);
    let shaped = log.and_then(|log| Some((log, log.examination.shape?)));
    let health = match (shaped, held.database.as_deref()) {
        (Some((log, shape)), database) => {
            let snapshot = log.snapshot(Target::Last, context.watch)?;
            let view = View::plain(log.file.as_ref(), &shape, &snapshot, database);
            database::check(&view, context.watch)
        }
        (None, Some(file)) => {
            let header = database::header_of_file(file)?;
            let Some(page_size) = header.and_then(|it| it.page_size()) else { return Ok(None) };
            let snapshot = Snapshot::default();
            database::check(&View::of_file(file, page_size, &snapshot), context.watch)
        }
        (None, None) => return Ok(None),
    }
    .context("structure check")?;
    if health.is_sound() {
        return Ok(None);
    }
    let path = files.database.clone().unwrap_or_else(|| files.wal.clone());
    let message = format!("the structure has {}", counted(health.problem_count, "problem"));
    let listed = health.problems.iter().take(LISTED_PROBLEMS);
    let found = Finding::new(Rule::Structure, path, message);
    let page = health.problems.first().and_then(|problem| problem.page);
    let evidence = listed.map(ToString::to_string).collect();
    Ok(Some(Finding { page: page.map(|page| page.0), evidence, ..found }))
}

/// The worst that was found; or what can be said where nothing wrong was found.
fn sentence(findings: &[Finding], forecast: Forecast, doubt: Doubt) -> String {
    let count =
        |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let worst = findings.first().filter(|finding| finding.needs_attention());
    let Some(worst) = worst else {
        let rest = match (forecast.open, forecast.log) {
            (forecast::Open::Ok, forecast::Log::None)
                if forecast.checkpoint == forecast::Checkpoint::Ok =>
            {
                "; there is no log, and whether one was lost is not known here"
            }
            (forecast::Open::Ok, _) if forecast.taken_back.is_none() => {
                "; but whether the file has later pages than the log, which would take them back, \
                 is not known"
            }
            (forecast::Open::Ok, _) => match doubt {
                Doubt::None => "",
                Doubt::Time => {
                    "; but nothing tells whether the file is later than the log, which would take \
                     it back"
                }
                Doubt::Whole => {
                    "; but the database is too large for all of it to be looked at here \
                     (walsmith check does that)"
                }
            },
            (_, _) => "; but SQLite does not open them, or whether it does is not known",
        };
        return format!("nothing wrong was found{rest}");
    };
    let rest: Vec<String> = [(errors, "error"), (warnings, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| counted(count, noun))
        .collect();
    format!("{}: {}", rest.join(", "), worst.message)
}

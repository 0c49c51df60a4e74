//! Whether rows of earlier states can be believed: pages that the log does not have come from the
//! file, which must be what the log was written on.

use anyhow::Result;
use serde::Serialize;

use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::holders;
use crate::access::{Context, Failure};
use crate::format::FrameNo;
use crate::history::lost_commits;
use crate::history::snapshot::Snapshot;
use crate::history::standing::newer::{self, Age, FileAge};
use crate::history::standing::{self, Belonging, Depth, Pairing};
use crate::history::view::View;
use crate::log::{ExamineOptions, examine_with};
use crate::output::text::command;
use crate::storage::window::Window;

use super::finding::Finding;
use super::judge::judge;
use super::rule::Rule;

/// What makes the file another one than the log was written on, or only a part of it; and whether
/// it may come of a last state that contradicts itself, whatever the states before it are.
const TELL: [(Rule, bool); 10] = [
    (Rule::PairForeign, true),
    (Rule::PairUnclear, true),
    (Rule::PairFork, true),
    (Rule::FileNewer, true),
    (Rule::FileOlder, true),
    (Rule::SizesContradict, true),
    (Rule::FalseBackfill, false),
    (Rule::LostCheckpoint, false),
    (Rule::PageOneLost, true),
    (Rule::JournalHot, false),
];

/// What is said where something speaks for the pair, but another copy of the database may have it.
pub const NOTHING_PROVES: &str = "nothing proves that the file is the one that the log was \
                                  written on, and has no later pages, though all fits; if not, \
                                  rows of earlier states are wrong";

/// Why a state is not written to the database where nothing tells whether the file is of the log's
/// time.
pub const MAY_BE_NEWER: &str = "whether the file has later pages than the log is not known; if it \
                                has, the state that is written is none that ever was";

/// What makes states that take pages from the file be none that ever was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What it is.
    pub why: String,
    /// The states that it is about.
    pub about: Doubted,
}

/// States that a doubt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubted {
    /// It may come of the newest one alone, whatever the states before it are.
    Newest,
    /// Every one.
    All,
    /// Those before the newest, which is the file itself.
    Earlier,
}

impl Doubt {
    /// The refusal to show such states.
    #[must_use]
    pub fn refusal(&self, files: &Files) -> Failure {
        let path = files.database.as_deref().unwrap_or(&files.wal);
        let why = format!("{}: states of it would be none that ever was", self.why);
        let hint = format!("{}; --accept-foreign shows them anyway", command("doctor", path));
        Failure::refused(path, why, hint)
    }
}

/// Whether the file is what the log was written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairProof {
    /// Attached processes have written the whole log, or the file has what only this log can have
    /// put there.
    Proven,
    /// Something speaks for it, and nothing against it.
    Likely,
    /// Nothing tells.
    Unknown,
    /// It is not, and that was accepted.
    Contradicted,
}

/// Refuses where a state that takes pages from the file would be one that never was; with `accept`,
/// says so on stderr. `None` where there is no file, or no committed frame.
///
/// # Errors
/// [`Failure::Refused`], and when a file cannot be read.
pub fn states_can_be_told(
    files: &Files,
    held: &Held,
    accept: bool,
    context: &Context,
) -> Result<Option<PairProof>> {
    let doubt = doubt_about_states(files, held, context)?;
    doubt.iter().filter_map(StateDoubt::note).for_each(|note| context.note(note));
    can_be_told(doubt, files, held, accept, context)
}

/// The same for the newest state alone, which is what SQLite sees: without what is only said of
/// earlier ones.
///
/// # Errors
/// As [`states_can_be_told`].
pub fn newest_can_be_told(
    files: &Files,
    held: &Held,
    accept: bool,
    context: &Context,
) -> Result<Option<PairProof>> {
    let doubt = match doubt_about_states(files, held, context)? {
        Some(StateDoubt::Proven(Doubt { about: Doubted::Earlier, .. })) => Some(StateDoubt::Open),
        doubt => doubt,
    };
    can_be_told(doubt, files, held, accept, context)
}

fn can_be_told(
    doubt: Option<StateDoubt>,
    files: &Files,
    held: &Held,
    accept: bool,
    context: &Context,
) -> Result<Option<PairProof>> {
    let pair = doubt.as_ref().map_or(PairProof::Proven, StateDoubt::pair);
    match doubt {
        Some(StateDoubt::Proven(doubt)) if accept => context.warn(doubt.why),
        Some(StateDoubt::Proven(doubt)) => return Err(doubt.refusal(files).into()),
        Some(StateDoubt::Open | StateDoubt::Unproven) | None => {}
    }
    Ok(is_pair(held).then_some(pair))
}

/// What speaks against the states of the log over the file. Where too little is known, that is said
/// on stderr.
///
/// # Errors
/// When a file cannot be read.
pub fn doubt_of_states(files: &Files, held: &Held, context: &Context) -> Result<Option<Doubt>> {
    let doubt = doubt_about_states(files, held, context)?;
    doubt.iter().filter_map(StateDoubt::note).for_each(|note| context.note(note));
    Ok(match doubt {
        Some(StateDoubt::Proven(doubt)) => Some(doubt),
        Some(StateDoubt::Open | StateDoubt::Unproven) | None => None,
    })
}

/// Why states that take pages from the file may be none that ever was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDoubt {
    /// They are not.
    Proven(Doubt),
    /// Nothing tells whether the file has later pages than the log.
    Open,
    /// Something speaks for the pair, but another copy of the database may have it, too.
    Unproven,
}

impl StateDoubt {
    /// What is said of earlier states where too little is known.
    fn note(&self) -> Option<&'static str> {
        match self {
            Self::Proven(_) => None,
            Self::Open => Some(
                "whether the file has later pages than the log is not known; if it has, rows and \
                 tables shown for earlier states are wrong",
            ),
            Self::Unproven => Some(NOTHING_PROVES),
        }
    }

    fn pair(&self) -> PairProof {
        match self {
            Self::Proven(_) => PairProof::Contradicted,
            Self::Open => PairProof::Unknown,
            Self::Unproven => PairProof::Likely,
        }
    }
}

/// What is to be doubted about the states of `held`, if anything is.
///
/// # Errors
/// When a file cannot be read.
pub fn doubt_about_states(
    files: &Files,
    held: &Held,
    context: &Context,
) -> Result<Option<StateDoubt>> {
    let judged = judge(files, held, context)?;
    let is_tell = |finding: &&Finding| {
        TELL.iter().any(|(rule, _)| *rule == finding.rule)
            && (finding.is_error() || finding.rule == Rule::JournalHot)
    };
    let found = judged.findings.iter().filter(is_tell);
    let (of_the_newest, others): (Vec<&Finding>, Vec<&Finding>) =
        found.partition(|finding| TELL.contains(&(finding.rule, true)));
    let proven = |why: String, about| Ok(Some(StateDoubt::Proven(Doubt { why, about })));
    if let Some(finding) = others.first() {
        return proven(finding.message.clone(), Doubted::All);
    }
    if let Some(why) = lost_commits_in_file(files, held, context)? {
        return proven(why, Doubted::All);
    }
    if let Some(finding) = of_the_newest.first() {
        return proven(finding.message.clone(), Doubted::Newest);
    }
    // As a warning it is about a file that is the newest state.
    if let Some(finding) = judged.findings.iter().find(|it| it.rule == Rule::PairUnclear) {
        return proven(finding.message.clone(), Doubted::Earlier);
    }
    if is_written_by_users(held) {
        return Ok(None);
    }
    let pairing = judged.pairing.as_ref();
    if is_open_in_time(pairing, judged.age) {
        return Ok(Some(StateDoubt::Open));
    }
    Ok(match pairing {
        Some(pairing) if pairing.verdict == Belonging::Same => None,
        Some(_) => Some(StateDoubt::Unproven),
        // Nothing of the file could be compared: it is empty, say.
        None => is_pair(held).then_some(StateDoubt::Open),
    })
}

/// Whether attached processes have written the whole log on this file: their index counts a change
/// for each of its commits, and begins with none where it was built from a log that was there
/// (wal.c walIndexRecover).
fn is_written_by_users(held: &Held) -> bool {
    let (Some(index), Some(log)) = (&held.index, &held.log) else { return held.index.is_some() };
    index.change >= log.examination.prefix.transactions
}

/// Whether nothing tells whether the file has later pages than the log.
#[must_use]
pub fn is_open_in_time(pairing: Option<&Pairing>, age: Age) -> bool {
    // A log that was copied whole may be from long before the file.
    let may_be_newer = age.file == FileAge::MayBeNewer || age.has_all;
    may_be_newer || pairing.is_some_and(Pairing::is_open_in_time)
}

/// Whether there is a file, and a log with a committed frame.
fn is_pair(held: &Held) -> bool {
    let mx_frame = held.log.as_ref().map_or(0, |log| log.examination.prefix.mx_frame);
    held.database.is_some() && mx_frame > 0
}

/// Whether nothing speaks against the log, up to the state of `snapshot`, being that of the file.
/// Nothing tells of the file alone.
///
/// # Errors
/// When a file cannot be read.
pub fn is_its_log_up_to(
    files: &Files,
    held: &Held,
    snapshot: &Snapshot,
    context: &Context,
) -> Result<bool> {
    let (Some(log), Some(base)) = (files.open_wal(context.vfs)?, &held.database) else {
        return Ok(false);
    };
    let whole = held.log.as_ref().and_then(|log| log.examination.shape);
    let Some(shape) = whole.filter(|_| snapshot.to_frame > 0) else { return Ok(false) };
    let end = FrameNo(snapshot.to_frame).next().offset_bytes(shape.page_size());
    let log = Window::new(log, end);
    let options = ExamineOptions { database: Some(base.as_ref()), known_frames: 0 };
    let examination = examine_with(&log, options, context.watch)?;
    let Some(shape) = examination.shape else { return Ok(false) };
    if examination.prefix.mx_frame != snapshot.to_frame {
        return Ok(false);
    }
    let age = newer::file_age(&log, base.as_ref(), &examination, true, context.watch)?;
    let view = View::plain(&log, &shape, snapshot, Some(base.as_ref()));
    let pairing = standing::judge(&view, Depth::States, context.watch)?;
    let belongs = |pairing: &Pairing| {
        pairing.verdict != Belonging::Foreign
            && !pairing.is_contradicted()
            && !pairing.takes_all_back()
    };
    Ok(age.file != FileAge::Newer && pairing.as_ref().is_some_and(belongs))
}

/// What shows that the file has pages of commits that a damaged log has lost, or may have some.
fn lost_commits_in_file(files: &Files, held: &Held, context: &Context) -> Result<Option<String>> {
    let (Some(log), Some(database)) = (&held.log, &held.database) else { return Ok(None) };
    let examination = &log.examination;
    let mx_frame = examination.prefix.mx_frame;
    let file = database.as_ref();
    let copied = lost_commits::copied_into(log.file.as_ref(), file, examination, context.watch)?;
    if let Some((page, frame)) = copied {
        return Ok(Some(format!(
            "page {page} of the database is there as of frame {frame}, and SQLite sees the log up \
             to frame {mx_frame}"
        )));
    }
    let index = match held.index {
        Some(_) => None,
        None => holders::read_index(files, context)?,
    };
    let own = index.filter(|it| examination.shape.is_some_and(|shape| shape.salts == it.salts));
    let attempted = own.map_or(0, |index| index.backfill_attempted);
    Ok((attempted > mx_frame).then(|| {
        format!(
            "the wal-index says that frames up to {attempted} may have been copied, and SQLite \
             sees the log up to frame {mx_frame}"
        )
    }))
}

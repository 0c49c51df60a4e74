//! Log and database that do not belong together, or not in time.

use anyhow::Result;

use crate::access::files::Files;
use crate::database;
use crate::diagnosis::rule::Rule;
use crate::format::Pgno;
use crate::history::lost_pages::{self, LostPages};
use crate::history::standing::newer::{self, Age, FileAge};
use crate::history::standing::{self, Order, Pairing};
use crate::history::view::View;
use crate::log::Examination;
use crate::output::quantity::counted;
use crate::output::text::command;
use crate::scan::Watch;
use crate::storage::File;

use super::{Consent, Danger, Judgement, database_of};

/// Lost pages that are named.
const NAMED_PAGES: usize = 4;

/// A log and a database, held still.
pub(super) struct HeldPair<'a> {
    pub files: &'a Files,
    pub judged: Option<&'a Pairing>,
    /// The log; `None` where it is damaged, or sizes contradict each other, which explains the
    /// rest.
    pub log: Option<(&'a dyn File, &'a Examination)>,
    /// Sizes contradict each other.
    pub sizes_contradict: bool,
    /// Nothing is written.
    pub only_looks: bool,
    /// The step is about the newest state.
    pub is_newest: bool,
    pub database: Option<&'a dyn File>,
    /// Nobody is attached: what content says is asked as well.
    pub thoroughly: bool,
    pub watch: &'a dyn Watch,
}

/// What a step that puts the log over the file would make final, and whether the file may be newer.
pub(super) fn danger(pair: &HeldPair<'_>) -> Result<(Option<Danger>, Age)> {
    if let Some(foreign) = pair.judged.and_then(|judged| foreign(pair.files, judged)) {
        return Ok((Some(foreign), Age::default()));
    }
    // A wrong size makes another state of the log.
    let only_looks = pair.only_looks && !pair.sizes_contradict;
    let age = match (pair.log, pair.database) {
        (Some((log, examination)), Some(database)) => {
            Some(newer::file_age(log, database, examination, pair.thoroughly, pair.watch)?)
        }
        (_, _) => None,
    };
    let takes_all_back = only_looks && !age.is_some_and(|age| age.is_newest_state);
    if let Some(judged) = pair.judged.filter(|it| takes_all_back && it.takes_all_back()) {
        return Ok((Some(of_contradiction(pair.files, judged)), Age::default()));
    }
    let Some(age) = age else {
        let other_state = pair.judged.filter(|it| pair.sizes_contradict && it.is_another_state());
        let danger = other_state.map(|judged| of_contradiction(pair.files, judged));
        return Ok((danger, Age::default()));
    };
    let danger = match age.file {
        FileAge::Newer => {
            let is_other = |it: &&Pairing| it.order_beside(age) != Order::FileNewer;
            Some(match pair.judged.filter(is_other) {
                Some(judged) => of_contradiction(pair.files, judged),
                None => newer_file(pair.files),
            })
        }
        FileAge::MayBeNewer | FileAge::NotNewer => pair.judged.and_then(|judged| match age {
            Age { is_newest_state: true, .. } if pair.is_newest => {
                earlier_states(pair.files, judged).filter(|_| only_looks)
            }
            _ => unclear(pair.files, judged),
        }),
    };
    Ok((danger, age))
}

/// The log is another database's.
pub(super) fn foreign(files: &Files, judged: &Pairing) -> Option<Danger> {
    let is_foreign = judged.verdict == standing::Belonging::Foreign;
    is_foreign.then(|| {
        let why = format!("the log is another database's: {}", reasons_against(judged));
        let danger = Danger::new(Rule::PairForeign, database_of(files), why);
        danger.advice("find its own database").unless(Consent::Foreign)
    })
}

/// Something speaks against the pair.
pub(super) fn unclear(files: &Files, judged: &Pairing) -> Option<Danger> {
    judged.is_contradicted().then(|| of_contradiction(files, judged))
}

/// What contradicts, under the rule that says what the file is instead.
fn of_contradiction(files: &Files, judged: &Pairing) -> Danger {
    let (rule, what) = match judged.order {
        Order::Fork => (
            Rule::PairFork,
            "the log was not written on this file: both look as if they come from one \
                 database and went on each by itself",
        ),
        Order::FileOlder => (
            Rule::FileOlder,
            "the log was not written on this file, which looks older: what came between is \
                 missing",
        ),
        Order::FileNewer => (
            Rule::FileNewer,
            "the log was not written on this file, which looks newer: the log would take its pages \
             back",
        ),
        Order::Current | Order::Unknown => {
            (Rule::PairUnclear, "the log was not written on this state of the database")
        }
    };
    let why = format!("{what}: {}", reasons_against(judged));
    let next = command("info", database_of(files));
    let danger = Danger::new(rule, database_of(files), why);
    danger.next(next, "shows what speaks for and against it").unless(Consent::Foreign)
}

/// Something speaks against the pair, and the newest state is the file itself: SQLite sees that,
/// and a checkpoint changes nothing.
fn earlier_states(files: &Files, judged: &Pairing) -> Option<Danger> {
    let why = format!(
        "the newest state is the file itself, and states before it are not known: an application \
         has damaged them, or the log was not written on this file: {}",
        reasons_against(judged)
    );
    let danger = Danger::new(Rule::PairUnclear, database_of(files), why).warning();
    let next = command("info", database_of(files));
    let danger = danger.next(next, "shows what speaks for and against it");
    judged.is_contradicted().then_some(danger)
}

fn newer_file(files: &Files) -> Danger {
    let why = "the database file has pages that came after the log: the log would take them back";
    let next = command("repair", database_of(files));
    let danger = Danger::new(Rule::FileNewer, database_of(files), why);
    danger.next(next, "shows which states can be recovered").unless(Consent::Loss)
}

/// Pages of an earlier checkpoint that are not in the database file.
pub(super) fn lost_checkpoint(
    found: &Judgement,
    files: &Files,
    view: &View<'_>,
    log: (&dyn File, &Examination),
    watch: &dyn Watch,
) -> Result<Option<Danger>> {
    let Some(database) = view.base else { return Ok(None) };
    let Some(mut lost) = lost_pages::find(log.0, database, log.1, watch)? else { return Ok(None) };
    // A file of another time may have a later image.
    let order = found.pairing.as_ref().map_or(Order::Unknown, |pairing| pairing.order);
    let has_gone_on = matches!(order, Order::FileNewer | Order::Fork);
    if has_gone_on || found.age.file != FileAge::NotNewer {
        lost.pages.retain(|_, page| page.is_older);
    }
    if lost.pages.is_empty() {
        return Ok(None);
    }
    let health = match view.size_bytes()?.max(database.size()?) {
        ..=standing::MAX_CHECKED_BYTES => Some(database::check(view, watch)?),
        _ => None,
    };
    let LostPages { pages, copied: (copied, in_frame), .. } = &lost;
    let name = |page: Pgno| match health.as_ref().and_then(|health| health.owner_name(page)) {
        Some(owner) => format!("page {page} ({owner})"),
        None => format!("page {page}"),
    };
    let named: Vec<String> = pages
        .iter()
        .take(NAMED_PAGES)
        .map(|(page, lost)| format!("{} is not as in frame {}", name(*page), lost.frame))
        .collect();
    let more = match pages.len().saturating_sub(NAMED_PAGES) {
        0 => String::new(),
        more => format!(" and {}", counted(more as u64, "other")),
    };
    let why = format!(
        "an earlier checkpoint has not left all of its pages in the file, and the log has begun \
         again since: {}{more}; page {copied} is as in frame {in_frame}",
        named.join(", "),
    );
    let danger = Danger::new(Rule::LostCheckpoint, database_of(files), why);
    let frame = pages.values().next().map_or(0, |lost| lost.frame.0);
    let next = command(&format!("dump --frame {frame}"), &files.wal);
    Ok(Some(danger.next(next, "shows what the first of them should be").unless(Consent::Loss)))
}

fn reasons_against(judged: &Pairing) -> String {
    let against = judged.reasons.iter().filter(|it| it.speaks_for == standing::SpeaksFor::Foreign);
    Vec::from_iter(against.map(ToString::to_string)).join("; ")
}

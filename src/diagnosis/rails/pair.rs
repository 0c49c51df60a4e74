//! Log and database that do not belong together, or not in time.

use anyhow::Result;

use crate::access::files::Files;
use crate::diagnosis::rule::Rule;
use crate::history::standing::newer::{self, FileAge};
use crate::history::standing::{self, Pairing};
use crate::log::Examination;
use crate::output::text::command;
use crate::scan::Watch;
use crate::storage::File;

use super::{Consent, Danger, database_of};

/// A log and a database, held still.
pub(super) struct HeldPair<'a> {
    pub files: &'a Files,
    pub judged: Option<&'a Pairing>,
    /// The log; `None` where it is damaged, or sizes contradict each other, which explains the
    /// rest.
    pub log: Option<(&'a dyn File, &'a Examination)>,
    pub database: Option<&'a dyn File>,
    /// Nobody is attached: what content says is asked as well.
    pub thoroughly: bool,
    pub watch: &'a dyn Watch,
}

/// What a step that puts the log over the file would make final, and whether the file may be newer.
pub(super) fn danger(pair: &HeldPair<'_>) -> Result<(Option<Danger>, FileAge)> {
    if let Some(foreign) = pair.judged.and_then(|judged| foreign(pair.files, judged)) {
        return Ok((Some(foreign), FileAge::NotNewer));
    }
    let (Some((log, examination)), Some(database)) = (pair.log, pair.database) else {
        return Ok((None, FileAge::NotNewer));
    };
    let age = newer::file_age(log, database, examination, pair.thoroughly, pair.watch)?;
    let danger = match age {
        FileAge::Newer => Some(newer_file(pair.files)),
        FileAge::MayBeNewer | FileAge::NotNewer => {
            pair.judged.and_then(|judged| unclear(pair.files, judged))
        }
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

/// Something speaks for the pair, and something against it.
pub(super) fn unclear(files: &Files, judged: &Pairing) -> Option<Danger> {
    judged.is_contradicted().then(|| {
        let why = format!(
            "the log was not written on this state of the database: {}",
            reasons_against(judged)
        );
        let next = command("info", database_of(files));
        let danger = Danger::new(Rule::PairUnclear, database_of(files), why);
        danger.next(next, "shows what speaks for and against it").unless(Consent::Foreign)
    })
}

fn newer_file(files: &Files) -> Danger {
    let why = "the database file has pages that came after the log: the log would take them back";
    let next = command("repair", database_of(files));
    let danger = Danger::new(Rule::FileNewer, database_of(files), why);
    danger.next(next, "shows which states can be recovered").unless(Consent::Loss)
}

fn reasons_against(judged: &Pairing) -> String {
    let against = judged.reasons.iter().filter(|it| it.speaks_for == standing::SpeaksFor::Foreign);
    Vec::from_iter(against.map(ToString::to_string)).join("; ")
}

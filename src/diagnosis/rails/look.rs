//! The rails of a command that attaches: what it looks at before anybody writes.

use std::time::Duration;

use anyhow::Result;

use crate::access::Context;
use crate::access::attach::AttachTarget;
use crate::access::held::{self, Held, HoldArgs};
use crate::diagnosis::rule::Rule;
use crate::engine::wal::KnownLog;
use crate::format::FrameNo;
use crate::history::snapshot;
use crate::history::standing::Pairing;
use crate::history::standing::newer::FileAge;

use super::{Accepted, Consents, Danger, Effect, FalseBackfill, Newest, Scene, dangers, refuse};

/// Frames that are kept at most before a command attaches: 80 MB, for a log of 16 GB in pages of
/// 4096 bytes. Recovery reads those after them once more.
const KNOWN_WHEN_ATTACHING: usize = 4_000_000;

/// What was seen before a command attaches.
pub struct Looked {
    /// Dangers that were taken on.
    pub accepted: Vec<Accepted>,
    /// Frames that count as copied and are not.
    pub backfill: Option<FalseBackfill>,
    /// The state that the log gives.
    pub newest: Option<Newest>,
    /// Whether log and database belong together.
    pub pairing: Option<Pairing>,
    /// Whether the database file has what came after the log.
    pub file_age: FileAge,
    /// It is not known what pages get in the database.
    pub page_checksums: Option<Danger>,
    /// The log, for recovery.
    pub known: Option<KnownLog>,
}

/// Looks at the files as they are before anybody writes, and passes the rails: what the step
/// would make final is refused, unless it was accepted. Frames that count as copied and are not
/// are left to the caller.
///
/// # Errors
/// The refusal, busy when the files cannot be held, or what reading them reports.
pub fn look(
    target: &AttachTarget,
    timeout: Duration,
    given: Consents,
    context: &Context,
) -> Result<Looked> {
    look_with(target, timeout, Some(given), context, |_| Ok(())).map(|(looked, ())| looked)
}

/// The same, and what `work` makes of the files while they are held. `given` is `None` where a
/// command has no option by which anything is accepted, so that none is named.
///
/// # Errors
/// As [`look`], and what `work` reports.
pub fn look_with<T>(
    target: &AttachTarget,
    timeout: Duration,
    given: Option<Consents>,
    context: &Context,
    mut work: impl FnMut(&Held) -> Result<T>,
) -> Result<(Looked, T)> {
    target.nobody_is_exclusive(timeout, context)?;
    let args = HoldArgs { timeout: timeout.max(HoldArgs::default().timeout), no_lock: false };
    let known = if target.would_recover(context)? { KNOWN_WHEN_ATTACHING } else { 0 };
    held::hold(&target.files, &args, known, context, |held| {
        let scene = Scene {
            files: &target.files,
            database: held.database.as_deref(),
            log: held.log.as_ref(),
            index: held.index.as_ref(),
            target: snapshot::Target::Last,
            pairing: None,
        };
        let found = dangers(&scene, Effect::Writes, context)?;
        let never = |danger| Danger { consent: None, ..danger };
        let dangers = match given {
            Some(_) => found.dangers,
            None => found.dangers.into_iter().map(never).collect(),
        };
        let accepted = refuse(dangers, given.unwrap_or_default())?;
        let made = work(held)?;
        let (backfill, newest) = (found.backfill, found.newest);
        let is_newer = |it: &Accepted| it.rule == Rule::FileNewer;
        let file_age = match accepted.iter().any(is_newer) {
            true => FileAge::Newer,
            false => found.age.file,
        };
        let pairing = found.pairing;
        let newest_frame = held.log.as_ref().map(|log| log.examination.prefix.mx_frame);
        let in_database = newest_frame.map(FrameNo).filter(|_| found.age.is_same_bytes);
        let known = held.take_known().map(|known| KnownLog { in_database, ..known });
        let page_checksums = found.page_checksums;
        let looked =
            Looked { accepted, backfill, newest, pairing, file_age, page_checksums, known };
        Ok((looked, made))
    })
}

//! What has to be known of an earlier state before it is written anywhere.

use anyhow::Result;

use super::Replay;
use crate::access::Context;
use crate::access::accept::tell_likely;
use crate::access::failure::{Exit, Failure};
use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::states::by_left_index;
use crate::diagnosis::rails;
use crate::diagnosis::{MAY_BE_NEWER, NOTHING_PROVES, is_open_in_time, states_can_be_told};
use crate::format::FrameNo;
use crate::history::committed::CommittedFrames;
use crate::history::past::{Backfilled, Past};
use crate::history::standing::newer::Age;
use crate::history::standing::{Belonging, Pairing};
use crate::log::Examination;

impl Replay {
    /// Refuses a state that is gone; whether one that may be was taken for what is likely.
    pub(super) fn past_is_only_likely(
        &self,
        rails: &rails::Rails,
        examination: &Examination,
        held: Option<&Held>,
        context: &Context,
    ) -> Result<bool> {
        if self.in_place && self.keep_wal {
            let why = "--keep-wal with an earlier target: the next open would apply the rest again";
            let hint = "leave --keep-wal out, or write to a new file with --output";
            return Err(Failure::refused(&rails.files.wal, why, hint).into());
        }
        let base_is_own = self.base.is_none();
        if base_is_own && held.is_some_and(|held| held.holds_commit(rails.view.snapshot.to_frame)) {
            return Ok(false);
        }
        let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
        let facts = examination.facts(rails.log, committed, context.watch);
        let frames = CommittedFrames::of(facts)?;
        let backfilled = match held.and_then(|held| held.index) {
            _ if !base_is_own => None,
            Some(index) => Some(Backfilled { attempted: index.backfill_attempted, is_kept: true }),
            None => by_left_index(rails.files, rails.shape.salts, context)?,
        };
        let log = Some((rails.log, *rails.shape));
        let past = Past::new(rails.shape.page_size(), rails.view.base, (log, &frames), backfilled)?;
        let is_damaged = Exit::of(examination.verdict) == Exit::Found;
        let past = if is_damaged { past.of_damaged_log() } else { past };
        let past = if self.accept_likely { past.accepting_likely() } else { past };
        rails.past_was_not_overwritten(&past, base_is_own, context)?;
        Ok(tell_likely(&past, context))
    }

    /// Refuses an earlier state that is none over this base, or says where nothing tells; whether
    /// that was accepted of the database itself.
    pub(super) fn tell_doubt(
        &self,
        files: &Files,
        held: Option<&Held>,
        (pairing, age): (Option<&Pairing>, Age),
        context: &Context,
    ) -> Result<bool> {
        // What --in-place would do is not told from what others hold: they must have gone.
        if let Some(held) = held.filter(|_| self.base.is_none() && !self.in_place) {
            states_can_be_told(files, held, self.accept_foreign, context)?;
            return Ok(false);
        }
        let is_open = pairing.is_none() || is_open_in_time(pairing, age);
        if self.in_place && is_open && self.accept_foreign {
            context.warn(MAY_BE_NEWER);
            return Ok(true);
        } else if self.in_place && is_open {
            let path = files.database.as_ref().unwrap_or(&files.wal);
            let hint = "--accept-foreign writes it all the same";
            return Err(Failure::refused(path, MAY_BE_NEWER, hint).into());
        }
        if pairing.is_none_or(|pairing| pairing.verdict != Belonging::Same) {
            context.note(NOTHING_PROVES);
        }
        Ok(false)
    }
}

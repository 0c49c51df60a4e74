//! The steps of a plan, in words: those that make one damaged frame right, and those that are about
//! the whole log or an end of it.

use std::collections::BTreeSet;

use crate::format::{FrameNo, Pgno};
use crate::log::correction::{Corrections, Word};
use crate::log::cure::{Cure, Cured, ImageSource};
use crate::log::link::{FrameFault, Judged, Link};
use crate::log::proof::Proof;
use crate::log::shift::Displacement;

use super::{Action, Step};

/// What comes after the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogEnd {
    /// Frames that are not whole. They may have been acknowledged, if what tore them was not the
    /// crash of their writer: nobody can know.
    Torn,
    /// Whole frames, and the log ends there. Nobody can know, either.
    Ended,
    /// Whole frames of a transaction that is rightly dropped.
    Open,
}

/// What is known of the first frames of a log, where the database file has everything up to one of
/// them: a generation that is copied may have been replaced by the next one from frame 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstFrames {
    /// No newer generation was begun.
    AreTheseOnes,
    /// Old blocks over the frames of a newer generation end in such a damaged image as one of them
    /// has.
    MayBeWrittenOver,
    /// They are lost, and may have been newer than the others.
    MayBeNewer,
}

/// Why everything after a state is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// What comes after the break may be an abandoned history.
    Doubtful,
    /// This frame cannot be recovered, and nobody knows what page it was to write.
    Nameless(FrameNo),
    /// Of some pages no intact copy is left.
    Missing,
}

/// The step for a frame whose right bytes are known; `None` for one that is right as it is.
pub(super) fn of_frame(judged: &Judged) -> Option<Step> {
    if let Some(cured) = &judged.cured {
        return Some(of_cure(judged, cured));
    }
    let (action, reason) = match judged.link {
        Link::Broken { fault: FrameFault::Salt, .. } => {
            (Action::RestoreSalt, "its salts are wrong; its sum proves the rest")
        }
        Link::Broken { corrections: Corrections::Unique(_), .. } => {
            (Action::CorrectWord, "one word of it is wrong")
        }
        Link::Broken { fault: FrameFault::ChecksumField, .. } => {
            (Action::RestoreChecksum, "its stored sum is wrong; the next frame proves it")
        }
        Link::Broken { .. } | Link::Linked | Link::Unproven | Link::Blank | Link::Foreign => {
            return None;
        }
    };
    let proof = match judged.link {
        // No image was read that could witness it.
        Link::Broken { corrections: Corrections::Unique(_), fault }
            if fault != FrameFault::Salt =>
        {
            Proof::Likelihood
        }
        _ => Proof::Checksum,
    };
    let gains = "the frame is as it was written".to_owned();
    Some(right(judged, judged.header.page, action, proof, reason.to_owned(), gains))
}

fn of_cure(judged: &Judged, cured: &Cured) -> Step {
    let header = &cured.header;
    let mut gains = match cured.proof {
        Proof::Likelihood => "with it the frame gives its sum".to_owned(),
        Proof::Evidence | Proof::Checksum => "the frame is as it was written".to_owned(),
    };
    let (action, reason) = match cured.cure {
        Cure::Image { source, first_byte, end_byte } => {
            let from = match source {
                ImageSource::Frame(other) => format!("those of frame {other}"),
                ImageSource::Database => "those of the database file".to_owned(),
            };
            gains = format!("with {from}, bytes {first_byte} to {end_byte} give its sum");
            let is_same = judged.facts.header.page == header.page;
            let reason = match is_same {
                true => "its image is damaged".to_owned(),
                false => format!("its image is damaged, and its header, of page {}", header.page),
            };
            (Action::TakeImage, reason)
        }
        Cure::Moved(other) => {
            gains = "the frame follows from the one before it".to_owned();
            let reason = format!("another frame is in its slot; its own is in slot {other}");
            (Action::TakeFrame, reason)
        }
        Cure::Unsummed => {
            gains = "the transaction is whole; no sum covers the images of these frames".to_owned();
            let reason = "SQLite before 3.41 left frames without salts and sums, and went on from \
                          the sum zero to the commit";
            let reason = match cured.proof {
                Proof::Likelihood => {
                    format!("{reason}; or it has recovered since, and written over a part of them")
                }
                Proof::Evidence | Proof::Checksum => reason.to_owned(),
            };
            let (page, action) = (header.page, Action::TakeUnsummed);
            return right(judged, page, action, cured.proof, reason, gains);
        }
        Cure::Word(_) => (Action::CorrectWord, "one word of its image is wrong".to_owned()),
        Cure::Field(Word::StoredA | Word::StoredB) => {
            (Action::RestoreChecksum, "one word of its stored sum is wrong".to_owned())
        }
        Cure::Field(_) => (Action::CorrectWord, "one word of its header is wrong".to_owned()),
        Cure::Header => {
            gains = format!(
                "its image, the frame before and the one after leave one header: page {}, commit \
                 size {}",
                header.page, header.commit_size_pages
            );
            (Action::SolveHeader, "its header is lost".to_owned())
        }
    };
    let reason = match (cured.proof, cured.cure) {
        (Proof::Checksum, _) => reason,
        (Proof::Evidence, Cure::Image { .. }) => {
            format!("{reason}, and that other image is equal around it")
        }
        (Proof::Evidence, _) => {
            format!("{reason}: other images of the page and its structure say so")
        }
        (Proof::Likelihood, _) => {
            format!("{reason}: the simplest explanation, which nothing else witnesses")
        }
    };
    Step { rivals: cured.rivals, ..right(judged, header.page, action, cured.proof, reason, gains) }
}

/// The step that leaves a frame out of which the image cannot be recovered.
pub(super) fn dropped(judged: &Judged, page: Pgno, is_shown_damaged: bool) -> Step {
    let (proof, reason) = match is_shown_damaged {
        true => (
            Proof::Evidence,
            "its image is damaged: it breaks the rules of its page; its sum is right",
        ),
        false => (
            Proof::Likelihood,
            "its image does not give its sum: it is damaged, or a frame before it is missing",
        ),
    };
    let gains = format!("page {page} is written again by a later intact frame");
    right(judged, page, Action::DropFrame, proof, reason.to_owned(), gains)
}

fn right(
    judged: &Judged,
    page: Pgno,
    action: Action,
    proof: Proof,
    reason: String,
    gains: String,
) -> Step {
    Step {
        action,
        frame: Some(judged.facts.frame),
        pages: vec![page],
        lossless: true,
        proof: Some(proof),
        rivals: 0,
        reason,
        gains,
    }
}

/// One step for all shifts: they are undone together.
pub(super) fn undo_shifts(displacement: &Displacement) -> Step {
    let reason = match displacement.line_ends {
        Some(added) => format!(
            "every line feed became a carriage return and a line feed: {added} bytes were inserted"
        ),
        None => displacement.places(),
    };
    let missing = match displacement.frames_missing {
        true => "; frames are missing, and how many is not known",
        false => "",
    };
    Step {
        action: Action::UndoShift,
        frame: displacement.shifts.first().map(|shift| shift.first_frame),
        pages: Vec::new(),
        lossless: true,
        proof: Some(Proof::Checksum),
        rivals: 0,
        reason,
        gains: format!("{} follow from each other there{missing}", displacement.counts()),
    }
}

/// The step that makes the header of the log right; `may_be_older` says that a frame of a later
/// generation is there.
pub(super) fn restore_header(proof: Proof, is_older: bool, may_be_older: bool) -> Step {
    let reason = match is_older {
        true => "the header is that of the generation before, and SQLite ignores the frames",
        false => "the header is not valid, and SQLite ignores the whole log",
    };
    Step {
        action: Action::RestoreHeader,
        frame: None,
        pages: Vec::new(),
        lossless: !may_be_older,
        proof: (!may_be_older).then_some(proof),
        rivals: 0,
        reason: reason.to_owned(),
        gains: match may_be_older {
            true => {
                "the first frames tell the rest of it; but a frame of a later generation is there, \
                 whose first ones are lost"
            }
            false => "the frames tell page size, byte order, salts and the sum before frame 1",
        }
        .to_owned(),
    }
}

/// The step that begins with the database file, which has everything up to the commit `frame`.
pub(super) fn skip_copied(frame: FrameNo, lost: FirstFrames) -> Step {
    let (lossless, proof, gains) = match lost {
        FirstFrames::AreTheseOnes => (true, Some(Proof::Evidence), "no frame up to here is needed"),
        FirstFrames::MayBeWrittenOver => (
            true,
            Some(Proof::Likelihood),
            "no frame up to here is needed; or the first ones, up to the damaged one, are an old \
             copy over those of a newer generation",
        ),
        FirstFrames::MayBeNewer => (
            false,
            None,
            "no frame up to here is needed; the first ones are lost, and may have been newer",
        ),
    };
    Step {
        action: Action::SkipCopied,
        frame: Some(frame),
        pages: Vec::new(),
        lossless,
        proof,
        rivals: 0,
        reason: "the database file has every page as of this frame: the log was copied before it \
                 was damaged"
            .to_owned(),
        gains: gains.to_owned(),
    }
}

/// The step that leaves the tail out, from `first` on.
pub(super) fn cut_tail(first: FrameNo, end: LogEnd) -> Step {
    let reason = match end {
        LogEnd::Torn => {
            "it is torn, and no intact commit follows: what a crash leaves, or a damaged end"
        }
        LogEnd::Ended => {
            "no commit follows, and the log ends there: a transaction that was open, or whose end \
             was cut off"
        }
        LogEnd::Open => "no commit follows: SQLite drops it, as it should",
    };
    let is_rightly_dropped = end == LogEnd::Open;
    Step {
        action: Action::CutTail,
        frame: Some(first),
        pages: Vec::new(),
        lossless: is_rightly_dropped,
        proof: is_rightly_dropped.then_some(Proof::Evidence),
        rivals: 0,
        reason: reason.to_owned(),
        gains: "it cannot come back after a later commit".to_owned(),
    }
}

/// The step that gives up everything from `first` on, where newer images of `missing` are lost.
pub(super) fn drop_rest(first: FrameNo, missing: &BTreeSet<Pgno>, gap: Gap) -> Step {
    let reason = match gap {
        Gap::Doubtful => {
            "the break may be a place where SQLite recovered already and went on: what comes \
             after it may be an abandoned history"
                .to_owned()
        }
        Gap::Nameless(frame) => {
            format!("frame {frame} cannot be recovered; its page number is unknown")
        }
        Gap::Missing => {
            let pages: Vec<String> = missing.iter().map(|page| page.to_string()).collect();
            let word = if pages.len() == 1 { "page" } else { "pages" };
            format!("of {word} {} no intact copy is left", pages.join(", "))
        }
    };
    Step {
        action: Action::DropBehind,
        frame: Some(first),
        pages: missing.iter().copied().collect(),
        lossless: false,
        proof: None,
        rivals: 0,
        reason,
        gains: "the newest complete state before it".to_owned(),
    }
}

//! The step that makes one damaged frame right, in words.

use crate::format::Pgno;
use crate::log::correction::{Corrections, Word};
use crate::log::cure::{Cure, Cured, ImageSource};
use crate::log::link::{Fault, Judged, Link};
use crate::log::proof::Proof;

use super::{Action, Step};

/// The step for a frame whose right bytes are known; `None` for one that is right as it is.
pub(super) fn of_frame(judged: &Judged) -> Option<Step> {
    if let Some(cured) = &judged.cured {
        return Some(of_cure(judged, cured));
    }
    let (action, reason) = match judged.link {
        Link::Broken { fault: Fault::Salt, .. } => {
            (Action::RestoreSalt, "its salts are wrong; its sum proves the rest")
        }
        Link::Broken { corrections: Corrections::Unique(_), .. } => {
            (Action::CorrectWord, "one word of it is wrong")
        }
        Link::Broken { fault: Fault::ChecksumField, .. } => {
            (Action::RestoreChecksum, "its stored sum is wrong; the next frame proves it")
        }
        Link::Broken { .. } | Link::Linked | Link::Unproven | Link::Blank | Link::Foreign => {
            return None;
        }
    };
    let proof = match judged.link {
        // No image was read that could witness it.
        Link::Broken { corrections: Corrections::Unique(_), fault } if fault != Fault::Salt => {
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

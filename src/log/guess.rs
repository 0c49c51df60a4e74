//! The shape of a log whose header cannot be trusted, as its frames show it.

use crate::format::{ByteOrder, FrameNo, PageSize, WalHeader};
use crate::scan::{self, Extent, FrameFacts, Nobody};
use crate::storage::File;

use super::LogShape;
use super::tail::Certainty;

/// A shape under which the frames follow from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// The shape.
    pub shape: LogShape,
    /// `Proven` when a header with this shape has the sum that frame 1 needs, else `Likely`.
    pub certainty: Certainty,
}

/// Finds the page size and byte order under which frame 2 follows from frame 1, or frame 1 from
/// the header; `None` when there is none. The sum before frame 1 comes from inverting its own
/// (reference: the checksum step is reversible).
///
/// # Errors
/// When the log cannot be read.
pub(super) fn guess(
    file: &dyn File,
    header: &WalHeader,
    file_bytes: u64,
) -> Result<Option<Guess>, scan::Error> {
    for page_size in PageSize::ALL {
        let Some(extent) = Extent::of(file_bytes, page_size) else { continue };
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let shape = LogShape { extent, order, salts: header.salts, start: header.checksum };
            let frames = FrameNo(1)..FrameNo(3);
            let first: Vec<FrameFacts> =
                shape.facts(file, frames, &Nobody).collect::<Result<_, _>>()?;
            if let Some(guess) = fit(shape, header, &first) {
                return Ok(Some(guess));
            }
        }
    }
    Ok(None)
}

fn fit(shape: LogShape, header: &WalHeader, first: &[FrameFacts]) -> Option<Guess> {
    let joiner = shape.joiner();
    let frame = first.first().filter(|facts| !facts.blank && facts.header.page.0 != 0)?;
    let confirmed = first.get(1).is_some_and(|next| {
        next.header.salts == frame.header.salts && joiner.follows(next, frame.header.checksum)
    });
    if !confirmed && !joiner.follows(frame, header.checksum) {
        return None;
    }
    let start = joiner.sum_before(frame);
    let salts = frame.header.salts;
    let rebuilt = WalHeader::new(shape.order, shape.page_size(), header.checkpoint_seq, salts);
    let certainty = if rebuilt.checksum == start { Certainty::Proven } else { Certainty::Likely };
    Some(Guess { shape: LogShape { salts, start, ..shape }, certainty })
}

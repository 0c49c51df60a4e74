//! The pure judgement of one slot.

use crate::format::checksum::Advance;
use crate::format::{
    ByteOrder, Checksum, FRAME_HEADER_BYTES, FrameHeader, FrameNo, PageSize, Pgno,
};

/// What one slot says of itself, whatever is around it. Constant size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFacts {
    /// The slot's place.
    pub frame: FrameNo,
    /// Its header as found.
    pub header: FrameHeader,
    /// Sum over header bytes 0..8 and the page image, from the zero state. [`Joiner`] joins it to
    /// any predecessor.
    pub content: Checksum,
    /// Every byte of the slot is zero.
    pub blank: bool,
    /// The byte that tells the kind of a b-tree page: 0 of the image, 100 on page 1.
    pub kind_byte: u8,
}

impl FrameFacts {
    /// Judges `slot`, the header and page image of one frame. A slot that is too short for a header
    /// is taken as followed by zeros.
    #[must_use]
    pub fn judge(frame: FrameNo, slot: &[u8], order: ByteOrder) -> Self {
        let (head, image) = slot.split_at_checked(FRAME_HEADER_BYTES).unwrap_or((slot, &[]));
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        let header = FrameHeader::decode(&bytes);
        let whole = image.len() - image.len() % 8;
        let image = image.split_at(whole).0;
        let kind_offset = if header.page == Pgno::FIRST { 100 } else { 0 };
        Self {
            frame,
            header,
            content: header.sum_from(Checksum::ZERO, order, image),
            blank: bytes == [0; FRAME_HEADER_BYTES] && image.iter().all(|&byte| byte == 0),
            kind_byte: image.get(kind_offset).copied().unwrap_or_default(),
        }
    }

    /// The commit size in pages; `None` when this is not a commit frame.
    #[must_use]
    pub fn commit_size_pages(&self) -> Option<u32> {
        Some(self.header.commit_size_pages).filter(|&pages| pages != 0)
    }

    /// Whether an open transaction left this frame after it overwrote one of its own: salts and sum
    /// are still zero (wal.c walWriteOneFrame while `iReCksum` is set).
    #[must_use]
    pub fn is_in_progress(&self) -> bool {
        let FrameHeader { page, salts, checksum, .. } = self.header;
        page.0 != 0 && salts.salt1 == 0 && salts.salt2 == 0 && checksum == Checksum::ZERO
    }
}

/// Joins sums of frames to the sums before them, for one page size.
#[derive(Clone, Copy, Debug)]
pub struct Joiner {
    order: ByteOrder,
    over_frame: Advance,
    back_over_frame: Advance,
    over_image: Advance,
    page_size: PageSize,
}

impl Joiner {
    /// For frames of `page_size` summed in `order`.
    #[must_use]
    pub fn new(page_size: PageSize, order: ByteOrder) -> Self {
        let image_pairs = page_size.bytes() / 8;
        let pairs = image_pairs + 1;
        Self {
            order,
            over_frame: Advance::over_pairs(pairs),
            back_over_frame: Advance::back_over_pairs(pairs),
            over_image: Advance::over_pairs(image_pairs),
            page_size,
        }
    }

    /// Word pairs that the checksum of a frame covers.
    #[must_use]
    pub fn pairs(&self) -> u32 {
        self.page_size.bytes() / 8 + 1
    }

    /// Page size of the frames.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// The order of the summed words.
    #[must_use]
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// The sum that the frame should have when `before` is the sum of the frame before it.
    #[must_use]
    pub fn sum(&self, facts: &FrameFacts, before: Checksum) -> Checksum {
        self.over_frame.apply(before).plus(facts.content)
    }

    /// What a frame sums to from the zero state, if it leads from `before` to `sum`.
    #[must_use]
    pub fn step(&self, before: Checksum, sum: Checksum) -> Checksum {
        sum.minus(self.over_frame.apply(before))
    }

    /// Whether the stored sum of `facts` follows from `before`.
    #[must_use]
    pub fn follows(&self, facts: &FrameFacts, before: Checksum) -> bool {
        self.sum(facts, before) == facts.header.checksum
    }

    /// The sum that must be before the frame, if the frame and its stored sum are right.
    #[must_use]
    pub fn sum_before(&self, facts: &FrameFacts) -> Checksum {
        self.back_over_frame.apply(facts.header.checksum.minus(facts.content))
    }

    /// The facts that the frame would have with another page image, of which `image_sum` is the sum
    /// from the zero state.
    #[must_use]
    pub fn with_image(&self, facts: &FrameFacts, image_sum: Checksum) -> FrameFacts {
        let head = facts.header.sum_from(Checksum::ZERO, self.order, &[]);
        FrameFacts { content: self.over_image.apply(head).plus(image_sum), ..*facts }
    }

    /// The sum over the page image alone, from the zero state.
    #[must_use]
    pub fn image_sum(&self, facts: &FrameFacts) -> Checksum {
        let head = facts.header.sum_from(Checksum::ZERO, self.order, &[]);
        facts.content.minus(self.over_image.apply(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Salts;

    #[test]
    fn a_frame_judged_alone_joins_to_any_predecessor() {
        let page_size = PageSize::ALL[0];
        let image: Vec<u8> = (0..512_u32).map(|i| (i * 7 % 253) as u8).collect();
        let header = FrameHeader {
            page: Pgno(9),
            commit_size_pages: 3,
            salts: Salts { salt1: 1, salt2: 2 },
            checksum: Checksum { a: 5, b: 6 },
        };
        let slot = [header.encode().as_slice(), &image].concat();
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let before = Checksum { a: 0xdead_beef, b: 77 };
            let facts = FrameFacts::judge(FrameNo(4), &slot, order);
            let joiner = Joiner::new(page_size, order);
            let sum = joiner.sum(&facts, before);
            assert_eq!(sum, header.sum_from(before, order, &image));
            assert_eq!(joiner.image_sum(&facts), Checksum::ZERO.update(order, &image));
            assert_eq!(joiner.with_image(&facts, joiner.image_sum(&facts)), facts);
            let stored = FrameFacts { header: FrameHeader { checksum: sum, ..header }, ..facts };
            assert_eq!(joiner.sum_before(&stored), before);
        }
    }
}

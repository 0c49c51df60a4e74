//! Linked lists of pages: overflow chains and the freelist (btree.c checkList).

use crate::database::Error;
use crate::format::Pgno;
use crate::format::btree::Cell;

use super::owners::Owner;
use super::pass::Pass;
use super::pointer_map::Use;
use super::problem::StructureFault;

/// The last bytes of a payload that goes on on overflow pages.
#[derive(Clone, Debug)]
pub(super) struct PayloadEnd {
    bytes: Vec<u8>,
    most_bytes: usize,
}

impl PayloadEnd {
    /// The length of the longest number of a record.
    pub(super) const NUMBER_BYTES: usize = 8;

    /// Keeps the last `most_bytes`.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { bytes: Vec::new(), most_bytes }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(
            bytes.get(bytes.len().saturating_sub(self.most_bytes)..).unwrap_or(bytes),
        );
        let more = self.bytes.len().saturating_sub(self.most_bytes);
        self.bytes.drain(..more);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pass<'_> {
    /// Follows the overflow chain of `cell` on `page` of the b-tree at `root`, and returns `tail`
    /// with the end of its payload if the chain is sound.
    pub(super) fn overflow(
        &mut self,
        root: Pgno,
        page: Pgno,
        (index, cell): (usize, &Cell),
        local: &[u8],
        mut tail: PayloadEnd,
    ) -> Result<Option<PayloadEnd>, Error> {
        let Some(first) = cell.overflow else { return Ok(None) };
        let room = self.layout.usable - 4;
        let mut rest_bytes = cell.payload_bytes - local.len() as u64;
        let wanted = u32::try_from(rest_bytes.div_ceil(room as u64)).unwrap_or(u32::MAX);
        let before = self.ledger.count;
        tail.add(local);
        let mut image = self.take_image();
        let (mut pages, mut next, mut parent, mut kind) = (0_u32, first, page, Use::Overflow1);
        while next != Pgno(0) {
            if pages < wanted {
                self.pointer_map(next, kind, parent)?;
            }
            if !self.claim(page, next, Owner::Overflow(root)) {
                break;
            }
            pages += 1;
            self.read(next, &mut image)?;
            let (link, content) = image.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
            let here = usize::try_from(rest_bytes).unwrap_or(usize::MAX).min(room);
            tail.add(content.get(..here).unwrap_or_default());
            rest_bytes -= here as u64;
            (parent, kind, next) = (next, Use::Overflow2, Pgno(u32::from_be_bytes(*link)));
        }
        self.put_image(image);
        if before == self.ledger.count && pages != wanted {
            self.fault(Some(page), StructureFault::OverflowLength { cell: index, pages, wanted });
        }
        Ok((before == self.ledger.count).then_some(tail))
    }

    /// Follows the freelist from the header on.
    pub(super) fn freelist(&mut self) -> Result<(), Error> {
        let wanted = self.header.freelist_pages;
        let before = self.ledger.count;
        let mut image = self.take_image();
        let (mut pages, mut next) = (0_u32, Pgno(self.header.first_trunk));
        while next != Pgno(0) && self.claim(next, next, Owner::FreelistTrunk) {
            let trunk = next;
            pages = pages.saturating_add(1);
            self.read(trunk, &mut image)?;
            self.pointer_map(trunk, Use::Free, Pgno(0))?;
            let words = image.as_chunks::<4>().0;
            let mut words = words.iter().map(|&word| u32::from_be_bytes(word));
            next = Pgno(words.next().unwrap_or_default());
            let leaves = words.next().unwrap_or_default();
            let fitting = self.layout.usable / 4 - 2;
            if usize::try_from(leaves).map_or(true, |leaves| leaves > fitting) {
                self.fault(Some(trunk), StructureFault::FreelistLeaves { leaves });
                continue;
            }
            pages = pages.saturating_add(leaves);
            let leaves = usize::try_from(leaves).unwrap_or_default();
            for leaf in words.take(leaves).map(Pgno).collect::<Vec<_>>() {
                self.pointer_map(leaf, Use::Free, Pgno(0))?;
                self.claim(trunk, leaf, Owner::FreelistLeaf);
            }
        }
        self.put_image(image);
        if before == self.ledger.count && pages != wanted {
            self.fault(None, StructureFault::FreelistLength { pages, wanted });
        }
        Ok(())
    }
}

//! A wal-index as it is in its file, read block by block and never mapped.

use serde::Serialize;

use crate::format::wal_index::{
    BLOCK_SLOTS, INDEX_HEADER_WORDS, WAL_INDEX_HEADER_BYTES, frame_before_block, hash_of,
};
use crate::format::{IndexHeader, Pgno, WalIndexHeader};
use crate::storage::{self, File, REGION_BYTES};

/// Both copies of the header, and what lies after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// First copy and checkpoint information.
    pub info: WalIndexHeader,
    /// Both copies of the header.
    pub copies: [IndexHeader; 2],
    /// Size of the file.
    pub file_bytes: u64,
}

/// One block: page numbers, and the hash table over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBlock {
    /// The block, from 0.
    pub number: u32,
    pages: Vec<u32>,
    slots: Vec<u16>,
}

/// What is wrong with the entry of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryFault {
    /// Another page number than the log has.
    Page,
    /// The hash table does not lead to the frame.
    Hash,
}

fn header_bytes(shm: &dyn File) -> storage::Result<Option<[u8; WAL_INDEX_HEADER_BYTES]>> {
    let mut bytes = [0; WAL_INDEX_HEADER_BYTES];
    let is_whole = shm.read_at(&mut bytes, 0)? == bytes.len();
    Ok(is_whole.then_some(bytes))
}

/// The header of a wal-index as it is; `None` when the file is too short for one.
///
/// # Errors
/// When reading fails.
pub fn header(shm: &dyn File) -> storage::Result<Option<WalIndexHeader>> {
    Ok(header_bytes(shm)?.map(|bytes| WalIndexHeader::decode(&bytes)))
}

/// The header of a wal-index, if it is valid.
///
/// # Errors
/// When reading fails.
pub fn valid_header(shm: &dyn File) -> storage::Result<Option<WalIndexHeader>> {
    Ok(header(shm)?.filter(|header| header.validate().is_ok()))
}

impl IndexFile {
    /// Reads the header; `None` when the file is too short for one.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(shm: &dyn File) -> storage::Result<Option<Self>> {
        let Some(bytes) = header_bytes(shm)? else { return Ok(None) };
        let mut words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word));
        let mut copy = || {
            let mut copy = [0; INDEX_HEADER_WORDS];
            copy.iter_mut().zip(&mut words).for_each(|(to, from)| *to = from);
            IndexHeader::from_words(copy)
        };
        let copies = [copy(), copy()];
        Ok(Some(Self { info: WalIndexHeader::decode(&bytes), copies, file_bytes: shm.size()? }))
    }

    /// Whole blocks in the file.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        u32::try_from(self.file_bytes / REGION_BYTES as u64).unwrap_or(u32::MAX)
    }
}

impl IndexBlock {
    /// Reads block `number`; `None` when the file ends before it does.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(shm: &dyn File, number: u32) -> storage::Result<Option<Self>> {
        let mut bytes = vec![0; REGION_BYTES];
        if shm.read_at(&mut bytes, u64::from(number) * REGION_BYTES as u64)? < bytes.len() {
            return Ok(None);
        }
        let (pages, slots) = bytes.split_at(REGION_BYTES / 2);
        let header_words = if number == 0 { WAL_INDEX_HEADER_BYTES / 4 } else { 0 };
        let pages = pages.as_chunks::<4>().0.iter().skip(header_words);
        Ok(Some(Self {
            number,
            pages: pages.map(|word| u32::from_ne_bytes(*word)).collect(),
            slots: slots.as_chunks::<2>().0.iter().map(|slot| u16::from_ne_bytes(*slot)).collect(),
        }))
    }

    /// Frames that the block can hold.
    #[must_use]
    pub fn frames(&self) -> std::ops::RangeInclusive<u32> {
        let before = frame_before_block(self.number);
        let count = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        before.saturating_add(1)..=before.saturating_add(count)
    }

    /// The page of `frame`; 0 where nothing is entered or the frame lies in another block.
    #[must_use]
    pub fn page_of(&self, frame: u32) -> Pgno {
        let place = frame.checked_sub(*self.frames().start());
        Pgno(place.and_then(|place| self.pages.get(place as usize).copied()).unwrap_or(0))
    }

    /// Hash slots in use.
    #[must_use]
    pub fn used_slots(&self) -> usize {
        self.slots.iter().filter(|&&slot| slot != 0).count()
    }

    /// Whether the entry of `frame` says `page`, and a search finds it.
    ///
    /// # Errors
    /// The first of both that is not so.
    pub fn check(&self, frame: u32, page: Pgno) -> Result<(), EntryFault> {
        if self.page_of(frame) != page {
            return Err(EntryFault::Page);
        }
        let place = frame.saturating_sub(frame_before_block(self.number));
        let mut slot = hash_of(page.0);
        for _ in 0..BLOCK_SLOTS {
            match self.slots.get(slot as usize).copied() {
                None | Some(0) => return Err(EntryFault::Hash),
                Some(found) if u32::from(found) == place => return Ok(()),
                Some(_) => slot = (slot + 1) & (BLOCK_SLOTS - 1),
            }
        }
        Err(EntryFault::Hash)
    }
}

//! The bytes of an undo set.
//!
//! The file `<database>-walsmith-undo` holds, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 16 | magic `walsmith-undo/2` and a zero |
//! | 16 | 8 | size of the database before the change, in bytes |
//! | 24 | 8 | its size after the change |
//! | 32 | 8 | number of records |
//! | 40 | 4 | CRC-32 of the 40 bytes before |
//! | 512 | 4 | stage: 0 writing, 1 done, 2 restored |
//! | 516 | 4 | CRC-32 of the header's CRC-32 and the stage; zero with stage 0 |
//! | 520 | 16 | when the database was modified last: nanoseconds since 1970, zero if not known |
//! | 536 | 4 | CRC-32 of the stage and this time; zero with stage 0, and in older sets |
//! | 1024 | | the records |
//! | each record: 0 | 8 | offset in the database |
//! | 8 | 4 | length of the old bytes; 0 after the old end of the database |
//! | 12 | 4 | length of what the change writes there; 0 after its new end |
//! | 16 | 4 | CRC-32 of what the change writes there |
//! | 20 | 4 | CRC-32 of the 20 bytes before and the old bytes |
//! | 24 | length | the old bytes |

use std::time::Duration;

use serde::Serialize;

const MAGIC: &[u8; 16] = b"walsmith-undo/2\0";
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 44;
/// Where the stage is: in a sector of its own, because it changes and the header does not.
pub(super) const STAGE_AT: u64 = 512;
/// Where the first record is.
pub(super) const RECORDS_AT: u64 = 1024;
/// Bytes of a record before the old bytes.
pub(super) const RECORD_HEADER_BYTES: usize = 24;
/// Longest record: the largest page, or a piece of a cut tail.
pub(super) const MAX_RECORD_BYTES: u64 = 1 << 16;

/// How far the change that a set belongs to has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It was cut off; the database is neither as before nor as after.
    Writing,
    /// It is complete.
    Done,
    /// The old bytes are back in the database; log and journal may still be in the set.
    Restored,
}

/// The header of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UndoHeader {
    /// Size of the database before the change.
    pub(super) before_bytes: u64,
    /// Its size after the change.
    pub(super) after_bytes: u64,
    /// Number of records.
    pub(super) records: u64,
}

impl UndoHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut fields = MAGIC.to_vec();
        for field in [self.before_bytes, self.after_bytes, self.records] {
            fields.extend(field.to_le_bytes());
        }
        fields.extend(crc32fast::hash(&fields).to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        header
    }

    /// The header in `bytes`, or why it is none.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        if !bytes.starts_with(MAGIC) {
            return Err("this is no undo set");
        }
        let [before_bytes, after_bytes, records] = [16, 24, 32].map(|at| {
            let field = bytes.get(at..at + 8).and_then(|field| field.try_into().ok());
            u64::from_le_bytes(field.unwrap_or_default())
        });
        let header = Self { before_bytes, after_bytes, records };
        match header.encode() == *bytes {
            true => Ok(header),
            false => Err("the header does not have its checksum"),
        }
    }

    /// The bytes of `stage`, tied to this header: the stage of another set is not taken for it.
    pub(super) fn stage(&self, stage: Stage) -> [u8; 8] {
        let word: u32 = match stage {
            Stage::Writing => return [0; 8],
            Stage::Done => 1,
            Stage::Restored => 2,
        };
        let word = word.to_le_bytes();
        let own = self.encode().last_chunk::<4>().copied().unwrap_or_default();
        let [a, b, c, d] = crc32fast::hash(&[own, word].concat()).to_le_bytes();
        let [e, f, g, h] = word;
        [e, f, g, h, a, b, c, d]
    }

    /// The stage, and when the database was modified last.
    pub(super) fn stage_at(&self, stage: Stage, modified: Option<Duration>) -> [u8; 28] {
        let mut fields = self.stage(stage).to_vec();
        fields.extend(modified.map_or(0, |time| time.as_nanos()).to_le_bytes());
        fields.extend(crc32fast::hash(&fields).to_le_bytes());
        let mut bytes = [0; 28];
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Whether `modified` is another time than that in `bytes`, which begin with the stage. A time
    /// that is not known is no other.
    pub(super) fn is_other_time(bytes: &[u8; 28], modified: Option<Duration>) -> bool {
        let (fields, sum) = bytes.split_at(24);
        let nanoseconds = fields.last_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
        let is_known = sum == crc32fast::hash(fields).to_le_bytes() && nanoseconds > 0;
        is_known && modified.is_some_and(|time| time.as_nanos() != nanoseconds)
    }

    /// The stage in `bytes`; `None` without its checksum.
    pub(super) fn stage_in(&self, bytes: [u8; 8]) -> Option<Stage> {
        let stages = [Stage::Writing, Stage::Done, Stage::Restored];
        stages.into_iter().find(|&stage| self.stage(stage) == bytes)
    }
}

/// A record without the old bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where the bytes are in the database.
    pub(super) offset: u64,
    /// How many there were,
    pub(super) old_len: usize,
    /// how many the change writes there,
    pub(super) new_len: usize,
    /// and their CRC-32.
    pub(super) new_sum: u32,
    sum: u32,
}

impl Record {
    /// A whole record: `old` was at `offset`, where the change writes `new`. Neither is longer
    /// than [`MAX_RECORD_BYTES`].
    pub(super) fn encode(offset: u64, old: &[u8], new: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + old.len());
        record.extend(offset.to_le_bytes());
        record.extend(length(old));
        record.extend(length(new));
        record.extend(crc32fast::hash(new).to_le_bytes());
        record.extend(sum(&record, old).to_le_bytes());
        record.extend(old);
        record
    }

    /// Decodes what is before the old bytes. Lengths may be anything.
    pub(super) fn decode(head: &[u8; RECORD_HEADER_BYTES]) -> Self {
        let word = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        Self {
            offset: u64::from(word(0)) | u64::from(word(4)) << 32,
            old_len: word(8) as usize,
            new_len: word(12) as usize,
            new_sum: word(16),
            sum: word(20),
        }
    }

    /// Whether no record is longer.
    pub(super) fn has_possible_lengths(&self) -> bool {
        self.old_len.max(self.new_len) as u64 <= MAX_RECORD_BYTES
    }

    /// Whether `head` and `old`, from which this was decoded, have their sum.
    pub(super) fn is_intact(&self, head: &[u8; RECORD_HEADER_BYTES], old: &[u8]) -> bool {
        let (fields, _) = head.split_at(RECORD_HEADER_BYTES - 4);
        self.sum == sum(fields, old)
    }
}

fn sum(fields: &[u8], old: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(fields);
    sum.update(old);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_and_its_stage_are_read_back_and_no_other() {
        let header = UndoHeader { before_bytes: 4096, after_bytes: 1 << 40, records: 7 };
        let bytes = header.encode();
        assert_eq!(UndoHeader::decode(&bytes), Ok(header));
        for at in 0..HEADER_BYTES {
            let mut wrong = bytes;
            wrong[at] ^= 4;
            assert!(UndoHeader::decode(&wrong).is_err(), "byte {at}");
        }
        let other = UndoHeader { records: 8, ..header };
        for stage in [Stage::Done, Stage::Restored] {
            assert_eq!(header.stage_in(header.stage(stage)), Some(stage));
            assert_eq!(other.stage_in(header.stage(stage)), None);
        }
        assert_eq!(header.stage_in([0; 8]), Some(Stage::Writing));
    }

    #[test]
    fn a_time_is_compared_where_both_are_known() {
        let header = UndoHeader { before_bytes: 4096, after_bytes: 4096, records: 1 };
        let time = Some(Duration::new(1_700_000_000, 123_456_789));
        let bytes = header.stage_at(Stage::Done, time);
        assert_eq!(header.stage_in(bytes[..8].try_into().unwrap()), Some(Stage::Done));
        let other = time.map(|time| time + Duration::from_nanos(1));
        for (found, is_other) in [(time, false), (other, true), (None, false)] {
            assert_eq!(UndoHeader::is_other_time(&bytes, found), is_other, "{found:?}");
        }
        // Of an earlier version, or where the storage keeps no times.
        let mut without = [0; 28];
        without[..8].copy_from_slice(&header.stage(Stage::Done));
        assert!(!UndoHeader::is_other_time(&without, time));
        assert!(!UndoHeader::is_other_time(&header.stage_at(Stage::Done, None), time));
    }

    #[test]
    fn a_record_is_read_back_and_any_other_byte_is_noticed() {
        let bytes = Record::encode(1 << 33, b"old", b"new bytes");
        let (head, old) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>().unwrap();
        let record = Record::decode(head);
        assert_eq!((record.offset, record.old_len, record.new_len), (1 << 33, 3, 9));
        assert_eq!(record.new_sum, crc32fast::hash(b"new bytes"));
        assert!(record.is_intact(head, old) && record.has_possible_lengths());
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 16;
            let (head, old) = wrong.split_first_chunk::<RECORD_HEADER_BYTES>().unwrap();
            assert!(!Record::decode(head).is_intact(head, old), "byte {at}");
        }
    }
}

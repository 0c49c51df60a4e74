//! The undo set: what an in-place change is about to overwrite, kept until somebody discards it.
//!
//! It is the directory `<database>-walsmith-undo`. The file `records` in it holds, little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 16 | magic `walsmith-undo/1` and a zero |
//! | 8 | size of the database before the change, in bytes |
//! | 8 | number of records |
//! | 4 | CRC-32 of the 32 bytes before |
//! | each record: 8 | offset in the database |
//! | 4 | length in bytes |
//! | 4 | CRC-32 of offset, length and the old bytes |
//! | length | the old bytes |
//!
//! `records` appears whole or not at all, before the first byte of the database is changed. A log
//! that the change makes superfluous is renamed to `wal` in the set, not copied.

use std::path::{Path, PathBuf};

use crate::storage::new_file::{self, Existing, NewFile};
use crate::storage::{self, File, OpenMode, SyncDirectory, SyncKind, Vfs};

const MAGIC: &[u8; 16] = b"walsmith-undo/1\0";
const HEADER_BYTES: usize = 36;
const RECORD_HEADER_BYTES: usize = 16;
/// Longest record; a cut tail of the database is kept in pieces.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// Why an undo set could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A set is there already.
    #[error("{}: an undo set is there already", .0.display())]
    Exists(PathBuf),
    /// The set is damaged, or is none.
    #[error("{}: offset {offset_bytes}: {why}", path.display())]
    Damaged {
        /// The file of records.
        path: PathBuf,
        /// Where in it.
        offset_bytes: u64,
        /// What was found.
        why: &'static str,
    },
}

/// A range of the database that will be overwritten or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwritten {
    /// Where it begins.
    pub offset_bytes: u64,
    /// How long it is.
    pub length_bytes: u64,
}

/// The directory of the undo set of `database`.
#[must_use]
pub fn directory(database: &Path) -> PathBuf {
    suffixed(database, "-walsmith-undo")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn records(database: &Path) -> PathBuf {
    directory(database).join("records")
}

/// Where the set keeps the log.
#[must_use]
pub fn kept_wal(database: &Path) -> PathBuf {
    directory(database).join("wal")
}

/// Saves what stands in `ranges` of the database; durable when it returns.
///
/// # Errors
/// [`Error::Exists`] when a set is there already; a storage error leaves no set behind.
pub fn save(database: &dyn File, ranges: &[Overwritten]) -> Result<(), Error> {
    let path = database.path().to_owned();
    let set = directory(&path);
    if let Err(error) = new_file::create_directory(&set) {
        return Err(match error.source.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists(set),
            _ => error.into(),
        });
    }
    let saved = write_records(database, ranges, &records(&path));
    if saved.is_err() {
        // Only what this call made: the directory is empty.
        let _ = std::fs::remove_dir(&set);
    }
    saved
}

fn write_records(database: &dyn File, ranges: &[Overwritten], to: &Path) -> Result<(), Error> {
    let size_bytes = database.size()?;
    let file = NewFile::beside(to)?;
    let mut at = HEADER_BYTES as u64;
    let mut count = 0_u64;
    for range in ranges {
        let end = (range.offset_bytes + range.length_bytes).min(size_bytes);
        let mut offset = range.offset_bytes;
        while offset < end {
            let length = (end - offset).min(MAX_RECORD_BYTES);
            let mut old = vec![0; usize::try_from(length).unwrap_or_default()];
            let read = database.read_at(&mut old, offset)?;
            old.truncate(read);
            let record = record(offset, &old);
            file.write_at(&record, at)?;
            at += record.len() as u64;
            offset += length;
            count += 1;
        }
    }
    let mut header = MAGIC.to_vec();
    header.extend(size_bytes.to_le_bytes());
    header.extend(count.to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    file.write_at(&header, 0)?;
    Ok(file.publish(Existing::Keep, Some(database.path()))?)
}

fn record(offset: u64, old: &[u8]) -> Vec<u8> {
    let length = u32::try_from(old.len()).unwrap_or_default().to_le_bytes();
    let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + old.len());
    record.extend(offset.to_le_bytes());
    record.extend(length);
    record.extend(record_sum(offset, length, old).to_le_bytes());
    record.extend(old);
    record
}

fn record_sum(offset: u64, length: [u8; 4], old: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&offset.to_le_bytes());
    sum.update(&length);
    sum.update(old);
    sum.finalize()
}

/// Puts everything back: bytes, size and the log. Every record is checked before the first is
/// written, and a run that was cut off can be repeated.
///
/// # Errors
/// [`Error::Damaged`] when a record or the header does not have its sum; nothing was written then.
pub fn restore(vfs: &dyn Vfs, database: &dyn File, wal: &Path) -> Result<u64, Error> {
    let path = database.path().to_owned();
    let set = vfs.open(&records(&path), OpenMode::ReadOnly)?;
    let (size_bytes, count) = header(set.as_ref())?;
    each_record(set.as_ref(), count, |_, _| Ok(()))?;
    each_record(set.as_ref(), count, |offset, old| Ok(database.write_at(old, offset)?))?;
    database.truncate(size_bytes)?;
    database.sync(SyncKind::Full)?;
    let kept = kept_wal(&path);
    if vfs.exists(&kept)? {
        new_file::rename(&kept, wal)?;
    }
    discard(vfs, &path)?;
    Ok(count)
}

/// Removes the set.
///
/// # Errors
/// When the system reports one.
pub fn discard(vfs: &dyn Vfs, database: &Path) -> Result<(), Error> {
    for path in [records(database), kept_wal(database)] {
        if vfs.exists(&path)? {
            vfs.delete(&path, SyncDirectory::Yes)?;
        }
    }
    let set = directory(database);
    std::fs::remove_dir(&set)
        .map_err(|source| storage::Error::new(storage::Verb::Delete, set.as_path(), source))?;
    Ok(new_file::sync_directory(&set)?)
}

fn header(set: &dyn File) -> Result<(u64, u64), Error> {
    let mut bytes = [0; HEADER_BYTES];
    set.read_at(&mut bytes, 0)?;
    let (fields, sum) = bytes.split_at(32);
    let damaged = |why| Error::Damaged { path: set.path().to_owned(), offset_bytes: 0, why };
    if !fields.starts_with(MAGIC) {
        return Err(damaged("this is no undo set"));
    }
    if sum != crc32fast::hash(fields).to_le_bytes() {
        return Err(damaged("the header does not have its checksum"));
    }
    let word = |at: usize| {
        let field = fields.get(at..at + 8).and_then(|field| field.try_into().ok());
        u64::from_le_bytes(field.unwrap_or_default())
    };
    Ok((word(16), word(24)))
}

fn each_record(
    set: &dyn File,
    count: u64,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut at = HEADER_BYTES as u64;
    for _ in 0..count {
        let damaged = |why| Error::Damaged { path: set.path().to_owned(), offset_bytes: at, why };
        let mut head = [0; RECORD_HEADER_BYTES];
        let read = set.read_at(&mut head, at)?;
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let offset = u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let length = [l0, l1, l2, l3];
        let length_bytes = u64::from(u32::from_le_bytes(length));
        if read < head.len() || length_bytes > MAX_RECORD_BYTES {
            return Err(damaged("the record is cut or its length is impossible"));
        }
        let mut old = vec![0; usize::try_from(length_bytes).unwrap_or_default()];
        let read = set.read_at(&mut old, at + RECORD_HEADER_BYTES as u64)?;
        let sum = u32::from_le_bytes([c0, c1, c2, c3]);
        if read < old.len() || sum != record_sum(offset, length, &old) {
            return Err(damaged("the record does not have its checksum"));
        }
        visit(offset, &old)?;
        at += RECORD_HEADER_BYTES as u64 + length_bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::os::OsVfs;

    fn database(bytes: &[u8]) -> (tempfile::TempDir, Box<dyn File>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(&path, bytes).unwrap();
        let file = OsVfs.open(&path, OpenMode::ReadWrite).unwrap();
        (folder, file)
    }

    #[test]
    fn what_was_overwritten_cut_and_set_aside_comes_back() {
        let before: Vec<u8> = (0..5000_u32).map(|i| (i % 251) as u8).collect();
        let (_folder, file) = database(&before);
        let wal = suffixed(file.path(), "-wal");
        std::fs::write(&wal, b"log").unwrap();
        let ranges = [
            Overwritten { offset_bytes: 512, length_bytes: 512 },
            Overwritten { offset_bytes: 4096, length_bytes: 4096 },
        ];
        save(file.as_ref(), &ranges).unwrap();
        assert!(matches!(save(file.as_ref(), &ranges), Err(Error::Exists(_))));
        file.write_at(&[9; 512], 512).unwrap();
        file.truncate(4096).unwrap();
        new_file::rename(&wal, &kept_wal(file.path())).unwrap();
        assert_eq!(restore(&OsVfs, file.as_ref(), &wal).unwrap(), 2);
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
        assert_eq!(std::fs::read(&wal).unwrap(), b"log");
        assert!(!directory(file.path()).exists());
    }

    #[test]
    fn a_damaged_record_is_found_before_anything_is_written() {
        let (_folder, file) = database(&[1; 2048]);
        save(file.as_ref(), &[Overwritten { offset_bytes: 0, length_bytes: 2048 }]).unwrap();
        let path = records(file.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        file.write_at(&[7; 2048], 0).unwrap();
        let error = restore(&OsVfs, file.as_ref(), Path::new("/nowhere")).unwrap_err();
        assert!(matches!(error, Error::Damaged { offset_bytes: 36, .. }));
        assert_eq!(std::fs::read(file.path()).unwrap(), [7; 2048]);
    }
}

//! The undo set: what an in-place change is about to overwrite, kept until somebody discards it.
//!
//! Its bytes are described in `layout`. The header is written last, when the records are durable:
//! without it nothing was changed yet. A log or journal that the change makes superfluous is
//! renamed to `<database>-walsmith-undo-wal` or `-journal`, not copied. Each stage is durable
//! before the step that needs it begins, so a run that was cut off anywhere is either finished by
//! the next one or put back.

mod layout;
mod names;

use std::path::{Path, PathBuf};

use crate::storage::{self, File, OpenMode, SyncDirectory, SyncKind, Vfs, if_there};

pub use layout::Stage;
use layout::{
    HEADER_BYTES, MAX_RECORD_BYTES, RECORD_HEADER_BYTES, RECORDS_AT, Record, STAGE_AT, UndoHeader,
};
use names::suffixed;
pub use names::{database_of, kept_journal, kept_wal, path_of};

/// Why an undo set could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A set of a finished change is there already.
    #[error("{}: an undo set is there already", .0.display())]
    Exists(PathBuf),
    /// The set is damaged, or is none.
    #[error("{}: offset {offset_bytes}: {why}", path.display())]
    Damaged {
        /// The set.
        path: PathBuf,
        /// Where in it.
        offset_bytes: u64,
        /// What was found.
        why: &'static str,
    },
    /// The database was written since the change.
    #[error("{}: offset {offset_bytes}: {why}", path.display())]
    Changed {
        /// The database.
        path: PathBuf,
        /// Where in it.
        offset_bytes: u64,
        /// What was found.
        why: &'static str,
    },
}

/// The old state of a database.
#[derive(Debug)]
pub struct Set {
    file: Box<dyn File>,
    database: PathBuf,
    header: UndoHeader,
    /// How far the change has come.
    pub stage: Stage,
}

/// What is at the place of a set.
enum Found {
    Nothing,
    /// The records are not complete: the change has not begun.
    Begun,
    Set(Set),
}

/// Makes way for a new change: an earlier one that was cut off is put back first.
///
/// # Errors
/// [`Error::Exists`] when the earlier change is complete, [`Error::Damaged`], or what the storage
/// reports.
pub fn make_way(vfs: &dyn Vfs, database: &dyn File) -> Result<(), Error> {
    match Set::open(vfs, database.path())? {
        None => Ok(()),
        Some(set) if set.stage == Stage::Done => Err(Error::Exists(path_of(database.path()))),
        Some(set) => set.restore(vfs, database, Trust::Anything).map(|_| ()),
    }
}

/// Whether the database must still be as the change left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It must.
    Unchanged,
    /// It may have been written since.
    Anything,
}

/// Writes records after each other.
struct Records<'a> {
    to: &'a dyn File,
    at: u64,
    count: u64,
}

impl Records<'_> {
    fn push(&mut self, offset: u64, old: &[u8], new: &[u8]) -> Result<(), Error> {
        let record = Record::encode(offset, old, new);
        self.to.write_at(&record, self.at)?;
        self.at += record.len() as u64;
        self.count += 1;
        Ok(())
    }
}

/// Gives each write of a change, by offset and bytes, to the function it gets.
pub type Writes<'a, E> =
    dyn FnMut(&mut dyn FnMut(&[u8], u64) -> Result<(), E>) -> Result<(), E> + 'a;

impl Set {
    /// Saves what is where `writes` will write, and what a smaller `size_bytes` would cut off;
    /// durable when it returns.
    ///
    /// # Errors
    /// What the storage or `writes` reports; no set is left then.
    pub fn create<E: From<Error>>(
        vfs: &dyn Vfs,
        database: &dyn File,
        size_bytes: u64,
        writes: &mut Writes<'_, E>,
    ) -> Result<Self, E> {
        let path = path_of(database.path());
        let file =
            vfs.open(&path, OpenMode::CreateNew).map_err(|error| E::from(Error::Storage(error)))?;
        let filled = fill(file.as_ref(), database, size_bytes, writes);
        match filled {
            Ok(header) => {
                let database = database.path().to_owned();
                Ok(Self { file, database, header, stage: Stage::Writing })
            }
            Err(error) => {
                drop(file);
                // Nothing was changed; what cannot be deleted has no header and says so itself.
                let _ = vfs.delete(&path, SyncDirectory::Yes);
                Err(error)
            }
        }
    }

    /// Opens the set of `database`; `None` without one. A set that was never completed belongs to a
    /// change that has not begun, and is deleted.
    ///
    /// # Errors
    /// [`Error::Damaged`], or what the storage reports.
    pub fn open(vfs: &dyn Vfs, database: &Path) -> Result<Option<Self>, Error> {
        match Self::read(vfs, database, OpenMode::ReadWrite)? {
            Found::Nothing => Ok(None),
            Found::Begun => {
                vfs.delete(&path_of(database), SyncDirectory::Yes)?;
                Ok(None)
            }
            Found::Set(set) => Ok(Some(set)),
        }
    }

    /// The stage of the set of `database`, without touching anything; `None` without a set, and for
    /// a change that has not begun.
    ///
    /// # Errors
    /// As [`Set::open`].
    pub fn peek(vfs: &dyn Vfs, database: &Path) -> Result<Option<Stage>, Error> {
        Ok(Self::look(vfs, database)?.map(|set| set.stage))
    }

    /// The set of `database` for reading only.
    ///
    /// # Errors
    /// As [`Set::open`].
    pub fn look(vfs: &dyn Vfs, database: &Path) -> Result<Option<Self>, Error> {
        match Self::read(vfs, database, OpenMode::ReadOnly)? {
            Found::Nothing | Found::Begun => Ok(None),
            Found::Set(set) => Ok(Some(set)),
        }
    }

    fn read(vfs: &dyn Vfs, database: &Path, mode: OpenMode) -> Result<Found, Error> {
        let path = path_of(database);
        let Some(file) = if_there(vfs.open(&path, mode))? else { return Ok(Found::Nothing) };
        let mut header = [0; HEADER_BYTES];
        let read = file.read_at(&mut header, 0)?;
        if header == [0; HEADER_BYTES] || read < HEADER_BYTES {
            return Ok(Found::Begun);
        }
        let damaged = |offset_bytes, why| Error::Damaged { path: path.clone(), offset_bytes, why };
        let header = UndoHeader::decode(&header).map_err(|why| damaged(0, why))?;
        let mut bytes = [0; 8];
        file.read_at(&mut bytes, STAGE_AT)?;
        let stage = header
            .stage_in(bytes)
            .ok_or_else(|| damaged(STAGE_AT, "the stage does not have its checksum"))?;
        Ok(Found::Set(Self { file, database: database.to_owned(), header, stage }))
    }

    /// Size of the database before the change, in bytes.
    #[must_use]
    pub fn size_before_bytes(&self) -> u64 {
        self.header.before_bytes
    }

    /// Size of the database after the change, in bytes.
    #[must_use]
    pub fn size_after_bytes(&self) -> u64 {
        self.header.after_bytes
    }

    /// Records that it holds.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.header.records
    }

    /// Moves `path`, a log or journal, into the set as `kept`; durable when it returns.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn take(&self, vfs: &dyn Vfs, path: &Path, kept: &Path) -> Result<(), Error> {
        Ok(vfs.rename(path, kept)?)
    }

    /// Notes how far the change has come; durable when it returns.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn mark(&mut self, stage: Stage) -> Result<(), Error> {
        self.file.write_at(&self.header.stage(stage), STAGE_AT)?;
        self.file.sync(SyncKind::Full)?;
        self.stage = stage;
        Ok(())
    }

    /// Notes that the change of `database` is complete, and when that was modified last: whoever
    /// writes it later makes another state, also where the change did not write. Durable when it
    /// returns.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn finish(&mut self, database: &dyn File) -> Result<(), Error> {
        let bytes = self.header.stage_at(Stage::Done, database.modified()?);
        self.file.write_at(&bytes, STAGE_AT)?;
        self.file.sync(SyncKind::Full)?;
        self.stage = Stage::Done;
        Ok(())
    }

    /// Puts everything back: bytes, size, log and journal, and removes the set. Every record is
    /// checked before the first is written, and a run that was cut off can be repeated. Returns the
    /// number of records.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a record does not have its sum, [`Error::Changed`] when the database
    /// is not to be trusted and is not as the change left it; nothing was written then.
    pub fn restore(
        mut self,
        vfs: &dyn Vfs,
        database: &dyn File,
        trust: Trust,
    ) -> Result<u64, Error> {
        if self.stage != Stage::Restored {
            self.each_record(|_, _| Ok(()))?;
            if self.stage == Stage::Done {
                if trust == Trust::Unchanged {
                    self.check_unchanged(database)?;
                }
                self.mark(Stage::Writing)?;
            }
            self.each_record(|record, old| match old {
                [] => Ok(()),
                old => Ok(database.write_at(old, record.offset)?),
            })?;
            database.truncate(self.size_before_bytes())?;
            database.sync(SyncKind::Full)?;
            self.mark(Stage::Restored)?;
        }
        let records = self.records();
        for (kept, suffix) in
            [(kept_wal(&self.database), "-wal"), (kept_journal(&self.database), "-journal")]
        {
            if vfs.exists(&kept)? {
                vfs.rename(&kept, &suffixed(&self.database, suffix))?;
            }
        }
        drop(self.file);
        vfs.delete(&path_of(&self.database), SyncDirectory::Yes)?;
        Ok(records)
    }

    /// Every range is as the change wrote it, or as it was before.
    fn check_unchanged(&self, database: &dyn File) -> Result<(), Error> {
        let changed =
            |offset_bytes, why| Error::Changed { path: self.database.clone(), offset_bytes, why };
        let size = self.size_after_bytes();
        if database.size()? != size {
            return Err(changed(size, "the file has another size than the change gave it"));
        }
        let mut stage = [0; 28];
        self.file.read_at(&mut stage, STAGE_AT)?;
        if UndoHeader::is_other_time(&stage, database.modified()?) {
            return Err(changed(0, "the database was written since the change"));
        }
        let mut now = Vec::new();
        self.each_record(|record, old| {
            now.resize(record.new_len, 0);
            let read = database.read_at(&mut now, record.offset)?;
            now.truncate(read);
            // What an undo that was cut off has written back is right, too.
            match crc32fast::hash(&now) == record.new_sum || now == old {
                true => Ok(()),
                false => Err(changed(record.offset, "the database was written since the change")),
            }
        })
    }

    fn each_record(
        &self,
        mut visit: impl FnMut(Record, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut at = RECORDS_AT;
        for _ in 0..self.records() {
            let damaged =
                |why| Error::Damaged { path: path_of(&self.database), offset_bytes: at, why };
            let mut head = [0; RECORD_HEADER_BYTES];
            let read = self.file.read_at(&mut head, at)?;
            let record = Record::decode(&head);
            if read < head.len() || !record.has_possible_lengths() {
                return Err(damaged("the record is cut or its length is impossible"));
            }
            let mut old = vec![0; record.old_len];
            let read = self.file.read_at(&mut old, at + RECORD_HEADER_BYTES as u64)?;
            if read < old.len() || !record.is_intact(&head, &old) {
                return Err(damaged("the record does not have its checksum"));
            }
            visit(record, &old)?;
            at += (RECORD_HEADER_BYTES + old.len()) as u64;
        }
        Ok(())
    }
}

/// Writes records and then the header.
fn fill<E: From<Error>>(
    to: &dyn File,
    database: &dyn File,
    size_bytes: u64,
    writes: &mut Writes<'_, E>,
) -> Result<UndoHeader, E> {
    let old_bytes = database.size().map_err(Error::from)?;
    let mut records = Records { to, at: RECORDS_AT, count: 0 };
    writes(&mut |new, offset| {
        let mut old = vec![0; new.len()];
        let read = database.read_at(&mut old, offset).map_err(Error::from)?;
        old.truncate(read);
        Ok(records.push(offset, &old, new)?)
    })?;
    let mut offset = size_bytes;
    while offset < old_bytes {
        let length = (old_bytes - offset).min(MAX_RECORD_BYTES);
        let mut old = vec![0; usize::try_from(length).unwrap_or_default()];
        database.read_at(&mut old, offset).map_err(Error::from)?;
        records.push(offset, &old, &[])?;
        offset += length;
    }
    let header =
        UndoHeader { before_bytes: old_bytes, after_bytes: size_bytes, records: records.count };
    to.sync(SyncKind::Full).map_err(Error::from)?;
    to.write_at(&header.encode(), 0).map_err(Error::from)?;
    to.sync(SyncKind::Full).map_err(Error::from)?;
    Ok(header)
}

/// Removes the set and what it keeps.
///
/// # Errors
/// What the storage reports.
pub fn discard(vfs: &dyn Vfs, database: &Path) -> Result<(), Error> {
    // The records last: as long as they are there, the set can be known from leftovers.
    for path in [kept_wal(database), kept_journal(database), path_of(database)] {
        if vfs.exists(&path)? {
            vfs.delete(&path, SyncDirectory::Yes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryVfs;

    const DATABASE: &str = "x.db";

    fn database(bytes: &[u8]) -> (MemoryVfs, Box<dyn File>) {
        let vfs = MemoryVfs::default();
        let file = vfs.open(Path::new(DATABASE), OpenMode::Create).unwrap();
        file.write_at(bytes, 0).unwrap();
        (vfs, file)
    }

    fn all(file: &dyn File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn save(vfs: &MemoryVfs, file: &dyn File, size: u64, at: &[u64]) -> Set {
        Set::create::<Error>(vfs, file, size, &mut |write| {
            at.iter().try_for_each(|&at| write(&[9; 512], at))
        })
        .unwrap()
    }

    #[test]
    fn what_was_overwritten_cut_and_set_aside_comes_back() {
        let before: Vec<u8> = (0..5000_u32).map(|i| (i % 251) as u8).collect();
        let (vfs, file) = database(&before);
        let wal = Path::new("x.db-wal");
        vfs.open(wal, OpenMode::Create).unwrap().write_at(b"log", 0).unwrap();
        let mut set = save(&vfs, file.as_ref(), 4096, &[512, 4000]);
        file.write_at(&[9; 512], 512).unwrap();
        file.write_at(&[9; 512], 4000).unwrap();
        file.truncate(4096).unwrap();
        set.take(&vfs, wal, &kept_wal(Path::new(DATABASE))).unwrap();
        set.mark(Stage::Done).unwrap();
        assert!(matches!(make_way(&vfs, file.as_ref()), Err(Error::Exists(_))));
        let set = Set::open(&vfs, Path::new(DATABASE)).unwrap().unwrap();
        assert_eq!((set.stage, set.records()), (Stage::Done, 3));
        assert_eq!(set.restore(&vfs, file.as_ref(), Trust::Anything).unwrap(), 3);
        assert_eq!(all(file.as_ref()), before);
        assert_eq!(all(vfs.open(wal, OpenMode::ReadOnly).unwrap().as_ref()), b"log");
        assert!(Set::open(&vfs, Path::new(DATABASE)).unwrap().is_none());
    }

    #[test]
    fn a_database_that_was_written_since_is_not_put_back() {
        let (vfs, file) = database(&[1; 2048]);
        let mut set = save(&vfs, file.as_ref(), 2048, &[0, 1024]);
        file.write_at(&[9; 512], 0).unwrap();
        file.write_at(&[9; 512], 1024).unwrap();
        set.mark(Stage::Done).unwrap();
        file.write_at(&[5], 1100).unwrap();
        let set = Set::open(&vfs, Path::new(DATABASE)).unwrap().unwrap();
        let error = set.restore(&vfs, file.as_ref(), Trust::Unchanged).unwrap_err();
        assert!(matches!(error, Error::Changed { offset_bytes: 1024, .. }), "{error}");
    }

    #[test]
    fn a_damaged_record_is_found_before_anything_is_written() {
        let (vfs, file) = database(&[1; 2048]);
        save(&vfs, file.as_ref(), 2048, &[0, 512]);
        let path = path_of(Path::new(DATABASE));
        let records = vfs.open(&path, OpenMode::ReadWrite).unwrap();
        let last = records.size().unwrap() - 1;
        records.write_at(&[7], last).unwrap();
        file.write_at(&[7; 2048], 0).unwrap();
        let error = make_way(&vfs, file.as_ref()).unwrap_err();
        assert!(matches!(error, Error::Damaged { offset_bytes: 1560, .. }), "{error}");
        assert_eq!(all(file.as_ref()), [7; 2048]);
    }
}

//! A file with its bytes in another order: pieces of the file itself, zeros, and bytes from
//! elsewhere.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Error, File, LockHolder, LockLevel, LockMode, Locked, Result, SyncKind, Verb};

/// Where the bytes of a piece come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceSource {
    /// From the file, from this offset on.
    File(u64),
    /// Zeros.
    Zeros,
    /// These. They are as many as the piece has.
    Bytes(Arc<[u8]>),
}

/// A piece of an arrangement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Where it begins in the arrangement.
    start: u64,
    bytes: u64,
    source: PieceSource,
}

/// Pieces, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    pieces: Vec<Piece>,
}

impl Arrangement {
    /// Bytes of all pieces.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.start + piece.bytes)
    }

    /// Adds a piece of the file.
    pub fn take(&mut self, range: Range<u64>) {
        let bytes = range.end.saturating_sub(range.start);
        if let Some(last) = self.pieces.last_mut()
            && last.source == PieceSource::File(range.start.wrapping_sub(last.bytes))
        {
            last.bytes += bytes;
            return;
        }
        self.add(bytes, PieceSource::File(range.start));
    }

    /// Adds zeros.
    pub fn take_zeros(&mut self, bytes: u64) {
        self.add(bytes, PieceSource::Zeros);
    }

    /// Adds bytes that the file does not have so.
    pub fn take_bytes(&mut self, bytes: Vec<u8>) {
        self.add(bytes.len() as u64, PieceSource::Bytes(bytes.into()));
    }

    fn add(&mut self, bytes: u64, source: PieceSource) {
        if bytes > 0 {
            let start = self.bytes();
            self.pieces.push(Piece { start, bytes, source });
        }
    }
}

/// The file under a view of it.
#[derive(Debug)]
enum Base<'a> {
    Lent(&'a dyn File),
    Owned(Box<dyn File>),
}

/// A file as an arrangement of its bytes; for reading only. Questions about locks go to the file.
#[derive(Debug)]
pub struct Rearranged<'a> {
    base: Base<'a>,
    arrangement: Arc<Arrangement>,
}

impl<'a> Rearranged<'a> {
    /// Over a file that somebody else keeps.
    #[must_use]
    pub fn over(base: &'a dyn File, arrangement: Arc<Arrangement>) -> Self {
        Self { base: Base::Lent(base), arrangement }
    }

    /// Over a file of its own.
    #[must_use]
    pub fn of(base: Box<dyn File>, arrangement: Arc<Arrangement>) -> Rearranged<'static> {
        Rearranged { base: Base::Owned(base), arrangement }
    }

    fn base(&self) -> &dyn File {
        match &self.base {
            Base::Lent(file) => *file,
            Base::Owned(file) => file.as_ref(),
        }
    }

    fn refused(&self, verb: Verb) -> Error {
        Error::new(verb, self.path(), std::io::ErrorKind::PermissionDenied.into())
    }
}

impl File for Rearranged<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let pieces = &self.arrangement.pieces;
        let first = pieces.partition_point(|piece| piece.start + piece.bytes <= offset);
        let mut done = 0_usize;
        for piece in pieces.iter().skip(first) {
            let (_, rest) = buffer.split_at_mut(done);
            if rest.is_empty() {
                break;
            }
            let skipped = (offset + done as u64).saturating_sub(piece.start);
            let left = usize::try_from(piece.bytes - skipped).unwrap_or(usize::MAX);
            let (to, _) = rest.split_at_mut(left.min(rest.len()));
            match &piece.source {
                PieceSource::File(start) => {
                    let read = self.base().read_at(to, start + skipped)?;
                    if read < to.len() {
                        return Ok(done + read);
                    }
                }
                PieceSource::Zeros => to.fill(0),
                PieceSource::Bytes(bytes) => {
                    let from = bytes.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            }
            done += to.len();
        }
        Ok(done)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> Result<()> {
        Err(self.refused(Verb::Write))
    }

    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Err(self.refused(Verb::Truncate))
    }

    fn sync(&self, _kind: SyncKind) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.arrangement.bytes())
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        self.base().lock(level)
    }

    fn unlock(&self, level: LockLevel) -> Result<()> {
        self.base().unlock(level)
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        self.base().lock_holder(bytes, wanted)
    }

    fn path(&self) -> &Path {
        self.base().path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryFile;

    #[test]
    fn it_reads_as_its_pieces_one_after_the_other() {
        let mut random = fastrand::Rng::with_seed(4);
        let bytes: Vec<u8> = (0..3000).map(|_| random.u8(..)).collect();
        let file = MemoryFile::with_bytes(bytes.clone());
        for _ in 0..200 {
            let (mut arrangement, mut wanted) = (Arrangement::default(), Vec::new());
            for _ in 0..random.usize(0..9) {
                let start = random.usize(0..2000);
                let end = start + random.usize(0..900);
                match random.u8(0..4) {
                    0 => {
                        arrangement.take_zeros((end - start) as u64);
                        wanted.resize(wanted.len() + end - start, 0);
                    }
                    1 => {
                        let other: Vec<u8> = (start..end).map(|_| random.u8(..)).collect();
                        wanted.extend(&other);
                        arrangement.take_bytes(other);
                    }
                    _ => {
                        let middle = random.usize(start..=end);
                        arrangement.take(start as u64..middle as u64);
                        arrangement.take(middle as u64..end as u64);
                        wanted.extend(&bytes[start..end]);
                    }
                }
            }
            let view = Rearranged::over(&file, Arc::new(arrangement));
            assert_eq!(view.size().unwrap(), wanted.len() as u64);
            let start = random.usize(0..wanted.len() + 10);
            let mut found = vec![1; random.usize(0..4000)];
            let read = view.read_at(&mut found, start as u64).unwrap();
            let rest = wanted.get(start..).unwrap_or_default();
            assert_eq!(found[..read], rest[..rest.len().min(found.len())]);
            assert!(view.write_at(b"x", 0).is_err() && view.truncate(0).is_err());
        }
    }
}

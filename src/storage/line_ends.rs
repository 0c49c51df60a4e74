//! A file in which every line feed became a carriage return and a line feed, read as it was before.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memchr::memchr;

use super::{Error, File, LockHolder, LockLevel, LockMode, Locked, Result, SyncKind, Verb};

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// Bytes of the text before, from one known place to the next.
const BLOCK_BYTES: u64 = 1 << 16;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// So many bytes of a log are not without a line feed: each frame has 16 bytes of salts and sums.
const PLAIN_BYTES: u64 = 16 << 20;

/// Where the bytes of a file were before a translation of its line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineEnds {
    /// Offset in the file of every [`BLOCK_BYTES`]th byte of the text before.
    blocks: Vec<u64>,
    /// Bytes of the text before.
    bytes: u64,
    /// Carriage returns that the translation has added.
    added: u64,
}

impl LineEnds {
    /// Reads the whole file as long as `goes_on` says so; `None` at the first line feed that
    /// follows no carriage return, and without any line feed in the first `PLAIN_BYTES`: no
    /// translation makes that.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(file: &dyn File, goes_on: &dyn Fn() -> bool) -> Result<Option<Self>> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut found = Self { blocks: vec![0], bytes: 0, added: 0 };
        // A carriage return at the end of a chunk is decided with the next.
        let (mut at, mut held) = (0_u64, false);
        loop {
            if !goes_on() || (found.added == 0 && at > PLAIN_BYTES) {
                return Ok(None);
            }
            let read = file.read_at(&mut chunk, at)?;
            let (bytes, _) = chunk.split_at(read);
            if bytes.is_empty() {
                found.bytes += u64::from(held);
                return Ok(Some(found).filter(|found| found.added > 0));
            }
            for (offset, &byte) in (at..).zip(bytes) {
                if byte == LF && !held {
                    return Ok(None);
                }
                if byte == LF {
                    found.added += 1;
                } else if held {
                    found.pass(offset - 1);
                }
                held = byte == CR;
                if !held {
                    found.pass(offset);
                }
            }
            at += read as u64;
        }
    }

    /// The byte at `offset` of the file is the next of the text before.
    fn pass(&mut self, offset: u64) {
        if self.bytes > 0 && self.bytes.is_multiple_of(BLOCK_BYTES) {
            self.blocks.push(offset);
        }
        self.bytes += 1;
    }

    /// Carriage returns that the translation has added.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added
    }
}

/// A file as it was before the translation; for reading only. Questions about locks go to the file.
#[derive(Debug)]
pub struct Untranslated<'a> {
    base: Base<'a>,
    line_ends: Arc<LineEnds>,
}

#[derive(Debug)]
enum Base<'a> {
    Lent(&'a dyn File),
    Owned(Box<dyn File>),
}

impl<'a> Untranslated<'a> {
    /// Over a file that somebody else keeps.
    #[must_use]
    pub fn over(base: &'a dyn File, line_ends: Arc<LineEnds>) -> Self {
        Self { base: Base::Lent(base), line_ends }
    }

    /// Over a file of its own.
    #[must_use]
    pub fn of(base: Box<dyn File>, line_ends: Arc<LineEnds>) -> Untranslated<'static> {
        Untranslated { base: Base::Owned(base), line_ends }
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

impl File for Untranslated<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let room = self.line_ends.bytes.saturating_sub(offset);
        let wanted = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let block = usize::try_from(offset / BLOCK_BYTES).unwrap_or(usize::MAX);
        let Some(&start) = self.line_ends.blocks.get(block) else { return Ok(0) };
        let mut skip = usize::try_from(offset % BLOCK_BYTES).unwrap_or(usize::MAX);
        let mut chunk = vec![0; (skip + wanted).clamp(2, CHUNK_BYTES)];
        let (mut at, mut done) = (start, 0);
        while done < wanted {
            let read = self.base().read_at(&mut chunk, at)?;
            let (mut rest, _) = chunk.split_at(read);
            if read == 0 {
                break;
            }
            let mut put = |bytes: &[u8]| {
                let passed = skip.min(bytes.len());
                skip -= passed;
                let bytes = bytes.split_at(passed).1;
                let to = buffer.split_at_mut(wanted).0.split_at_mut(done).1;
                let count = bytes.len().min(to.len());
                to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                done += count;
            };
            // Runs up to a carriage return; that one is kept unless a line feed follows it.
            let mut used = 0;
            while !rest.is_empty() {
                let run = memchr(CR, rest).unwrap_or(rest.len());
                put(rest.split_at(run).0);
                used += run;
                match rest.split_at(run).1 {
                    [] => break,
                    // The next chunk begins with it, unless it is the last byte of the file.
                    [_] if used > 0 => break,
                    [_] => {
                        put(&[CR]);
                        used += 1;
                        break;
                    }
                    [_, after @ ..] => {
                        if after.first() != Some(&LF) {
                            put(&[CR]);
                        }
                        used += 1;
                        rest = after;
                    }
                }
            }
            at += used as u64;
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
        Ok(self.line_ends.bytes)
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

    fn translated(bytes: &[u8]) -> Vec<u8> {
        let pairs = bytes.iter().flat_map(|&byte| match byte {
            LF => [Some(CR), Some(LF)],
            other => [Some(other), None],
        });
        pairs.flatten().collect()
    }

    #[test]
    fn a_translation_is_undone_at_every_offset() {
        let mut random = fastrand::Rng::with_seed(9);
        for round in 0..60 {
            let few = [CR, LF, 7];
            let len = if round % 10 == 0 { 300_000 } else { random.usize(1..3000) };
            let before: Vec<u8> = (0..len)
                .map(|_| if random.bool() { few[random.usize(0..3)] } else { random.u8(..) })
                .collect();
            let file = MemoryFile::with_bytes(translated(&before));
            let Some(line_ends) = LineEnds::of(&file, &|| true).unwrap() else {
                assert!(!before.contains(&LF));
                continue;
            };
            let added = before.iter().filter(|&&byte| byte == LF).count();
            assert_eq!(line_ends.added(), added as u64);
            let view = Untranslated::over(&file, Arc::new(line_ends));
            assert_eq!(view.size().unwrap(), before.len() as u64);
            for _ in 0..50 {
                let start = random.usize(0..before.len() + 2);
                let mut found = vec![1; random.usize(0..9000)];
                let read = view.read_at(&mut found, start as u64).unwrap();
                let rest = before.get(start..).unwrap_or_default();
                assert!(found[..read] == rest[..rest.len().min(found.len())]);
            }
        }
    }

    #[test]
    fn a_bare_line_feed_shows_that_nothing_was_translated() {
        for bytes in [&b"\n"[..], b"a\r\nb\n", b"plain", b"\r\r", b""] {
            let file = MemoryFile::with_bytes(bytes.to_vec());
            assert_eq!(LineEnds::of(&file, &|| true).unwrap(), None, "{bytes:?}");
        }
    }
}

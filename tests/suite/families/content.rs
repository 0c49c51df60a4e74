//! Databases that are damaged, and what is true of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::support::{beside, oracle, oracle_program, text};

/// A frame of an undamaged log.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// Offset of its header, bytes.
    pub at: usize,
    pub page: u32,
    /// It ends a transaction.
    pub commits: bool,
}

/// A database with its log, before any damage.
pub(crate) struct Content {
    pub name: String,
    pub page_bytes: usize,
    pub database: Vec<u8>,
    pub wal: Vec<u8>,
    /// The log before its reset; empty where there was none.
    pub previous: Vec<u8>,
    /// The database after a checkpoint of everything: the truth.
    pub copied: Vec<u8>,
    pub rows: BTreeSet<u64>,
    /// Committed frames of the log's generation.
    pub frames: Vec<Frame>,
    /// How many of them the database has already.
    pub frames_copied: usize,
}

impl Content {
    /// All of them that the oracle makes of `seed`.
    pub(crate) fn all(seed: u64, looks: &mut Looks) -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        oracle(&["families", text(folder.path()), &seed.to_string()]);
        let folders = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> = folders.collect();
        folders.sort();
        folders.iter().map(|folder| Self::read(folder, looks)).collect()
    }

    fn read(folder: &Path, looks: &mut Looks) -> Self {
        let file = |name| fs::read(folder.join(name)).unwrap_or_default();
        let (database, wal, copied) = (file("database"), file("wal"), file("copied"));
        let page_bytes = word(&wal, 8) as usize;
        let mut content = Self {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            page_bytes,
            frames: frames(&wal, page_bytes),
            previous: file("previous"),
            rows: looks.of_files(&database, &wal).rows,
            frames_copied: 0,
            database,
            wal,
            copied,
        };
        content.frames_copied = content.count_copied();
        let restored = content.state(content.frames.len());
        assert!(restored == content.copied, "{}: SQLite's checkpoint gives it", content.name);
        let is_intact = |frame| content.links(&content.wal, frame) == Some(true);
        assert!((0..content.frames.len()).all(is_intact), "{}: sums", content.name);
        assert!(content.rows.len() > 20, "{}: {} rows", content.name, content.rows.len());
        content
    }

    /// The commit up to which the database's pages are those of the log.
    fn count_copied(&self) -> usize {
        let commits = (1..=self.frames.len()).filter(|&count| self.frames[count - 1].commits);
        let copied = commits.filter(|&count| self.state(count) == self.database).max();
        copied.unwrap_or_default()
    }

    /// The database as of the first `count` frames.
    pub(crate) fn state(&self, count: usize) -> Vec<u8> {
        let mut state = self.database.clone();
        for (&page, &frame) in &self.last_writers(count) {
            let start = (page as usize - 1) * self.page_bytes;
            if state.len() < start + self.page_bytes {
                state.resize(start + self.page_bytes, 0);
            }
            state[start..start + self.page_bytes].copy_from_slice(self.image(frame));
        }
        state
    }

    /// The newest of the first `count` frames, by page.
    pub(crate) fn last_writers(&self, count: usize) -> BTreeMap<u32, usize> {
        let frames = self.frames[..count].iter().enumerate();
        frames.map(|(index, frame)| (frame.page, index)).collect()
    }

    /// The image of a frame, by index.
    pub(crate) fn image(&self, frame: usize) -> &[u8] {
        &self.wal[self.image_range(frame)]
    }

    /// Where in the log it is.
    pub(crate) fn image_range(&self, frame: usize) -> Range<usize> {
        let start = self.frames[frame].at + 24;
        start..start + self.page_bytes
    }

    /// Whether the sum of a frame, by index, follows in `wal` from the one stored before it.
    pub(crate) fn links(&self, wal: &[u8], frame: usize) -> Option<bool> {
        let at = self.frames[frame].at;
        // The sum of the header, or of the frame before it.
        let before = if frame == 0 { 24 } else { self.frames[frame - 1].at + 16 };
        let before = stored_sum(wal, before)?;
        let image = wal.get(self.image_range(frame))?;
        let sum = checksum(checksum(before, wal.get(at..at + 8)?), image);
        Some(stored_sum(wal, at + 16)? == sum)
    }

    /// Bytes of the log after which something is committed, those of the header first.
    pub(crate) fn commit_ends(&self) -> impl Iterator<Item = usize> {
        let ends = self.frames.iter().filter(|frame| frame.commits);
        std::iter::once(32).chain(ends.map(|frame| frame.at + 24 + self.page_bytes))
    }

    /// Bytes of the log up to the last commit.
    pub(crate) fn committed_bytes(&self) -> usize {
        32 + self.frames.len() * (24 + self.page_bytes)
    }

    /// The log as it was when only `written_bytes` of it had been written since the reset.
    pub(crate) fn log_when(&self, written_bytes: usize) -> Vec<u8> {
        let older = self.previous.get(written_bytes..).unwrap_or_default();
        [&self.wal[..written_bytes], older].concat()
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// SQLite's sum over `bytes`, carried on from `sum`; walChecksumBytes for a magic that is even.
pub(crate) fn checksum(mut sum: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    let words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    for (number, word) in words.enumerate() {
        let one = number % 2;
        sum[one] = sum[one].wrapping_add(word).wrapping_add(sum[1 - one]);
    }
    sum
}

/// The sum that is stored at an offset.
pub(crate) fn stored_sum(wal: &[u8], at: usize) -> Option<[u32; 2]> {
    let words = wal.get(at..at + 8)?;
    Some([word(words, 0), word(words, 4)])
}

/// The frames of the header's salts up to the last commit; the log is not damaged.
fn frames(wal: &[u8], page_bytes: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = 32;
    while wal.len() >= at + 24 + page_bytes && wal[at + 8..at + 16] == wal[16..24] {
        frames.push(Frame { at, page: word(wal, at), commits: word(wal, at + 4) > 0 });
        at += 24 + page_bytes;
    }
    let committed = frames.iter().rposition(|frame| frame.commits).unwrap();
    frames.truncate(committed + 1);
    frames
}

/// What SQLite reads of a database.
#[derive(Deserialize)]
pub(crate) struct Look {
    /// Sums of rows with their keys.
    pub rows: BTreeSet<u64>,
    /// What `integrity_check` says.
    pub sound: bool,
}

/// A process that opens copies with real SQLite.
pub(crate) struct Looks {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Looks {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(oracle_program());
        command.arg("look").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, ask, answers }
    }

    /// What SQLite sees of these bytes.
    pub(crate) fn of_files(&mut self, database: &[u8], wal: &[u8]) -> Look {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, database).unwrap();
        fs::write(beside(&path, "-wal"), wal).unwrap();
        self.of(&path)
    }

    /// What SQLite sees of a private copy.
    pub(crate) fn of(&mut self, path: &Path) -> Look {
        writeln!(self.ask.as_mut().unwrap(), "{}", path.display()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        drop(self.ask.take());
        let _: std::io::Result<_> = self.child.wait();
    }
}

//! Which SQLite a process has loaded, without stopping it: by the files that it has mapped.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use memchr::{memchr, memmem};

/// Largest file that is searched.
const MOST_BYTES: u64 = 256 << 20;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Longest text that is looked at, with the NUL after it.
const MOST_TEXT_BYTES: usize = 128;

/// A release of SQLite: `SqliteVersion(3, 46, 1)` is 3.46.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqliteVersion(pub u32, pub u32, pub u32);

impl fmt::Display for SqliteVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A SQLite in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedSqlite {
    /// The library or program that has it.
    pub file: PathBuf,
    /// Its version.
    pub version: SqliteVersion,
}

/// The SQLite that process `pid` uses: its shared library, or its own program. `None` where neither
/// can be read, or does not tell one version.
#[must_use]
pub fn sqlite_of(pid: i32) -> Option<LoadedSqlite> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let executable = maps.lines().filter(|line| {
        line.split_ascii_whitespace().nth(1).is_some_and(|rights| rights.contains('x'))
    });
    let named: BTreeSet<&str> = executable
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .filter(|name| name.contains("sqlite"))
        .collect();
    // As the process sees it: it may have another root.
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let inside = |name: &str| root.join(name.trim_start_matches('/'));
    let libraries = named.into_iter().map(|name| (PathBuf::from(name), inside(name)));
    let program = PathBuf::from(format!("/proc/{pid}/exe"));
    let name = fs::read_link(&program).unwrap_or_else(|_| program.clone());
    libraries
        .chain([(name, program)])
        .find_map(|(file, path)| Some(LoadedSqlite { file, version: version_in(&path)? }))
}

fn version_in(path: &Path) -> Option<SqliteVersion> {
    let mut file = fs::File::open(path).ok()?;
    file.metadata().ok().filter(|found| found.len() <= MOST_BYTES)?;
    let mut texts = Texts::default();
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut kept = 0;
    loop {
        let read = file.read(bytes.get_mut(kept..)?).ok()?;
        let there = kept + read;
        texts.look(bytes.get(..there)?);
        if read == 0 {
            return texts.version();
        }
        // A text may go on in the next chunk.
        let next = there.saturating_sub(MOST_TEXT_BYTES);
        bytes.copy_within(next..there, 0);
        kept = there - next;
    }
}

/// Texts of SQLite that are in a program: `sqlite3_version`, `SQLITE_SOURCE_ID`.
#[derive(Debug, Default)]
struct Texts {
    has_source_id: bool,
    versions: BTreeSet<SqliteVersion>,
}

impl Texts {
    /// Looks at texts that have a NUL before and after them.
    fn look(&mut self, bytes: &[u8]) {
        let of = |before: &'static [u8]| {
            memmem::find_iter(bytes, before).filter_map(|at| {
                let text = bytes.get(at + 1..)?;
                text.get(..memchr(0, text.get(..MOST_TEXT_BYTES).unwrap_or(text))?)
            })
        };
        self.has_source_id = self.has_source_id || of(b"\x002").any(is_source_id);
        self.versions.extend(of(b"\x003.").filter_map(parse));
    }

    /// The one version, where there is a source id, too.
    fn version(&self) -> Option<SqliteVersion> {
        let mut found = self.versions.iter();
        found.next().filter(|_| self.has_source_id && found.next().is_none()).copied()
    }
}

/// `2024-08-13 09:16:08 ` and at least 40 hexadecimal digits.
fn is_source_id(text: &[u8]) -> bool {
    let Some((date, hash)) = text.split_at_checked(20) else { return false };
    let shape = b"dddd-dd-dd dd:dd:dd ";
    let fits = date.iter().zip(shape).all(|(&byte, &wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        _ => byte == wanted,
    });
    fits && hash.len() >= 40 && hash.iter().take(40).all(u8::is_ascii_hexdigit)
}

fn parse(text: &[u8]) -> Option<SqliteVersion> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= 8)?;
    let mut parts = text.split('.').map(|part| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| is_number)
    });
    let version = SqliteVersion(parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && version.0 == 3).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_text_beside_a_source_id() {
        let version = |bytes: &[u8]| {
            let mut texts = Texts::default();
            texts.look(bytes);
            texts.version()
        };
        let id =
            b"2024-08-13 09:16:08 c9c2ab54ba1f5f46360f1b4f35d849cd3f080e6fc2b6c60e91b16c63f69a";
        let with = |rest: &[u8]| [b"x\0", &id[..], b"\0", rest, b"\0y"].concat();
        assert_eq!(version(&with(b"3.46.1")), Some(SqliteVersion(3, 46, 1)));
        assert_eq!(version(&with(b"3.46.1\x003.7.0")), None);
        assert_eq!(version(&with(b"3.46")), None);
        assert_eq!(version(b"x\x003.46.1\0"), None);
    }
}

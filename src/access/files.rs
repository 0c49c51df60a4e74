//! Which files a PATH means: the database, its log, its wal-index.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::format::wal_header::WAL_MAGIC;
use crate::output::text::argument;
use crate::storage::{File, OpenMode, Result, Vfs};

/// Overrides of the files that a PATH means.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArgs {
    /// Take this file as the database
    #[arg(long, value_name = "FILE", help_heading = "File options")]
    pub database: Option<PathBuf>,
    /// Take this file as the log
    #[arg(long, value_name = "FILE", help_heading = "File options")]
    pub wal: Option<PathBuf>,
}

impl FileArgs {
    /// The options as they are typed, each with a space before it.
    #[must_use]
    pub fn typed(&self) -> String {
        let option = |name: &str, path: &Option<PathBuf>| {
            path.as_ref().map_or(String::new(), |path| format!(" {name} {}", argument(path)))
        };
        option("--database", &self.database) + &option("--wal", &self.wal)
    }
}

/// What the content of a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begins with the magic of a database.
    Database,
    /// Begins with the magic of a log.
    Wal,
    /// Begins with the version of a wal-index.
    Shm,
    /// None of these, or empty, or not there.
    Other,
}

/// The files around a database. Only the log is always known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The database; `None` for a log under a foreign name.
    pub database: Option<PathBuf>,
    /// The log.
    pub wal: PathBuf,
    /// The wal-index.
    pub shm: Option<PathBuf>,
    /// The rollback journal.
    pub journal: Option<PathBuf>,
    /// What the given path is by content.
    pub given: Kind,
}

impl Files {
    /// Finds the files that `path` means: by content, then by suffix, then taken for a database.
    /// Symbolic links of a database are resolved first, as SQLite does.
    ///
    /// # Errors
    /// When a path cannot be searched or read.
    pub fn find(vfs: &dyn Vfs, path: &Path, overrides: &FileArgs) -> Result<Self> {
        let full = vfs.full_path(path)?;
        let given = kind_of(vfs, &full)?;
        let by_suffix = |suffix: &str| strip_suffix(&full, suffix);
        let (database, wal) = match given {
            Kind::Wal => (by_suffix("-wal"), Some(full.clone())),
            Kind::Shm => (by_suffix("-shm"), None),
            Kind::Database => (Some(full.clone()), None),
            Kind::Other => match (by_suffix("-wal"), by_suffix("-shm")) {
                (Some(database), _) => (Some(database), Some(full.clone())),
                (None, Some(database)) => (Some(database), None),
                (None, None) => (Some(full.clone()), None),
            },
        };
        let database = overrides.database.clone().or(database);
        let beside = |suffix| database.as_deref().map(|database| with_suffix(database, suffix));
        let wal = overrides.wal.clone().or(wal).or_else(|| beside("-wal"));
        Ok(Self {
            wal: wal.unwrap_or_else(|| with_suffix(&full, "-wal")),
            shm: beside("-shm"),
            journal: beside("-journal"),
            database,
            given,
        })
    }

    /// Opens the log for reading; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open_wal(&self, vfs: &dyn Vfs) -> Result<Option<Box<dyn File>>> {
        open_if_there(vfs, Some(&self.wal))
    }

    /// Opens the database for reading; `None` when it is not there or not known.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open_database(&self, vfs: &dyn Vfs) -> Result<Option<Box<dyn File>>> {
        open_if_there(vfs, self.database.as_deref())
    }

    /// Opens the wal-index for reading; `None` when it is not there or not known.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open_shm(&self, vfs: &dyn Vfs) -> Result<Option<Box<dyn File>>> {
        open_if_there(vfs, self.shm.as_deref())
    }
}

/// Opens `path` for reading; `None` when nothing is there.
///
/// # Errors
/// When it is there and cannot be opened.
pub fn open_if_there(vfs: &dyn Vfs, path: Option<&Path>) -> Result<Option<Box<dyn File>>> {
    let Some(path) = path else { return Ok(None) };
    match vfs.open(path, OpenMode::ReadOnly) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the first bytes of `path` say.
///
/// # Errors
/// When it is there and cannot be read.
pub fn kind_of(vfs: &dyn Vfs, path: &Path) -> Result<Kind> {
    let Some(file) = open_if_there(vfs, Some(path))? else { return Ok(Kind::Other) };
    let mut head = [0; 16];
    file.read_at(&mut head, 0)?;
    let [a, b, c, d, ..] = head;
    let word = [a, b, c, d];
    Ok(if &head == b"SQLite format 3\0" {
        Kind::Database
    } else if u32::from_be_bytes(word) & !1 == WAL_MAGIC {
        Kind::Wal
    } else if u32::from_ne_bytes(word) == crate::format::wal_header::WAL_FORMAT_VERSION {
        Kind::Shm
    } else {
        Kind::Other
    })
}

/// `path` with `suffix` appended to its name.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn strip_suffix(path: &Path, suffix: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let rest = path.as_os_str().as_bytes().strip_suffix(suffix.as_bytes())?;
    (!rest.is_empty() && !rest.ends_with(b"/"))
        .then(|| PathBuf::from(OsString::from_vec(rest.to_vec())))
}

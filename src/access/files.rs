//! Which files a PATH means: the database, its log, its wal-index, its rollback journal.
//!
//! What PATH is, its content says first, then its suffix. What is none of SQLite's files is refused
//! here, for every command, and so is wal2.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::output::FileName;
use crate::output::text::argument;
use crate::storage::process::OpenFile;
use crate::storage::{self, File, FileType, OpenMode, Vfs};

use super::Failure;
use super::kind::Kind;

mod refuse;

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
    /// Whether no file was named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.database.is_none() && self.wal.is_none()
    }

    /// The options as they are typed, each with a space before it.
    #[must_use]
    pub fn typed(&self) -> String {
        let option = |name: &str, path: &Option<PathBuf>| {
            path.as_ref().map_or(String::new(), |path| format!(" {name} {}", argument(path)))
        };
        option("--database", &self.database) + &option("--wal", &self.wal)
    }
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
    /// The given path is an open file of a process (`/proc/PID/fd/N`), and not a name in a
    /// directory.
    pub through_process: bool,
}

/// A file that is there and cannot be read. What it would tell is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Which of the files it is.
    pub role: Role,
    /// Its path.
    pub file: FileName,
    /// Why it cannot be read.
    pub why: String,
}

/// Which of the four files of a database a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The database itself.
    Database,
    /// Its log.
    Wal,
    /// Its wal-index.
    Shm,
    /// Its rollback journal.
    Journal,
}

impl Files {
    /// Finds the files that `path` means. Symbolic links are resolved first, as SQLite does.
    ///
    /// # Errors
    /// [`Failure::NotFound`], [`Failure::NotSqlite`], [`Failure::Unsupported`] for wal2 and for a
    /// rollback journal without its database, or what searching and reading report.
    pub fn find(vfs: &dyn Vfs, path: &Path, overrides: &FileArgs) -> Result<Self> {
        let files = Self::find_or_journal(vfs, path, overrides)?;
        match files.lone_journal(vfs)? {
            None => Ok(files),
            Some(journal) => {
                let why =
                    "a rollback journal without its database; `info` and `repair` describe it";
                Err(Failure::unsupported(journal, why).into())
            }
        }
    }

    /// As [`Self::find`], for commands that can say something of a rollback journal alone.
    ///
    /// # Errors
    /// As there, but for such a journal.
    pub fn find_or_journal(vfs: &dyn Vfs, path: &Path, overrides: &FileArgs) -> Result<Self> {
        let full = vfs.full_path(path).map_err(|error| unresolved(path, error))?;
        let there = match vfs.file_type(&full).map_err(|error| unresolved(path, error))? {
            None => None,
            Some(FileType::Regular) => Some(vfs.open(&full, OpenMode::ReadOnly)?),
            Some(FileType::Directory) => {
                return Err(Failure::Directory { path: path.to_owned(), hint: None }.into());
            }
            Some(other) => return Err(Failure::not_sqlite(path, other.words()).into()),
        };
        let mut head = [0; 16];
        if let Some(file) = &there {
            file.read_at(&mut head, 0)?;
        }
        let given = Kind::of_head(&head);
        let open_file = OpenFile::at(&full);
        let name = open_file.as_ref().map_or(&full, |file| &file.name);
        let role = role_of(given, name, &full, overrides);
        let files = Self::around(&full, name, (given, role), open_file.as_ref(), overrides);
        match &there {
            None if !files.any_is_there(vfs)? => {
                return Err(Failure::not_found(path).into());
            }
            Some(file) if given == Kind::Other && !overrides.names(&full) => {
                files.refuse_strangers(vfs, path, role, file.as_ref())?;
            }
            None | Some(_) => {}
        }
        files.refuse_wal2(vfs)?;
        Ok(files)
    }

    /// As [`Self::find_or_journal`], for a command that can do something where the file at PATH is
    /// gone or cannot be read: what it is, or was, its name says then.
    ///
    /// # Errors
    /// As there, but for nothing at PATH and a lack of permission.
    pub fn find_or_gone(vfs: &dyn Vfs, path: &Path, overrides: &FileArgs) -> Result<Self> {
        let is_hidden = |error: &anyhow::Error| {
            matches!(error.downcast_ref(), Some(Failure::NotFound { .. }))
                || error.downcast_ref().is_some_and(storage::Error::is_read_only)
        };
        match Self::find_or_journal(vfs, path, overrides) {
            Err(error) if is_hidden(&error) => {
                let full = vfs.full_path(path).map_err(|error| unresolved(path, error))?;
                let role = role_of(Kind::Other, &full, &full, overrides);
                Ok(Self::around(&full, &full, (Kind::Other, role), None, overrides))
            }
            found => found,
        }
    }

    fn around(
        full: &Path,
        name: &Path,
        (given, role): (Kind, Role),
        open_file: Option<&OpenFile>,
        overrides: &FileArgs,
    ) -> Self {
        // A name in a directory, or else an open file of the same process.
        let place = |name: PathBuf| match open_file {
            None => Some(name),
            Some(own) => own.beside(&name).map(|file| file.path),
        };
        let is = |wanted: Role| (role == wanted).then(|| full.to_owned());
        let database_name = match role {
            Role::Database => Some(name.to_owned()),
            Role::Wal => strip_suffix(name, "-wal"),
            Role::Shm => strip_suffix(name, "-shm"),
            Role::Journal => strip_suffix(name, "-journal"),
        };
        let own = || is(Role::Database).or_else(|| place(database_name.clone()?));
        let database = overrides.database.clone().or_else(own);
        // What is beside the database that was named, or else beside that of PATH.
        let beside = |suffix| match &overrides.database {
            Some(database) => Some(with_suffix(database, suffix)),
            None => place(with_suffix(database_name.as_deref()?, suffix)),
        };
        let wal = overrides.wal.clone().or_else(|| is(Role::Wal)).or_else(|| beside("-wal"));
        Self {
            wal: wal.unwrap_or_else(|| with_suffix(full, "-wal")),
            shm: if overrides.database.is_some() { None } else { is(Role::Shm) }
                .or_else(|| beside("-shm")),
            journal: is(Role::Journal).or_else(|| beside("-journal")),
            database,
            given,
            through_process: open_file.is_some(),
        }
    }

    fn by_role(&self) -> impl Iterator<Item = (Role, &Path)> {
        let places = [
            (Role::Database, self.database.as_deref()),
            (Role::Wal, Some(self.wal.as_path())),
            (Role::Shm, self.shm.as_deref()),
            (Role::Journal, self.journal.as_deref()),
        ];
        places.into_iter().filter_map(|(role, path)| Some((role, path?)))
    }

    /// The path of one of them.
    #[must_use]
    pub fn path_of(&self, role: Role) -> Option<&Path> {
        self.by_role().find(|(found, _)| *found == role).map(|(_, path)| path)
    }

    fn siblings(&self) -> impl Iterator<Item = &Path> {
        self.by_role().map(|(_, path)| path)
    }

    fn any_is_there(&self, vfs: &dyn Vfs) -> Result<bool> {
        for path in self.siblings() {
            if vfs.exists(path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rollback journal, where it is all that is left.
    ///
    /// # Errors
    /// When it cannot be asked what is there.
    pub fn lone_journal(&self, vfs: &dyn Vfs) -> Result<Option<&Path>> {
        let Some(journal) = self.journal.as_deref() else { return Ok(None) };
        let others = self.siblings().filter(|&path| path != journal);
        for path in others {
            if vfs.exists(path)? {
                return Ok(None);
            }
        }
        Ok(vfs.exists(journal)?.then_some(journal))
    }

    /// For commands that write into the files themselves.
    ///
    /// # Errors
    /// When PATH is an open file of a process, which SQLite would never find under that name.
    pub fn must_have_names(&self, path: &Path) -> Result<()> {
        if !self.through_process {
            return Ok(());
        }
        let why = "an open file of a process can only be read: its siblings have other names";
        Err(Failure::unsupported(path, why).into())
    }

    /// The files beside PATH, and PATH itself, that are there and cannot be read.
    ///
    /// # Errors
    /// When it cannot be asked what is there.
    pub fn unread(&self, vfs: &dyn Vfs) -> Result<Vec<Unread>> {
        let mut unread = Vec::new();
        for (role, path) in self.by_role() {
            if let Err(error) = open_if_there(vfs, Some(path)) {
                let (file, why) = (FileName::from(path), error.source.to_string());
                unread.push(Unread { role, file, why });
            }
        }
        Ok(unread)
    }

    /// Opens the log for reading; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open_wal(&self, vfs: &dyn Vfs) -> storage::Result<Option<Box<dyn File>>> {
        open_if_there(vfs, Some(&self.wal))
    }

    /// Whether the database is there, readable or not.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub fn database_is_there(&self, vfs: &dyn Vfs) -> storage::Result<bool> {
        self.database.as_deref().map_or(Ok(false), |path| vfs.exists(path))
    }

    /// Opens the database for reading; `None` when it is not there or not known.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open_database(&self, vfs: &dyn Vfs) -> storage::Result<Option<Box<dyn File>>> {
        open_if_there(vfs, self.database.as_deref())
    }

    /// Opens the wal-index for reading; `None` when it is not there or not known.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open_shm(&self, vfs: &dyn Vfs) -> storage::Result<Option<Box<dyn File>>> {
        open_if_there(vfs, self.shm.as_deref())
    }
}

impl FileArgs {
    /// Whether an option says of this very file what it is.
    fn names(&self, full: &Path) -> bool {
        [&self.database, &self.wal].into_iter().flatten().any(|path| path == full)
    }
}

/// What the first bytes of `path` say.
///
/// # Errors
/// When it is there and cannot be read.
pub fn kind_of(vfs: &dyn Vfs, path: &Path) -> storage::Result<Kind> {
    let Some(file) = open_if_there(vfs, Some(path))? else { return Ok(Kind::Other) };
    let mut head = [0; 16];
    file.read_at(&mut head, 0)?;
    Ok(Kind::of_head(&head))
}

fn role_of(given: Kind, name: &Path, full: &Path, overrides: &FileArgs) -> Role {
    match given {
        Kind::Database => Role::Database,
        Kind::Wal => Role::Wal,
        Kind::Shm => Role::Shm,
        Kind::Journal => Role::Journal,
        Kind::Other if overrides.wal.as_deref() == Some(full) => Role::Wal,
        Kind::Other if strip_suffix(name, "-wal").is_some() => Role::Wal,
        Kind::Other if strip_suffix(name, "-shm").is_some() => Role::Shm,
        Kind::Other if strip_suffix(name, "-journal").is_some() => Role::Journal,
        Kind::Other => Role::Database,
    }
}

/// Why a path leads nowhere.
fn unresolved(path: &Path, error: storage::Error) -> anyhow::Error {
    if error.is_not_found() {
        Failure::not_found(path).into()
    } else if error.is_link_loop() {
        Failure::not_sqlite(path, "a symbolic link that leads in a circle").into()
    } else {
        error.into()
    }
}

/// Opens `path` for reading; `None` when nothing is there.
///
/// # Errors
/// When it is there and cannot be opened.
pub fn open_if_there(vfs: &dyn Vfs, path: Option<&Path>) -> storage::Result<Option<Box<dyn File>>> {
    let Some(path) = path else { return Ok(None) };
    storage::if_there(vfs.open(path, OpenMode::ReadOnly))
}

/// Opens `path` for reading; `None` when nothing is there, or it cannot be read: for questions to
/// which "not known" is an answer.
#[must_use]
pub fn open_if_readable(vfs: &dyn Vfs, path: Option<&Path>) -> Option<Box<dyn File>> {
    open_if_there(vfs, path).ok().flatten()
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

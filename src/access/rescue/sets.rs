//! Which files are copied together.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::access::Context;
use crate::access::files::{Files, Role, with_suffix};
use crate::format::lock_bytes::SHARED_BYTES;
use crate::output::Outside;
use crate::repair::undo;
use crate::storage::open_files::{FileUse, Identity, OpenFiles, locked_files, open_files};
use crate::storage::process::{OpenFile, command_of, user_of};
use crate::storage::status::Status;

use super::{Part, RescuedSet, User};

/// Between the two looks at processes: a last close unlinks a file before it closes it.
const TWO_LOOKS: std::time::Duration = std::time::Duration::from_millis(100);

/// Files that belong together.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// The folder of the new directory that gets it; `None` for the directory itself.
    pub(super) folder: Option<OsString>,
    /// Who uses them under no name.
    pub(super) users: Vec<User>,
    /// As commands take them.
    pub(super) files: Files,
    /// What may be there to copy.
    pub(super) pieces: Vec<Piece>,
}

/// A file to be copied.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) part: Part,
    /// What it is a copy of.
    pub(super) source: PathBuf,
    /// Where its bytes are read.
    pub(super) read_from: PathBuf,
    /// The name of the copy.
    pub(super) name: OsString,
    /// The open file of a process that the source is; `None` where it has its name.
    pub(super) open_file: Option<OpenFile>,
}

/// Every set.
pub(super) struct Found {
    pub(super) sets: Vec<Set>,
    pub(super) unseen_processes: u32,
}

impl Set {
    fn new(files: Files, folder: Option<OsString>, users: Vec<User>, base: &Base) -> Self {
        let sources = [
            (Part::Database, files.database.clone()),
            (Part::Wal, Some(files.wal.clone())),
            (Part::Shm, files.shm.clone()),
            (Part::Journal, files.journal.clone()),
            (Part::Undo, files.database.as_deref().map(undo::path_of)),
        ];
        let pieces = sources.into_iter().filter_map(|(part, source)| {
            let source = source?;
            Some(Piece {
                part,
                name: base.name_of(part),
                read_from: source.clone(),
                open_file: OpenFile::at(&source),
                source,
            })
        });
        Self { pieces: pieces.collect(), folder, users, files }
    }

    /// Bytes that its files have now.
    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.pieces.iter().filter_map(|piece| Status::of(&piece.source));
        sizes.map(|status| status.size_bytes).fold(0, u64::saturating_add)
    }

    /// Takes the bytes of files that another set has, too, from its copies in `into`.
    pub(super) fn read_from_copies(&mut self, other: &RescuedSet, into: &Path) {
        for piece in &mut self.pieces {
            let Some(own) = Status::of(&piece.source) else { continue };
            let copied = other.copy_of(piece.part).filter(|file| {
                file.status.as_ref().is_some_and(|status| status.is_same_file(&own))
            });
            if let Some(copy) = copied.and_then(|file| file.copy.as_ref()) {
                piece.read_from = into.join(copy.path());
            }
        }
    }
}

/// The name that a database has, by which its other files are called.
struct Base {
    name: OsString,
    /// A log under a name of its own.
    log: Option<OsString>,
}

impl Base {
    fn of(files: &Files) -> Self {
        let wal = own_name(&files.wal);
        match &files.database {
            Some(database) => Self { name: own_name(database), log: None },
            None => Self { name: wal.clone(), log: Some(wal) },
        }
    }

    fn name_of(&self, part: Part) -> OsString {
        let with = |suffix: &str| with_suffix(Path::new(&self.name), suffix).into_os_string();
        match (part, &self.log) {
            (Part::Wal, Some(log)) => log.clone(),
            (Part::Database, _) => self.name.clone(),
            (Part::Wal, None) => with("-wal"),
            (Part::Shm, _) => with("-shm"),
            (Part::Journal, _) => with("-journal"),
            (Part::Undo, _) => undo::path_of(Path::new(&self.name)).into_os_string(),
        }
    }
}

/// The name of a file without its folder; for an open file of a process, the one that it had.
fn own_name(path: &Path) -> OsString {
    let name = OpenFile::at(path).map_or_else(|| path.to_owned(), |file| file.name);
    name.file_name().map_or_else(|| OsString::from("database"), OsStr::to_owned)
}

/// The files that have the names, and what processes use under no name.
pub(super) fn find(files: &Files, context: &Context) -> Found {
    let base = Base::of(files);
    let named = Set::new(files.clone(), None, Vec::new(), &base);
    let mut found = Found { sets: vec![named], unseen_processes: 0 };
    if files.through_process {
        return found;
    }
    let roles = [Role::Database, Role::Wal, Role::Shm, Role::Journal];
    let asked: Vec<(Role, &Path)> =
        roles.into_iter().filter_map(|role| Some((role, files.path_of(role)?))).collect();
    let paths: Vec<&Path> = asked.iter().map(|(_, path)| *path).collect();
    let is_gone = |used: &FileUse| used.identity == Identity::Gone && !used.descriptors.is_empty();
    let mut seen = open_files(&paths);
    if seen.uses.iter().any(is_gone) {
        context.vfs.sleep(TWO_LOOKS);
        let first = seen;
        seen = open_files(&paths);
        let before = |used: &FileUse| {
            let same = |it: &FileUse| (it.pid, it.file) == (used.pid, used.file) && is_gone(it);
            first.uses.iter().any(same)
        };
        seen.uses.retain(|used| !is_gone(used) || before(used));
    }
    found.unseen_processes = seen.unseen_processes;
    for (users, files) in nameless(files, &asked, &seen) {
        let Some(first) = users.first() else { continue };
        let count = found.sets.iter().filter(|set| set.is_of(first.pid)).count();
        let folder = match count {
            0 => format!("process-{}", first.pid),
            more => format!("process-{}-{}", first.pid, more + 1),
        };
        found.sets.push(Set::new(files, Some(folder.into()), users, &base));
    }
    found
}

impl Set {
    fn is_of(&self, pid: i32) -> bool {
        self.users.first().is_some_and(|user| user.pid == pid)
    }
}

/// The files of a process by role, each as a place to open it and as the file that it is.
type Used = Vec<(Role, PathBuf, (u64, u64))>;

/// The sets of processes that use a file without a name, with all processes that use the same.
fn nameless(files: &Files, asked: &[(Role, &Path)], seen: &OpenFiles) -> Vec<(Vec<User>, Files)> {
    let mut groups: Vec<(Vec<i32>, Used)> = Vec::new();
    for uses in seen.uses.chunk_by(|one, two| one.pid == two.pid) {
        let Some(pid) = uses.first().map(|used| used.pid) else { continue };
        for used in used_files(pid, asked, uses) {
            let inodes = |used: &Used| -> Vec<_> {
                used.iter().map(|(role, _, inode)| (*role as u8, *inode)).collect()
            };
            match groups.iter_mut().find(|(_, known)| inodes(known) == inodes(&used)) {
                Some((pids, _)) => pids.push(pid),
                None => groups.push((vec![pid], used)),
            }
        }
    }
    let user = |pid| User {
        pid,
        command: command_of(pid).map(Outside::from),
        user: user_of(pid).map(Outside::from),
    };
    let set = |(pids, used): (Vec<i32>, Used)| {
        (pids.into_iter().map(user).collect(), files_of(files, &used))
    };
    groups.into_iter().map(set).collect()
}

/// What one process uses, if anything of it has no name: one list, or one for each generation of
/// files that it has open.
fn used_files(pid: i32, asked: &[(Role, &Path)], uses: &[FileUse]) -> Vec<Used> {
    let of_role = |index: usize, identity: Identity| {
        let own = uses.iter().filter(move |used| (used.file, used.identity) == (index, identity));
        let places = own.flat_map(|used| &used.descriptors);
        distinct(places.map(|number| PathBuf::from(format!("/proc/{pid}/fd/{number}"))))
    };
    let mut gone: Vec<Vec<OpenedAs>> =
        (0..asked.len()).map(|index| of_role(index, Identity::Gone)).collect();
    if let Some(database) = asked.iter().position(|(role, _)| *role == Role::Database)
        && !uses.iter().any(|used| used.file == database)
        && let Some(places) = gone.get_mut(database)
    {
        *places = moved_database(pid, asked, uses);
    }
    let sets = gone.iter().map(Vec::len).max().unwrap_or_default();
    let of_set = |number: usize| {
        let used = asked.iter().enumerate().filter_map(|(index, (role, _))| {
            let gone = gone.get(index)?;
            let found = match gone.get(number).or(gone.last()) {
                Some(found) => found.clone(),
                None => of_role(index, Identity::Same).into_iter().next()?,
            };
            Some((*role, found.0, found.1))
        });
        used.collect()
    };
    (0..sets).map(of_set).collect()
}

/// A place in `/proc` where a file is open, and which file it is.
type OpenedAs = (PathBuf, (u64, u64));

/// One place for each file.
fn distinct(places: impl Iterator<Item = PathBuf>) -> Vec<OpenedAs> {
    let mut found: Vec<OpenedAs> = Vec::new();
    for path in places {
        let Some(status) = Status::of(&path) else { continue };
        let inode = (status.device, status.inode);
        if !found.iter().any(|(_, known)| *known == inode) {
            found.push((path, inode));
        }
    }
    found
}

/// The database of a process that works with the log or the index, and has none of that name open:
/// it was moved away. It is the one file on which the process holds the lock of a connection and
/// that has no log of its own.
fn moved_database(pid: i32, asked: &[(Role, &Path)], uses: &[FileUse]) -> Vec<OpenedAs> {
    let works_with = |used: &&FileUse| {
        let role = asked.get(used.file).map(|(role, _)| *role);
        matches!(role, Some(Role::Wal | Role::Shm)) && !used.descriptors.is_empty()
    };
    if !uses.iter().any(|used| works_with(&used)) {
        return Vec::new();
    }
    let has_no_log = |path: &PathBuf| {
        let Some(open) = OpenFile::at(path) else { return false };
        open.beside(&with_suffix(&open.name, "-wal")).is_none()
    };
    let found = distinct(locked_files(pid, &SHARED_BYTES).into_iter().filter(has_no_log));
    if found.len() == 1 { found } else { Vec::new() }
}

/// As commands take them: the log is that of the process, or none.
fn files_of(files: &Files, used: &Used) -> Files {
    let path = |wanted: Role| {
        used.iter().find(|(role, ..)| *role == wanted).map(|(_, path, _)| path.clone())
    };
    let database = path(Role::Database);
    let beside = database.clone().or_else(|| path(Role::Shm)).unwrap_or_default();
    Files {
        wal: path(Role::Wal).unwrap_or_else(|| with_suffix(&beside, "-wal")),
        shm: path(Role::Shm),
        journal: path(Role::Journal),
        database,
        given: files.given,
        through_process: true,
    }
}

/// The proven set with the database of `set`, whose log has no name any more.
pub(super) fn log_is_elsewhere<'s>(set: &Set, done: &'s [RescuedSet]) -> Option<&'s RescuedSet> {
    let status = |part: Part| {
        let piece = set.pieces.iter().find(|piece| piece.part == part)?;
        Status::of(&piece.source)
    };
    if status(Part::Wal).is_some() {
        return None;
    }
    let own = status(Part::Database)?;
    let has_both = |other: &&RescuedSet| {
        let database = other.copy_of(Part::Database).and_then(|file| file.status.as_ref());
        let is_same = database.is_some_and(|status| status.is_same_file(&own));
        is_same && other.is_proven() && other.copy_of(Part::Wal).is_some()
    };
    done.iter().find(has_both)
}

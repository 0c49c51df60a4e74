//! What a user may do with the files of a database, as the kernel judges it.

use std::ffi::CString;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, Gid, Group, Uid, User, eaccess, getgrouplist};

use crate::access::files::Files;

/// Bits of a mode for others; those of the group and the owner are 3 and 6 places higher
/// (inode(7)).
const READ: u32 = 0o4;
const WRITE: u32 = 0o2;
const SEARCH: u32 = 0o1;

/// The user whose rights are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// The one who runs this program: the kernel is asked.
    #[default]
    Own,
    /// Another one: owner, group and mode are judged.
    Other {
        /// The name.
        name: String,
        /// The number of the user.
        uid: u32,
        /// The numbers of his groups.
        groups: Vec<u32>,
    },
}

impl Account {
    /// The user of this name, or of this number; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let by_name = User::from_name(name).ok().flatten();
        match (by_name, name.parse::<u32>()) {
            (Some(user), _) => Some(Self::of(user)),
            (None, Ok(uid)) => Some(Self::numbered(uid)),
            (None, Err(_)) => None,
        }
    }

    /// The user of this number, whether or not he has a name.
    #[must_use]
    pub fn numbered(uid: u32) -> Self {
        match User::from_uid(Uid::from_raw(uid)).ok().flatten() {
            Some(user) => Self::of(user),
            None => Self::Other { name: uid.to_string(), uid, groups: Vec::new() },
        }
    }

    fn of(user: User) -> Self {
        let name = CString::new(user.name.as_bytes()).unwrap_or_default();
        let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Self::Other { name: user.name, uid: user.uid.as_raw(), groups }
    }

    /// The owner of the database, where he is another than this one: what he may not do, his
    /// application cannot do.
    #[must_use]
    pub fn owner_of(&self, files: &Files) -> Option<Self> {
        let owner = files.database.as_deref()?.metadata().ok()?.uid();
        (*self == Self::Own && owner != self.uid()).then(|| Self::numbered(owner))
    }

    /// Who it is, for a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Own => "this user".to_owned(),
            Self::Other { name, .. } => format!("user {name}"),
        }
    }

    fn uid(&self) -> u32 {
        match self {
            Self::Own => Uid::effective().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// Whether he may do this with what is at `path`; `None` where more than owner, group and mode
    /// counts.
    fn may(&self, path: &Path, metadata: &Metadata, wanted: u32) -> Option<bool> {
        let Self::Other { uid, groups, .. } = self else {
            let flags = [(READ, AccessFlags::R_OK), (WRITE, AccessFlags::W_OK)];
            let asked = flags.into_iter().filter(|(bit, _)| wanted & bit != 0);
            let asked = asked.fold(AccessFlags::F_OK, |all, (_, flag)| all | flag);
            let asked = if wanted & SEARCH == 0 { asked } else { asked | AccessFlags::X_OK };
            return Some(eaccess(path, asked).is_ok());
        };
        if wanted & WRITE != 0 && is_read_only(path) {
            return Some(false);
        }
        if *uid == 0 {
            return Some(true);
        }
        if has_access_list(path) {
            return None;
        }
        let mode = metadata.permissions().mode();
        let bits = match (metadata.uid() == *uid, groups.contains(&metadata.gid())) {
            (true, _) => mode >> 6,
            (false, true) => mode >> 3,
            (false, false) => mode,
        };
        Some(bits & wanted == wanted)
    }
}

/// The file system does not allow writing.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
}

/// Access control lists say more than the mode (acl(5)).
fn has_access_list(path: &Path) -> bool {
    xattr::get(path, "system.posix_acl_access").is_ok_and(|list| list.is_some())
}

/// What a user may do with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The file is not there.
    Absent,
    /// Neither of both; or he may write and not read, which SQLite needs.
    Nothing,
    /// He may read it.
    Read,
    /// He may read and write it.
    Write,
}

/// What a user may do with the files of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The database.
    pub database: Right,
    /// Its log.
    pub log: Right,
    /// Its wal-index.
    pub index: Right,
    /// Its rollback journal.
    pub journal: Right,
    /// He may make files beside the database, and delete them.
    pub directory: bool,
    /// The file system of the directory does not allow writing.
    pub is_read_only: bool,
    /// More than owner, group and mode counts: an access control list, or the rules of a directory
    /// in which everybody may write.
    pub is_unclear: bool,
    /// What he may not do, a line each.
    pub lacks: Vec<(PathBuf, String)>,
}

impl Rights {
    /// What `account` may do with `files`.
    #[must_use]
    pub fn of(account: &Account, files: &Files) -> Self {
        let database = files.database.as_deref().unwrap_or(&files.wal);
        let directory = match database.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let mut found = Self {
            database: Right::Absent,
            log: Right::Absent,
            index: Right::Absent,
            journal: Right::Absent,
            directory: true,
            is_read_only: is_read_only(directory),
            is_unclear: false,
            lacks: Vec::new(),
        };
        let is_reached = found.reaches(account, directory);
        found.database = found.of_file(account, files.database.as_deref(), is_reached);
        found.log = found.of_file(account, Some(&files.wal), is_reached);
        found.index = found.of_file(account, files.shm.as_deref(), is_reached);
        found.journal = found.of_file(account, files.journal.as_deref(), is_reached);
        let metadata = directory.metadata();
        let may_make = metadata.as_ref().is_ok_and(|metadata| {
            let may = account.may(directory, metadata, WRITE | SEARCH);
            found.is_unclear |= may.is_none();
            may.unwrap_or_default()
        });
        found.directory = is_reached && may_make;
        if !found.directory {
            found.lack(directory, metadata.ok().as_ref(), "make or delete files in");
        }
        found.is_unclear |= is_sticky_for(account, directory, files);
        found
    }

    /// Nothing that SQLite does is forbidden.
    #[must_use]
    pub fn are_full(&self) -> bool {
        let is_full = |right| matches!(right, Right::Absent | Right::Write);
        let files = [self.database, self.log, self.index, self.journal];
        self.directory && files.into_iter().all(is_full)
    }

    /// Whether he may search every directory that leads there.
    fn reaches(&mut self, account: &Account, directory: &Path) -> bool {
        let full = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        for above in full.ancestors() {
            let Ok(metadata) = above.metadata() else { return false };
            match account.may(above, &metadata, SEARCH) {
                Some(true) => {}
                Some(false) => {
                    self.lack(above, Some(&metadata), "search");
                    return false;
                }
                None => self.is_unclear = true,
            }
        }
        true
    }

    fn of_file(&mut self, account: &Account, path: Option<&Path>, is_reached: bool) -> Right {
        let Some(path) = path else { return Right::Absent };
        let Ok(metadata) = path.metadata() else { return Right::Absent };
        if !is_reached {
            return Right::Nothing;
        }
        let mut may = |wanted| {
            let may = account.may(path, &metadata, wanted);
            self.is_unclear |= may.is_none();
            may.unwrap_or_default()
        };
        let right = match (may(READ), may(WRITE)) {
            (true, true) => return Right::Write,
            (true, false) => Right::Read,
            (false, _) => Right::Nothing,
        };
        let what = if right == Right::Read { "write" } else { "read" };
        self.lack(path, Some(&metadata), what);
        right
    }

    fn lack(&mut self, path: &Path, metadata: Option<&Metadata>, what: &str) {
        let owner = metadata.map(|found| {
            let name = |uid: u32| match User::from_uid(Uid::from_raw(uid)).ok().flatten() {
                Some(user) => user.name,
                None => uid.to_string(),
            };
            let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
            let group = group.map_or(found.gid().to_string(), |group| group.name);
            let mode = found.permissions().mode() & 0o7777;
            format!(": mode {mode:04o}, owner {}, group {group}", name(found.uid()))
        });
        let line = format!("no right to {what} {}{}", path.display(), owner.unwrap_or_default());
        self.lacks.push((path.to_owned(), line));
    }
}

/// In a directory with the sticky bit, what one may do with the file of another depends on more
/// than modes: only an owner deletes, and the kernel may refuse to open it for writing
/// (`fs.protected_regular`).
fn is_sticky_for(account: &Account, directory: &Path, files: &Files) -> bool {
    let is_sticky = |metadata: Metadata| metadata.permissions().mode() & 0o1000 != 0;
    if !directory.metadata().is_ok_and(is_sticky) {
        return false;
    }
    let named = [files.database.as_deref(), Some(&files.wal), files.shm.as_deref()];
    let all = named.into_iter().chain([files.journal.as_deref()]).flatten();
    let mut owners = all.filter_map(|path| path.metadata().ok()).map(|found| found.uid());
    owners.any(|owner| owner != account.uid())
}

//! Processes that use the files of a database in a way that no lock shows: without a lock, under a
//! deleted name, or with another file than the one that has the name.
//!
//! What is found is looked at twice, since a last close unlinks a file before it closes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::access::Context;
use crate::access::files::Files;
use crate::diagnosis::rule::Rule;
use crate::format::lock_bytes::{DEAD_MAN_SWITCH, SHARED_BYTES};
use crate::output::{Outside, file_name};
use crate::storage::open_files::{FileUse, Identity, OpenFiles, open_files, parent_of};
use crate::storage::process::{command_of, user_of};

/// Between the two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How a process uses a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misuse {
    /// The file was deleted, and the process still has it: what it writes there is lost when it
    /// ends.
    DeletedInUse,
    /// Another file has the name by now, and the process still has the one before.
    ReplacedInUse,
    /// It has log or wal-index open for writing, or mapped, and holds no lock: nobody is kept out,
    /// and its next commit may be lost.
    LocklessUser,
}

impl Misuse {
    /// The rule that it breaks.
    #[must_use]
    pub fn rule(self) -> Rule {
        match self {
            Self::DeletedInUse => Rule::DeletedInUse,
            Self::ReplacedInUse => Rule::ReplacedInUse,
            Self::LocklessUser => Rule::LocklessUser,
        }
    }
}

/// A process and what it does with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// The process.
    pub pid: i32,
    /// Its command line.
    pub command: Option<Outside>,
    /// Its user.
    pub user: Option<Outside>,
    /// How it uses the file.
    pub misuse: Misuse,
    /// The name of the file.
    #[serde(serialize_with = "file_name::serialize")]
    pub file: PathBuf,
    /// Where its bytes are still to be read; `None` where it is only mapped.
    pub bytes_in: Option<PathBuf>,
}

/// What was seen of the processes of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Those that are in danger, or a danger.
    pub misusers: Vec<User>,
    /// Processes whose locks could not be read, or that inherited the files from one that holds the
    /// locks: nothing is known to be wrong.
    pub unclear: Vec<i32>,
    /// Processes that we may not look into.
    pub unseen_processes: u32,
}

/// Places of the files in the list that is asked for.
const DATABASE: usize = 0;
const LOG: usize = 1;
const INDEX: usize = 2;

/// Looks at every process that we may look into.
#[must_use]
pub fn find(files: &Files, context: &Context) -> Users {
    let Some(database) = files.database.as_deref() else { return Users::default() };
    let (Some(shm), Some(journal)) = (files.shm.as_deref(), files.journal.as_deref()) else {
        return Users::default();
    };
    let paths = [database, files.wal.as_path(), shm, journal];
    let first = judge(&paths, &open_files(&paths));
    if first.misusers.is_empty() {
        return first;
    }
    context.vfs.sleep(PAUSE);
    let mut second = judge(&paths, &open_files(&paths));
    let is_seen_again = |user: &User| {
        let same = |other: &User| {
            (other.pid, other.misuse, &other.file) == (user.pid, user.misuse, &user.file)
        };
        first.misusers.iter().any(same)
    };
    second.misusers.retain(is_seen_again);
    second
}

fn judge(paths: &[&Path], seen: &OpenFiles) -> Users {
    let mut users = Users { unseen_processes: seen.unseen_processes, ..Users::default() };
    for group in seen.uses.chunk_by(|one, two| one.pid == two.pid) {
        let Some(pid) = group.first().map(|used| used.pid) else { continue };
        match judge_process(paths, group) {
            JudgedUse::Harmless => {}
            JudgedUse::Unclear => users.unclear.push(pid),
            JudgedUse::Misuses(found) => {
                let lockless = found.iter().all(|(misuse, _)| *misuse == Misuse::LocklessUser);
                if lockless && has_attached_ancestor(pid, seen) {
                    users.unclear.push(pid);
                    continue;
                }
                users.misusers.extend(found.into_iter().map(|(misuse, used)| {
                    User {
                        pid,
                        command: command_of(pid).map(Outside::from),
                        user: user_of(pid).map(Outside::from),
                        misuse,
                        file: paths
                            .get(used.file)
                            .map(|path| path.to_path_buf())
                            .unwrap_or_default(),
                        bytes_in: used
                            .descriptors
                            .first()
                            .map(|number| format!("/proc/{pid}/fd/{number}").into()),
                    }
                }));
            }
        }
    }
    users
}

enum JudgedUse<'a> {
    Harmless,
    Unclear,
    Misuses(Vec<(Misuse, &'a FileUse)>),
}

/// Judges all that one process does with the files.
fn judge_process<'a>(paths: &[&Path], uses: &'a [FileUse]) -> JudgedUse<'a> {
    let changes = |used: &FileUse| used.is_writable || used.is_mapped;
    let same = |file: usize| {
        uses.iter().find(move |used| used.file == file && used.identity == Identity::Same)
    };
    let uses_log =
        uses.iter().any(|used| (used.file == LOG || used.file == INDEX) && changes(used));
    let gone: Vec<_> = uses
        .iter()
        .filter(|used| used.identity == Identity::Gone)
        .filter(|used| changes(used) || (used.file == DATABASE && uses_log))
        .map(|used| {
            let is_there = paths.get(used.file).is_some_and(|path| path.exists());
            let misuse = if is_there { Misuse::ReplacedInUse } else { Misuse::DeletedInUse };
            (misuse, used)
        })
        .collect();
    if !gone.is_empty() {
        return JudgedUse::Misuses(gone);
    }
    let in_use = [LOG, INDEX].into_iter().filter_map(same).find(|used| changes(used));
    let Some(in_use) = in_use else { return JudgedUse::Harmless };
    let shared = same(DATABASE).map_or(Some(false), |used| used.holds(&SHARED_BYTES));
    let switch = DEAD_MAN_SWITCH..DEAD_MAN_SWITCH + 1;
    let attached = same(INDEX).map_or(Some(false), |used| used.holds(&switch));
    match (shared, attached) {
        // Attached to this log, and no database of this name: it was moved away and another put
        // there.
        (Some(false), Some(true)) if same(DATABASE).is_none() => {
            JudgedUse::Misuses(vec![(Misuse::ReplacedInUse, in_use)])
        }
        (Some(true), _) | (_, Some(true)) => JudgedUse::Harmless,
        (None, _) | (_, None) => JudgedUse::Unclear,
        (Some(false), Some(false)) => JudgedUse::Misuses(vec![(Misuse::LocklessUser, in_use)]),
    }
}

/// Whether one of the processes that started `pid` holds the locks: a child inherits descriptors,
/// but no POSIX locks.
fn has_attached_ancestor(pid: i32, seen: &OpenFiles) -> bool {
    let holds_locks = |pid: i32| {
        let locks = |used: &FileUse| used.locks.as_ref().is_some_and(|locks| !locks.is_empty());
        seen.uses.iter().any(|used| used.pid == pid && used.file <= INDEX && locks(used))
    };
    let mut ancestors = std::iter::successors(parent_of(pid), |&parent| parent_of(parent));
    ancestors.any(holds_locks)
}

//! Processes that no lock keeps out, as dangers.

use std::path::Path;

use crate::access::files::Files;
use crate::diagnosis::users::{Misuse, User, Users};
use crate::output::text::argument;
use crate::storage::process::brief;

use super::{Consent, Danger};

/// What a step does to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It writes to them.
    Writes,
    /// It reads them, and writes somewhere else.
    Copies,
    /// It only tells of them.
    Looks,
}

/// One danger for each process. A copy that is made somewhere else harms nobody; but it lacks what
/// goes into a file that has lost its name.
#[must_use]
pub fn misused(users: &Users, files: &Files, effect: Effect) -> Vec<Danger> {
    let all = users.misusers.iter();
    all.filter_map(|user| match (effect, user.misuse) {
        (Effect::Copies, Misuse::LocklessUser) => None,
        (Effect::Copies, _) => Some(danger(user, files).unless(Consent::Loss)),
        (Effect::Writes | Effect::Looks, _) => Some(danger(user, files)),
    })
    .collect()
}

/// A process in words: its number and its command line.
#[must_use]
pub fn process(user: &User) -> String {
    match &user.command {
        Some(command) => format!("process {} ({})", user.pid, brief(command.raw())),
        None => format!("process {}", user.pid),
    }
}

/// What it does, in words.
#[must_use]
pub fn misuse(user: &User) -> String {
    let (who, file) = (process(user), user.file.display().to_string());
    match user.misuse {
        Misuse::DeletedInUse => {
            format!("{who} still uses {file}, which was deleted: what it writes there is lost")
        }
        Misuse::ReplacedInUse => {
            format!("{who} still uses the {file} of before; another file has the name now")
        }
        Misuse::LocklessUser => {
            format!("{who} uses {file} and holds no lock (it has lost them): nobody is kept out")
        }
    }
}

fn danger(user: &User, files: &Files) -> Danger {
    let danger = Danger::new(user.misuse.rule(), &user.file, misuse(user));
    let then = format!("copies what is there (then stop process {})", user.pid);
    Danger { pid: Some(user.pid), ..danger.next(copy_commands(user, files), &then) }
}

/// The `cp` lines that keep what is at stake: the files, and the bytes that have lost their name.
#[must_use]
pub fn copy_commands(user: &User, files: &Files) -> String {
    let own = copy_lines(files);
    match (user.misuse, &user.bytes_in) {
        (Misuse::DeletedInUse | Misuse::ReplacedInUse, Some(bytes)) => {
            let mut to = user.file.as_os_str().to_owned();
            to.push(".in-use.copy");
            format!("cp {} {} && {own}", argument(bytes), argument(to))
        }
        (_, _) => own,
    }
}

/// The `cp` lines that keep the files: where somebody is attached, stopping him comes afterwards,
/// since the last close deletes the log.
#[must_use]
pub fn copy_lines(files: &Files) -> String {
    let named = [files.database.as_deref(), Some(files.wal.as_path()), files.journal.as_deref()];
    let there = named.into_iter().flatten().filter(|path| path.exists());
    let line = |path: &Path| {
        let mut to = path.as_os_str().to_owned();
        to.push(".copy");
        format!("cp --preserve=all {} {}", argument(path), argument(to))
    };
    there.map(line).collect::<Vec<_>>().join(" && ")
}

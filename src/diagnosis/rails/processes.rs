//! Processes that no lock keeps out, as dangers.

use std::path::PathBuf;

use crate::access::files::{Files, with_suffix};
use crate::diagnosis::users::{Misuse, User, Users};
use crate::output::text::{argument, command};
use crate::storage::process::{OpenFile, brief};

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
    Danger { pid: Some(user.pid), ..danger.next(rescue_command(files), &then) }
}

/// The command that copies everything at stake, complete, to a directory that is not there yet.
/// Where somebody is attached, stopping him comes afterwards: the last close deletes the log.
#[must_use]
pub fn rescue_command(files: &Files) -> String {
    let path = files.database.as_deref().unwrap_or(&files.wal);
    // Nothing can be put beside an open file of a process.
    let named = match OpenFile::at(path) {
        Some(open) => open.name.file_name().map(PathBuf::from).unwrap_or_default(),
        None => path.to_owned(),
    };
    let name = |number: u32| match number {
        1 => with_suffix(&named, "-rescue"),
        number => with_suffix(&named, &format!("-rescue-{number}")),
    };
    // A link that leads nowhere is in the way, too.
    let is_free = |directory: &PathBuf| directory.symlink_metadata().is_err();
    let directory = (1..100).map(name).find(is_free).unwrap_or_else(|| name(1));
    format!("{} --output {}", command("rescue", path), argument(directory))
}

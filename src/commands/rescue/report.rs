//! The report of `rescue`, which is its manifest, too.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use humantime::format_rfc3339_nanos;
use serde::Serialize;
use serde_json::Value;

use crate::access::holders::Blocker;
use crate::access::rescue::{HeldBy, Part, RescuedFile, RescuedSet, User};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::users;
use crate::output::quantity::{counted, grouped};
use crate::output::text::{argument, command, escaped};
use crate::output::{FileName, Heading, Paint, Report, Room, Table, Tone, wrapped};
use crate::storage::Vfs;

/// What was copied, and what was found.
#[derive(Debug, Serialize)]
pub struct RescueReport {
    /// The database; `None` for a log under a foreign name.
    pub database: Option<FileName>,
    /// Its log, whether or not it is there.
    pub wal: FileName,
    /// The new directory.
    pub output: FileName,
    /// The file in it that says the same as this report.
    pub manifest: FileName,
    /// When the copies were made.
    pub rescued_at: String,
    /// The version of walsmith.
    pub walsmith: &'static str,
    /// Every copy is proven.
    pub is_proven: bool,
    /// Files that were copied together; those that have the names first.
    pub sets: Vec<SetReport>,
    /// Who held which lock, as `blockers` shows it; `None` where that could not be asked.
    pub locks: Option<Vec<Blocker>>,
    /// Processes that use the files without a lock or under no name.
    pub misusers: Vec<users::User>,
    /// Processes that could not be looked into: what they use under no name is not among the
    /// copies.
    pub unseen_processes: u32,
    /// The diagnosis of doctor in one sentence.
    pub diagnosis: Option<String>,
    /// What doctor finds; `None` where it could not look.
    pub findings: Option<Vec<Finding>>,
    /// Why it could not.
    pub not_diagnosed: Option<String>,
    /// The commands to type.
    pub next: Vec<String>,
}

/// Files that were copied together.
#[derive(Debug, Serialize)]
pub struct SetReport {
    /// The folder of the new directory that has them; `None` for the directory itself.
    pub folder: Option<FileName>,
    /// Processes that use these files, where they are not those that have the names.
    pub processes: Vec<User>,
    /// What kept them still.
    pub held: HeldBy,
    /// Why nothing better did.
    pub not_held_because: Option<String>,
    /// Last committed frame by the wal-index, while it was held.
    pub mx_frame: Option<u32>,
    /// First salt of the log, while it was held.
    pub salt1: Option<u32>,
    /// Second salt.
    pub salt2: Option<u32>,
    /// Every copy is proven.
    pub is_proven: bool,
    /// The files.
    pub files: Vec<FileReport>,
}

/// A file, with what the file system knew of the source.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// The copy.
    #[serde(flatten)]
    pub file: RescuedFile,
    /// Length of the source before it was read.
    pub source_bytes: Option<u64>,
    /// What the source takes on its disk.
    pub source_allocated_bytes: Option<u64>,
    /// When its content was changed last.
    pub modified: Option<String>,
    /// When it was read last.
    pub accessed: Option<String>,
    /// When it was made.
    pub created: Option<String>,
    /// Its owner.
    pub owner: Option<String>,
    /// The number of its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub group: Option<String>,
    /// The number of its group.
    pub gid: Option<u32>,
    /// Its permissions, in octal digits.
    pub mode: Option<String>,
    /// The device that has it.
    pub device: Option<u64>,
    /// Its number there.
    pub inode: Option<u64>,
    /// Names that it has.
    pub links: Option<u64>,
}

impl SetReport {
    pub(super) fn of(set: RescuedSet) -> Self {
        Self {
            is_proven: set.is_proven(),
            folder: set.folder,
            processes: set.processes,
            held: set.held,
            not_held_because: set.not_held_because,
            mx_frame: set.mx_frame,
            salt1: set.salts.map(|salts| salts[0]),
            salt2: set.salts.map(|salts| salts[1]),
            files: set.files.into_iter().map(FileReport::of).collect(),
        }
    }

    /// The file by which a command finds the others of the set.
    fn first_copy(&self) -> Option<&Path> {
        let copied = self.files.iter().filter_map(|file| Some((file, file.file.copy.as_ref()?)));
        // What an in-place command has set aside is no file of SQLite's.
        let own = copied.filter(|(file, _)| file.file.part != Part::Undo);
        own.min_by_key(|(file, _)| file.file.part as u8).map(|(_, copy)| copy.path())
    }

    fn has(&self, part: Part) -> bool {
        self.files.iter().any(|file| file.file.part == part && file.file.is_proven)
    }
}

impl FileReport {
    fn of(file: RescuedFile) -> Self {
        let status = file.status.as_ref();
        let time = |time: Option<SystemTime>| time.map(|it| format_rfc3339_nanos(it).to_string());
        Self {
            source_bytes: status.map(|it| it.size_bytes),
            source_allocated_bytes: status.map(|it| it.allocated_bytes),
            modified: status.and_then(|it| time(it.modified)),
            accessed: status.and_then(|it| time(it.accessed)),
            created: status.and_then(|it| time(it.created)),
            owner: status.and_then(|it| it.owner()),
            uid: status.map(|it| it.uid),
            group: status.and_then(|it| it.group()),
            gid: status.map(|it| it.gid),
            mode: status.map(|it| format!("{:04o}", it.mode)),
            device: status.map(|it| it.device),
            inode: status.map(|it| it.inode),
            links: status.map(|it| it.links),
            file,
        }
    }
}

/// What to type: what is wrong with each set, and for what processes use under no name, the
/// database that it gives.
pub(super) fn next(output: &Path, sets: &[SetReport], vfs: &dyn Vfs) -> Vec<String> {
    let mut commands = Vec::new();
    for set in sets {
        let Some(first) = set.first_copy() else { continue };
        let path = output.join(first);
        commands.push(command("doctor", &path));
        if let Some(folder) = &set.folder
            && set.is_proven
            && set.has(Part::Database)
            && set.has(Part::Wal)
        {
            let database = free_name(output, folder.path(), vfs);
            let new = argument(database);
            commands.push(format!("{} --output {new}", command("replay", &path)));
        }
    }
    commands
}

/// The name of a new database beside the new directory.
fn free_name(output: &Path, folder: &Path, vfs: &dyn Vfs) -> PathBuf {
    let name = |number: u32| {
        let mut name = OsString::from(output.file_name().unwrap_or_default());
        name.push("-");
        name.push(folder);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        name.push(".db");
        output.with_file_name(name)
    };
    let is_free = |path: &PathBuf| vfs.exists(path).is_ok_and(|exists| !exists);
    (1..100).map(name).find(is_free).unwrap_or_else(|| name(1))
}

impl Report for RescueReport {
    const COMMAND: &'static str = "rescue";

    fn needs_attention(&self) -> bool {
        !self.is_proven
    }

    fn rows(&self) -> Result<Vec<Value>, serde_json::Error> {
        self.sets.iter().flat_map(|set| &set.files).map(serde_json::to_value).collect()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        writeln!(to, "{}", self.table(paint, width))?;
        for set in &self.sets {
            writeln!(to, "{}", wrapped(&set.sentence(paint), 0, 2, width))?;
        }
        if self.unseen_processes > 0 {
            let unseen = counted(self.unseen_processes.into(), "process");
            let sentence = format!(
                "{unseen} of other users could not be looked into: what they use under no name is \
                 not among the copies."
            );
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        let said = match (&self.diagnosis, &self.not_diagnosed) {
            (Some(diagnosis), _) => escaped(diagnosis).into_owned(),
            (None, Some(why)) => format!("not known: {}", escaped(why)),
            (None, None) => "not known".to_owned(),
        };
        writeln!(to, "{}", wrapped(&format!("Diagnosis: {said}."), 0, 2, width))?;
        let manifest = self.manifest_path();
        let sentence = format!("Sums, times, owners, locks and findings are in {manifest}.");
        writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        if !self.next.is_empty() {
            writeln!(to, "Next:")?;
        }
        self.next.iter().try_for_each(|next| writeln!(to, "  {next}"))
    }
}

impl RescueReport {
    fn manifest_path(&self) -> FileName {
        FileName::from(self.output.path().join(self.manifest.path()))
    }

    fn table(&self, paint: &Paint, width: Option<u16>) -> String {
        let mut table = Table::new([
            Heading::text("copy", Room::Broken),
            Heading::number("bytes", Room::Always),
            Heading::text("from", Room::Broken),
            Heading::text("proven", Room::Broken),
        ]);
        for FileReport { file, .. } in self.sets.iter().flat_map(|set| &set.files) {
            let dash = || "-".to_owned();
            let own_name = |name: &FileName| {
                FileName::from(name.path().file_name().unwrap_or_default()).to_string()
            };
            let from = match (&file.opened_as, file.is_deleted) {
                (Some(name), true) => format!("{} (deleted {})", file.source, own_name(name)),
                (Some(name), false) => format!("{} ({})", file.source, own_name(name)),
                (None, _) => file.source.to_string(),
            };
            let proven = match (&file.unproven_because, &file.note) {
                (Some(why), _) => format!("no: {}", escaped(why)),
                (None, Some(note)) => format!("yes; {}", escaped(note)),
                (None, None) => "yes".to_owned(),
            };
            table.row([
                file.copy.as_ref().map_or_else(dash, ToString::to_string),
                file.size_bytes.map_or_else(dash, grouped),
                from,
                proven,
            ]);
        }
        table.draw(paint, width)
    }
}

impl SetReport {
    /// What kept the files of the set still.
    fn sentence(&self, paint: &Paint) -> String {
        let name = match &self.folder {
            Some(folder) => format!("{folder}/"),
            None => "The files".to_owned(),
        };
        let unproven = self.files.iter().filter(|file| !file.file.is_proven).count() as u64;
        let how = match self.held {
            HeldBy::Locks => {
                "a reader's locks kept checkpoints and resets away, and two readings agree"
            }
            HeldBy::Watch => "nobody changed them meanwhile, and two readings agree",
            HeldBy::Readings => "no lock could be had, but two readings agree",
            HeldBy::Nothing => "they kept changing, and no lock could be had",
        };
        let because = match &self.not_held_because {
            Some(why) => format!(" ({})", escaped(why)),
            None => String::new(),
        };
        let said = match (self.is_proven, unproven) {
            (true, _) => paint.tone(Tone::Good, "of one moment"),
            (false, 0) => paint.tone(Tone::Bad, "not proven to be of one moment"),
            (false, unproven) => {
                let of = self.files.len() as u64;
                let noun = if unproven == 1 { "is" } else { "are" };
                let text = format!("{unproven} of {of} {noun} not proven");
                paint.tone(Tone::Bad, &text)
            }
        };
        format!("{name}: {said}; {how}{because}.")
    }
}

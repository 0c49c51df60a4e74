//! Measures walsmith against SQLite, side by side: for each job both run in turn, seven times, and the
//! medians are compared. Whole processes, except for appending, where each engine times itself.
//! `benches/against-sqlite.sh` builds what this needs and calls it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark: it panics where a program does not do its job"
)]

mod history;
mod jobs;
mod row;
mod state;
mod stopwatch;

use std::path::{Path, PathBuf};

use stopwatch::Run;

/// The programs that are measured, and where they work.
pub struct Bench {
    /// The folder of logs and databases.
    pub folder: PathBuf,
    /// Ours.
    pub walsmith: String,
    /// Our engine.
    pub worker: String,
    /// SQLite.
    pub oracle: String,
    /// SQLite's own inspector of logs, if it is there.
    pub showwal: Option<String>,
    /// Size of the largest log of most jobs.
    pub mib: u64,
    /// Size of the largest log of the growth row.
    pub growth_mib: u64,
    /// Groups of rows that are wanted; all where none is named.
    pub groups: Vec<String>,
}

impl Bench {
    /// Whether the rows of a group are wanted.
    pub fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|it| it == group)
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A run of walsmith.
    pub fn ours(&self, args: &[&str]) -> Run {
        Run::new(&self.walsmith, args)
    }

    /// A run of SQLite.
    pub fn sqlite(&self, args: &[&str]) -> Run {
        Run::new(&self.oracle, args)
    }

    /// A run of this program.
    pub fn itself(args: &[&str]) -> Run {
        Run::new(std::env::current_exe().unwrap().to_str().unwrap(), args)
    }

    /// Makes a database whose log has `mib` MiB in pages of `page_bytes`, and no wal-index.
    pub fn grow(&self, name: &str, mib: u64, page_bytes: u32) -> String {
        let database = self.path(name);
        let (bytes, page_bytes) = ((mib << 20).to_string(), page_bytes.to_string());
        self.sqlite(&["grow", &database, &bytes, &page_bytes]).once();
        remove(&format!("{database}-shm"));
        database
    }
}

/// Deletes a file if it is there.
pub fn remove(path: &str) {
    let _ = std::fs::remove_file(path);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["time", program, rest @ ..] => stopwatch::time(program, rest),
        ["read", path, threads] => stopwatch::read(Path::new(path), threads.parse().unwrap()),
        ["write", path, count, len] => {
            stopwatch::write(Path::new(path), count.parse().unwrap(), len.parse().unwrap());
        }
        ["run", folder, walsmith, worker, oracle, showwal, mib, growth_mib, groups @ ..] => {
            let showwal = (!showwal.is_empty()).then(|| (*showwal).to_owned());
            let bench = Bench {
                folder: PathBuf::from(folder),
                walsmith: (*walsmith).to_owned(),
                worker: (*worker).to_owned(),
                oracle: (*oracle).to_owned(),
                showwal,
                mib: mib.parse().unwrap(),
                growth_mib: growth_mib.parse().unwrap(),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            };
            jobs::all(&bench);
        }
        _ => panic!("see benches/against-sqlite.sh: {args:?}"),
    }
}

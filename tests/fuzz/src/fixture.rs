//! The fixtures with small pages.

use arbitrary::Arbitrary;
use walsmith::log::examine;
use walsmith::history::snapshot::{Target, snapshot};
use walsmith::history::view::View;
use walsmith::format::Pgno;
use walsmith::scan::Nobody;

use crate::file;

/// One of the fixtures whose pages have 512 or 1024 bytes.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixture {
    Page512,
    Page1024,
    VacuumShrink,
    Reused,
    Generations,
    UncommittedTail,
    AbortedSpill,
    Savepoint,
    BigEndian,
    PaddedCommits,
    ShmCurrent,
    AbandonedHistory,
    DamagedAfterCheckpoint,
}

macro_rules! files {
    ($case:literal) => {
        (
            include_bytes!(concat!("../../../fixtures/", $case, "/x.db")),
            include_bytes!(concat!("../../../fixtures/", $case, "/x.db-wal")),
        )
    };
}

impl Fixture {
    /// The database and its log.
    #[must_use]
    pub fn files(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Page512 => files!("page-512"),
            Self::Page1024 => files!("page-1024"),
            Self::VacuumShrink => files!("vacuum-shrink"),
            Self::Reused => files!("reused"),
            Self::Generations => files!("generations"),
            Self::UncommittedTail => files!("uncommitted-tail"),
            Self::AbortedSpill => files!("aborted-spill"),
            Self::Savepoint => files!("savepoint"),
            Self::BigEndian => files!("big-endian"),
            Self::PaddedCommits => files!("padded-commits"),
            Self::ShmCurrent => files!("shm-current"),
            Self::AbandonedHistory => files!("abandoned-history"),
            Self::DamagedAfterCheckpoint => files!("damaged-after-checkpoint"),
        }
    }

    /// The database with everything in it that its log commits.
    #[must_use]
    pub fn whole(self) -> Vec<u8> {
        let (database, wal) = self.files();
        replayed(database, wal)
    }
}

/// `database` with everything in it that `wal` commits, where that is at most a few megabytes.
#[must_use]
pub fn replayed(database: &[u8], wal: &[u8]) -> Vec<u8> {
    let (base, log) = (file(database), file(wal));
    let found = examine(&log, &Nobody).unwrap();
    let Some(shape) = found.shape.filter(|_| found.prefix.mx_frame > 0) else {
        return database.to_vec();
    };
    let snapshot = snapshot(&log, &shape, &found.prefix, Target::Last, &Nobody).unwrap();
    let view = View::plain(&log, &shape, &snapshot, Some(&base));
    let page_bytes = shape.page_size().in_memory();
    let size_bytes = usize::try_from(view.size_bytes().unwrap()).unwrap().min(1 << 22);
    let mut bytes = vec![0; size_bytes];
    for (page, image) in (1..).zip(bytes.chunks_exact_mut(page_bytes)) {
        view.read(Pgno(page), image).unwrap();
    }
    bytes
}

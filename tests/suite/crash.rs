//! Power loss, and single failures, at every storage operation of a scripted run of the engine.
//!
//! The script writes, rolls back, checkpoints in every mode, resets, recovers and closes. Each
//! transaction stamps rows that SQLite has made (see `stamps`), so that SQLite can open what is
//! left. `WALSMITH_CRASH_SEEDS=20 cargo test --release crash` tries more orders and asks SQLite
//! each time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{Busy, CheckpointMode, Options, Request, Synchronous, Verify};
use walsmith::engine::{Error, Result};
use walsmith::format::Pgno;
use walsmith::scan::Nobody;
use walsmith::storage::fault::{Fault, FaultKind, FaultVfs, Unsynced};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{DeleteShm, File, OpenMode, Vfs};

use crate::stamps::{Images, Stamps, pages};
use crate::support::{Oracle, oracle_program};

const DATABASE: &str = "/crash.db";
const ROWS: usize = 60;

/// A database in WAL mode, without a log, as SQLite made it.
fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let prepare = std::process::Command::new(oracle_program())
            .arg("prepare")
            .arg(&path)
            .args([(ROWS + 1).to_string(), "512".to_owned()])
            .status();
        assert!(prepare.unwrap().success());
        std::fs::read(path).unwrap()
    })
}

fn stamps() -> Stamps {
    let pages = u32::try_from(base().len() / 512).unwrap();
    Stamps::find(pages, |page| {
        let start = (page.0 as usize - 1) * 512;
        base()[start..start + 512].to_vec()
    })
}

/// What was committed, and what was begun.
struct History {
    stamps: Stamps,
    /// The stamps after each transaction, begun ones included.
    states: Vec<Vec<u64>>,
    /// Transactions whose commit has returned.
    acknowledged: usize,
    /// What failed and was rolled back does not count.
    forgives: bool,
}

impl History {
    fn new(forgives: bool) -> Self {
        let stamps = stamps();
        let first = vec![0; stamps.places.len()];
        Self { stamps, states: vec![first], acknowledged: 0, forgives }
    }

    /// Compares what is read with what was committed. A commit that failed late may have reached
    /// the log: if the next one who comes recovers, he finds it there, as SQLite would.
    fn settle(&mut self, read: &[u64]) {
        let found = self.states.iter().rposition(|state| state == read);
        assert!(found.is_some_and(|found| found >= self.acknowledged), "{found:?}: {read:?}");
        self.acknowledged = found.unwrap();
    }

    /// An error that a fault has planted ends the script, or is forgiven.
    fn forgive(&self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if !self.forgives => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// How a transaction ends, and what it does on the way.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Spills,
    Savepoint,
    RollsBack,
    /// Writes no page of its own.
    Empty,
}

/// One transaction: `count` rows from `from` on, and the counter.
fn transact(
    connection: &mut Connection,
    history: &mut History,
    from: usize,
    way: Way,
) -> Result<()> {
    let done = try_transact(connection, history, from, way);
    if done.is_err() {
        // Whoever fails rolls back; under a lost power that fails, too.
        let _ = connection.rollback();
        let ended = connection.end_read();
        return if history.forgives { Ok(()) } else { done.and(ended) };
    }
    done
}

fn try_transact(
    connection: &mut Connection,
    history: &mut History,
    from: usize,
    way: Way,
) -> Result<()> {
    connection.begin_read()?;
    connection.begin_write()?;
    let size = connection.db_size_pages()?;
    let mut images = Images::new();
    let mut state = history.stamps.read_all(connection)?;
    history.settle(&state);
    state[0] += 1;
    let number = state[0];
    if way != Way::Empty {
        for id in (from..from + 5).map(|id| 1 + id % ROWS).chain([0]) {
            state[id] = number;
            history.stamps.put(connection, &mut images, id, number)?;
        }
    } else {
        state[0] -= 1;
    }
    if way == Way::RollsBack {
        connection.spill(&pages(&images))?;
        connection.rollback()?;
        return connection.end_read();
    }
    if way == Way::Spills || way == Way::Savepoint {
        let first: Images =
            images.iter().take(2).map(|(&page, image)| (page, image.clone())).collect();
        connection.spill(&pages(&first))?;
    }
    if way == Way::Savepoint {
        let mut savepoint = connection.savepoint();
        let mut wrong = images.clone();
        history.stamps.put(connection, &mut wrong, 1 + (from + 30) % ROWS, u64::MAX)?;
        connection.spill(&pages(&wrong))?;
        connection.rollback_to(&mut savepoint)?;
    }
    history.states.truncate(history.acknowledged + 1);
    history.states.push(state);
    connection.commit(&pages(&images), size)?;
    history.acknowledged += 1;
    connection.end_read()
}

fn checkpoint(
    connection: &mut Connection,
    mode: CheckpointMode,
    synchronous: Synchronous,
) -> Result<()> {
    let mut busy = || Busy::GiveUp;
    let mut request = Request {
        mode,
        page_size: connection.page_size()?,
        sync: synchronous.flags(),
        verify: Verify::Frames,
        mend: None,
        busy: Some(&mut busy),
        watch: &Nobody,
    };
    connection.checkpoint(&mut request).map(|done| assert_eq!(done.rot, None))
}

/// The script. Every call of the storage that it makes can be its last.
fn script(
    vfs: &FaultVfs<MemoryVfs>,
    synchronous: Synchronous,
    history: &mut History,
) -> Result<()> {
    let paths = Paths::beside(Path::new(DATABASE));
    for round in 0..2 {
        let file = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite);
        let Ok(file) = file else {
            history.forgive(file.map(drop).map_err(Error::from))?;
            continue;
        };
        let done = session(vfs, file.as_ref(), &paths, synchronous, history, round);
        history.forgive(done)?;
    }
    Ok(())
}

fn session(
    vfs: &FaultVfs<MemoryVfs>,
    file: &dyn File,
    paths: &Paths,
    synchronous: Synchronous,
    history: &mut History,
    round: usize,
) -> Result<()> {
    use CheckpointMode::{Full, Noop, Passive, Restart, Truncate};
    let other_file = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite)?;
    let attach = |file| Connection::attach(vfs, file, paths, Options::default());
    let mut one = attach(file)?.unwrap();
    one.set_synchronous(synchronous);
    let mut from = round * 7;
    for way in [Way::Plain, Way::Spills, Way::RollsBack, Way::Savepoint, Way::Empty] {
        transact(&mut one, history, from, way)?;
        from += 3;
    }
    // A reader holds a snapshot over a checkpoint that cannot finish.
    let mut two = attach(other_file.as_ref())?.unwrap();
    two.set_synchronous(synchronous);
    history.forgive(two.begin_read().map(drop))?;
    transact(&mut one, history, from, Way::Plain)?;
    history.forgive(checkpoint(&mut one, Passive, synchronous))?;
    two.end_read()?;
    for mode in [Noop, Passive, Full, Restart, Truncate] {
        transact(&mut one, history, from, Way::Plain)?;
        history.forgive(checkpoint(&mut two, mode, synchronous))?;
        // The next writer resets the log where it can.
        transact(&mut two, history, from + 11, Way::Spills)?;
        from += 5;
    }
    // One dies without a close; the other dies, too, and the next one recovers.
    drop(one);
    two.detach(DeleteShm::No)?;
    let mut again = attach(file)?.unwrap();
    again.set_synchronous(synchronous);
    transact(&mut again, history, from, Way::Savepoint)?;
    again.close()?;
    Ok(())
}

/// The stamps that our engine reads from `files`, and every page as it sees it.
fn our_view(files: &BTreeMap<PathBuf, Vec<u8>>, stamps: &Stamps) -> (Vec<u64>, Vec<u32>) {
    let vfs = MemoryVfs::default();
    for (path, bytes) in files {
        vfs.put(path, bytes.clone());
    }
    let paths = Paths::beside(Path::new(DATABASE));
    let file = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite).unwrap();
    let mut connection =
        Connection::attach(&vfs, file.as_ref(), &paths, Options::default()).unwrap().unwrap();
    connection.begin_read().unwrap();
    let read = stamps.read_all(&mut connection).unwrap();
    let size = connection.db_size_pages().unwrap();
    let page = |page| {
        let mut image = vec![0; 512];
        connection.read_page(Pgno(page), &mut image).unwrap();
        crc32fast::hash(&image)
    };
    let pages = (1..=size).map(page).collect();
    connection.end_read().unwrap();
    (read, pages)
}

fn fresh() -> FaultVfs<MemoryVfs> {
    let memory = MemoryVfs::default();
    memory.put(Path::new(DATABASE), base().to_vec());
    FaultVfs::new(memory)
}

fn seeds() -> u64 {
    std::env::var("WALSMITH_CRASH_SEEDS").map_or(1, |text| text.parse().unwrap())
}

fn power_loss_everywhere(synchronous: Synchronous) {
    let dry = fresh();
    script(&dry, synchronous, &mut History::new(false)).unwrap();
    let calls = dry.calls();
    let mut oracle = Oracle::start();
    let (mut points, mut asked) = (0_u64, 0_u64);
    for call in 1..=calls {
        let vfs = fresh();
        vfs.plan(Some(Fault { call, kind: FaultKind::PowerLoss, persistent: true }));
        let mut history = History::new(false);
        // Every call in the script can fail, and then the script does; but not every failure is
        // its own: a limit that cannot be applied, for one.
        let _ = script(&vfs, synchronous, &mut history);
        let mut kinds = vec![Unsynced::Lost, Unsynced::Kept];
        for seed in (0..seeds()).map(|seed| seed * 100_003 + call) {
            kinds.extend([Unsynced::Reordered { seed }, Unsynced::Torn { seed }]);
        }
        for (index, &unsynced) in kinds.iter().enumerate() {
            let mut files = vfs.crash_image(unsynced);
            files.entry(DATABASE.into()).or_insert_with(|| base().to_vec());
            let (read, pages) = our_view(&files, &history.stamps);
            let lowest = if synchronous == Synchronous::Full || unsynced == Unsynced::Kept {
                history.acknowledged
            } else {
                0
            };
            let found = history.states.iter().rposition(|state| *state == read);
            assert!(
                found.is_some_and(|state| state >= lowest),
                "{synchronous:?}, call {call}, {unsynced:?}: state {found:?} of {} \
                 acknowledged: {read:?}",
                history.acknowledged
            );
            points += 1;
            if seeds() > 1 || (call + index as u64).is_multiple_of(5) {
                let wal = files.get(Path::new("/crash.db-wal")).cloned().unwrap_or_default();
                let sight = oracle.see_bytes(&files[Path::new(DATABASE)], &wal);
                assert_eq!(sight.error, None);
                assert_eq!(sight.pages, pages, "{synchronous:?}, call {call}, {unsynced:?}");
                asked += 1;
            }
        }
    }
    println!(
        "{synchronous:?}: {calls} calls, {points} crash points, {asked} of them seen by SQLite"
    );
    assert!(calls > 200 && asked > 0);
}

#[test]
fn power_loss_at_any_call_keeps_every_acknowledged_transaction_at_full() {
    power_loss_everywhere(Synchronous::Full);
}

#[test]
fn power_loss_at_any_call_keeps_a_prefix_at_normal() {
    power_loss_everywhere(Synchronous::Normal);
}

#[test]
fn one_failed_call_costs_at_most_its_own_transaction() {
    let dry = fresh();
    script(&dry, Synchronous::Full, &mut History::new(false)).unwrap();
    let calls = dry.calls();
    let kinds = [FaultKind::Fail, FaultKind::DiskFull, FaultKind::ShortWrite(100)];
    let mut tried = 0;
    for kind in kinds {
        for call in 1..=calls {
            let vfs = fresh();
            vfs.plan(Some(Fault { call, kind, persistent: false }));
            let mut history = History::new(true);
            script(&vfs, Synchronous::Full, &mut history).unwrap();
            vfs.plan(None);
            let mut files = vfs.crash_image(Unsynced::Kept);
            files.entry(DATABASE.into()).or_insert_with(|| base().to_vec());
            let (read, _) = our_view(&files, &history.stamps);
            history.settle(&read);
            tried += 1;
        }
    }
    println!("{tried} single faults");
}

//! Whatever bytes a log holds, our view of it is the one that SQLite has after opening a copy.
//!
//! A small seeded set of mutants runs here. The long run, whose first seed is printed and
//! may be given back in `WALSMITH_SEED`:
//! `WALSMITH_MUTANTS=5000 cargo test --test suite oracle -- --nocapture`.

use std::collections::BTreeMap;

use walsmith::format::{DatabaseHeader, FrameNo, Pgno, WalHeaderFault};
use walsmith::history::snapshot::{Target, snapshot};
use walsmith::log::{Examination, HeaderStatus, Verdict, examine};
use walsmith::scan::Nobody;
use walsmith::storage::File;
use walsmith::storage::memory::MemoryFile;

use crate::mutate::{self, Mutator};
use crate::support::{Oracle, Sight, names, read};

const SQLITE_CANTOPEN: i32 = 14;

/// Most pages that the oracle lists.
const LISTED_PAGES: usize = 512;

/// Compares both views; `None` when they agree.
fn disagreement(database: &[u8], wal: &[u8], sight: &Sight) -> Option<String> {
    let file = MemoryFile::with_bytes(wal.to_vec());
    let ours = examine(&file, &Nobody).unwrap();
    // A header with nothing after it is not even parsed.
    let refused = ours.verdict == Verdict::BadHeader
        && ours.header_status == HeaderStatus::Fault(WalHeaderFault::Version);
    let code = sight.error.as_ref().and_then(|error| error.code);
    if refused || code == Some(SQLITE_CANTOPEN) {
        let agreed = refused && code == Some(SQLITE_CANTOPEN);
        return (!agreed)
            .then(|| format!("we: {:?}, SQLite: {:?}", ours.header_status, sight.error));
    }
    let (mx_frame, size) = (ours.prefix.mx_frame, ours.prefix.db_size_pages);
    if sight.mx_frame != Some(mx_frame) {
        return Some(format!("mx_frame: we {mx_frame}, SQLite {:?}", sight.mx_frame));
    }
    if sight.db_size_pages.filter(|&pages| pages != 0) != size {
        return Some(format!("db_size_pages: we {size:?}, SQLite {:?}", sight.db_size_pages));
    }
    if sight.error.is_some() {
        // The schema is unreadable as the log stands; the counts above were compared.
        return None;
    }
    let frames = our_frames(&file, &ours);
    let (count, listed) = (our_page_count(database, &file, &ours, &frames), sight.pages.len());
    if count.min(LISTED_PAGES) != listed {
        return Some(format!("page count: we {count}, SQLite {listed} (mx_frame {mx_frame})"));
    }
    let pages = our_pages(database, &file, &ours, &frames, listed);
    let differing = pages.iter().zip(&sight.pages).position(|(ours, theirs)| ours != theirs);
    differing.map(|index| format!("page {} differs (mx_frame {mx_frame})", index + 1))
}

/// The newest frame of every page in the committed part of the log.
fn our_frames(file: &MemoryFile, ours: &Examination) -> BTreeMap<Pgno, FrameNo> {
    match ours.shape.filter(|_| ours.prefix.mx_frame > 0) {
        Some(shape) => snapshot(file, &shape, &ours.prefix, Target::Last, &Nobody).unwrap().pages,
        None => BTreeMap::new(),
    }
}

/// How many pages the b-tree layer counts (btree.c lockBtree): page 1 knows it while its change
/// counters agree, else the commit size or the file's size says it.
fn our_page_count(
    database: &[u8],
    file: &MemoryFile,
    ours: &Examination,
    frames: &BTreeMap<Pgno, FrameNo>,
) -> usize {
    let mut head: [u8; 100] = *database.first_chunk().unwrap();
    if let (Some(frame), Some(shape)) = (frames.get(&Pgno(1)), ours.shape) {
        file.read_at(&mut head, frame.offset_bytes(shape.page_size()) + 24).unwrap();
    }
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
    if word(28) != 0 && word(24) == word(92) {
        return usize::try_from(word(28)).unwrap();
    }
    let page_size = DatabaseHeader::decode(database.first_chunk().unwrap()).page_size().unwrap();
    let in_file = database.len() / page_size.in_memory();
    ours.prefix.db_size_pages.map_or(in_file, |pages| usize::try_from(pages).unwrap())
}

/// CRC-32 of the first `count` pages by our snapshot.
fn our_pages(
    database: &[u8],
    file: &MemoryFile,
    ours: &Examination,
    frames: &BTreeMap<Pgno, FrameNo>,
    count: usize,
) -> Vec<u32> {
    let header = DatabaseHeader::decode(database.first_chunk().unwrap());
    let in_database = header.page_size().unwrap();
    (1..=u32::try_from(count).unwrap())
        .map(|page| {
            let page = Pgno(page);
            let mut image = vec![0; in_database.in_memory()];
            match (frames.get(&page), ours.shape) {
                (Some(frame), Some(shape)) => {
                    let offset = frame.offset_bytes(shape.page_size()) + 24;
                    image.resize(shape.page_size().in_memory(), 0);
                    file.read_at(&mut image, offset).unwrap();
                }
                _ => {
                    let start = usize::try_from(page.offset_bytes(in_database)).unwrap();
                    let rest = database.get(start..).unwrap_or_default();
                    let known = rest.len().min(image.len());
                    image[..known].copy_from_slice(&rest[..known]);
                }
            }
            crc32fast::hash(&image)
        })
        .collect()
}

#[test]
fn oracle_agrees_on_every_fixture() {
    let mut oracle = Oracle::start();
    for name in names() {
        let (database, wal) = read(&name);
        let sight = oracle.see_bytes(&database, &wal);
        assert_eq!(sight.error, None, "{name}");
        assert!(!sight.pages.is_empty(), "{name}");
        assert_eq!(disagreement(&database, &wal, &sight), None, "{name}");
    }
}

#[test]
fn oracle_agrees_on_every_truncation_of_a_small_log() {
    let mut oracle = Oracle::start();
    let (database, wal) = read("savepoint");
    let wal = &wal[..32 + 4 * 1048];
    for size in (0..=wal.len()).step_by(97).chain(0..40).chain(1070..1090) {
        let sight = oracle.see_bytes(&database, &wal[..size]);
        assert_eq!(disagreement(&database, &wal[..size], &sight), None, "{size} bytes");
    }
}

#[test]
fn oracle_agrees_on_seeded_mutants() {
    let wanted = std::env::var("WALSMITH_MUTANTS").map_or(600, |count| count.parse().unwrap());
    let seed = std::env::var("WALSMITH_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let fixtures: Vec<_> = names().into_iter().map(|name| (read(&name), name)).collect();
    let mut oracle = Oracle::start();
    let (mut errors, mut failures) = (0_u32, Vec::new());
    for number in 0..wanted {
        let mut random = fastrand::Rng::with_seed(seed + number);
        let ((database, wal), fixture) = random.choice(&fixtures).unwrap();
        let &(kind, mutate): &(&str, Mutator) = random.choice(mutate::ALL).unwrap();
        let mut mutant = wal.clone();
        mutate(&mut mutant, &mut random);
        let sight = oracle.see_bytes(database, &mutant);
        errors += u32::from(sight.error.is_some());
        if let Some(how) = disagreement(database, &mutant, &sight) {
            failures.push(format!("seed {}: {kind} of {fixture}: {how}", seed + number));
        }
    }
    println!(
        "seed {seed}: {wanted} mutants, {errors} that SQLite refuses, {} disagreements",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

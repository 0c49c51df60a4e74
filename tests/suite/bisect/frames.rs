//! Histories of which one frame is damaged, with sums that are right again: SQLite's
//! integrity_check says of each state whether it is sound.
//!
//! A few histories here; many with `WALSMITH_BISECTIONS=500 cargo test --test suite bisect --
//! --nocapture`, which prints what was seen. `WALSMITH_SEED` chooses others.

use std::fs;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use walsmith::format::{FRAME_HEADER_BYTES, FrameHeader, WAL_HEADER_BYTES, WalHeader};

use super::{Said, bisect, turns, wrong_by_halves};
use crate::round_trip::{Tally, World, is_gone, number};
use crate::support::{Oracle, beside, oracle_program, text};

/// States that are not known, after a checkpoint and without one.
const GONE: &str = "states that are gone";
const UNKNOWN: &str = "states that may be gone";

/// At most this share of the states may be unknown where no checkpoint was, in percent. A check
/// reads every page, also those that SQLite has written again as they were.
const UNKNOWN_PERCENT: u32 = 12;

/// A log in memory.
struct Log {
    bytes: Vec<u8>,
    header: WalHeader,
    slot: usize,
    /// The page of each frame, and the transaction that it is of.
    frames: Vec<(u32, u32)>,
}

impl Log {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let header = WalHeader::decode(bytes.first_chunk().unwrap());
        let slot = FRAME_HEADER_BYTES + header.page_size().unwrap().in_memory();
        let (mut frames, mut txn) = (Vec::new(), 1);
        for frame in bytes[WAL_HEADER_BYTES..].chunks_exact(slot) {
            let decoded = FrameHeader::decode(frame.first_chunk().unwrap());
            if decoded.salts != header.salts {
                break;
            }
            frames.push((decoded.page.0, txn));
            txn += u32::from(decoded.commit_size_pages > 0);
        }
        Self { bytes, header, slot, frames }
    }

    fn slot(&mut self, place: usize) -> &mut [u8] {
        let start = WAL_HEADER_BYTES + place * self.slot;
        &mut self.bytes[start..start + self.slot]
    }

    /// Writes the sums that SQLite would have stored.
    fn sum_again(&mut self) {
        let (order, mut sum) = (self.header.byte_order(), self.header.checksum);
        for place in 0..self.frames.len() {
            let slot = self.slot(place);
            let mut header = FrameHeader::decode(slot.first_chunk().unwrap());
            sum = header.sum_from(sum, order, &slot[FRAME_HEADER_BYTES..]);
            header.checksum = sum;
            slot[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        }
    }
}

/// Damages the image of page `page`.
fn damage(image: &mut [u8], page: u32, random: &mut Rng) -> &'static str {
    let head = if page == 1 { 100 } else { 0 };
    let bytes = image.len();
    match random.u32(..7) {
        0 => {
            image[head..].fill(0);
            "zeroed"
        }
        1 => {
            image[head..].iter_mut().for_each(|byte| *byte = random.u8(..));
            "garbage"
        }
        2 => {
            image[head + random.usize(..8)] ^= 1 << random.u8(..8);
            "a bit of the page's head"
        }
        3 => {
            image[head + 8 + random.usize(..12)] = random.u8(..);
            "a byte of the cell pointers"
        }
        4 => {
            let at = random.usize(head..bytes - 4);
            image[at..at + 4].copy_from_slice(&random.u32(..).to_be_bytes());
            "a word anywhere"
        }
        5 => {
            let end = bytes - random.usize(1..60);
            image[end] ^= random.u8(1..);
            "a byte near the end"
        }
        _ => {
            let half = bytes / 2;
            image[half..].fill(0);
            "the second half zeroed"
        }
    }
}

/// What SQLite reports of a structure that is not looked at here, and said to be not.
fn is_left_out(line: &str, not_checked: &[String]) -> bool {
    let constraints =
        ["NULL value in ", "non-unique entry in index ", "NUMERIC value in ", "TEXT value in "];
    let more = [
        "stores an imprecise floating-point",
        "unable to validate",
        "fts5",
        "FTS5",
        // SQL that does not parse.
        "malformed database schema",
        "unknown function",
    ];
    let of_index = ["missing from index ", "values differ from index ", "order for "];
    let named = of_index.iter().find_map(|words| Some(line.split_once(words)?.1));
    let mut virtual_tables =
        not_checked.iter().filter_map(|it| it.strip_prefix("the content of virtual table "));
    virtual_tables.any(|name| line.contains(name))
        || constraints.iter().chain(&more).any(|words| line.contains(words))
        || named.is_some_and(|name| not_checked.iter().any(|it| it.ends_with(name)))
}

/// What SQLite says of a copy that has no virtual tables any more. Where one of them comes first in
/// its list, it has no root page, which SQLite 3.54 takes for the mark of a partial check: then it
/// looks neither at the freelist nor at what the pointer map says of roots (pragma.c,
/// btree.c sqlite3BtreeIntegrityCheck).
fn without_virtual_tables(copy: &Path, oracle: &mut Oracle) -> Vec<String> {
    let sql = "PRAGMA writable_schema=ON;
               DELETE FROM sqlite_schema WHERE type = 'table' AND rootpage = 0";
    Command::new(oracle_program()).args(["run", text(copy), sql]).output().unwrap();
    oracle.integrity(copy)
}

/// The states, as SQLite judges them: `None` where it finds only what is not looked at here.
fn truth(
    world: &World,
    (first, end): (u32, u32),
    (page, image): (u32, &[u8]),
    (states, not_checked): (&[(u32, Option<bool>)], &[String]),
    oracle: &mut Oracle,
) -> Vec<Option<bool>> {
    let copy = world.state(0).with_file_name("judged.db");
    (0..=world.last)
        .map(|state| {
            let mut bytes = fs::read(world.state(state)).unwrap();
            let start = (page as usize - 1) * image.len();
            if (first..end).contains(&state)
                && let Some(place) = bytes.get_mut(start..start + image.len())
            {
                place.copy_from_slice(image);
            }
            // The copy has no log.
            for version in bytes.iter_mut().skip(18).take(2) {
                *version = (*version).min(1);
            }
            fs::write(&copy, &bytes).unwrap();
            let mut found = oracle.integrity(&copy);
            if found.is_empty() && states.contains(&(state, Some(true))) {
                found = without_virtual_tables(&copy, oracle);
            }
            for suffix in ["-wal", "-shm", "-journal"] {
                let _ = fs::remove_file(beside(&copy, suffix));
            }
            let is_ours = found.iter().any(|line| !is_left_out(line, not_checked));
            if found.is_empty() || is_ours { Some(is_ours) } else { None }
        })
        .collect()
}

/// The first state of which what is said is wrong, and those that are gone or may be.
fn judged(every: &Said, truth: &[Option<bool>]) -> (Option<u32>, Vec<u32>) {
    let whys = every.document["states"].as_array().unwrap().iter().map(|it| it["why"].as_str());
    let (gone, known): (Vec<_>, Vec<_>) = every
        .states()
        .into_iter()
        .zip(whys)
        .partition(|((_, holds), why)| holds.is_none() && is_gone(why.unwrap()));
    let is_wrong = |(state, holds): &(u32, Option<bool>)| {
        truth[*state as usize].is_some_and(|wanted| *holds != Some(wanted))
    };
    let wrong = known.iter().map(|it| it.0).find(is_wrong).map(|it| it.0);
    (wrong, gone.iter().map(|it| it.0.0).collect())
}

/// What is wrong, in a history of which one frame is damaged.
fn of_seed(seed: u64, oracle: &mut Oracle, tally: &mut Tally) -> Option<String> {
    let world = World::of_seed(seed);
    let database = world.database();
    let wal = beside(&database, "-wal");
    let mut count = |what: &str, times: usize| {
        *tally.entry(what.to_owned()).or_default() += u32::try_from(times).unwrap();
    };
    if world.last == world.copied {
        count("histories without a transaction that is only in the log", 1);
        return None;
    }
    let mut log = Log::read(&wal);
    let mut random = Rng::with_seed(seed);
    let all = log.frames.iter().enumerate();
    let own: Vec<usize> = all
        .filter(|(_, (_, txn))| (world.copied + 1..=world.last).contains(txn))
        .map(|(place, _)| place)
        .collect();
    let place = own[random.usize(..own.len())];
    let (page, txn) = log.frames[place];
    let kind = damage(&mut log.slot(place)[FRAME_HEADER_BYTES..], page, &mut random);
    log.sum_again();
    fs::write(&wal, &log.bytes).unwrap();
    let image = log.slot(place)[FRAME_HEADER_BYTES..].to_vec();
    let later = log.frames.iter().skip(place + 1).find(|frame| frame.0 == page);
    let end = later.map_or(u32::MAX, |frame| frame.1);

    let told = format!("seed {seed}: {kind}, page {page} of transaction {txn} until {end}");
    let mut accept: &[&str] = &[];
    let mut every = bisect(&database, &["--every"]);
    if every.exit == 6 {
        accept = &["--accept-foreign"];
        every = bisect(&database, &["--every", "--accept-foreign"]);
    }
    if every.document.get("error").is_some() {
        return Some(format!("{told}: {every:?}"));
    }
    let not_checked: Vec<String> =
        serde_json::from_value(every.document["not_checked"].clone()).unwrap();
    let states = every.states();
    let truth = truth(&world, (txn, end), (page, &image), (&states, &not_checked), oracle);
    count("states", states.len());
    let (wrong, gone) = judged(&every, &truth);
    if let Some(state) = wrong {
        return Some(format!("{told}: state {state} is unsound: {truth:?}: {every:?}"));
    }
    count(GONE, gone.iter().filter(|state| **state < world.copied).count());
    // No power was lost here: what is likely is true.
    let likely = bisect(&database, &[accept, &["--every", "--accept-likely"]].concat());
    let (wrong, unknown) = judged(&likely, &truth);
    if let Some(state) = wrong {
        return Some(format!("{told}: state {state} is likely unsound: {truth:?}: {likely:?}"));
    }
    let unknown = unknown.iter().filter(|state| **state >= world.copied).count();
    count(UNKNOWN, unknown);
    let asked = gone.iter().filter(|state| **state >= world.copied).count();
    count("states that are answered with --accept-likely alone", asked - unknown);
    let found = every.changes();
    if found != turns(&states) || states.len() != world.last as usize + 1 {
        return Some(format!("{told}: {truth:?}: {every:?}"));
    }
    let first = found.iter().find(|change| change.2);
    match (accept.is_empty(), first) {
        (true, _) => {}
        // Nothing but the file is before the first transaction.
        (false, Some((0, _, _))) => count("refused: what is before it is the file alone", 1),
        // Nor is there a sound state that would show that the log is that of the file.
        (false, None) if every.outcome() == "before" => count("refused: what is before is gone", 1),
        (false, Some(_)) => return Some(format!("{told}: refused: {:?}", bisect(&database, &[]))),
        (false, None) => return Some(format!("{told}: refused: {every:?}")),
    }
    count("histories", 1);
    let Some(&(from, to, _)) = first else {
        count("histories that the damage leaves sound", 1);
        let halves = bisect(&database, accept);
        return wrong_by_halves(&halves, &states).map(|why| format!("{told}: {why}: {halves:?}"));
    };
    let is_exact = from + 1 == to;
    count(if is_exact { "found with --every" } else { "found with --every, as a range" }, 1);
    count("states of these", states.len());
    let halves = bisect(&database, accept);
    if let Some(why) = wrong_by_halves(&halves, &states) {
        return Some(format!("{told}: {why}: {states:?}: {halves:?}"));
    }
    if states.last().unwrap().1 == Some(true) {
        let is_same = halves.changes().first() == first;
        if !is_same && found.len() == 1 {
            return Some(format!("{told}: {states:?}: {halves:?}"));
        }
        count(if is_same { "found by halves" } else { "found by halves: another change" }, 1);
        count("states that were looked at for it", halves.states().len());
        count("states of histories that were halved", states.len());
    } else {
        let is_found = halves.outcome() != "none";
        let by_halves = if is_found { "found all the same" } else { "not found by halves" };
        count(&format!("sound again at the end: {by_halves}"), 1);
    }
    wrong_facts(&halves, &log).map(|why| format!("{told}: {why}: {halves:?}"))
}

/// What is wrong with what is told of the transaction.
fn wrong_facts(said: &Said, log: &Log) -> Option<String> {
    let change = said.document["changes"].as_array()?.iter().find(|it| it["holds"] == true)?;
    let found = change["txn"].as_u64()?;
    let frames = || (1..).zip(&log.frames).filter(|(_, frame)| u64::from(frame.1) == found);
    let (first, last) = (frames().next()?.0, frames().last()?.0);
    if (change["first_frame"] != first) || (change["last_frame"] != last) {
        return Some(format!("its frames are {first} to {last}"));
    }
    let diff = change["diff"].as_str().unwrap_or_default();
    if !diff.contains(&format!(" {}..{found}", found - 1)) {
        return Some("its diff is another one".to_owned());
    }
    None
}

/// A page between the ends that is unsound makes the log look like another file's.
#[test]
fn sound_ends_of_a_log_that_looks_foreign_do_not_end_the_search() {
    assert_eq!(of_seed(40, &mut Oracle::checking(), &mut Tally::new()), None);
}

/// An overflow page that is named in garbage is no page that a checkpoint has overwritten.
#[test]
fn a_page_past_the_end_of_a_state_is_none_that_is_gone() {
    assert_eq!(of_seed(53, &mut Oracle::checking(), &mut Tally::new()), None);
}

#[test]
fn a_damaged_frame_is_found_in_seeded_histories() {
    let (count, first) = (number("WALSMITH_BISECTIONS", 6), number("WALSMITH_SEED", 1));
    let (mut tally, mut oracle) = (Tally::new(), Oracle::checking());
    let mut faults = Vec::new();
    for seed in first..first + count {
        if let Some(fault) = of_seed(seed, &mut oracle, &mut tally) {
            println!("{fault:.3000}\n");
            faults.push(fault);
        }
    }
    for (what, times) in &tally {
        println!("{times:7} {what}");
    }
    let of = |what: &str| tally.get(what).copied().unwrap_or_default();
    if count >= 100 && of(UNKNOWN) * 100 > of("states") * UNKNOWN_PERCENT {
        faults.push(format!("{} of {} states are not known", of(UNKNOWN), of("states")));
    }
    faults.truncate(3);
    assert!(faults.is_empty(), "the first of these:\n{:.6000}", faults.join("\n"));
    assert!(count < 6 || of("found by halves") > 0, "{tally:?}");
}

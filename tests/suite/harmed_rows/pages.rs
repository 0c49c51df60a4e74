//! What is done to pages of a database file: damage that shows. A changed byte in a value, or the
//! last page of a value that is now another, is no damage that anybody could see.

use std::path::Path;

use fastrand::Rng;
use serde_json::Value;

use super::harm::Harm;
use super::set::Set;
use crate::support::{oracle, text};

/// A page of the state before the log, as SQLite tells of it.
struct Place {
    page: u32,
    /// `leaf`, `internal` or `overflow`.
    kind: String,
    tree: String,
    path: String,
}

/// Damages one page, or cuts the file short.
pub(super) fn damage(set: &Set, states: &Path, harm: &mut Harm, random: &mut Rng) {
    let places = places(&states.join("0.db"));
    let file = std::fs::read(&set.database).unwrap();
    let count = file.len() / set.page_bytes;
    let is_there = |place: &&Place| place.page as usize <= count;
    // Pages that the log does not have are of more states.
    let is_in_log = |page: u32| set.frames.iter().any(|frame| frame.page == page);
    let wants_any = random.u32(..3) == 0;
    let mut chosen: Vec<&Place> = places.iter().filter(is_there).collect();
    if !wants_any {
        chosen.retain(|place| !is_in_log(place.page));
    }
    if random.u32(..8) == 0 && count > 1 {
        let bytes = random.usize(file.len() / 2..file.len());
        Set::rewrite(&set.database, |file| file.truncate(bytes));
        let first = u32::try_from(bytes / set.page_bytes + 1).unwrap();
        harm.damage("file cut", first, &format!("of {count}"));
        return;
    }
    let interior = random.bool();
    let is_interior = |place: &&Place| place.kind == "internal";
    if interior && chosen.iter().any(is_interior) {
        chosen.retain(|place| is_interior(place));
    }
    let overflow = random.u32(..3) == 0;
    if overflow && chosen.iter().any(|place| place.kind == "overflow") {
        chosen.retain(|place| place.kind == "overflow");
    }
    if chosen.is_empty() {
        return;
    }
    let place = chosen[random.usize(..chosen.len())];
    let told = format!("{} of {:?}", place.kind, place.tree);
    let start = (place.page as usize - 1) * set.page_bytes;
    let end = start + set.page_bytes;
    let is_link = place.kind == "overflow";
    if is_link && is_last_of_chain(place, &places) {
        return;
    }
    // Page 1 begins with the header of the database.
    let head = if place.page == 1 { start + 100 } else { start };
    // A checkpoint may have made another kind of page of it.
    let at_first = std::fs::read(states.join("0.db")).unwrap();
    let other = places.iter().find(|other| {
        let first = |page: u32| file.get((page as usize - 1) * set.page_bytes).copied();
        // Of a table and of an index: neither can be taken for the other.
        let is_table = |kind: Option<u8>| kind.map(|kind| kind == 5 || kind == 13);
        other.kind != "overflow"
            && other.page > 1
            && is_there(other)
            && is_table(first(other.page)) != is_table(file.get(head).copied())
            && is_table(first(other.page)) != is_table(at_first.get(head).copied())
    });
    match (random.u32(..4), other) {
        (0, _) => {
            Set::rewrite(&set.database, |file| file[head..end].fill(0));
            harm.damage("page zeroed", place.page, &told);
        }
        (1, Some(other)) if !is_link && place.page > 1 => {
            let from = (other.page as usize - 1) * set.page_bytes;
            let image = file[from..from + set.page_bytes].to_vec();
            Set::rewrite(&set.database, |file| file[start..end].copy_from_slice(&image));
            harm.damage("other page", place.page, &format!("{told}, now page {}", other.page));
        }
        (2, _) if place.kind == "internal" => {
            // Cells begin with the page of their child, and the header ends with the last one.
            let cells = usize::from(u16::from_be_bytes([file[head + 3], file[head + 4]]));
            let cell = random.usize(..=cells);
            let pointer = head + 12 + 2 * cell;
            let at = match cell < cells {
                true => start + usize::from(u16::from_be_bytes([file[pointer], file[pointer + 1]])),
                false => head + 8,
            };
            let child = if random.bool() { 0 } else { u32::MAX };
            Set::rewrite(&set.database, |file| {
                file[at..at + 4].copy_from_slice(&child.to_be_bytes());
            });
            harm.damage("child lost", place.page, &told);
        }
        _ => {
            let garbage: Vec<u8> = (head..end).map(|_| random.u8(..)).collect();
            Set::rewrite(&set.database, |file| {
                file[head..end].copy_from_slice(&garbage);
                // No kind of page, and no link.
                file[head..head + 4].fill(0xff);
            });
            harm.damage("page of garbage", place.page, &told);
        }
    }
}

fn places(state: &Path) -> Vec<Place> {
    let sql = "SELECT pageno, pagetype, name, path FROM dbstat ORDER BY pageno";
    let lines = oracle(&["rows", text(state), sql]);
    let place = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |at: usize| row[at].as_str().unwrap().to_owned();
        let page = u32::try_from(row[0].as_u64().unwrap()).unwrap();
        Place { page, kind: text(1), tree: text(2), path: text(3) }
    };
    lines.lines().map(place).collect()
}

/// The path of an overflow page ends with its number in the chain.
fn is_last_of_chain(place: &Place, places: &[Place]) -> bool {
    let chain = |place: &Place| place.path.rsplit_once('+').map(|it| it.0.to_owned());
    let same = places.iter().filter(|it| it.tree == place.tree && chain(it) == chain(place));
    same.map(|it| &it.path).max() == Some(&place.path)
}

//! The changes of a changeset, one by one, beside what a session of SQLite recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::judge::Judge;
use super::{Tally, World, diff};

/// Changes by table: its number of columns, its key flags and its name.
type Changes = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

/// The changeset of transaction `number` has the records of the session that SQLite recorded, in
/// any order. Tables that have changed their definition are not compared.
pub(super) fn of(
    world: &World,
    judge: &mut Judge,
    (from, number): (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    let recorded = world.recorded(number).filter(|_| number == from + 1);
    let Some(recorded) = recorded else { return Vec::new() };
    let file = world.directory.join("set");
    let args = ["--changeset", file.to_str().unwrap(), "--force"];
    let said = diff(&world.database(), number - 1, number, &args);
    if let Some(refusal) = said.refusal() {
        return vec![refusal];
    }
    let same = judge.counts(&world.state(number - 1), &world.state(number));
    // Where a key was changed to one that its collation takes for the same, a session finds the new
    // row by the old key, and makes an UPDATE of a DELETE. It has an integer for the default of an
    // added REAL column.
    let plain = same.as_array().unwrap().iter().filter(|it| it["plain"] == true);
    let names: BTreeSet<&str> = plain.map(|it| it["name"].as_str().unwrap()).collect();
    let is_same = |head: &Vec<u8>| names.contains(name_of(head).as_str());
    let mut ours = changes(&fs::read(&file).unwrap()).unwrap();
    let Some(mut theirs) = changes(&recorded) else {
        *tally.entry("sessions that have one change twice".to_owned()).or_default() += 1;
        return Vec::new();
    };
    for side in [&mut ours, &mut theirs] {
        side.retain(|head, changes| is_same(head) && !changes.is_empty());
    }
    *tally.entry("sessions".to_owned()).or_default() += 1;
    *tally.entry("records of sessions".to_owned()).or_default() +=
        u32::try_from(theirs.values().map(BTreeSet::len).sum::<usize>()).unwrap();
    let mut found = Vec::new();
    for head in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let none = BTreeSet::new();
        let (our, their) = (ours.get(head).unwrap_or(&none), theirs.get(head).unwrap_or(&none));
        let told = |changes: &BTreeSet<Vec<u8>>, other: &BTreeSet<Vec<u8>>| {
            let shown = |it: &Vec<u8>| it.iter().take(60).map(|b| format!("{b:02x}")).collect();
            changes.difference(other).take(2).map(shown).collect::<Vec<String>>()
        };
        if our != their {
            found.push(format!(
                "table {:?} {:02x?}: only ours {:?}, only of the session {:?}",
                name_of(head),
                &head[..head.len() - name_of(head).len()],
                told(our, their),
                told(their, our)
            ));
        }
    }
    found
}

fn name_of(head: &[u8]) -> String {
    let columns = usize::from(head[0]);
    String::from_utf8_lossy(&head[1 + columns..]).into_owned()
}

/// The changes that are in a changeset, without the byte that says what a trigger did; `None` where
/// it has one of them twice.
fn changes(changeset: &[u8]) -> Option<Changes> {
    let mut found = Changes::new();
    let (mut at, mut head, mut columns) = (0, Vec::new(), 0);
    while at < changeset.len() {
        if changeset[at] == b'T' {
            columns = usize::from(changeset[at + 1]);
            assert!(columns < 128);
            let name = at + 2 + columns;
            let end = name + changeset[name..].iter().position(|&byte| byte == 0).unwrap();
            head = changeset[at + 1..end].to_vec();
            at = end + 1;
            continue;
        }
        let op = changeset[at];
        let records = if op == 0x17 { 2 } else { 1 };
        let start = at + 2;
        at = start;
        for _ in 0..records * columns {
            at += value_bytes(&changeset[at..]);
        }
        let change = [&[op], &changeset[start..at]].concat();
        if !found.entry(head.clone()).or_default().insert(change) {
            return None;
        }
    }
    Some(found)
}

fn value_bytes(value: &[u8]) -> usize {
    match value[0] {
        0 | 5 => 1,
        1 | 2 => 9,
        _ => {
            let (mut length, mut bytes) = (0, 1);
            loop {
                let byte = value[bytes];
                length = length << 7 | usize::from(byte & 0x7f);
                bytes += 1;
                if byte & 0x80 == 0 {
                    return bytes + length;
                }
            }
        }
    }
}

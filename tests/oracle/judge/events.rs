//! Rows that are said to differ between two states, put to what the states hold.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::contents::{Column, Contents, Table};
use super::values::{rounded, value_cell};
use super::{NUMBERS, pragma};
use crate::see::open;

/// Most rows that are told of one table.
const TOLD: usize = 2;

/// What is said to differ.
#[derive(Deserialize)]
pub(super) struct Claim {
    /// Rows, as walsmith writes them in JSON.
    rows: Vec<Value>,
    /// All rows of these tables that differ are among them; of every table where it is null.
    whole: Option<Vec<String>>,
    /// Only rows of this table were asked for.
    only: Option<String>,
    /// All changes of the schema, where they were told.
    schema_changes: Option<Vec<Value>>,
}

/// A row as it is stored: its rowid, where that has a name, and its values.
type Image = (Option<i64>, Vec<String>);
/// How often each is there.
type Images = HashMap<Image, i64>;

/// States of one history, each read once.
#[derive(Default)]
pub(super) struct States {
    directory: PathBuf,
    read: HashMap<PathBuf, Rc<State>>,
}

struct State {
    contents: Contents,
    numbers: [i64; 2],
    encoding: String,
}

impl States {
    /// What is false in the claim, and whether the two are the `same`.
    pub(super) fn judged(&mut self, from: &Path, to: &Path, claim: &Claim) -> Value {
        let (from, to) = (self.state(from), self.state(to));
        let faults = faults(&from.contents, &to.contents, &to.encoding, claim);
        let is_same =
            from.numbers == to.numbers && from.contents.differences(&to.contents, &[]).is_empty();
        json!({"faults": faults, "same": is_same})
    }

    fn state(&mut self, path: &Path) -> Rc<State> {
        let directory = path.parent().unwrap();
        if self.directory != directory {
            (self.directory, self.read) = (directory.to_owned(), HashMap::new());
        }
        let known = self.read.entry(path.to_owned()).or_insert_with(|| {
            let sql = "PRAGMA encoding";
            let encoding = open(path).query_row(sql, [], |row| row.get(0)).unwrap();
            let numbers = NUMBERS.map(|it| pragma(path, it));
            Rc::new(State { contents: Contents::read(path), numbers, encoding })
        });
        known.clone()
    }
}

fn faults(from: &Contents, to: &Contents, encoding: &str, claim: &Claim) -> Vec<String> {
    let mut by_table: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for row in &claim.rows {
        by_table.entry(row["table"].as_str().unwrap()).or_default().push(row);
    }
    let mut found = Vec::new();
    if let Some(changes) = &claim.schema_changes {
        found.extend(of_schema(from, to, changes));
    }
    let mut names: Vec<&str> = to.tables.keys().map(String::as_str).collect();
    names.extend(from.tables.keys().map(String::as_str).filter(|it| named(to, it).is_none()));
    for name in by_table.keys().filter(|it| !names.contains(it)) {
        found.push(format!("{name:?}: there is no such table"));
    }
    let mut used: Vec<&str> = Vec::new();
    for name in names {
        let rows = by_table.get(name).map(Vec::as_slice).unwrap_or_default();
        let is_asked = claim.only.as_ref().is_none_or(|it| it.eq_ignore_ascii_case(name));
        let is_whole =
            is_asked && claim.whole.as_ref().is_none_or(|all| all.iter().any(|it| it == name));
        let after = named(to, name);
        if (after.is_none() && used.contains(&name)) || (rows.is_empty() && !is_whole) {
            continue;
        }
        // A table that has another name by now leaves its own free for a new one.
        let own = named(from, name).filter(|_| !used.contains(&name));
        let mut befores = vec![(Some(name), own)];
        if let Some(after) = after {
            // It may have been renamed. A virtual table is none of these.
            let is_new = befores[0].1.is_none();
            let is_other = befores[0].1.is_none_or(|before| defined(before) != defined(after));
            let others = from.tables.keys().map(String::as_str).filter(|old| *old != name);
            let others = others.filter_map(|old| Some((old, named(from, old)?)));
            let may_be = |(old, before): &(&str, &Table)| {
                let is_gone = named(to, old).is_none();
                // A name that another table has now was free only if that one was renamed, too.
                (is_new && is_gone || is_other && defined(before) == defined(after))
                    && !used.contains(old)
            };
            let mut others: Vec<_> = others.filter(may_be).collect();
            // Tables without a column in common look alike.
            others.sort_by_key(|(_, before)| defined(before) != defined(after));
            befores.extend(others.into_iter().map(|(old, before)| (Some(old), Some(before))));
            // Or its old one has another name that is still to come, and it is new.
            let goes_on = |old: &Table| {
                let mut tables = to.tables.iter().filter(|(other, _)| *other != name);
                tables.any(|(_, other)| defined(other) == defined(old))
            };
            if is_other && own.is_some_and(goes_on) {
                befores.push((None, None));
            }
        }
        let mut least: Option<(Vec<String>, Option<&str>)> = None;
        for (old, before) in befores {
            let wrong = Pair { name, before, after, encoding }.wrong(rows, is_whole);
            if least.as_ref().is_none_or(|(least, _)| wrong.len() < least.len()) {
                least = Some((wrong, old));
            }
            if least.as_ref().is_some_and(|(least, _)| least.is_empty()) {
                break;
            }
        }
        let Some((wrong, old)) = least else { continue };
        used.extend(old);
        found.extend(wrong);
    }
    found
}

/// What a renaming leaves of the statement of a table: all but names of tables, its own and those
/// that it refers to.
fn defined(table: &Table) -> Option<Vec<&str>> {
    let (_, columns) = table.sql.split_once('(')?;
    let mut parts = columns.split("REFERENCES ");
    let own = parts.next();
    let others = parts.map(|it| match it.strip_prefix('"') {
        Some(name) => name.split_once('"').map_or(name, |(_, rest)| rest),
        None => it.trim_start_matches(|it: char| it.is_alphanumeric() || it == '_'),
    });
    Some(own.into_iter().chain(others).collect())
}

/// An ordinary table.
fn named<'c>(contents: &'c Contents, name: &str) -> Option<&'c Table> {
    let mut tables = contents.tables.iter();
    let (_, table) = tables.find(|(it, _)| it.eq_ignore_ascii_case(name))?;
    Some(table).filter(|it| !it.sql.starts_with("CREATE VIRTUAL"))
}

/// Changes of the schema that are not told, or told and none.
fn of_schema(from: &Contents, to: &Contents, told: &[Value]) -> Vec<String> {
    let entries = |contents: &Contents| -> BTreeMap<[String; 2], String> {
        let entries = contents.schema.iter().filter(|it| !it[3].is_empty());
        entries.map(|[kind, name, _, sql]| ([kind.clone(), name.clone()], sql.clone())).collect()
    };
    let (from, to) = (entries(from), entries(to));
    let mut wanted: Vec<(String, String, &str)> = Vec::new();
    for (it, sql) in &to {
        let change = match from.get(it) {
            None => "created",
            Some(old) if old != sql => "altered",
            Some(_) => continue,
        };
        wanted.push((it[0].clone(), it[1].clone(), change));
    }
    let gone = from.keys().filter(|it| !to.contains_key(*it));
    wanted.extend(gone.map(|it| (it[0].clone(), it[1].clone(), "dropped")));
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let told: Vec<_> =
        told.iter().map(|it| (text(it, "kind"), text(it, "name"), text(it, "change"))).collect();
    let is = |one: &(String, String, &str), other: &(String, String, String)| {
        one.0 == other.0 && one.1 == other.1 && one.2 == other.2
    };
    let missing = wanted.iter().filter(|it| !told.iter().any(|other| is(it, other)));
    let missing = missing.map(|it| format!("schema change is not told: {it:?}"));
    let none = told.iter().filter(|it| !wanted.iter().any(|other| is(other, it)));
    missing.chain(none.map(|it| format!("schema change was none: {it:?}"))).collect()
}

/// A table in two states.
struct Pair<'c> {
    name: &'c str,
    before: Option<&'c Table>,
    after: Option<&'c Table>,
    encoding: &'c str,
}

impl Pair<'_> {
    /// What is wrong with these rows; whether one is missing is asked where they are `whole`.
    fn wrong(&self, rows: &[&Value], is_whole: bool) -> Vec<String> {
        let tables = [self.before, self.after];
        if tables.iter().flatten().any(|table| table.unread.is_some()) {
            return Vec::new();
        }
        let (ours, theirs) = (images(self.before), images(self.after));
        let mut found = Vec::new();
        let (mut gone, mut come) = (Images::new(), Images::new());
        for row in rows {
            let images = [("before", self.before), ("after", self.after)]
                .map(|(side, table)| (!row[side].is_null()).then(|| self.image(table, row, side)));
            let mut known = [None, None];
            for (image, known) in images.into_iter().zip(&mut known) {
                match image {
                    None => {}
                    Some(Ok(image)) => *known = Some(image),
                    Some(Err(why)) => found.push(format!("{:?}: {why}: {row}", self.name)),
                }
            }
            if known[0].is_some() && known[0] == known[1] {
                found.push(format!("{:?}: it stayed as it was: {row}", self.name));
            }
            let [before, after] = known;
            before.into_iter().for_each(|image| *gone.entry(image).or_default() += 1);
            after.into_iter().for_each(|image| *come.entry(image).or_default() += 1);
        }
        found.extend(self.not_there("before", &gone, &ours));
        found.extend(self.not_there("afterwards", &come, &theirs));
        if self.is_unaltered() && self.before.is_some_and(|it| it.alias.is_some()) {
            // An image has its rowid, so that a row which is in both states has not changed.
            found.extend(self.stayed(&gone, &theirs));
            found.extend(self.stayed(&come, &ours));
        }
        if is_whole && found.is_empty() {
            found.extend(self.missing([&ours, &gone, &come, &theirs]));
        }
        found
    }

    fn is_unaltered(&self) -> bool {
        self.before.map(|it| &it.sql) == self.after.map(|it| &it.sql)
    }

    fn not_there(&self, when: &str, told: &Images, there: &Images) -> Option<String> {
        let never = told.iter().filter(|(image, count)| there.get(*image) < Some(*count));
        let never: Vec<&Image> = never.map(|(image, _)| image).collect();
        let some: Vec<_> = never.iter().take(TOLD).collect();
        (!never.is_empty())
            .then(|| format!("{:?}: {} rows never were {when}: {some:?}", self.name, never.len()))
    }

    fn stayed(&self, told: &Images, other: &Images) -> Option<String> {
        let same: Vec<_> = told.keys().filter(|image| other.contains_key(*image)).collect();
        let some: Vec<_> = same.iter().take(TOLD).collect();
        (!same.is_empty())
            .then(|| format!("{:?}: {} rows have not changed: {some:?}", self.name, same.len()))
    }

    /// Rows that differ and were not told: those that were told do not lead from one state to the
    /// other, neither as they are nor, in a table that was altered, by the columns of both.
    fn missing(&self, [ours, gone, come, theirs]: [&Images; 4]) -> Option<String> {
        let led = led(ours, gone, come);
        if is_same(&led, theirs) {
            return None;
        }
        if let (Some(before), Some(after), false) = (self.before, self.after, self.is_unaltered()) {
            let shared = |table: &Table, other: &Table| -> Vec<usize> {
                let stored = |it: &&Column| !it.is_virtual;
                let named = |table: &Table, name: &str| {
                    let mut columns = table.columns.iter().filter(stored);
                    columns.position(|it| it.name.eq_ignore_ascii_case(name))
                };
                let names = before.columns.iter().filter(stored);
                let both = names.filter(|it| named(other, &it.name).is_some());
                both.filter_map(|it| named(table, &it.name)).collect()
            };
            let (places, others) = (shared(before, after), shared(after, before));
            let both = before.alias.is_some() && after.alias.is_some();
            let (ours, gone) = (cut(ours, &places, both), cut(gone, &places, both));
            let (come, theirs) = (cut(come, &others, both), cut(theirs, &others, both));
            if is_same(&self::led(&ours, &gone, &come), &theirs) {
                return None;
            }
        }
        let only = |one: &Images, other: &Images| -> Vec<Image> {
            one.iter()
                .filter(|(it, count)| other.get(*it) < Some(*count))
                .map(|it| it.0.clone())
                .collect()
        };
        let (more, less) = (only(&led, theirs), only(theirs, &led));
        let some = |rows: &[Image]| format!("{:?}", rows.iter().take(TOLD).collect::<Vec<_>>());
        Some(format!(
            "{:?}: not all rows are told: {} are left: {}; {} are wanted: {}",
            self.name,
            more.len(),
            some(&more),
            less.len(),
            some(&less)
        ))
    }

    /// The row on one side of an event.
    fn image(&self, table: Option<&Table>, row: &Value, side: &str) -> Result<Image, String> {
        let table = table.ok_or_else(|| format!("there was no such table {side}"))?;
        let object = row[side].as_object().ok_or("it is no object")?;
        let stored = table.columns.iter().filter(|it| !it.is_virtual);
        let values: Vec<String> = stored
            .map(|column| {
                let value = object.get(&column.name).ok_or(format!("without {}", column.name))?;
                value_cell(value, self.encoding)
            })
            .collect::<Result<_, String>>()?;
        if values.len() != object.len() {
            return Err("columns that are none".to_owned());
        }
        let key = row["key"].as_object().and_then(|key| key.values().next());
        let row_id = table.alias.and_then(|_| key?.as_i64());
        Ok((row_id, values))
    }
}

fn images(table: Option<&Table>) -> Images {
    let mut images = Images::new();
    let Some(table) = table else { return images };
    for row in &table.rows {
        let cells = row.cells.iter().zip(&table.columns).filter(|it| !it.1.is_virtual);
        let cells = cells.map(|(cell, _)| rounded(cell)).collect();
        *images.entry((row.rowid, cells)).or_default() += 1;
    }
    images
}

/// A state, without the rows that have gone and with those that have come.
fn led(from: &Images, gone: &Images, come: &Images) -> Images {
    let mut led = from.clone();
    gone.iter().for_each(|(image, count)| *led.entry(image.clone()).or_default() -= count);
    come.iter().for_each(|(image, count)| *led.entry(image.clone()).or_default() += count);
    led
}

fn is_same(one: &Images, other: &Images) -> bool {
    let is_in = |one: &Images, other: &Images| {
        one.iter().all(|(it, count)| other.get(it).copied().unwrap_or_default() == *count)
    };
    is_in(one, other) && is_in(other, one)
}

/// Some columns of each row.
fn cut(images: &Images, places: &[usize], with_row_id: bool) -> Images {
    let mut cut = Images::new();
    for ((row_id, cells), count) in images {
        let cells = places.iter().map(|place| cells[*place].clone()).collect();
        *cut.entry((row_id.filter(|_| with_row_id), cells)).or_default() += count;
    }
    cut
}

//! The rows of a table in two states, paired by their key.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use crate::database::{
    Error as ReadError, PageRows, Pages, ReadRow, SqlValue, StoredRow, TreeKind, Unreadable,
};
use crate::format::Pgno;

use super::Error;
use super::event::{Op, RowEvent, TableCounts};
use super::key::put_value;
use super::table::{Table, TablePages, TablePair};

/// Tells `visit` of every row of a table that differs between the states with the pages `before`
/// and `after`. Rows of tables with row ids come in their
/// order; of others, updated ones first, then those that are gone, then new ones, each in key
/// order.
///
/// # Errors
/// When a page cannot be read, a row is unreadable, or `visit` fails.
pub fn visit_rows<E: From<Error>>(
    before: &dyn Pages,
    after: &dyn Pages,
    (pair, pages): &(TablePair<'_>, TablePages),
    visit: &mut dyn FnMut(RowEvent) -> Result<(), E>,
) -> Result<(), E> {
    let Some(newest) = pair.newest() else { return Ok(()) };
    let before = Side::new(before, pair.before, newest, &pages.before)?;
    let after = Side::new(after, pair.after, newest, &pages.after)?;
    visit_sides(before, after, (pair, newest), Taker::Rows(visit))
}

/// How many rows [`visit_rows`] would tell of.
///
/// # Errors
/// When a page cannot be read, or a row is unreadable.
pub(super) fn count_rows(
    before: &dyn Pages,
    after: &dyn Pages,
    (pair, pages): &(TablePair<'_>, TablePages),
) -> Result<TableCounts, Error> {
    let mut counts = TableCounts::default();
    let Some(newest) = pair.newest() else { return Ok(counts) };
    let before = Side::new(before, pair.before, newest, &pages.before)?;
    let after = Side::new(after, pair.after, newest, &pages.after)?;
    visit_sides::<Error>(before, after, (pair, newest), Taker::Counts(&mut counts))?;
    Ok(counts)
}

fn visit_sides<E: From<Error>>(
    before: Side<'_>,
    after: Side<'_>,
    (pair, newest): (&TablePair<'_>, &Table),
    taker: Taker<'_, E>,
) -> Result<(), E> {
    let mut found = Found { pair, is_unaltered: pair.is_unaltered(), taker };
    match newest.kind {
        TreeKind::Table => merge(before, after, &mut found),
        TreeKind::WithoutRowid | TreeKind::Index => match_keys(before, after, &mut found),
    }
}

/// The same where pages of a state may be gone: a row that the other state may have had on them is
/// told as present. Returns whether any are gone.
///
/// # Errors
/// As [`visit_rows`], but for pages that are gone.
pub(super) fn visit_known_rows<E: From<Error>>(
    before: &dyn Pages,
    after: &dyn Pages,
    (pair, pages): &(TablePair<'_>, TablePages),
    visit: &mut dyn FnMut(RowEvent) -> Result<(), E>,
) -> Result<bool, E> {
    let Some(newest) = pair.newest() else { return Ok(false) };
    let side = |all, table, list, is_part| {
        let mut side = Side { goes_on: true, ..Side::new(all, table, newest, list)? };
        while side.next()?.is_some() {}
        let has_gaps = side.has_gaps || is_part;
        Ok::<_, Error>(Side { goes_on: true, has_gaps, ..Side::new(all, table, newest, list)? })
    };
    let [before_is_part, after_is_part] = pages.are_part;
    let before = side(before, pair.before, &pages.before, before_is_part)?;
    let after = side(after, pair.after, &pages.after, after_is_part)?;
    let has_gaps = before.has_gaps || after.has_gaps;
    visit_sides(before, after, (pair, newest), Taker::Rows(visit))?;
    Ok(has_gaps)
}

/// The rows of one state.
struct Side<'a> {
    table: Option<&'a Table>,
    name: &'a str,
    rows: PageRows<'a>,
    last_row_id: Option<i64>,
    /// Pages that are gone are passed over.
    goes_on: bool,
    /// Some are.
    has_gaps: bool,
}

impl<'a> Side<'a> {
    fn new(
        pages: &'a dyn Pages,
        table: Option<&'a Table>,
        newest: &'a Table,
        list: &'a [Pgno],
    ) -> Result<Self, Error> {
        let rows = PageRows::new(pages, newest.kind, list)?;
        let name = &newest.name;
        Ok(Self { table, name, rows, last_row_id: None, goes_on: false, has_gaps: false })
    }

    fn next(&mut self) -> Result<Option<StoredRow>, Error> {
        let row = loop {
            match self.rows.next_row(|_| {}) {
                Err(ReadError::Gone { .. }) if self.goes_on => self.has_gaps = true,
                row => break row?,
            }
        };
        match row {
            Some(ReadRow::Row(row)) => {
                // Rows out of order could not be paired.
                if row.row_id.is_some() && row.row_id <= self.last_row_id {
                    return Err(self.unreadable(row.page));
                }
                self.last_row_id = row.row_id;
                Ok(Some(row))
            }
            Some(ReadRow::Unreadable(page)) => Err(self.unreadable(page)),
            None => Ok(None),
        }
    }

    fn unreadable(&self, page: Pgno) -> Error {
        Error::Unreadable { table: self.name.to_owned(), page }
    }

    fn values(&self, row: &StoredRow) -> Result<Vec<SqlValue>, Error> {
        let Some(table) = self.table else { return Err(self.unreadable(row.page)) };
        values(table, row)
    }
}

fn values(table: &Table, row: &StoredRow) -> Result<Vec<SqlValue>, Error> {
    let values = table.reader.values(row.row_id, &row.record);
    values.map_err(|why| unreadable(table, row.page, why))
}

fn unreadable(table: &Table, page: Pgno, why: Unreadable) -> Error {
    let table = table.name.clone();
    match why {
        Unreadable::Damaged => Error::Unreadable { table, page },
        Unreadable::UnknownDefault => Error::UnknownDefault { table },
    }
}

/// Who is told of rows that differ.
enum Taker<'f, E> {
    Rows(&'f mut dyn FnMut(RowEvent) -> Result<(), E>),
    /// Nobody asks for their values.
    Counts(&'f mut TableCounts),
}

/// Where rows that differ go.
struct Found<'p, 't, 'f, E> {
    pair: &'p TablePair<'t>,
    is_unaltered: bool,
    taker: Taker<'f, E>,
}

impl<E: From<Error>> Found<'_, '_, '_, E> {
    /// A row that is in both.
    fn both(&mut self, before: &StoredRow, after: &StoredRow) -> Result<(), E> {
        let (Some(old), Some(new)) = (self.pair.before, self.pair.after) else { return Ok(()) };
        if self.is_unaltered && before.record == after.record {
            return Ok(());
        }
        if let (Taker::Counts(counts), true) = (&mut self.taker, self.is_unaltered) {
            let same = new.reader.is_same(after.row_id, &before.record, &after.record);
            if !same.map_err(|why| unreadable(new, after.page, why))? {
                counts.count(Op::Update);
            }
            return Ok(());
        }
        let (ours, theirs) = (values(old, before)?, values(new, after)?);
        let same = match self.is_unaltered {
            true => ours == theirs,
            false => is_same_by_name(old, &ours, new, &theirs),
        };
        if same {
            return Ok(());
        }
        let row_id = after.row_id;
        let (before, after) = (Some(ours), Some(theirs));
        self.take(RowEvent { row_id, before, after, other_is_gone: false })
    }

    fn only_before(&mut self, sides: [&Side<'_>; 2], row: &StoredRow) -> Result<(), E> {
        let [side, other] = sides;
        let (row_id, before) = (row.row_id, Some(side.values(row)?));
        self.take(RowEvent { row_id, before, after: None, other_is_gone: other.has_gaps })
    }

    fn only_after(&mut self, sides: [&Side<'_>; 2], row: &StoredRow) -> Result<(), E> {
        let [side, other] = sides;
        let (row_id, after) = (row.row_id, Some(side.values(row)?));
        self.take(RowEvent { row_id, before: None, after, other_is_gone: other.has_gaps })
    }

    fn take(&mut self, event: RowEvent) -> Result<(), E> {
        match &mut self.taker {
            Taker::Rows(visit) => visit(event),
            Taker::Counts(counts) => {
                counts.count(event.op());
                Ok(())
            }
        }
    }
}

/// Whether two rows of a table that was altered have the same values in the columns that both
/// definitions name and store.
fn is_same_by_name(old: &Table, ours: &[SqlValue], new: &Table, theirs: &[SqlValue]) -> bool {
    let columns = &new.reader.definition().columns;
    let is_virtual = |table: &Table, name| table.reader.definition().is_virtual(name);
    columns.iter().zip(theirs).all(|(column, value)| {
        let name = &column.name;
        let place = old.reader.definition().place_of(name);
        let place = place.filter(|_| !is_virtual(old, name) && !is_virtual(new, name));
        place.and_then(|place| ours.get(place)).is_none_or(|before| before == value)
    })
}

/// Rows that are in the order of their row ids.
fn merge<E: From<Error>>(
    mut before: Side<'_>,
    mut after: Side<'_>,
    found: &mut Found<'_, '_, '_, E>,
) -> Result<(), E> {
    let (mut ours, mut theirs) = (before.next()?, after.next()?);
    loop {
        let order = match (&ours, &theirs) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.row_id.cmp(&other.row_id),
        };
        if let (Some(one), Some(other)) = (&ours, &theirs)
            && order.is_eq()
        {
            found.both(one, other)?;
        } else if let (Some(one), true) = (&ours, order.is_lt()) {
            found.only_before([&before, &after], one)?;
        } else if let Some(other) = &theirs {
            found.only_after([&after, &before], other)?;
        }
        if order.is_le() {
            ours = before.next()?;
        }
        if order.is_ge() {
            theirs = after.next()?;
        }
    }
}

/// Rows whose order may be any: both sides are read in turn, and a row waits until the other side
/// comes to its key. What is held is about as much as differs.
fn match_keys<E: From<Error>>(
    mut before: Side<'_>,
    mut after: Side<'_>,
    found: &mut Found<'_, '_, '_, E>,
) -> Result<(), E> {
    let (mut ours, mut theirs) = (Waiting::default(), Waiting::default());
    loop {
        let (one, other) = (before.next()?, after.next()?);
        if one.is_none() && other.is_none() {
            break;
        }
        let one = one.map(|row| Ok::<_, Error>((key_of(&before, &row)?, row))).transpose()?;
        let other = other.map(|row| Ok::<_, Error>((key_of(&after, &row)?, row))).transpose()?;
        match (one, other) {
            (Some((key, row)), Some((other_key, other_row))) if key == other_key => {
                found.both(&row, &other_row)?;
            }
            (one, other) => {
                if let Some((key, row)) = one {
                    match theirs.take(&key) {
                        Some(other) => found.both(&row, &other)?,
                        None => ours.put(key, row),
                    }
                }
                if let Some((key, row)) = other {
                    match ours.take(&key) {
                        Some(other) => found.both(&other, &row)?,
                        None => theirs.put(key, row),
                    }
                }
            }
        }
    }
    ours.rows.values().try_for_each(|row| found.only_before([&before, &after], row))?;
    theirs.rows.values().try_for_each(|row| found.only_after([&after, &before], row))
}

/// Rows whose key the other side has not come to, in the order in which they were read.
#[derive(Default)]
struct Waiting {
    places: HashMap<Vec<u8>, Vec<u64>>,
    rows: BTreeMap<u64, StoredRow>,
    count: u64,
}

impl Waiting {
    fn put(&mut self, key: Vec<u8>, row: StoredRow) {
        self.places.entry(key).or_default().push(self.count);
        self.rows.insert(self.count, row);
        self.count += 1;
    }

    fn take(&mut self, key: &[u8]) -> Option<StoredRow> {
        let places = self.places.get_mut(key)?;
        let place = places.pop()?;
        if places.is_empty() {
            self.places.remove(key);
        }
        self.rows.remove(&place)
    }
}

/// The values of the key columns, as bytes.
fn key_of(side: &Side<'_>, row: &StoredRow) -> Result<Vec<u8>, Error> {
    let values = side.values(row)?;
    let mut key = Vec::new();
    if let Some(table) = side.table {
        for place in table.reader.definition().key_columns() {
            let value = values.get(place).unwrap_or(&SqlValue::Null);
            put_value(value, table.reader.encoding(), &mut key);
        }
    }
    Ok(key)
}

//! Changesets and patchsets of SQLite's session extension (sqlite3session.c, session/intro.html).

use std::collections::BTreeMap;

use crate::database::{ColumnDefinition, Generated, SqlValue, TextEncoding};

use super::event::{Op, RowEvent};
use super::key::{put_value, put_varint};
use super::pages::Comparison;
use super::table::{Table, TablePages, TablePair};
use super::{Error, LeftOut};

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetFormat {
    /// With the values before: it can be inverted, and finds conflicts.
    Changeset,
    /// Without them.
    Patchset,
}

const INSERT: u8 = 0x12;
const UPDATE: u8 = 0x17;
const DELETE: u8 = 0x09;
/// Whether a trigger made the change; the log does not tell.
const DIRECT: u8 = 0;
const UNDEFINED: u8 = 0;

/// Appends the changes of one table to `to`; nothing if there are none. Returns what is left out.
///
/// # Errors
/// When rows cannot be read, or `put` fails.
pub fn put_table<E: From<Error>>(
    format: SetFormat,
    comparison: &Comparison<'_>,
    table: &(TablePair<'_>, TablePages),
    put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<Option<LeftOut>, E> {
    let (pair, _) = table;
    let left_out =
        |why: &str| Ok(Some(LeftOut { name: pair.name().to_owned(), why: why.to_owned() }));
    let mut rows = 0_u64;
    let Some(writer) = Writer::of(format, pair) else {
        comparison.visit(table, &mut |_| {
            rows += 1;
            Ok::<_, E>(())
        })?;
        return match (rows, pair.is_unaltered()) {
            (0, true) => Ok(None),
            (_, true) => left_out("it has no PRIMARY KEY"),
            (_, false) if pair.before.is_none() => left_out("it is new"),
            (_, false) if pair.after.is_none() => left_out("it was dropped"),
            (_, false) => left_out("it was altered"),
        };
    };
    let mut has_header = false;
    let mut without_key = 0_u64;
    let unique = writer.table.unique_columns(comparison.after.catalog);
    let (mut moves, mut broken) = (0_u64, 0_u64);
    let mut record = Vec::new();
    let mut write = |event: &RowEvent| {
        record.clear();
        if !has_header {
            writer.put_header(&mut record);
            has_header = true;
        }
        writer.put_change(event, &mut record);
        moves += u64::from(event.op() == Op::Update && event.changes(unique.as_ref()));
        broken += u64::from(writer.breaks_text(event));
        put(&record)
    };
    // A row may take a unique value that another one gives up.
    const ORDER: [Op; 3] = [Op::Delete, Op::Update, Op::Insert];
    if writer.is_keyed_as_stored {
        for op in ORDER {
            comparison.visit(
                table,
                &mut |event| match event.op() == op && !writer.same(&event) {
                    true => write(&event),
                    false => Ok(()),
                },
            )?;
        }
    } else {
        // By its declared key, a row may be another than by its row id.
        let mut rows: BTreeMap<Vec<u8>, RowEvent> = BTreeMap::new();
        comparison.visit(table, &mut |event| {
            let RowEvent { row_id, before, after, other_is_gone } = event;
            for (values, is_before) in [(before, true), (after, false)] {
                let Some(mut values) = values else { continue };
                writer.mark_whole_table(&mut values);
                let Some(key) = writer.key(&values) else {
                    without_key += 1;
                    continue;
                };
                let none = RowEvent { row_id, before: None, after: None, other_is_gone };
                let event = rows.entry(key).or_insert(none);
                *(if is_before { &mut event.before } else { &mut event.after }) = Some(values);
            }
            Ok::<_, E>(())
        })?;
        for op in ORDER {
            let of_op = rows.values().filter(|event| event.op() == op && !writer.same(event));
            of_op.into_iter().try_for_each(&mut write)?;
        }
    }
    if without_key > 0 {
        return left_out(&format!("{without_key} images of rows have NULL in the key"));
    }
    if broken > 0 {
        let why = format!("broken UTF-16 in {broken} rows, which a changeset has as UTF-8");
        return left_out(&why);
    }
    if moves > 1 && writer.table.reader.definition().replaces_rows {
        let why = format!(
            "what its ON CONFLICT REPLACE deletes while {moves} unique values are changed, one \
             after the other"
        );
        return left_out(&why);
    }
    Ok(None)
}

/// Writes the changes of one table.
struct Writer<'t> {
    format: SetFormat,
    table: &'t Table,
    /// Columns that are written, in declared order: the place, and the ordinal in the key.
    columns: Vec<(usize, u8)>,
    /// The declared key is the one that rows are stored by.
    is_keyed_as_stored: bool,
    /// It is `sqlite_stat1`, whose key the session extension says itself: `tbl` and `idx`.
    is_statistics: bool,
}

impl<'t> Writer<'t> {
    /// `None` for a table that these formats do not know: without a key, or not the same in both
    /// states.
    fn of(format: SetFormat, pair: &TablePair<'t>) -> Option<Self> {
        let table = pair.after.filter(|_| pair.is_unaltered())?;
        let definition = table.reader.definition();
        let is_statistics = table.name.eq_ignore_ascii_case("sqlite_stat1");
        let key_of = |column: &ColumnDefinition| match column.name.as_str() {
            "tbl" if is_statistics => 1,
            "idx" if is_statistics => 2,
            _ => u8::try_from(column.key).unwrap_or(u8::MAX),
        };
        let columns = definition.columns.iter().enumerate();
        let columns: Vec<(usize, u8)> = columns
            .filter(|(_, column)| column.generated == Generated::No)
            .map(|(place, column)| (place, key_of(column)))
            .collect();
        columns.iter().any(|(_, key)| *key > 0).then_some(())?;
        let is_keyed_as_stored = definition.without_rowid || definition.row_id.is_some();
        Some(Self { format, table, columns, is_keyed_as_stored, is_statistics })
    }

    /// Of a table without an index, `idx` is NULL, which no key can be: it is an empty blob
    /// (sqlite3session.c sessionStat1Old).
    fn mark_whole_table(&self, values: &mut [SqlValue]) {
        const IDX: usize = 1;
        if let (true, Some(idx @ SqlValue::Null)) = (self.is_statistics, values.get_mut(IDX)) {
            *idx = SqlValue::Blob(Vec::new());
        }
    }

    fn encoding(&self) -> TextEncoding {
        self.table.reader.encoding()
    }

    /// The key of a row; `None` where a part of it is NULL.
    fn key(&self, values: &[SqlValue]) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for (place, _) in self.columns.iter().filter(|(_, key)| *key > 0) {
            let value = values.get(*place).filter(|value| !value.is_null())?;
            put_value(value, self.encoding(), &mut key);
        }
        Some(key)
    }

    /// Whether a text of the row is no UTF-16, in a database of that encoding: changesets have
    /// UTF-8, and SQLite replaces what it cannot convert.
    fn breaks_text(&self, event: &RowEvent) -> bool {
        let values = [&event.before, &event.after].into_iter().flatten().flatten();
        self.encoding() != TextEncoding::Utf8
            && values.into_iter().any(|value| matches!(value, SqlValue::BrokenText(_)))
    }

    /// Nothing is left of the change.
    fn same(&self, event: &RowEvent) -> bool {
        let (Some(before), Some(after)) = (&event.before, &event.after) else { return false };
        self.columns.iter().all(|(place, _)| is_same(before.get(*place), after.get(*place)))
    }

    fn put_header(&self, to: &mut Vec<u8>) {
        to.push(match self.format {
            SetFormat::Changeset => b'T',
            SetFormat::Patchset => b'P',
        });
        put_varint(self.columns.len() as u64, to);
        to.extend(self.columns.iter().map(|(_, key)| key));
        to.extend_from_slice(self.table.name.as_bytes());
        to.push(0);
    }

    fn put_change(&self, event: &RowEvent, to: &mut Vec<u8>) {
        match (&event.before, &event.after) {
            (None, None) => {}
            (None, Some(after)) => {
                to.extend([INSERT, DIRECT]);
                self.put_record(to, |place, _| after.get(place));
            }
            (Some(before), None) => {
                to.extend([DELETE, DIRECT]);
                match self.format {
                    SetFormat::Changeset => self.put_record(to, |place, _| before.get(place)),
                    SetFormat::Patchset => {
                        for (place, _) in self.columns.iter().filter(|(_, key)| *key > 0) {
                            let value = before.get(*place).unwrap_or(&SqlValue::Null);
                            put_value(value, self.encoding(), to);
                        }
                    }
                }
            }
            (Some(before), Some(after)) => {
                to.extend([UPDATE, DIRECT]);
                let changed = |place: usize| !is_same(before.get(place), after.get(place));
                if self.format == SetFormat::Changeset {
                    self.put_record(to, |place, key| {
                        before.get(place).filter(|_| key > 0 || changed(place))
                    });
                    self.put_record(to, |place, key| {
                        after.get(place).filter(|_| key == 0 && changed(place))
                    });
                } else {
                    self.put_record(to, |place, key| {
                        after.get(place).filter(|_| key > 0 || changed(place))
                    });
                }
            }
        }
    }

    /// The value of each column, undefined where `value` has none.
    fn put_record<'v>(&self, to: &mut Vec<u8>, value: impl Fn(usize, u8) -> Option<&'v SqlValue>) {
        for (place, key) in &self.columns {
            match value(*place, *key) {
                Some(value) => put_value(value, self.encoding(), to),
                None => to.push(UNDEFINED),
            }
        }
    }
}

/// Equal as the session extension compares: 0.0 and -0.0 are.
fn is_same(one: Option<&SqlValue>, other: Option<&SqlValue>) -> bool {
    match (one, other) {
        (Some(SqlValue::Real(one)), Some(SqlValue::Real(other))) => one == other,
        (one, other) => one == other,
    }
}

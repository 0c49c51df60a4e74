//! Which rows are wanted.

use std::collections::BTreeMap;

use crate::access::Failure;
use crate::database::SqlValue;
use crate::history::rows::{Catalog, RowEvent, TableCounts, TablePair, TransactionRows};
use crate::output::text::escaped;

use super::Log;
use super::entry::{Entry, TableEntry};

/// Takes the rows that the options ask for, and counts them.
pub(super) struct Filter<'l> {
    asked: &'l Log,
    counts: BTreeMap<String, TableCounts>,
}

impl<'l> Filter<'l> {
    pub(super) fn new(asked: &'l Log) -> Self {
        Self { asked, counts: BTreeMap::new() }
    }

    /// Whether it asks for single rows.
    pub(super) fn has_rows(&self) -> bool {
        let Log { rowid, key, grep, .. } = self.asked;
        rowid.is_some() || !key.is_empty() || grep.is_some()
    }

    fn takes_table(&self, name: &str) -> bool {
        let tables = &self.asked.table;
        tables.is_empty() || tables.iter().any(|table| table.eq_ignore_ascii_case(name))
    }

    /// Whether a row is wanted; counts it then.
    pub(super) fn takes(&mut self, pair: &TablePair<'_>, event: &RowEvent) -> bool {
        let Log { rowid, key, grep, .. } = self.asked;
        let takes = self.takes_table(pair.name())
            && rowid.is_none_or(|wanted| event.row_id == Some(wanted))
            && (key.is_empty() || has_key(pair, event, key))
            && grep.as_ref().is_none_or(|text| contains(event, text));
        if takes {
            self.counts.entry(pair.name().to_owned()).or_default().count(event.op());
        }
        takes
    }

    /// The tables of an entry: those with rows that were taken, and those whose rows are not known.
    pub(super) fn tables(&self, done: &TransactionRows) -> Vec<TableEntry> {
        let own = done.tables.iter().filter(|table| self.takes_table(&table.name));
        own.filter_map(|table| {
            let counts = match table.counts {
                Some(_) if self.has_rows() => Some(*self.counts.get(&table.name)?),
                counts => counts,
            };
            Some(TableEntry::of(table, counts))
        })
        .collect()
    }

    /// Whether the entry is shown: without a filter, each is; with one, those with a row that was
    /// taken, or of which that is not known.
    pub(super) fn shows(&self, entry: &Entry) -> bool {
        let is_filtered = self.has_rows() || !self.asked.table.is_empty();
        !is_filtered || !entry.tables.is_empty() || entry.partial
    }
}

/// Whether there is a value for each column of the primary key, in tables that the newest state
/// has.
pub(super) fn fits(asked: &Log, newest: &Catalog) -> Result<(), Failure> {
    if asked.key.is_empty() {
        return Ok(());
    }
    for table in &newest.tables {
        let is_asked = asked.table.iter().any(|name| name.eq_ignore_ascii_case(&table.name));
        let definition = table.reader.definition();
        let keys = definition.key_columns();
        if !is_asked || keys.len() == asked.key.len() {
            continue;
        }
        let name = escaped(&table.name);
        let columns: Vec<_> = keys
            .iter()
            .filter_map(|place| definition.columns.get(*place))
            .map(|column| escaped(&column.name))
            .collect();
        return Err(Failure::Usage(match keys.len() {
            0 => format!("table {name} has no primary key: --rowid chooses a row"),
            count => format!(
                "the primary key of table {name} is ({}): --key is wanted {}, and is there {}",
                columns.join(", "),
                times(count),
                times(asked.key.len()),
            ),
        }));
    }
    Ok(())
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

/// Whether a row has these values in its primary key, before or afterwards.
fn has_key(pair: &TablePair<'_>, event: &RowEvent, wanted: &[String]) -> bool {
    let images = [(pair.before, &event.before), (pair.after, &event.after)];
    images.into_iter().any(|(table, values)| {
        let (Some(table), Some(values)) = (table, values) else { return false };
        let columns = table.reader.definition().key_columns();
        columns.len() == wanted.len()
            && columns.iter().zip(wanted).all(|(place, wanted)| {
                values.get(*place).is_some_and(|value| is_text(value, wanted))
            })
    })
}

/// Whether a value is what somebody has typed.
fn is_text(value: &SqlValue, typed: &str) -> bool {
    match value {
        SqlValue::Null => typed.eq_ignore_ascii_case("null"),
        SqlValue::Integer(number) => typed.parse() == Ok(*number),
        SqlValue::Real(number) => typed.parse() == Ok(*number),
        SqlValue::Text(text) => text == typed,
        SqlValue::BrokenText(bytes) | SqlValue::Blob(bytes) => bytes == typed.as_bytes(),
    }
}

fn contains(event: &RowEvent, text: &str) -> bool {
    let images = [&event.before, &event.after].into_iter().flatten();
    images.flatten().any(|value| match value {
        SqlValue::Null => false,
        SqlValue::Integer(number) => number.to_string().contains(text),
        SqlValue::Real(number) => format!("{number:?}").contains(text),
        SqlValue::Text(value) => value.contains(text),
        SqlValue::BrokenText(bytes) | SqlValue::Blob(bytes) => {
            memchr::memmem::find(bytes, text.as_bytes()).is_some()
        }
    })
}

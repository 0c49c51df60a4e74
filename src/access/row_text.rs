//! Rows for programs and for people.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::database::{Generated, SqlValue, TableDefinition};
use crate::history::rows::{Op, RowEvent, SchemaChange, Table, TablePair};
use crate::output::text::{cut, escaped};
use crate::output::{Cell, Paint, Tone};

/// Characters of a value that people see.
const SHOWN_CHARS: usize = 60;
/// Bytes of a blob that people see.
const SHOWN_BYTES: usize = 16;

/// How integers are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Integers {
    /// As numbers
    #[default]
    Number,
    /// As strings, for programs that read numbers as doubles
    String,
}

/// A value as JSON: numbers, strings and null; blobs and what has no such form as an object.
#[must_use]
pub fn value_json(value: &SqlValue, integers: Integers) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => match integers {
            Integers::Number => json!(number),
            Integers::String => json!(number.to_string()),
        },
        SqlValue::Real(number) if number.is_finite() => json!(number),
        SqlValue::Real(number) => json!({ "real": if *number > 0.0 { "inf" } else { "-inf" } }),
        SqlValue::Text(text) => json!(text),
        SqlValue::BrokenText(bytes) => json!({ "text_hex": hex(bytes) }),
        SqlValue::Blob(bytes) => json!({ "blob": STANDARD.encode(bytes) }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as people see it: like SQL, on one line, long ones cut.
#[must_use]
pub fn value_text(value: &SqlValue) -> String {
    let blob = |bytes: &[u8]| {
        let shown = hex(bytes.get(..SHOWN_BYTES).unwrap_or(bytes));
        match bytes.len() > SHOWN_BYTES {
            true => format!("x'{shown}...' ({} bytes)", bytes.len()),
            false => format!("x'{shown}'"),
        }
    };
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) if number.is_finite() => format!("{number:?}"),
        SqlValue::Real(number) => if *number > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
        SqlValue::Text(text) => {
            let shown = escaped(text).replace('\'', "''");
            let cut = cut(&shown, SHOWN_CHARS);
            match cut.len() < shown.len() {
                true => format!("'{cut}' ({} bytes)", text.len()),
                false => format!("'{shown}'"),
            }
        }
        SqlValue::BrokenText(bytes) => format!("{} as text", blob(bytes)),
        SqlValue::Blob(bytes) => blob(bytes),
    }
}

/// A value of a column of its own: text as it is, on one line.
#[must_use]
pub fn value_cell(value: &SqlValue) -> Cell {
    let is_number = matches!(value, SqlValue::Integer(_) | SqlValue::Real(_));
    let text = match value {
        SqlValue::Text(text) => escaped(text).into_owned(),
        SqlValue::Null
        | SqlValue::Integer(_)
        | SqlValue::Real(_)
        | SqlValue::BrokenText(_)
        | SqlValue::Blob(_) => value_text(value),
    };
    Cell { text, is_number }
}

/// Columns with values of their own, with their places.
fn stored(table: &Table) -> impl Iterator<Item = (usize, &str)> {
    let columns = table.reader.definition().columns.iter().enumerate();
    columns
        .filter(|(_, column)| column.generated != Generated::Virtual)
        .map(|(place, column)| (place, column.name.as_str()))
}

/// The name under which a row id is shown that is no column: one that no column has.
#[must_use]
pub fn row_id_name(definition: &TableDefinition) -> &'static str {
    let names = ["rowid", "_rowid_", "oid"];
    let free = names.into_iter().find(|name| definition.place_of(name).is_none());
    free.unwrap_or("rowid")
}

/// Names and values of the key of a row: its row id, or the columns of a WITHOUT ROWID key.
fn key<'t>(table: &'t Table, row_id: Option<i64>, values: &[SqlValue]) -> Vec<(&'t str, SqlValue)> {
    let definition = table.reader.definition();
    let name = |place: usize| definition.columns.get(place).map(|column| column.name.as_str());
    match row_id {
        Some(row_id) => {
            let alias = definition.row_id.and_then(name);
            vec![(alias.unwrap_or(row_id_name(definition)), SqlValue::Integer(row_id))]
        }
        None => definition
            .key_columns()
            .into_iter()
            .filter_map(|place| Some((name(place)?, values.get(place)?.clone())))
            .collect(),
    }
}

/// A row in one state: the table there and its values.
type Image<'e> = (&'e Table, &'e [SqlValue]);

fn images<'e>(pair: &TablePair<'e>, event: &'e RowEvent) -> (Option<Image<'e>>, Option<Image<'e>>) {
    (pair.before.zip(event.before.as_deref()), pair.after.zip(event.after.as_deref()))
}

/// Columns whose stored values differ, by the names that they have afterwards.
fn changed<'e>(
    before: Image<'e>,
    after: Image<'e>,
) -> Vec<(&'e str, Option<&'e SqlValue>, &'e SqlValue)> {
    let (old, ours) = before;
    let (new, theirs) = after;
    let old_value =
        |name: &str| old.reader.definition().place_of(name).and_then(|place| ours.get(place));
    let is_told = |name: &str| !old.reader.definition().is_virtual(name);
    let differing = stored(new).filter(|(_, name)| is_told(name)).filter_map(|(place, name)| {
        let (old, new) = (old_value(name), theirs.get(place)?);
        (old != Some(new)).then_some((name, old, new))
    });
    differing.collect()
}

/// A row event as an object of JSON.
#[must_use]
pub fn event_json(
    txn: Option<u32>,
    pair: &TablePair<'_>,
    event: &RowEvent,
    integers: Integers,
) -> Value {
    let (before, after) = images(pair, event);
    let object = |image: Image<'_>| {
        let (table, values) = image;
        let fields = stored(table).filter_map(|(place, name)| {
            Some((name.to_owned(), value_json(values.get(place)?, integers)))
        });
        Value::Object(fields.collect())
    };
    let named = after.or(before);
    let key: Map<String, Value> = named
        .map(|(table, values)| key(table, event.row_id, values))
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value_json(&value, integers)))
        .collect();
    let changed: Vec<&str> = match (before, after) {
        (Some(before), Some(after)) => {
            changed(before, after).into_iter().map(|(name, _, _)| name).collect()
        }
        _ => Vec::new(),
    };
    json!({
        "txn": txn,
        "op": event.op().word(),
        "table": pair.name(),
        "key": key,
        "before": before.map(object),
        "after": after.map(object),
        "changed": changed,
    })
}

/// The fields of [`event_json`].
pub const EVENT_FIELDS: [&str; 7] = ["txn", "op", "table", "key", "before", "after", "changed"];

/// A row event on one line, cut to `width` columns.
#[must_use]
pub fn event_line(
    pair: &TablePair<'_>,
    event: &RowEvent,
    paint: &Paint,
    width: Option<u16>,
) -> String {
    let (before, after) = images(pair, event);
    let (sign, tone) = match event.op() {
        Op::Insert => ("+", Tone::Good),
        Op::Update => ("~", Tone::Notice),
        Op::Delete => ("-", Tone::Bad),
        Op::Present => ("?", Tone::Notice),
    };
    let pairs = |fields: Vec<(&str, SqlValue)>| {
        let shown =
            fields.iter().map(|(name, value)| format!("{}={}", escaped(name), value_text(value)));
        shown.collect::<Vec<_>>().join(" ")
    };
    let Some((table, values)) = after.or(before) else { return String::new() };
    let key = key(table, event.row_id, values);
    let rest = match (before, after) {
        (Some(before), Some(after)) => {
            let differing = changed(before, after).into_iter().map(|(name, old, new)| {
                let old = old.map_or("(none)".to_owned(), value_text);
                format!("{}: {old} -> {}", escaped(name), value_text(new))
            });
            differing.collect::<Vec<_>>().join(", ")
        }
        _ => {
            let is_key = |name: &str| key.iter().any(|(key, _)| *key == name);
            let columns = stored(table).filter(|(_, name)| !is_key(name));
            let fields =
                columns.filter_map(|(place, name)| Some((name, values.get(place)?.clone())));
            pairs(fields.collect())
        }
    };
    let line = format!("{sign} {}  {rest}", pairs(key));
    let line = match width {
        Some(width) => cut(&line, usize::from(width).saturating_sub(2)).into_owned(),
        None => line,
    };
    format!("  {}", paint.tone(tone, line.trim_end()))
}

/// Changes of the schema, each on one line that is cut to `width` columns.
///
/// # Errors
/// When the destination fails.
pub fn schema_change_lines(
    to: &mut dyn Write,
    changes: &[SchemaChange],
    indent: &str,
    paint: &Paint,
    width: Option<u16>,
) -> io::Result<()> {
    let width = width.map(|width| usize::from(width).saturating_sub(indent.len()));
    for change in changes.iter().filter(|change| change.has_line()) {
        writeln!(to, "{indent}{}", schema_change_line(change, paint, width))?;
    }
    Ok(())
}

fn schema_change_line(change: &SchemaChange, paint: &Paint, width: Option<usize>) -> String {
    let (sign, tone) = match (change.change, &change.renamed_from) {
        ("created", None) => ("+", Tone::Good),
        ("dropped", None) => ("-", Tone::Bad),
        _ => ("~", Tone::Notice),
    };
    let one_line = change.sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = match &change.renamed_from {
        Some(old) => format!("{sign} {} is now {}", escaped(old), escaped(&one_line)),
        None => format!("{sign} {}", escaped(&one_line)),
    };
    let line = match width {
        Some(width) => cut(&line, width).into_owned(),
        None => line,
    };
    paint.tone(tone, &line)
}

//! CSV from the JSON form of rows: nested objects become dotted columns, lists stay JSON.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// Writes a header line and one line a row.
pub(super) fn write(to: &mut dyn Write, rows: &[Value]) -> io::Result<()> {
    let flat: Vec<Map<String, Value>> = rows.iter().map(flatten).collect();
    let mut columns: Vec<&String> = Vec::new();
    for row in &flat {
        for key in row.keys() {
            if !columns.contains(&key) {
                columns.push(key);
            }
        }
    }
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(columns.iter().map(|column| column.as_bytes()))?;
    for row in &flat {
        writer.write_record(columns.iter().map(|column| cell(row.get(*column))))?;
    }
    writer.flush()
}

/// A value as CSV text: null is empty, strings are plain, lists are JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

/// Top-level keys of an object, nested objects as `outer.inner`.
fn flatten(row: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    add(&mut flat, "", row);
    flat
}

fn add(flat: &mut Map<String, Value>, prefix: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                add(flat, &name, field);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            flat.insert(prefix.to_owned(), value.clone());
        }
    }
}

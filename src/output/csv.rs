//! CSV from the JSON form of rows: one column a field, whatever the data; what is nested stays
//! JSON.

use std::io::{self, Write};

use serde_json::Value;

/// Writes a header line and one line a row. The columns are the fields of `example`, or of the
/// first row.
pub(super) fn write(to: &mut dyn Write, example: Option<&Value>, rows: &[Value]) -> io::Result<()> {
    let columns: Vec<String> = match example.or(rows.first()) {
        Some(Value::Object(fields)) => fields.keys().cloned().collect(),
        Some(_) | None => Vec::new(),
    };
    line(to, &columns)?;
    rows.iter().try_for_each(|row| line(to, columns.iter().map(|column| cell(row.get(column)))))
}

/// Writes one line.
pub(super) fn line(
    to: &mut dyn Write,
    cells: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(cells)?;
    writer.flush()
}

/// Writes the fields of `item` that `columns` name, as one line.
///
/// # Errors
/// When the destination fails.
pub fn item(to: &mut dyn Write, columns: &[&str], item: &Value) -> io::Result<()> {
    line(to, columns.iter().map(|column| cell(item.get(column))))
}

/// A value as CSV text: null is empty, strings are plain, lists and objects are JSON.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(example: Option<&Value>, rows: &[Value]) -> String {
        let mut text = Vec::new();
        write(&mut text, example, rows).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn columns_are_the_same_whatever_the_rows_hold() {
        let full = json!({"a": "x,y", "b": {"c": 1, "d": [2]}});
        let bare = json!({"a": null, "b": null});
        assert_eq!(written(None, &[full]), "a,b\n\"x,y\",\"{\"\"c\"\":1,\"\"d\"\":[2]}\"\n");
        assert_eq!(written(None, std::slice::from_ref(&bare)), "a,b\n,\n");
        assert_eq!(written(Some(&bare), &[]), "a,b\n");
    }
}

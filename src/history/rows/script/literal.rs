//! Names and values as SQL.

use crate::database::{SqlValue, TextEncoding};

/// `name` as an identifier.
pub(in crate::history::rows) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as a literal that gives it back: type, bits and bytes. `encoding` is the database's.
pub(in crate::history::rows) fn literal(value: &SqlValue, encoding: TextEncoding) -> String {
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) if number.is_finite() => format!("{number:?}"),
        SqlValue::Real(number) if *number > 0.0 => "9e999".to_owned(),
        SqlValue::Real(_) => "-9e999".to_owned(),
        // A literal ends at NUL, and SQLite's shell drops a CR before LF.
        SqlValue::Text(text) if text.contains(['\0', '\r']) => text_of(&encoding.bytes(text)),
        SqlValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
        SqlValue::BrokenText(bytes) => text_of(bytes),
        SqlValue::Blob(bytes) => blob(bytes),
    }
}

fn text_of(bytes: &[u8]) -> String {
    format!("CAST({} AS TEXT)", blob(bytes))
}

fn blob(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(*DIGITS.get(usize::from(nibble)).unwrap_or(&b'0'));
    let mut literal = String::with_capacity(bytes.len() * 2 + 3);
    literal.push_str("x'");
    for byte in bytes {
        literal.push(digit(byte >> 4));
        literal.push(digit(byte & 15));
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_sql() {
        let of = |value: SqlValue| literal(&value, TextEncoding::Utf16Le);
        assert_eq!(of(SqlValue::Real(0.1)), "0.1");
        assert_eq!(of(SqlValue::Real(1e300)), "1e300");
        assert_eq!(of(SqlValue::Real(-0.0)), "-0.0");
        assert_eq!(of(SqlValue::Real(f64::NEG_INFINITY)), "-9e999");
        assert_eq!(of(SqlValue::Text("it's".to_owned())), "'it''s'");
        assert_eq!(of(SqlValue::Text("a\0".to_owned())), "CAST(x'61000000' AS TEXT)");
        assert_eq!(of(SqlValue::Blob(vec![0, 0xfe])), "x'00fe'");
        assert_eq!(quoted("a \"b\""), "\"a \"\"b\"\"\"");
    }
}

//! Values of records for people and JSON: long ones shortened, cut ones marked.

use serde::Serialize;

use crate::format::record::Value;

/// Characters of a text, or bytes of a blob, that a description shows.
const SHOWN: usize = 48;

/// A value of a record; long ones are shortened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ValueDescription {
    /// NULL.
    Null,
    /// An integer.
    Integer {
        /// It.
        value: i64,
    },
    /// A floating-point number.
    Real {
        /// It.
        value: f64,
    },
    /// Text.
    Text {
        /// Its beginning.
        value: String,
        /// The whole length.
        length_bytes: u64,
        /// How much of it is on this page; the rest is on overflow pages.
        local_bytes: u64,
    },
    /// A blob.
    Blob {
        /// Its beginning, in hex.
        hex: String,
        /// The whole length.
        length_bytes: u64,
        /// How much of it is on this page; the rest is on overflow pages.
        local_bytes: u64,
    },
    /// On an overflow page, or of an unused serial type.
    Unknown {
        /// The serial type.
        serial_type: u64,
    },
}

/// Describes a value of a record, text in `text_encoding` of the database header.
pub(super) fn shown(value: &Value, text_encoding: u32) -> ValueDescription {
    match *value {
        Value::Null => ValueDescription::Null,
        Value::Int(value) => ValueDescription::Integer { value },
        Value::Float(value) => ValueDescription::Real { value },
        Value::Unknown { serial_type } => ValueDescription::Unknown { serial_type },
        Value::Text { bytes, length_bytes } => {
            let text = text(bytes, text_encoding);
            let value = text.chars().take(SHOWN).collect();
            ValueDescription::Text { value, length_bytes, local_bytes: bytes.len() as u64 }
        }
        Value::Blob { bytes, length_bytes } => {
            let hex = bytes.iter().take(SHOWN / 2).map(|byte| format!("{byte:02x}")).collect();
            ValueDescription::Blob { hex, length_bytes, local_bytes: bytes.len() as u64 }
        }
    }
}

fn text(bytes: &[u8], encoding: u32) -> String {
    let units = |read: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes.as_chunks::<2>().0.iter().map(|&two| read(two)).collect()
    };
    match encoding {
        2 => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        3 => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl ValueDescription {
    /// The value for people: SQL-like, with the length of what was shortened.
    #[must_use]
    pub(super) fn text(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer { value } => value.to_string(),
            Self::Real { value } => format!("{value:?}"),
            Self::Text { value, length_bytes, local_bytes } => {
                let cut = value.chars().count() == SHOWN && *length_bytes > SHOWN as u64;
                let value = value.escape_debug();
                match length_text(*length_bytes, *local_bytes) {
                    None if cut => format!("'{value}...' ({length_bytes} bytes)"),
                    None => format!("'{value}'"),
                    Some(length) => format!("'{value}...' {length}"),
                }
            }
            Self::Blob { hex, length_bytes, local_bytes } => {
                let cut = *length_bytes > SHOWN as u64 / 2 || local_bytes < length_bytes;
                let more = if cut { "..." } else { "" };
                let length = length_text(*length_bytes, *local_bytes)
                    .unwrap_or_else(|| format!("({length_bytes} bytes)"));
                format!("x'{hex}{more}' {length}")
            }
            Self::Unknown { serial_type } => format!("? (serial type {serial_type})"),
        }
    }
}

/// Says how much of a value is elsewhere; `None` when the page holds all of it.
fn length_text(length_bytes: u64, local_bytes: u64) -> Option<String> {
    let here = || format!("({length_bytes} bytes, {local_bytes} of them here)");
    (local_bytes < length_bytes).then(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(bytes: &[u8], length_bytes: u64) -> String {
        shown(&Value::Text { bytes, length_bytes }, 1).text()
    }

    #[test]
    fn what_stands_on_overflow_pages_is_not_taken_for_empty() {
        assert_eq!(text_of(b"", 3), "'...' (3 bytes, 0 of them here)");
        assert_eq!(text_of(b"", 0), "''");
        let blob = shown(&Value::Blob { bytes: &[0xab], length_bytes: 2 }, 1);
        assert_eq!(blob.text(), "x'ab...' (2 bytes, 1 of them here)");
    }

    #[test]
    fn only_shortened_text_has_an_ellipsis() {
        let text = "\u{e9}".repeat(30);
        assert_eq!(text_of(text.as_bytes(), 60), format!("'{text}'"));
        let long = "a".repeat(60);
        assert_eq!(text_of(long.as_bytes(), 60), format!("'{}...' (60 bytes)", "a".repeat(48)));
    }

    #[test]
    fn text_is_read_in_the_encoding_of_the_database() {
        let value = Value::Text { bytes: &[0x68, 0, 0xe9, 0], length_bytes: 4 };
        assert_eq!(shown(&value, 2).text(), "'h\u{e9}'");
        let value = Value::Text { bytes: &[0, 0x68, 0, 0xe9], length_bytes: 4 };
        assert_eq!(shown(&value, 3).text(), "'h\u{e9}'");
    }
}

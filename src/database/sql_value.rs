//! Values as SQLite's column functions give them (c3ref/column_blob.html).

use crate::format::record::Value;

/// A value of a column.
#[derive(Clone, Debug)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number; never NaN, which SQLite stores as NULL.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes of type text, as stored, that are no text in the encoding of the database.
    BrokenText(Vec<u8>),
    /// A blob.
    Blob(Vec<u8>),
}

/// Equal in type and bytes: 1 and 1.0 differ, 0.0 and -0.0 do.
impl PartialEq for SqlValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(one), Self::Integer(other)) => one == other,
            (Self::Real(one), Self::Real(other)) => one.to_bits() == other.to_bits(),
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::BrokenText(one), Self::BrokenText(other))
            | (Self::Blob(one), Self::Blob(other)) => one == other,
            (
                Self::Null
                | Self::Integer(_)
                | Self::Real(_)
                | Self::Text(_)
                | Self::BrokenText(_)
                | Self::Blob(_),
                _,
            ) => false,
        }
    }
}

impl Eq for SqlValue {}

/// The encoding of all text of a database (fileformat2.html section 1.3.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEncoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
}

impl TextEncoding {
    /// Of the number in a database header; SQLite looks at its last two bits (prepare.c
    /// sqlite3InitOne).
    #[must_use]
    pub fn of_header(text_encoding: u32) -> Self {
        match text_encoding & 3 {
            2 => Self::Utf16Le,
            3 => Self::Utf16Be,
            _ => Self::Utf8,
        }
    }

    /// Its name for `PRAGMA encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16le",
            Self::Utf16Be => "UTF-16be",
        }
    }

    /// The text that `bytes` are.
    #[must_use]
    pub fn text(self, bytes: &[u8]) -> SqlValue {
        let units = |unit: fn([u8; 2]) -> u16| {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|&two| unit(two)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        };
        let text = match self {
            Self::Utf8 => str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Utf16Le => units(u16::from_le_bytes),
            Self::Utf16Be => units(u16::from_be_bytes),
        };
        text.map_or_else(|| SqlValue::BrokenText(bytes.to_vec()), SqlValue::Text)
    }

    /// The bytes of `text`, as they are stored.
    #[must_use]
    pub fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

impl SqlValue {
    /// The value of a record; `None` where it is not whole or of an unused type.
    #[must_use]
    pub fn of_record(value: &Value<'_>, encoding: TextEncoding) -> Option<Self> {
        let whole = |bytes: &[u8], length_bytes: u64| bytes.len() as u64 == length_bytes;
        Some(match *value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Integer(number),
            Value::Float(number) if number.is_nan() => Self::Null,
            Value::Float(number) => Self::Real(number),
            Value::Text { bytes, length_bytes } if whole(bytes, length_bytes) => {
                encoding.text(bytes)
            }
            Value::Blob { bytes, length_bytes } if whole(bytes, length_bytes) => {
                Self::Blob(bytes.to_vec())
            }
            Value::Text { .. } | Value::Blob { .. } | Value::Unknown { .. } => return None,
        })
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_only_in_its_encoding() {
        let text = SqlValue::Text("h\u{e9}\u{1f600}".to_owned());
        for encoding in [TextEncoding::Utf8, TextEncoding::Utf16Le, TextEncoding::Utf16Be] {
            let bytes = encoding.bytes("h\u{e9}\u{1f600}");
            assert_eq!(encoding.text(&bytes), text);
        }
        let odd = TextEncoding::Utf16Le.text(b"abc");
        assert_eq!(odd, SqlValue::BrokenText(b"abc".to_vec()));
        assert_eq!(TextEncoding::Utf8.text(&[0xff]), SqlValue::BrokenText(vec![0xff]));
    }

    #[test]
    fn values_differ_by_type_and_bits() {
        assert_ne!(SqlValue::Integer(1), SqlValue::Real(1.0));
        assert_ne!(SqlValue::Real(0.0), SqlValue::Real(-0.0));
        assert_eq!(SqlValue::Real(f64::INFINITY), SqlValue::Real(f64::INFINITY));
    }
}

//! Values in the byte format of SQLite's session extension (sqlite3session.c
//! sessionSerializeValue), which keys are compared in, too.

use crate::database::{SqlValue, TextEncoding};

const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;
const NULL: u8 = 5;

/// Appends a value: its type, and its bytes.
pub(super) fn put_value(value: &SqlValue, encoding: TextEncoding, to: &mut Vec<u8>) {
    let mut put_bytes = |kind: u8, bytes: &[u8]| {
        to.push(kind);
        put_varint(bytes.len() as u64, to);
        to.extend_from_slice(bytes);
    };
    match value {
        SqlValue::Null => to.push(NULL),
        SqlValue::Integer(number) => {
            to.push(INTEGER);
            to.extend(number.to_be_bytes());
        }
        SqlValue::Real(number) => {
            to.push(REAL);
            to.extend(number.to_bits().to_be_bytes());
        }
        SqlValue::Text(text) => put_bytes(TEXT, text.as_bytes()),
        SqlValue::BrokenText(bytes) => match encoding {
            TextEncoding::Utf8 => put_bytes(TEXT, bytes),
            TextEncoding::Utf16Le => put_bytes(TEXT, lossy(bytes, u16::from_le_bytes).as_bytes()),
            TextEncoding::Utf16Be => put_bytes(TEXT, lossy(bytes, u16::from_be_bytes).as_bytes()),
        },
        SqlValue::Blob(bytes) => put_bytes(BLOB, bytes),
    }
}

/// What SQLite makes of UTF-16 that is none.
fn lossy(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|&two| unit(two)).collect();
    String::from_utf16_lossy(&units)
}

/// Appends a number as SQLite's varint (util.c sqlite3PutVarint), for numbers below 2^56.
pub(super) fn put_varint(number: u64, to: &mut Vec<u8>) {
    let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let seven = u8::try_from(number >> (7 * group) & 0x7f).unwrap_or_default();
        to.push(if group > 0 { seven | 0x80 } else { seven });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::varint::varint;

    #[test]
    fn varints_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 31, (1 << 55) + 5] {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            assert_eq!(varint(&bytes), Some((number, bytes.len())));
        }
    }
}

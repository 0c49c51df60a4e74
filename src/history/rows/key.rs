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
            TextEncoding::Utf16Le => put_bytes(TEXT, &translated(bytes, u16::from_le_bytes)),
            TextEncoding::Utf16Be => put_bytes(TEXT, &translated(bytes, u16::from_be_bytes)),
        },
        SqlValue::Blob(bytes) => put_bytes(BLOB, bytes),
    }
}

/// What SQLite makes of UTF-16 that is none (utf.c READ_UTF16LE, WRITE_UTF8): any unit after a
/// surrogate is its second half, and a single one at the end is written as it is.
fn translated(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let mut units = bytes.as_chunks::<2>().0.iter().map(|&two| u32::from(unit(two)));
    let mut text = Vec::new();
    while let Some(first) = units.next() {
        let is_surrogate = (0xd800..0xe000).contains(&first);
        let second = if is_surrogate { units.next() } else { None };
        let character = match second {
            Some(second) => {
                (second & 0x3ff) + ((first & 0x3f) << 10) + (((first & 0x3c0) + 0x40) << 10)
            }
            None => first,
        };
        put_character(character, &mut text);
    }
    text
}

fn put_character(character: u32, to: &mut Vec<u8>) {
    let (lead, more) = match character {
        0..0x80 => (0, 0),
        0x80..0x800 => (0xc0, 1),
        0x800..0x1_0000 => (0xe0, 2),
        _ => (0xf0, 3),
    };
    let bits = |group: u32, mask: u32| u8::try_from(character >> (6 * group) & mask).unwrap_or(0);
    to.push(lead | bits(more, if more == 0 { 0x7f } else { 0x3f >> more }));
    to.extend((0..more).rev().map(|group| 0x80 | bits(group, 0x3f)));
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
    fn broken_utf_16_is_what_sqlite_makes_of_it() {
        let of = |bytes: &[u8]| translated(bytes, u16::from_le_bytes);
        assert_eq!(of(&[0x00, 0xd8, 0x00, 0x41]), [0xf0, 0x90, 0x84, 0x80]);
        assert_eq!(of(&[0x41, 0, 0x00, 0xd8]), [0x41, 0xed, 0xa0, 0x80]);
        assert_eq!(of(&[0xe9, 0, 0xac, 0x20, 1]), "\u{e9}\u{20ac}".as_bytes());
    }

    #[test]
    fn varints_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 31, (1 << 55) + 5] {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            assert_eq!(varint(&bytes), Some((number, bytes.len())));
        }
    }
}

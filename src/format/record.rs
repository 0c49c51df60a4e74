//! Records: the rows of tables and the entries of indexes (fileformat2.html section 2.1).

use super::varint::varint;

/// A value of a record, borrowed from its page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Serial type 0.
    Null,
    /// Serial types 1 to 6, 8 and 9.
    Int(i64),
    /// Serial type 7.
    Float(f64),
    /// Odd serial types from 13: text in the encoding of the database.
    Text {
        /// The bytes on this page.
        bytes: &'a [u8],
        /// The whole length.
        length_bytes: u64,
    },
    /// Even serial types from 12.
    Blob {
        /// The bytes on this page.
        bytes: &'a [u8],
        /// The whole length.
        length_bytes: u64,
    },
    /// A number whose bytes are on an overflow page, or an unused serial type.
    Unknown {
        /// The serial type.
        serial_type: u64,
    },
}

/// Decodes the values of a record of which `local` is on the page; values whose types are on
/// overflow pages are left out.
#[must_use]
pub fn values(local: &[u8]) -> Vec<Value<'_>> {
    Values::of(local).collect()
}

/// The same one by one.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    /// Serial types that are still to come.
    types: &'a [u8],
    /// What follows the last value.
    body: &'a [u8],
}

impl<'a> Values<'a> {
    /// Of a record of which `local` is on the page.
    #[must_use]
    pub fn of(local: &'a [u8]) -> Self {
        let Some((header_bytes, at)) = varint(local) else { return Self { types: &[], body: &[] } };
        let end = usize::try_from(header_bytes).unwrap_or(usize::MAX).min(local.len());
        let (header, body) = local.split_at(end);
        Self { types: header.get(at..).unwrap_or_default(), body }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (serial_type, length) = varint(self.types)?;
        self.types = self.types.get(length..).unwrap_or_default();
        let size = size_bytes(serial_type);
        let here = usize::try_from(size).unwrap_or(usize::MAX).min(self.body.len());
        let (bytes, rest) = self.body.split_at(here);
        self.body = rest;
        Some(value(serial_type, bytes))
    }
}

/// Bytes of the body that a value of `serial_type` takes.
#[must_use]
pub fn size_bytes(serial_type: u64) -> u64 {
    match serial_type {
        0 | 8..=11 => 0,
        1..=4 => serial_type,
        5 => 6,
        6 | 7 => 8,
        text_or_blob => (text_or_blob - 12) / 2,
    }
}

/// The value of `serial_type` whose body begins with `bytes`, or is they.
#[must_use]
pub fn value(serial_type: u64, bytes: &[u8]) -> Value<'_> {
    let length_bytes = size_bytes(serial_type);
    let whole = bytes.len() as u64 == length_bytes;
    match serial_type {
        0 => Value::Null,
        8 => Value::Int(0),
        9 => Value::Int(1),
        1..=6 if whole => Value::Int(signed(bytes)),
        7 if whole => Value::Float(f64::from_bits(signed(bytes).cast_unsigned())),
        1..=7 | 10 | 11 => Value::Unknown { serial_type },
        even if even % 2 == 0 => Value::Blob { bytes, length_bytes },
        _ => Value::Text { bytes, length_bytes },
    }
}

/// Big-endian two's complement of 1 to 8 bytes.
fn signed(bytes: &[u8]) -> i64 {
    let sign = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if sign { -1 } else { 0 };
    bytes.iter().fold(start, |value, &byte| (value << 8) | i64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_serial_type_is_decoded() {
        let mut record = vec![8, 0, 1, 2, 7, 8, 17, 16];
        record.extend([0xff, 0x01, 0x00]);
        record.extend(1.5_f64.to_be_bytes());
        record.extend(b"hi");
        record.extend([1, 2]);
        let decoded = values(&record);
        assert_eq!(
            decoded,
            [
                Value::Null,
                Value::Int(-1),
                Value::Int(256),
                Value::Float(1.5),
                Value::Int(0),
                Value::Text { bytes: b"hi", length_bytes: 2 },
                Value::Blob { bytes: &[1, 2], length_bytes: 2 },
            ]
        );
    }

    #[test]
    fn what_stands_on_overflow_pages_is_cut() {
        let record = [2, 0x17, b'a', b'b'];
        assert_eq!(values(&record), [Value::Text { bytes: b"ab", length_bytes: 5 }]);
    }
}

//! The order of index keys under the BINARY collation (fileformat2.html section 2.1,
//! vdbeaux.c sqlite3VdbeRecordCompare).

use std::cmp::Ordering;

use crate::format::record::{self, Value, Values};
use crate::format::varint::varint;

/// A key, as far as it is on its b-tree page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'p> {
    local: &'p [u8],
    whole: bool,
}

impl<'p> Key<'p> {
    pub(super) fn new(local: &'p [u8], payload_bytes: u64) -> Self {
        Self { local, whole: local.len() as u64 == payload_bytes }
    }

    /// The order of two keys; `None` when what is on overflow pages decides, or a value cannot
    /// be read.
    pub(super) fn compare(&self, other: &Key<'_>) -> Option<Ordering> {
        let (mut ours, mut theirs) = (Values::of(self.local), Values::of(other.local));
        loop {
            match (ours.next(), theirs.next()) {
                (Some(our), Some(their)) => {
                    let order = compare(&our, &their)?;
                    if order != Ordering::Equal {
                        return Some(order);
                    }
                }
                (None, None) => return (self.whole && other.whole).then_some(Ordering::Equal),
                (Some(_), None) | (None, Some(_)) => return None,
            }
        }
    }
}

/// The key before, in key order.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyBefore {
    local: Vec<u8>,
    whole: bool,
    is_there: bool,
}

impl KeyBefore {
    /// The order of the key before and `key`, which is the key before from now on; `None` as
    /// [`Key::compare`], and without a key before.
    pub(super) fn compare_and_replace(&mut self, key: &Key<'_>) -> Option<Ordering> {
        let before = Key { local: &self.local, whole: self.whole };
        let order = if self.is_there { before.compare(key) } else { None };
        self.local.clear();
        self.local.extend_from_slice(key.local);
        (self.whole, self.is_there) = (key.whole, true);
        order
    }
}

/// NULL, then numbers, then text, then blobs.
fn compare(our: &Value<'_>, their: &Value<'_>) -> Option<Ordering> {
    let class = |value: &Value<'_>| match value {
        // A stored NaN reads as NULL.
        Value::Float(float) if float.is_nan() => Some(0),
        Value::Null => Some(0),
        Value::Int(_) | Value::Float(_) => Some(1),
        Value::Text { .. } => Some(2),
        Value::Blob { .. } => Some(3),
        Value::Unknown { .. } => None,
    };
    let (our_class, their_class) = (class(our)?, class(their)?);
    if our_class != their_class {
        return Some(our_class.cmp(&their_class));
    }
    match (*our, *their) {
        (Value::Int(our), Value::Int(their)) => Some(our.cmp(&their)),
        (Value::Float(our), Value::Float(their)) => {
            Some(our.partial_cmp(&their).unwrap_or(Ordering::Equal))
        }
        (Value::Int(our), Value::Float(their)) => Some(int_and_float(our, their)),
        (Value::Float(our), Value::Int(their)) => Some(int_and_float(their, our).reverse()),
        (
            Value::Text { bytes: our, length_bytes: our_bytes }
            | Value::Blob { bytes: our, length_bytes: our_bytes },
            Value::Text { bytes: their, length_bytes: their_bytes }
            | Value::Blob { bytes: their, length_bytes: their_bytes },
        ) => bytes((our, our_bytes), (their, their_bytes)),
        _ => Some(Ordering::Equal),
    }
}

fn bytes((our, our_bytes): (&[u8], u64), (their, their_bytes): (&[u8], u64)) -> Option<Ordering> {
    let common = our.len().min(their.len());
    let order = our.iter().take(common).cmp(their.iter().take(common));
    if order != Ordering::Equal {
        return Some(order);
    }
    // What is all there and a prefix of the other comes first; else the cut bytes decide.
    (our_bytes.min(their_bytes) <= common as u64).then(|| our_bytes.cmp(&their_bytes))
}

/// vdbeaux.c sqlite3IntFloatCompare: exact, where a conversion to floating point would round.
fn int_and_float(int: i64, float: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() || float < -LIMIT {
        return Ordering::Greater;
    }
    if float >= LIMIT {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it lies in the range of i64")]
    let whole = float.trunc() as i64;
    int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
}

/// The integer that a record ends with: the row id of an index entry. `local` has the record's
/// header, `end` its last bytes.
pub(super) fn last_integer(local: &[u8], end: &[u8]) -> Option<i64> {
    let (header_bytes, mut at) = varint(local)?;
    let header = local.get(..usize::try_from(header_bytes).ok()?)?;
    let mut last = None;
    while at < header.len() {
        let (serial_type, length) = header.get(at..).and_then(varint)?;
        at += length;
        last = Some(serial_type);
    }
    let serial_type = last?;
    let start = end.len().checked_sub(usize::try_from(record::size_bytes(serial_type)).ok()?)?;
    match record::value(serial_type, end.get(start..)?) {
        Value::Int(row_id) => Some(row_id),
        Value::Null
        | Value::Float(_)
        | Value::Text { .. }
        | Value::Blob { .. }
        | Value::Unknown { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(record: &[u8]) -> Key<'_> {
        Key::new(record, record.len() as u64)
    }

    #[test]
    fn classes_and_values_are_in_sqlites_order() {
        // NULL, -1, 1, 1.5, 2, 'a', 'ab', 'b', x'00'.
        let records: [&[u8]; 9] = [
            &[2, 0],
            &[2, 1, 0xff],
            &[2, 9],
            &[2, 7, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
            &[2, 1, 2],
            &[2, 15, b'a'],
            &[2, 17, b'a', b'b'],
            &[2, 15, b'b'],
            &[2, 14, 0],
        ];
        for (place, one) in records.iter().enumerate() {
            for (other_place, other) in records.iter().enumerate() {
                let order = key(one).compare(&key(other));
                assert_eq!(order, Some(place.cmp(&other_place)), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn large_integers_are_not_rounded() {
        assert_eq!(int_and_float(i64::MAX, 9_223_372_036_854_775_808.0), Ordering::Less);
        assert_eq!(
            int_and_float(9_007_199_254_740_993, 9_007_199_254_740_992.0),
            Ordering::Greater
        );
        assert_eq!(int_and_float(-1, -1.5), Ordering::Greater);
        assert_eq!(int_and_float(1, 1.5), Ordering::Less);
    }

    #[test]
    fn what_overflow_pages_decide_is_not_judged() {
        let [one, other] = [b"aaa", b"aab"].map(|it| [&[3, 0x81, 0x0d][..], it].concat());
        let [one, other] = [&one, &other].map(|record| Key::new(record, 200));
        assert_eq!(one.compare(&one), None);
        assert_eq!(one.compare(&other), Some(Ordering::Less));
    }

    #[test]
    fn the_row_id_stands_at_the_end() {
        assert_eq!(last_integer(&[3, 15, 1, b'a', 7], &[3, 15, 1, b'a', 7]), Some(7));
        assert_eq!(last_integer(&[3, 15, 9, b'a'], b"a"), Some(1));
        assert_eq!(last_integer(&[3, 1, 15, 7, b'a'], b"a"), None);
    }
}

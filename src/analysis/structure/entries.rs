//! Whether an index has the entries that the rows of its table should have: a sum over the keys of
//! either, in any order.

use std::hash::{DefaultHasher, Hasher};

use crate::format::record::Value;

use super::schema::{Entry, EntryKind, Statement};

/// Where a key of an index stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyColumn {
    /// It is the n-th value, counted from 0.
    Value(usize),
    /// It is the row id.
    RowId,
}

/// Where the rows of `table` have the keys of `index`; `None` where their statements do not tell.
pub(super) fn key_columns(index: &Entry, table: &Entry) -> Option<Vec<KeyColumn>> {
    let of_table = index.kind == EntryKind::Index && index.statement == Statement::Whole;
    // Where a column is computed, values of a record do not stand at the places of their columns.
    let stored =
        table.kind == EntryKind::Table && table.columns.iter().all(|column| !column.generated);
    let keys = index.keys.as_ref().filter(|_| of_table && stored)?;
    let column = |key: &String| {
        let mut columns = table.columns.iter();
        let place = columns.position(|column| column.name.eq_ignore_ascii_case(key))?;
        let is_row_id = table.columns.get(place)?.row_id;
        Some(if is_row_id { KeyColumn::RowId } else { KeyColumn::Value(place) })
    };
    keys.iter().map(column).collect()
}

/// A sum over keys. Only to be compared within one run of the program.
#[derive(Clone, Debug)]
pub(super) struct KeySum {
    columns: Vec<KeyColumn>,
    /// `None` when a key could not be read.
    sum: Option<u64>,
}

impl KeySum {
    /// Of no row. `columns` tell where the keys stand in the rows of a table.
    pub fn of_rows(columns: Vec<KeyColumn>) -> Self {
        Self { columns, sum: Some(0) }
    }

    /// Of no entry of an index of so many columns.
    pub fn of_entries(columns: usize) -> Self {
        Self::of_rows((0..columns).map(KeyColumn::Value).collect())
    }

    /// Adds the keys of a row, or of an entry; `None` if it could not be read.
    pub fn add(&mut self, row: Option<(i64, &[Value<'_>])>) {
        let digest = row.and_then(|(row_id, values)| self.digest(row_id, values));
        self.sum = self.sum.zip(digest).map(|(sum, digest)| sum.wrapping_add(digest));
    }

    /// Whether both could be read, and differ.
    pub fn differs_from(&self, other: &Self) -> bool {
        self.sum.zip(other.sum).is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// A row that was written before a column was added has no value there, but a default.
    fn digest(&self, row_id: i64, values: &[Value<'_>]) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        hasher.write_i64(row_id);
        for column in &self.columns {
            match *column {
                KeyColumn::RowId => hash(&Value::Int(row_id), &mut hasher)?,
                KeyColumn::Value(place) => hash(values.get(place)?, &mut hasher)?,
            }
        }
        Some(hasher.finish())
    }
}

/// Equal for values that SQLite takes as equal in a table and in its index; `None` where a part of the
/// value is missing.
fn hash(value: &Value<'_>, hasher: &mut DefaultHasher) -> Option<()> {
    // Whole numbers of a REAL column are stored as integers of up to 6 bytes, but not everywhere.
    const WHOLE: f64 = 140_737_488_355_328.0;
    match *value {
        Value::Null => hasher.write_u8(0),
        Value::Float(float) if float.is_nan() => hasher.write_u8(0),
        Value::Int(int) => {
            hasher.write_u8(1);
            hasher.write_i64(int);
        }
        Value::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE => {
            hasher.write_u8(1);
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
            hasher.write_i64(float as i64);
        }
        Value::Float(float) => {
            hasher.write_u8(2);
            hasher.write_u64(float.to_bits());
        }
        Value::Text { bytes, length_bytes } | Value::Blob { bytes, length_bytes } => {
            if (bytes.len() as u64) < length_bytes {
                return None;
            }
            hasher.write_u8(if matches!(value, Value::Text { .. }) { 3 } else { 4 });
            hasher.write_u64(length_bytes);
            hasher.write(bytes);
        }
        Value::Unknown { .. } => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Value<'_> {
        Value::Text { bytes, length_bytes: bytes.len() as u64 }
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_their_values_do() {
        let rows = [
            (1, vec![Value::Null, Value::Int(5), text(b"a")]),
            (2, vec![Value::Null, Value::Float(7.0), text(b"b")]),
        ];
        let sum = |values: [(i64, [Value<'static>; 2]); 2]| {
            let mut sum = KeySum::of_entries(2);
            values.iter().for_each(|(row_id, values)| sum.add(Some((*row_id, values))));
            sum
        };
        let mut table = KeySum::of_rows(vec![KeyColumn::Value(2), KeyColumn::Value(1)]);
        rows.iter().for_each(|(row_id, values)| table.add(Some((*row_id, values))));
        let right = [(2, [text(b"b"), Value::Int(7)]), (1, [text(b"a"), Value::Int(5)])];
        assert!(!table.differs_from(&sum(right)));
        let other_row_ids = [(1, right[0].1), (2, right[1].1)];
        assert!(table.differs_from(&sum(other_row_ids)));
        let other_values = [right[0], (1, [text(b"a"), Value::Int(6)])];
        assert!(table.differs_from(&sum(other_values)));
        // What cannot be read is not judged.
        let cut = Value::Text { bytes: b"a", length_bytes: 9 };
        assert!(!table.differs_from(&sum([right[0], (1, [cut, Value::Int(5)])])));
        assert!(
            !table.differs_from(&sum([right[0], (1, [Value::Unknown { serial_type: 10 }; 2])]))
        );
    }
}

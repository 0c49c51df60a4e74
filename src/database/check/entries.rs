//! Whether an index has the entries that the rows of its table should have: a sum over the keys of
//! either, in any order.

use std::hash::{DefaultHasher, Hasher};

use crate::database::schema::{EntryKind, Schema, SchemaEntry, Statement};
use crate::format::record::Value;

/// Where a key of an index is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyColumn {
    /// It is the n-th value, counted from 0.
    Value(usize),
    /// It is the row id.
    RowId,
}

/// Where the rows of a table have what an entry of `index` has; `None` where the statements do not
/// tell.
pub(super) fn key_columns(schema: &Schema, index: &SchemaEntry) -> Option<Vec<KeyColumn>> {
    let is_whole = index.kind == EntryKind::Index && index.statement == Statement::Whole;
    let table = schema.table_of(index).filter(|_| is_whole)?;
    // Where a column is computed, values of a record are not at the places of their columns.
    if table.columns.iter().any(|column| column.generated) {
        return None;
    }
    let mut keys = schema.keys_of(index, table)?;
    let in_list = |list: &[String], name: &str| list.iter().any(|it| it.eq_ignore_ascii_case(name));
    if table.kind == EntryKind::Table {
        let column = |key: &String| {
            let place = table.columns.iter().position(|it| it.name.eq_ignore_ascii_case(key))?;
            let row_id = table.columns.get(place)?.row_id;
            Some(if row_id { KeyColumn::RowId } else { KeyColumn::Value(place) })
        };
        let columns: Option<Vec<KeyColumn>> = keys.iter().map(column).collect();
        return columns.map(|mut columns| {
            columns.push(KeyColumn::RowId);
            columns
        });
    }
    // WITHOUT ROWID: rows begin with the primary key, and entries end with what of it is no key.
    // Where collations differ, they have some of it twice.
    let primary = table.constraints.iter().find(|constraint| constraint.primary)?;
    if !index.is_in_plain_order(table) {
        return None;
    }
    let mut stored: Vec<String> = Vec::new();
    let others = table.columns.iter().map(|column| &column.name);
    for name in primary.columns.iter().chain(others) {
        if !in_list(&stored, name) {
            stored.push(name.clone());
        }
    }
    for name in &primary.columns {
        if !in_list(&keys, name) {
            keys.push(name.clone());
        }
    }
    let place = |key: &String| stored.iter().position(|name| name.eq_ignore_ascii_case(key));
    keys.iter().map(|key| place(key).map(KeyColumn::Value)).collect()
}

/// A sum over keys. Only to be compared within one run of the program.
#[derive(Clone, Debug)]
pub(super) struct KeySum {
    columns: Vec<KeyColumn>,
    /// A row that was written before a column was added has no value there, but a default.
    has_defaults: bool,
    /// `None` when a key could not be read.
    sum: Option<u64>,
}

impl KeySum {
    /// Of no row. `columns` tell where the keys are in the rows of a table.
    pub(super) fn of_rows(columns: Vec<KeyColumn>) -> Self {
        Self { columns, has_defaults: true, sum: Some(0) }
    }

    /// Of no entry of an index with so many values in each.
    pub(super) fn of_entries(values: usize) -> Self {
        let columns = (0..values).map(KeyColumn::Value).collect();
        Self { columns, has_defaults: false, sum: Some(0) }
    }

    /// Adds a whole row and its row id if it has one, or an entry; `None` if it could not be read.
    pub(super) fn add(&mut self, row: Option<(Option<i64>, &[Value<'_>])>) {
        let digest = row.and_then(|(row_id, values)| self.digest(row_id, values));
        self.sum = self.sum.zip(digest).map(|(sum, digest)| sum.wrapping_add(digest));
    }

    /// Whether every key could be read.
    pub(super) fn is_known(&self) -> bool {
        self.sum.is_some()
    }

    /// Whether both could be read, and differ.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        self.sum.zip(other.sum).is_some_and(|(ours, theirs)| ours != theirs)
    }

    fn digest(&self, row_id: Option<i64>, values: &[Value<'_>]) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        for column in &self.columns {
            match *column {
                KeyColumn::RowId => hash(&Value::Int(row_id?), &mut hasher),
                KeyColumn::Value(place) => match values.get(place) {
                    Some(value) => hash(value, &mut hasher),
                    None if self.has_defaults => return None,
                    None => hasher.write_u8(u8::MAX),
                },
            }
        }
        Some(hasher.finish())
    }
}

/// Equal for values that SQLite takes as equal in a table and in its index.
fn hash(value: &Value<'_>, hasher: &mut DefaultHasher) {
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
            hasher.write_u8(if matches!(value, Value::Text { .. }) { 3 } else { 4 });
            hasher.write_u64(length_bytes);
            hasher.write(bytes);
        }
        Value::Unknown { serial_type } => {
            hasher.write_u8(5);
            hasher.write_u64(serial_type);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Value<'_> {
        Value::Text { bytes, length_bytes: bytes.len() as u64 }
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_their_values_do() {
        type Entry = [Value<'static>; 3];
        let entries = |all: &[Entry]| {
            let mut sum = KeySum::of_entries(3);
            all.iter().for_each(|values| sum.add(Some((None, values))));
            sum
        };
        let columns = vec![KeyColumn::Value(2), KeyColumn::Value(1), KeyColumn::RowId];
        let mut rows = KeySum::of_rows(columns);
        rows.add(Some((Some(1), &[Value::Null, Value::Int(5), text(b"a")])));
        rows.add(Some((Some(2), &[Value::Null, Value::Float(7.0), text(b"b")])));
        let [one, two] = [[text(b"a"), Value::Int(5)], [text(b"b"), Value::Int(7)]];
        let entry =
            |[first, second]: [Value<'static>; 2], row_id| [first, second, Value::Int(row_id)];
        assert!(!rows.differs_from(&entries(&[entry(two, 2), entry(one, 1)])));
        assert!(rows.differs_from(&entries(&[entry(two, 1), entry(one, 2)])));
        assert!(rows.differs_from(&entries(&[entry(two, 2), entry([one[0], Value::Int(6)], 1)])));
        // A row with a default is not judged.
        rows.add(Some((Some(3), &[Value::Null])));
        assert!(!rows.differs_from(&entries(&[])));
    }
}

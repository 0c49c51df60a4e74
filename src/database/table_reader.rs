//! Records of a table as its columns (fileformat2.html sections 2.1 to 2.4, vdbe.c OP_Column).

use crate::format::record::{self, Value};
use crate::format::varint::varint;

use super::sql::default_value;
use super::{Affinity, Generated, SqlValue, TableDefinition, TextEncoding};

/// Why a record tells no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its header and its body do not fit each other.
    Damaged,
    /// It ends before a column that was added later, and the default of that column is not a
    /// literal.
    UnknownDefault,
}

/// Reads the records of one table.
#[derive(Clone, Debug)]
pub struct TableReader {
    definition: TableDefinition,
    encoding: TextEncoding,
    /// For each column its place in a record; `None` where it has none.
    places: Vec<Option<usize>>,
    /// What a record that is too short stands for; `None` where that is not known.
    defaults: Vec<Option<SqlValue>>,
}

impl TableReader {
    /// A reader of records of such a table.
    #[must_use]
    pub fn new(definition: TableDefinition, encoding: TextEncoding) -> Self {
        let columns = &definition.columns;
        let is_stored = |place: &usize| {
            columns.get(*place).is_some_and(|column| column.generated != Generated::Virtual)
        };
        // WITHOUT ROWID: the key first (build.c convertToWithoutRowidTable).
        let mut order: Vec<usize> = Vec::new();
        if definition.without_rowid {
            order = definition.key_columns();
        }
        let rest = (0..columns.len()).filter(|place| !order.contains(place));
        let rest: Vec<usize> = rest.filter(is_stored).collect();
        order.extend(rest);
        let place_of = |column| order.iter().position(|&stored| stored == column);
        let places = (0..columns.len()).map(place_of).collect();
        let default = |column: &super::ColumnDefinition| match &column.default {
            None => Some(SqlValue::Null),
            Some(text) => default_value(text, column.affinity),
        };
        let defaults = columns.iter().map(default).collect();
        Self { definition, encoding, places, defaults }
    }

    /// What it reads.
    #[must_use]
    pub fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    /// The encoding of its text.
    #[must_use]
    pub fn encoding(&self) -> TextEncoding {
        self.encoding
    }

    /// The values of a record, one a column as declared; NULL for virtual generated columns.
    ///
    /// # Errors
    /// When the record does not tell them.
    pub fn values(&self, row_id: Option<i64>, record: &[u8]) -> Result<Vec<SqlValue>, Unreadable> {
        if !is_whole(record) {
            return Err(Unreadable::Damaged);
        }
        let stored = record::values(record);
        let columns = self.definition.columns.iter().zip(&self.places).zip(&self.defaults);
        let value = |(place, ((column, stored_at), default)): (usize, ((_, &Option<usize>), _))| {
            let column: &super::ColumnDefinition = column;
            let default: &Option<SqlValue> = default;
            if let (true, Some(row_id)) = (self.definition.row_id == Some(place), row_id) {
                return Ok(SqlValue::Integer(row_id));
            }
            let Some(stored_at) = *stored_at else { return Ok(SqlValue::Null) };
            match stored.get(stored_at) {
                Some(value) => self.value(value, column.affinity).ok_or(Unreadable::Damaged),
                None => default.clone().ok_or(Unreadable::UnknownDefault),
            }
        };
        columns.enumerate().map(value).collect()
    }

    /// Whether two records of one row have the same [`TableReader::values`].
    ///
    /// # Errors
    /// When one of them does not tell its values.
    pub fn is_same(
        &self,
        row_id: Option<i64>,
        record: &[u8],
        other: &[u8],
    ) -> Result<bool, Unreadable> {
        if !is_whole(record) || !is_whole(other) {
            return Err(Unreadable::Damaged);
        }
        let (ours, theirs) = (record::values(record), record::values(other));
        let mut same = true;
        for ((place, column), stored_at) in
            self.definition.columns.iter().enumerate().zip(&self.places)
        {
            let is_row_id = self.definition.row_id == Some(place) && row_id.is_some();
            let Some(stored_at) = stored_at.filter(|_| !is_row_id) else { continue };
            let (Some(one), Some(another)) = (ours.get(stored_at), theirs.get(stored_at)) else {
                // A default counts.
                return Ok(self.values(row_id, record)? == self.values(row_id, other)?);
            };
            if is_unused(one) || is_unused(another) {
                return Err(Unreadable::Damaged);
            }
            same &= is_same_value(one, another, column.affinity);
        }
        Ok(same)
    }

    fn value(&self, value: &Value<'_>, affinity: Affinity) -> Option<SqlValue> {
        let value = SqlValue::of_record(value, self.encoding)?;
        #[expect(clippy::cast_precision_loss, reason = "SQLite does the same")]
        Some(match (value, affinity) {
            // A real without a fraction is stored as an integer (vdbe.c OP_RealAffinity).
            (SqlValue::Integer(number), Affinity::Real) => SqlValue::Real(number as f64),
            (value, _) => value,
        })
    }
}

/// Whether a value of a whole record is of a type that SQLite does not use.
fn is_unused(value: &Value<'_>) -> bool {
    matches!(value, Value::Unknown { .. })
}

/// Whether two values of a column are the same [`SqlValue`].
#[expect(clippy::cast_precision_loss, reason = "SQLite does the same")]
fn is_same_value(one: &Value<'_>, other: &Value<'_>, affinity: Affinity) -> bool {
    let [one, other] = [one, other].map(|value| match *value {
        Value::Float(number) if number.is_nan() => Value::Null,
        Value::Int(number) if affinity == Affinity::Real => Value::Float(number as f64),
        value => value,
    });
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one.to_bits() == other.to_bits(),
        (one, other) => one == other,
    }
}

/// Whether the types of a record, and the sizes that they give, are all of it.
fn is_whole(record: &[u8]) -> bool {
    let Some((header_bytes, mut at)) = varint(record) else { return false };
    let end = usize::try_from(header_bytes).unwrap_or(usize::MAX);
    let mut body_bytes = 0_u64;
    while at < end {
        let Some((serial_type, length)) = record.get(at..end).and_then(varint) else {
            return false;
        };
        at += length;
        body_bytes = body_bytes.saturating_add(record::size_bytes(serial_type));
    }
    at == end && (end as u64).saturating_add(body_bytes) == record.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::table_definition;

    fn reader(sql: &str) -> TableReader {
        TableReader::new(table_definition(sql).unwrap(), TextEncoding::Utf8)
    }

    #[test]
    fn the_row_id_is_its_column_and_reals_are_reals() {
        let reader = reader("CREATE TABLE t(a REAL, id INTEGER PRIMARY KEY, v AS (a+1), b)");
        let values = reader.values(Some(7), &[4, 1, 0, 1, 3, 4]).unwrap();
        let expected =
            [SqlValue::Real(3.0), SqlValue::Integer(7), SqlValue::Null, SqlValue::Integer(4)];
        assert_eq!(values, expected);
    }

    /// Some columns of a record, each of a type and as long as that says.
    fn record(random: &mut fastrand::Rng) -> Vec<u8> {
        let (mut types, mut body) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(0..6) {
            let kinds: [(u8, &[u8]); 12] = [
                (0, &[]),
                (1, &[3]),
                (2, &[0, 3]),
                (7, &3.0_f64.to_be_bytes()),
                (7, &f64::NAN.to_be_bytes()),
                (7, &(-0.0_f64).to_be_bytes()),
                (8, &[]),
                (9, &[]),
                (10, &[]),
                (15, b"3"),
                (17, &[0xff, 0xff]),
                (14, b"3"),
            ];
            // One that no database has is rare.
            let (serial_type, bytes) = match random.u8(0..50) {
                0 => kinds[8],
                number => kinds[[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11][usize::from(number) % 11]],
            };
            types.push(serial_type);
            body.extend_from_slice(bytes);
        }
        let mut record = vec![u8::try_from(types.len() + 1).unwrap()];
        record.extend(types);
        record.extend(body);
        if random.u8(0..50) == 0 {
            record.pop();
        }
        record
    }

    #[test]
    fn records_are_the_same_if_their_values_are() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut found = [0; 3];
        for sql in [
            "CREATE TABLE t(a REAL, id INTEGER PRIMARY KEY, v AS (a+1), b)",
            "CREATE TABLE t(a, b REAL DEFAULT 3, c TEXT DEFAULT 3)",
            "CREATE TABLE t(a, b, c REAL, PRIMARY KEY(c, b)) WITHOUT ROWID",
            "CREATE TABLE t(a, b DEFAULT (random()))",
        ] {
            for encoding in [TextEncoding::Utf8, TextEncoding::Utf16Le] {
                let reader = TableReader::new(table_definition(sql).unwrap(), encoding);
                let row_id = (!reader.definition().without_rowid).then_some(3);
                for _ in 0..5000 {
                    let (one, other) = (record(&mut random), record(&mut random));
                    let values = |record: &[u8]| reader.values(row_id, record);
                    let wanted = values(&one).and_then(|one| Ok(one == values(&other)?));
                    let same = reader.is_same(row_id, &one, &other);
                    found[same.map_or(2, usize::from)] += 1;
                    // Which of two errors is met first does not matter.
                    assert_eq!(same.ok(), wanted.ok(), "seed {seed}: {sql} {one:?} {other:?}");
                }
            }
        }
        assert!(found.iter().all(|count| *count > 100), "{found:?}");
    }

    #[test]
    fn without_row_ids_the_key_comes_first() {
        let reader = reader("CREATE TABLE t(a, b, c, PRIMARY KEY(c, b)) WITHOUT ROWID");
        let values = reader.values(None, &[4, 1, 1, 1, 3, 2, 1]).unwrap();
        assert_eq!(values, [1, 2, 3].map(SqlValue::Integer));
    }

    #[test]
    fn short_records_have_the_default_and_damaged_ones_nothing() {
        let short = reader("CREATE TABLE t(a, b DEFAULT 'x', c TEXT DEFAULT 5)");
        let text = |text: &str| SqlValue::Text(text.to_owned());
        let values = short.values(Some(1), &[2, 9]).unwrap();
        assert_eq!(values, [SqlValue::Integer(1), text("x"), text("5")]);
        assert_eq!(short.values(Some(1), &[2, 1]), Err(Unreadable::Damaged));
        assert_eq!(short.values(Some(1), &[2, 9, 0]), Err(Unreadable::Damaged));
        let unknown = reader("CREATE TABLE t(a, b DEFAULT (random()))");
        assert_eq!(unknown.values(Some(1), &[2, 9]), Err(Unreadable::UnknownDefault));
    }
}

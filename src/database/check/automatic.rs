//! Whether the schema has the indexes that the constraints of a table need: those without a
//! statement (build.c sqlite3CreateIndex). SQLite reads no row of a table that lacks one, and no
//! schema that has one too many (prepare.c sqlite3InitCallback, "orphan index").

use std::collections::HashSet;
use std::ops::RangeInclusive;

use crate::database::schema::{AUTOMATIC_INDEX, EntryKind, Schema, SchemaEntry};

/// What is wrong with the automatic indexes of a table, or is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Automatic {
    /// They are as they should be.
    Fit,
    /// There are others than its constraints need.
    Differ { found: usize, needed: usize },
    /// Constraints have the same columns: whether they share an index, collations tell.
    Unknown,
}

/// How the automatic indexes of `table` stand to its constraints.
pub(super) fn judge(schema: &Schema, table: &SchemaEntry) -> Automatic {
    let own: Vec<&SchemaEntry> = schema.automatic_indexes(table).collect();
    let needed = needed(table);
    let found = own.len();
    // Without row ids the table is the index of its primary key, which has a number, too.
    let last = needed.end() + usize::from(table.kind == EntryKind::WithoutRowid);
    let number = |entry: &&SchemaEntry| {
        let (head, number) = entry.name.rsplit_once('_')?;
        let table = head.get(AUTOMATIC_INDEX.len()..)?;
        let count = number.parse::<usize>().ok().filter(|it| it.to_string() == number)?;
        table.eq_ignore_ascii_case(&entry.table).then_some(count)
    };
    let numbers: HashSet<usize> =
        own.iter().filter_map(number).filter(|it| (1..=last).contains(it)).collect();
    if numbers.len() != found || !needed.contains(&found) {
        return Automatic::Differ { found: numbers.len().min(found), needed: *needed.end() };
    }
    if needed.start() == needed.end() { Automatic::Fit } else { Automatic::Unknown }
}

/// How many automatic indexes `table` has, at least and at most: of two constraints with the same
/// columns and collations only the first has one.
fn needed(table: &SchemaEntry) -> RangeInclusive<usize> {
    let is_row_id = |name: &String| table.column(name).is_some_and(|column| column.row_id);
    let has_index = |primary: bool, columns: &[String]| match (table.kind, columns) {
        (EntryKind::Table, [only]) => !(primary && is_row_id(only)),
        _ => true,
    };
    let lower_case = |columns: &[String]| -> Vec<String> {
        columns.iter().map(|name| name.to_ascii_lowercase()).collect()
    };
    let constraints = table.constraints.iter().filter(|it| has_index(it.primary, &it.columns));
    let columns: Vec<Vec<String>> = constraints.map(|it| lower_case(&it.columns)).collect();
    let different: HashSet<&Vec<String>> = columns.iter().filter(|it| !it.is_empty()).collect();
    let own = usize::from(table.kind == EntryKind::WithoutRowid);
    different.len().saturating_sub(own)..=columns.len().saturating_sub(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::FilePages;
    use crate::format::PageSize;
    use crate::storage::memory::MemoryVfs;
    use crate::storage::{OpenMode, Vfs};

    const CONSTRAINTS: [&str; 12] = [
        "UNIQUE(a)",
        "UNIQUE(b, c)",
        "UNIQUE(c, b)",
        "UNIQUE(\"A\")",
        "UNIQUE(a COLLATE NOCASE)",
        "UNIQUE(a DESC)",
        "CHECK(a IS NOT 'unique')",
        "CONSTRAINT x UNIQUE(b)",
        "FOREIGN KEY(a) REFERENCES other(k)",
        "UNIQUE(d, a) ON CONFLICT IGNORE",
        "UNIQUE([b])",
        "UNIQUE(`b`, a, 'c')",
    ];
    const KEYS: [&str; 8] = [
        "a INTEGER PRIMARY KEY, b, c, d",
        "a INTEGER PRIMARY KEY DESC, b UNIQUE, c, d",
        "a INTEGER PRIMARY KEY UNIQUE, b, c, d",
        "a INT PRIMARY KEY, b, c UNIQUE, d",
        "a TEXT COLLATE NOCASE UNIQUE PRIMARY KEY, b, c, d",
        "a, b UNIQUE NOT NULL, c UNIQUE COLLATE RTRIM, d, PRIMARY KEY(b, c)",
        "a, b, c, d, PRIMARY KEY(a)",
        "a TEXT DEFAULT 'UNIQUE', b CHECK(b > 1), c \"UNIQUE\", d AS (a || b), PRIMARY KEY(c)",
    ];

    #[test]
    fn sqlite_makes_as_many_as_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let (mut made, mut exact) = (0, 0);
        for number in 0..400 {
            let key = KEYS[random.usize(..KEYS.len())];
            let more: String = (0..random.usize(..4))
                .map(|_| format!(", {}", CONSTRAINTS[random.usize(..CONSTRAINTS.len())]))
                .collect();
            let without = if random.bool() { " WITHOUT ROWID" } else { "" };
            let sql = format!("CREATE TABLE t_{number}({key}{more}){without}");
            made += usize::from(connection.execute_batch(&sql).is_ok());
        }
        connection.execute_batch("ALTER TABLE t_1 RENAME TO t_one").ok();
        drop(connection);
        let vfs = MemoryVfs::default();
        let file = vfs.open("x.db".as_ref(), OpenMode::Create).unwrap();
        file.write_at(&std::fs::read(&path).unwrap(), 0).unwrap();
        let page_size = PageSize::from_database_field([16, 0]).unwrap();
        let pages = FilePages::new(file.as_ref(), page_size).unwrap();
        let schema = Schema::read(&pages).unwrap();
        let tables = schema.entries.iter().filter(|it| it.kind.is_table());
        for table in tables {
            let judged = judge(&schema, table);
            assert!(!matches!(judged, Automatic::Differ { .. }), "{table:?}: {judged:?}");
            exact += usize::from(judged == Automatic::Fit);
        }
        assert!(made > 200 && exact > made / 2, "{exact} of {made}");
    }
}

//! A script of SQL that makes one state of the other.

use std::collections::BTreeSet;

use crate::database::{EntryKind, SchemaEntry, TextEncoding};

use super::compare::visit_rows;
use super::event::{Op, TableCounts};
use super::pages::{Comparison, all_pages};
use super::table::{State, Table, TablePages, TablePair};
use super::{Error, LeftOut};

mod literal;
mod statements;

pub(super) use literal::quoted;
use statements::Statements;
pub use statements::Where;

/// Writes a script that makes the state afterwards of the state before, line by line to `put`, and
/// returns what it leaves out. A script of nothing has no line.
///
/// # Errors
/// When rows cannot be read, or `put` fails.
pub fn put_script<E: From<Error>>(
    comparison: &Comparison<'_>,
    by: Where,
    put: &mut dyn FnMut(&str) -> Result<(), E>,
) -> Result<Vec<LeftOut>, E> {
    let mut script = Script::plan(comparison, by)?;
    if script.is_empty() {
        return Ok(script.left_out);
    }
    if let Some(encoding) = script.new_encoding() {
        put(&format!("PRAGMA encoding='{encoding}';"))?;
    }
    put("PRAGMA foreign_keys=OFF;")?;
    put("PRAGMA ignore_check_constraints=ON;")?;
    put("BEGIN;")?;
    script.put_drops(put)?;
    script.put_tables(put)?;
    script.put_rows(put)?;
    script.put_sequence(put)?;
    script.put_schema(put)?;
    for left in &script.left_out {
        // A name may have a line feed, which would end the comment.
        let name = left.name.escape_debug();
        put(&format!("-- left out: {name}: {}", left.why))?;
    }
    put("COMMIT;")?;
    Ok(std::mem::take(&mut script.left_out))
}

/// What happens to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Rows that differ are changed.
    Kept,
    /// It is dropped, if it was there, and created with all its rows.
    Created,
    /// All its rows are replaced: its own statement does not create it, or rows cannot be named.
    Refilled,
    /// It is dropped.
    Dropped,
    /// Its virtual table creates it, and alone may write it (defensive mode, which is the default
    /// of SQLite's shell).
    Shadow,
    /// Another statement drops or fills it.
    Left,
}

struct Planned<'c, 's> {
    table: &'c (TablePair<'s>, TablePages),
    fate: Fate,
    counts: TableCounts,
}

struct Script<'c, 's> {
    comparison: &'c Comparison<'s>,
    by: Where,
    tables: Vec<Planned<'c, 's>>,
    left_out: Vec<LeftOut>,
}

const SEQUENCE: &str = "sqlite_sequence";

fn is_named(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

fn is_statistics(name: &str) -> bool {
    name.get(..11).is_some_and(|start| is_named(start, "sqlite_stat"))
}

/// The entry of `state` of this kind and name.
fn entry_of<'s>(state: State<'s>, kind: EntryKind, name: &str) -> Option<&'s SchemaEntry> {
    let mut entries = state.catalog.schema.entries.iter();
    entries.find(|entry| entry.kind == kind && is_named(&entry.name, name))
}

impl<'c, 's> Script<'c, 's> {
    fn plan<E: From<Error>>(comparison: &'c Comparison<'s>, by: Where) -> Result<Self, E> {
        let mut script = Self { comparison, by, tables: Vec::new(), left_out: Vec::new() };
        for table in &comparison.tables {
            let mut counts = TableCounts::default();
            let fate = script.fate(&table.0);
            comparison.visit(table, &mut |event| {
                counts.count(event.op());
                Ok::<_, E>(())
            })?;
            let changes_all = fate == Fate::Kept && counts.total() > 0 && is_unnamed(&table.0);
            let fate = if changes_all { Fate::Refilled } else { fate };
            if fate == Fate::Shadow && counts.total() > 0 {
                let why = "SQLite lets only a virtual table write its shadow tables";
                script.leave_out(table.0.name(), why);
            }
            script.tables.push(Planned { table, fate, counts });
        }
        // To drop a table or an index takes its statistics away.
        let drops = script.drops_anything();
        let statistics = script.tables.iter_mut().filter(|planned| {
            drops && planned.table.0.after.is_some() && is_statistics(planned.table.0.name())
        });
        statistics.for_each(|planned| planned.fate = Fate::Refilled);
        Ok(script)
    }

    fn fate(&mut self, pair: &TablePair<'_>) -> Fate {
        let Comparison { before, after, .. } = self.comparison;
        let name = pair.name();
        let shadowed = |state: State<'s>, table: Option<&Table>| {
            table.and_then(|table| state.catalog.shadowed_by(&table.name))
        };
        let (old, new) = (shadowed(*before, pair.before), shadowed(*after, pair.after));
        match (pair.before, pair.after) {
            (_, Some(_)) if new.is_some() => Fate::Shadow,
            (Some(_), None) if old.is_some() => Fate::Left,
            _ if is_named(name, SEQUENCE) => {
                if pair.after.is_none() {
                    self.leave_out(name, "SQLite does not let it be dropped");
                }
                Fate::Left
            }
            (None, Some(_)) if is_statistics(name) => Fate::Refilled,
            (Some(_), Some(_)) if pair.is_unaltered() => Fate::Kept,
            (_, Some(_)) => Fate::Created,
            (_, None) => Fate::Dropped,
        }
    }

    /// The encoding that a database without a table gets.
    fn new_encoding(&self) -> Option<&'static str> {
        let Comparison { before, after, .. } = self.comparison;
        let is_empty = before.catalog.schema.entries.is_empty();
        let differs = before.catalog.encoding() != after.catalog.encoding();
        (is_empty && differs).then(|| after.catalog.encoding().name())
    }

    /// The encoding that text has where the script runs.
    fn encoding(&self) -> TextEncoding {
        let Comparison { before, after, .. } = self.comparison;
        match before.catalog.schema.entries.is_empty() {
            true => after.catalog.encoding(),
            false => before.catalog.encoding(),
        }
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(LeftOut { name: name.to_owned(), why: why.to_owned() });
    }

    /// Nothing differs but what is left out.
    fn is_empty(&self) -> bool {
        let Comparison { before, after, .. } = self.comparison;
        let texts = |state: State<'_>| -> BTreeSet<(String, String)> {
            let entries = state.catalog.schema.entries.iter();
            entries.map(|entry| (entry.name.clone(), entry.sql.clone())).collect()
        };
        self.left_out.is_empty()
            && texts(*before) == texts(*after)
            && self.tables.iter().all(|planned| planned.counts.total() == 0)
            && before.catalog.header.user_version == after.catalog.header.user_version
            && before.catalog.header.application_id == after.catalog.header.application_id
    }

    /// Whether the table of this name is dropped, created or filled anew.
    fn is_replaced(&self, name: &str) -> bool {
        self.tables.iter().any(|planned| {
            let (pair, _) = planned.table;
            let names = [pair.before, pair.after].into_iter().flatten().map(|it| &it.name);
            matches!(planned.fate, Fate::Created | Fate::Dropped)
                && names.into_iter().any(|it| is_named(it, name))
        })
    }

    fn has_changes(&self, name: &str) -> bool {
        self.tables
            .iter()
            .any(|planned| is_named(planned.table.0.name(), name) && planned.counts.total() > 0)
    }

    /// Whether an index, trigger, view or virtual table of the state before is the same afterwards,
    /// and nothing is done to its table that takes it away or makes it act.
    fn is_untouched(&self, entry: &SchemaEntry) -> bool {
        let Comparison { before, after, .. } = self.comparison;
        let [one, other] = [*before, *after].map(|state| entry_of(state, entry.kind, &entry.name));
        let same = one.zip(other).is_some_and(|(one, other)| {
            one.sql == other.sql && one.table == other.table && one.name == other.name
        });
        let acts = entry.kind == EntryKind::Trigger && self.has_changes(&entry.table);
        same && !acts && !self.is_replaced(&entry.table)
    }

    /// Whether a table or an index of the state before is dropped.
    fn drops_anything(&self) -> bool {
        let replaces = self.tables.iter().any(|planned| {
            planned.table.0.before.is_some()
                && matches!(planned.fate, Fate::Created | Fate::Dropped)
        });
        let entries = self.comparison.before.catalog.schema.entries.iter();
        let mut indexes = entries.filter(|entry| entry.kind == EntryKind::Index);
        replaces || indexes.any(|entry| !self.is_untouched(entry))
    }

    fn put_drops<E: From<Error>>(
        &self,
        put: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let entries = &self.comparison.before.catalog.schema.entries;
        let kinds = [
            (EntryKind::Trigger, "TRIGGER"),
            (EntryKind::View, "VIEW"),
            (EntryKind::Index, "INDEX"),
            (EntryKind::Virtual, "TABLE"),
        ];
        for (kind, word) in kinds {
            let of_kind = entries.iter().filter(|entry| entry.kind == kind);
            // An index of a constraint goes with its table, as others do.
            let goes_with_table = |entry: &SchemaEntry| {
                kind == EntryKind::Index && (entry.sql.is_empty() || self.is_replaced(&entry.table))
            };
            for entry in of_kind {
                if !self.is_untouched(entry) && !goes_with_table(entry) {
                    put(&format!("DROP {word} IF EXISTS {};", quoted(&entry.name)))?;
                }
            }
        }
        for Planned { table: (pair, _), fate, .. } in &self.tables {
            if let (Some(table), Fate::Created | Fate::Dropped) = (pair.before, fate) {
                put(&format!("DROP TABLE {};", quoted(&table.name)))?;
            }
        }
        Ok(())
    }

    fn put_tables<E: From<Error>>(
        &self,
        put: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let created = self.tables.iter().filter(|planned| planned.fate == Fate::Created);
        for table in created.filter_map(|planned| planned.table.0.after) {
            put(&format!("{};", table.sql))?;
        }
        let entries = self.comparison.after.catalog.schema.entries.iter();
        for entry in entries.filter(|entry| entry.kind == EntryKind::Virtual) {
            if !self.is_untouched(entry) {
                put(&format!("{};", entry.sql))?;
            }
        }
        let is_new = |planned: &&Planned<'_, '_>| {
            planned.table.0.before.is_none() && is_statistics(planned.table.0.name())
        };
        if self.tables.iter().any(|planned| is_new(&planned)) {
            put("ANALYZE sqlite_schema;")?;
        }
        Ok(())
    }

    fn put_rows<E: From<Error>>(
        &mut self,
        put: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        for planned in &self.tables {
            let (pair, _) = planned.table;
            let Some(table) = pair.after else { continue };
            let statements =
                Statements::new(table, self.comparison.after.catalog, (self.encoding(), self.by));
            match planned.fate {
                Fate::Kept if planned.counts.total() > 0 => {
                    self.put_changes(planned, &statements, put)?;
                }
                Fate::Created | Fate::Refilled => {
                    if planned.fate == Fate::Refilled {
                        put(&statements.delete_all())?;
                    }
                    put_all(self.comparison.after, table, &statements, put)?;
                }
                Fate::Kept | Fate::Dropped | Fate::Shadow | Fate::Left => {}
            }
        }
        Ok(())
    }

    /// Deletes before inserts: a key or a unique value may go from one row to another.
    fn put_changes<E: From<Error>>(
        &self,
        planned: &Planned<'_, '_>,
        statements: &Statements<'_>,
        put: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        if planned.counts.deleted + planned.counts.updated > 0 {
            self.comparison.visit(planned.table, &mut |event| match event.op() {
                Op::Delete => put(&statements.delete(&event)),
                Op::Update if statements.moves_unique(&event) => put(&statements.delete(&event)),
                Op::Update | Op::Insert => Ok(()),
            })?;
        }
        self.comparison.visit(planned.table, &mut |event| match event.op() {
            Op::Update if !statements.moves_unique(&event) => put(&statements.update(&event)),
            Op::Insert | Op::Update => {
                put(&statements.insert(event.row_id, event.after.as_deref()))
            }
            Op::Delete => Ok(()),
        })
    }

    /// Rows of `sqlite_sequence` come last: inserts into its tables change it.
    fn put_sequence<E: From<Error>>(
        &self,
        put: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_sequence = |table: &&Table| is_named(&table.name, SEQUENCE);
        let Some(table) = self.comparison.after.catalog.tables.iter().find(is_sequence) else {
            return Ok(());
        };
        let is_counted = |planned: &Planned<'_, '_>| {
            let (pair, _) = planned.table;
            let counts = pair.after.is_some_and(|it| it.reader.definition().autoincrement);
            let acts = planned.counts.total() > 0 || planned.fate == Fate::Created;
            (counts && acts)
                || (is_named(pair.name(), SEQUENCE) && planned.counts.total() > 0)
                || (pair.before.is_some_and(|it| it.reader.definition().autoincrement)
                    && planned.fate == Fate::Dropped)
        };
        let mut there = self.comparison.before.catalog.tables.iter();
        let was_there = there.any(|table| is_sequence(&table));
        if was_there && !self.tables.iter().any(is_counted) {
            return Ok(());
        }
        let is_made = self.tables.iter().any(|planned| {
            let made = planned.table.0.after.is_some_and(|it| it.reader.definition().autoincrement);
            made && planned.fate == Fate::Created
        });
        if !was_there && !is_made {
            put("CREATE TABLE walsmith_sequence(id INTEGER PRIMARY KEY AUTOINCREMENT);")?;
            put("DROP TABLE walsmith_sequence;")?;
        }
        let statements =
            Statements::new(table, self.comparison.after.catalog, (self.encoding(), self.by));
        put(&statements.delete_all())?;
        put_all(self.comparison.after, table, &statements, put)
    }

    fn put_schema<E: From<Error>>(
        &self,
        put: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let Comparison { before, after, .. } = self.comparison;
        for kind in [EntryKind::Index, EntryKind::View, EntryKind::Trigger] {
            let entries = after.catalog.schema.entries.iter();
            for entry in entries.filter(|entry| entry.kind == kind && !entry.sql.is_empty()) {
                if !self.is_untouched(entry) {
                    put(&format!("{};", entry.sql))?;
                }
            }
        }
        if before.catalog.header.user_version != after.catalog.header.user_version {
            put(&format!(
                "PRAGMA user_version={};",
                after.catalog.header.user_version.cast_signed()
            ))?;
        }
        if before.catalog.header.application_id != after.catalog.header.application_id {
            let id = after.catalog.header.application_id.cast_signed();
            put(&format!("PRAGMA application_id={id};"))?;
        }
        Ok(())
    }
}

/// Whether nothing but its values names a row: all names of the row id are columns.
fn is_unnamed(pair: &TablePair<'_>) -> bool {
    pair.after.is_some_and(|table| Statements::row_id_name(table).is_none() && table.has_row_ids())
}

/// Inserts every row of `table`.
fn put_all<E: From<Error>>(
    state: State<'_>,
    table: &Table,
    statements: &Statements<'_>,
    put: &mut dyn FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let rows = all_pages(&state, table)?;
    let pair = TablePair { before: None, after: Some(table) };
    visit_rows(state.pages, state.pages, &(pair, rows), &mut |event| {
        put(&statements.insert(event.row_id, event.after.as_deref()))
    })
}

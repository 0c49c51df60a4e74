//! A script of SQL that makes one state of the other.

use crate::database::{EntryKind, SchemaEntry};

use super::compare::visit_rows;
use super::event::{Op, RowEvent};
use super::pages::{Comparison, all_pages};
use super::table::{State, Table, TablePair};
use super::{Error, LeftOut};

mod literal;
mod plan;
mod statements;

pub(super) use literal::quoted;
use plan::{Fate, Planned, SEQUENCE, Script, is_named, is_statistics};
use statements::Statements;
pub use statements::Where;

/// What a script has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What it leaves out.
    pub left_out: Vec<LeftOut>,
    /// Tables all of whose rows it replaces or drops: on another state than the one before, rows
    /// that are only there would be lost.
    pub anew: Vec<String>,
}

/// Writes a script that makes the state afterwards of the state before, line by line to `put`. A
/// script of nothing has no line.
///
/// # Errors
/// When rows cannot be read, or `put` fails.
pub fn put_script<E: From<Error>>(
    comparison: &Comparison<'_>,
    by: Where,
    put: &mut dyn FnMut(&str) -> Result<(), E>,
) -> Result<Written, E> {
    let mut script = Script::plan(comparison, by)?;
    if script.is_empty() {
        return Ok(Written { left_out: script.left_out, anew: Vec::new() });
    }
    let anew = script.written_anew();
    if let (Where::Full, Some(table)) = (by, anew.first()) {
        return Err(Error::WrittenAnew { table: table.clone() }.into());
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
    Ok(Written { left_out: script.left_out, anew })
}

impl Script<'_, '_> {
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
                if *fate == Fate::Created {
                    let name = table.name.escape_debug();
                    put(&format!("-- another definition, written anew with all rows: {name}"))?;
                }
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
        let updated = planned.counts.updated;
        if planned.counts.deleted > 0 || updated > 0 && statements.may_move_unique() {
            self.comparison.visit(planned.table, &mut |event| match event.op() {
                Op::Delete => put(&statements.delete(&event)),
                Op::Update if statements.moves_unique(&event) => put(&statements.delete(&event)),
                Op::Update | Op::Insert | Op::Present => Ok(()),
            })?;
        }
        let put_rest = &mut |event: RowEvent| match event.op() {
            Op::Update if !statements.moves_unique(&event) => put(&statements.update(&event)),
            Op::Insert | Op::Update => {
                put(&statements.insert(event.row_id, event.after.as_deref()))
            }
            Op::Delete | Op::Present => Ok(()),
        };
        self.comparison.visit(planned.table, put_rest).map(|_| ())
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

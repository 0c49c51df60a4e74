//! What a script has to do to each table, index, view and trigger.

use std::collections::BTreeSet;

use crate::database::{EntryKind, SchemaEntry, TextEncoding};
use crate::history::rows::compare::visit_rows;
use crate::history::rows::event::TableCounts;
use crate::history::rows::pages::{Comparison, all_pages};
use crate::history::rows::table::{State, Table, TablePages, TablePair};
use crate::history::rows::{Error, LeftOut};

use super::statements::{Statements, Where};

/// What happens to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
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

pub(super) struct Planned<'c, 's> {
    pub table: &'c (TablePair<'s>, TablePages),
    pub fate: Fate,
    pub counts: TableCounts,
}

pub(super) struct Script<'c, 's> {
    pub comparison: &'c Comparison<'s>,
    pub by: Where,
    pub tables: Vec<Planned<'c, 's>>,
    pub left_out: Vec<LeftOut>,
}

pub(super) const SEQUENCE: &str = "sqlite_sequence";

pub(super) fn is_named(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

pub(super) fn is_statistics(name: &str) -> bool {
    name.get(..11).is_some_and(|start| is_named(start, "sqlite_stat"))
}

/// The entry of `state` of this kind and name.
fn entry_of<'s>(state: State<'s>, kind: EntryKind, name: &str) -> Option<&'s SchemaEntry> {
    let mut entries = state.catalog.schema.entries.iter();
    entries.find(|entry| entry.kind == kind && is_named(&entry.name, name))
}

impl<'c, 's> Script<'c, 's> {
    pub(super) fn plan<E: From<Error>>(
        comparison: &'c Comparison<'s>,
        by: Where,
    ) -> Result<Self, E> {
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
            let is_lost = fate == Fate::Shadow
                && (counts.total() > 0 || script.is_emptied(&table.0).map_err(E::from)?);
            if is_lost {
                let why = "SQLite lets only a virtual table write its shadow tables";
                script.leave_out(table.0.name(), why);
            }
            script.tables.push(Planned { table, fate, counts });
        }
        script.leave_out_crlf();
        // To drop a table or an index takes its statistics away.
        let drops = script.drops_anything();
        let statistics = script.tables.iter_mut().filter(|planned| {
            let (pair, _) = planned.table;
            drops && pair.before.is_some() && pair.after.is_some() && is_statistics(pair.name())
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
            (None, Some(_)) if is_named(name, "sqlite_stat1") => Fate::Refilled,
            (None, Some(_)) if is_statistics(name) => {
                self.leave_out(name, "not every SQLite has this table");
                Fate::Left
            }
            (Some(_), Some(_)) if pair.is_unaltered() => Fate::Kept,
            (_, Some(_)) => Fate::Created,
            (_, None) => Fate::Dropped,
        }
    }

    /// The encoding that a database without a table gets.
    pub(super) fn new_encoding(&self) -> Option<&'static str> {
        let Comparison { before, after, .. } = self.comparison;
        let is_empty = before.catalog.schema.entries.is_empty();
        let differs = before.catalog.encoding() != after.catalog.encoding();
        (is_empty && differs).then(|| after.catalog.encoding().name())
    }

    /// The encoding that text has where the script runs.
    pub(super) fn encoding(&self) -> TextEncoding {
        let Comparison { before, after, .. } = self.comparison;
        match before.catalog.schema.entries.is_empty() {
            true => after.catalog.encoding(),
            false => before.catalog.encoding(),
        }
    }

    /// Statements with CR LF: SQLite's shell drops the CR.
    fn leave_out_crlf(&mut self) {
        let entries = self.comparison.after.catalog.schema.entries.iter();
        let written = entries.filter(|entry| entry.sql.contains("\r\n"));
        let mut names: Vec<&SchemaEntry> = written.collect();
        names.retain(|entry| self.is_written(entry));
        for entry in names {
            self.leave_out(&entry.name, "the CR LF of its statement: SQLite's shell reads LF");
        }
    }

    /// Whether the statement of an entry of the state afterwards is in the script.
    fn is_written(&self, entry: &SchemaEntry) -> bool {
        match entry.kind.tree().filter(|kind| kind.is_table()) {
            Some(_) => self.tables.iter().any(|planned| {
                planned.fate == Fate::Created && is_named(planned.table.0.name(), &entry.name)
            }),
            None => !self.is_untouched(entry),
        }
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(LeftOut { name: name.to_owned(), why: why.to_owned() });
    }

    /// Nothing differs but what is left out.
    pub(super) fn is_empty(&self) -> bool {
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
    pub(super) fn is_replaced(&self, name: &str) -> bool {
        self.tables.iter().any(|planned| {
            let (pair, _) = planned.table;
            let names = [pair.before, pair.after].into_iter().flatten().map(|it| &it.name);
            matches!(planned.fate, Fate::Created | Fate::Dropped)
                && names.into_iter().any(|it| is_named(it, name))
        })
    }

    /// Whether a shadow table that has rows is made anew with its virtual table.
    fn is_emptied(&self, pair: &TablePair<'_>) -> Result<bool, Error> {
        let state = self.comparison.after;
        let Some(table) = pair.after else { return Ok(false) };
        let made_anew =
            state.catalog.shadowed_by(&table.name).filter(|entry| !self.is_untouched(entry));
        if made_anew.is_none() {
            return Ok(false);
        }
        let pair = TablePair { before: None, after: Some(table) };
        let mut has_rows = false;
        visit_rows(state.pages, state.pages, &(pair, all_pages(&state, table)?), &mut |_| {
            has_rows = true;
            Ok::<_, Error>(())
        })?;
        Ok(has_rows)
    }

    fn has_changes(&self, name: &str) -> bool {
        self.tables
            .iter()
            .any(|planned| is_named(planned.table.0.name(), name) && planned.counts.total() > 0)
    }

    /// Whether an index, trigger, view or virtual table of the state before is the same afterwards,
    /// and nothing is done to its table that takes it away or makes it act.
    pub(super) fn is_untouched(&self, entry: &SchemaEntry) -> bool {
        let Comparison { before, after, .. } = self.comparison;
        let [one, other] = [*before, *after].map(|state| entry_of(state, entry.kind, &entry.name));
        let same = one.zip(other).is_some_and(|(one, other)| {
            one.sql == other.sql && one.table == other.table && one.name == other.name
        });
        let is_trigger = entry.kind == EntryKind::Trigger;
        let acts = is_trigger && self.has_changes(&entry.table);
        // A view takes its triggers with it.
        let view = entry_of(*before, EntryKind::View, &entry.table).filter(|_| is_trigger);
        let stays = view.is_none_or(|view| self.is_untouched(view));
        same && !acts && stays && !self.is_replaced(&entry.table)
    }

    /// Tables of the state before whose rows are all replaced or dropped, whatever they are.
    pub(super) fn written_anew(&self) -> Vec<String> {
        let anew = self.tables.iter().filter(|planned| {
            let is_anew = matches!(planned.fate, Fate::Created | Fate::Dropped | Fate::Refilled);
            is_anew && planned.table.0.before.is_some_and(|table| !is_statistics(&table.name))
        });
        anew.filter_map(|planned| Some(planned.table.0.before?.name.clone())).collect()
    }

    /// Whether a table or an index of the state before is dropped, with its statistics.
    fn drops_anything(&self) -> bool {
        let replaces = self.tables.iter().any(|planned| {
            planned.table.0.before.is_some()
                && matches!(planned.fate, Fate::Created | Fate::Dropped)
        });
        let entries = self.comparison.before.catalog.schema.entries.iter();
        let counted = |entry: &SchemaEntry| {
            // Those of its shadow tables go with a virtual table.
            matches!(entry.kind, EntryKind::Index | EntryKind::Virtual)
        };
        replaces || entries.into_iter().any(|entry| counted(entry) && !self.is_untouched(entry))
    }
}

/// Whether nothing but its values names a row: all names of the row id are columns.
fn is_unnamed(pair: &TablePair<'_>) -> bool {
    pair.after.is_some_and(|table| Statements::row_id_name(table).is_none() && table.has_row_ids())
}

//! The report of `diff`.

use std::io::{self, Write};

use serde::Serialize;

use crate::access::row_text::schema_change_line;
use crate::access::states::StateAt;
use crate::history::rows::{Comparison, LeftOut, SchemaChange, TableCounts, TablePair};
use crate::output::quantity::{counted, grouped};
use crate::output::text::escaped;
use crate::output::{FileName, Heading, Paint, Report, Room, Table, Tone, wrapped};

/// A table whose rows differ.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TableDiff {
    /// Its name.
    pub(super) name: String,
    /// Its name before, where that was another.
    pub(super) renamed_from: Option<String>,
    /// The virtual table that keeps its data in it.
    pub(super) shadow_of: Option<String>,
    /// How many rows.
    #[serde(flatten)]
    pub(super) counts: TableCounts,
}

impl TableDiff {
    /// Of a table of `comparison`.
    #[must_use]
    pub(super) fn of(
        pair: &TablePair<'_>,
        counts: TableCounts,
        comparison: &Comparison<'_>,
    ) -> Self {
        let old = pair.before.map(|table| table.name.clone());
        let states = [comparison.after, comparison.before];
        let shadow_of = states.iter().find_map(|state| state.catalog.shadowed_by(pair.name()));
        Self {
            name: pair.name().to_owned(),
            renamed_from: old.filter(|old| old != pair.name()),
            shadow_of: shadow_of.map(|entry| entry.name.clone()),
            counts,
        }
    }
}

/// The line before the rows of a table.
///
/// # Errors
/// When the destination fails.
pub(super) fn table_heading(to: &mut dyn Write, name: &str, paint: &Paint) -> io::Result<()> {
    writeln!(to, "{}", paint.tone(Tone::Strong, &escaped(name)))
}

/// The line after all rows.
///
/// # Errors
/// When the destination fails.
pub(super) fn summary(
    to: &mut dyn Write,
    tables: &[TableDiff],
    schema_changes: &[SchemaChange],
    settings: &[SettingChange],
    width: Option<u16>,
) -> io::Result<()> {
    let sum = |of: fn(&TableCounts) -> u64| tables.iter().map(|table| of(&table.counts)).sum();
    let sentence = if tables.is_empty() && schema_changes.is_empty() {
        match settings.is_empty() {
            true => "Nothing differs.".to_owned(),
            false => "No row differs.".to_owned(),
        }
    } else {
        let schema = match schema_changes.len() {
            0 => String::new(),
            count => format!("; {} of the schema", counted(count as u64, "change")),
        };
        format!(
            "{}: {} inserted, {} updated, {} deleted{schema}.",
            counted(tables.len() as u64, "table"),
            grouped(sum(|counts| counts.inserted)),
            grouped(sum(|counts| counts.updated)),
            grouped(sum(|counts| counts.deleted)),
        )
    };
    writeln!(to, "{}", wrapped(&sentence, 0, 2, width))
}

/// A number of the database header that applications set.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct SettingChange {
    /// The PRAGMA that it is.
    pub(super) name: &'static str,
    /// Its value before.
    pub(super) before: i32,
    /// Its value afterwards.
    pub(super) after: i32,
}

/// The settings that differ.
pub(super) fn setting_changes(comparison: &Comparison<'_>) -> Vec<SettingChange> {
    let [before, after] = [comparison.before, comparison.after].map(|state| &state.catalog.header);
    let all = [
        ("user_version", before.user_version, after.user_version),
        ("application_id", before.application_id, after.application_id),
    ];
    let change = |(name, before, after): (&'static str, u32, u32)| {
        let (before, after) = (before.cast_signed(), after.cast_signed());
        (before != after).then_some(SettingChange { name, before, after })
    };
    all.into_iter().filter_map(change).collect()
}

/// The lines of settings that differ.
///
/// # Errors
/// When the destination fails.
pub(super) fn setting_lines(
    to: &mut dyn Write,
    changes: &[SettingChange],
    paint: &Paint,
) -> io::Result<()> {
    changes.iter().try_for_each(|SettingChange { name, before, after }| {
        let line = format!("~ {name}: {before} -> {after}");
        writeln!(to, "{}", paint.tone(Tone::Notice, &line))
    })
}

/// How many rows of each table differ.
#[derive(Debug, Serialize)]
pub(super) struct DiffStat {
    /// The database.
    pub(super) database: Option<FileName>,
    /// Its log.
    pub(super) wal: FileName,
    /// The other database, where two are compared.
    pub(super) with: Option<FileName>,
    /// The salts of the log that the transactions are of.
    pub(super) salts: Option<[u32; 2]>,
    /// The first state.
    pub(super) from: StateAt,
    /// The second.
    pub(super) to: StateAt,
    /// Tables with rows that differ.
    pub(super) tables: Vec<TableDiff>,
    /// What differs in the schema.
    pub(super) schema_changes: Vec<SchemaChange>,
    /// What differs in the settings that the header has.
    pub(super) settings: Vec<SettingChange>,
    /// What a changeset or patchset does not have.
    pub(super) left_out: Vec<LeftOut>,
}

impl DiffStat {
    /// Whether the states differ.
    #[must_use]
    pub(super) fn differs(&self) -> bool {
        !self.tables.is_empty() || !self.schema_changes.is_empty() || !self.settings.is_empty()
    }
}

impl Report for DiffStat {
    const COMMAND: &'static str = "diff";

    fn needs_attention(&self) -> bool {
        self.differs()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        self.schema_changes
            .iter()
            .try_for_each(|change| schema_change_line(to, change, paint, width))?;
        if !self.tables.is_empty() {
            let mut drawn = Table::new([
                Heading::text("table", Room::Cut),
                Heading::number("inserted", Room::Always),
                Heading::number("updated", Room::Always),
                Heading::number("deleted", Room::Always),
            ]);
            for table in &self.tables {
                let TableCounts { inserted, updated, deleted } = table.counts;
                let mut name = escaped(&table.name).into_owned();
                if let Some(shadowed) = &table.shadow_of {
                    name += &format!(" (of {})", escaped(shadowed));
                }
                drawn.row([name, grouped(inserted), grouped(updated), grouped(deleted)]);
            }
            writeln!(to, "{}", drawn.draw(paint, width))?;
        }
        setting_lines(to, &self.settings, paint)?;
        summary(to, &self.tables, &self.schema_changes, &self.settings, width)?;
        for left in &self.left_out {
            let sentence = format!("Left out: {}: {}.", escaped(&left.name), left.why);
            writeln!(to, "{}", wrapped(&paint.tone(Tone::Notice, &sentence), 0, 2, width))?;
        }
        Ok(())
    }
}

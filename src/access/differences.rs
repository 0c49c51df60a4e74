//! What differs between two states of a database, as counts: for the commands that compare rows.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

use crate::history::rows::{Comparison, SchemaChange, TableCounts, TablePair, schema_changes};
use crate::output::quantity::{counted, grouped};
use crate::output::text::escaped;
use crate::output::{Heading, Paint, Room, Table, Tone, wrapped};

use super::row_text::schema_change_lines;

/// How many rows of each table differ.
#[derive(Debug, Default, Serialize)]
pub struct Differences {
    /// Tables with rows that differ.
    pub tables: Vec<TableDiff>,
    /// What differs in the schema.
    pub schema_changes: Vec<SchemaChange>,
    /// What differs in the settings that the header has.
    pub settings: Vec<SettingChange>,
}

impl Differences {
    /// Counts the rows of a comparison.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn of(comparison: &Comparison<'_>) -> Result<Self> {
        let mut tables = Vec::new();
        for table in &comparison.tables {
            let mut counts = TableCounts::default();
            let partial = comparison.visit(table, &mut |event| {
                counts.count(event.op());
                Ok::<_, anyhow::Error>(())
            })?;
            if counts.total() > 0 || partial {
                tables.push(TableDiff::of(&table.0, (counts, partial), comparison));
            }
        }
        Ok(Self {
            tables,
            schema_changes: schema_changes(comparison.before.catalog, comparison.after.catalog),
            settings: setting_changes(comparison),
        })
    }

    /// Whether rows are not known because pages are gone.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.tables.iter().any(|table| table.partial)
    }

    /// Whether the states differ.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.tables.is_empty() || !self.schema_changes.is_empty() || !self.settings.is_empty()
    }

    /// Lines of changes, a table of counts, and a sentence.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        schema_change_lines(to, &self.schema_changes, "", paint, width)?;
        if !self.tables.is_empty() {
            let has_present = self.tables.iter().any(|table| table.counts.present > 0);
            let numbers = ["inserted", "updated", "deleted", "present"];
            let shown = if has_present { 4 } else { 3 };
            let numbers = numbers.into_iter().take(shown);
            let columns = numbers.map(|head| Heading::number(head, Room::Always));
            let table = Heading::text("table", Room::Cut);
            let mut drawn = Table::new(std::iter::once(table).chain(columns).collect::<Vec<_>>());
            for table in &self.tables {
                let TableCounts { inserted, updated, deleted, present } = table.counts;
                let mut name = table.full_name();
                if let Some(shadowed) = &table.shadow_of {
                    name += &format!(" (of {})", escaped(shadowed));
                }
                let counts = [inserted, updated, deleted, present].into_iter().take(shown);
                drawn.row(std::iter::once(name).chain(counts.map(grouped)).collect::<Vec<_>>());
            }
            writeln!(to, "{}", drawn.draw(paint, width))?;
        }
        setting_lines(to, &self.settings, paint)?;
        summary(to, &self.tables, &self.schema_changes, &self.settings, width)
    }
}

/// A table whose rows differ.
#[derive(Clone, Debug, Serialize)]
pub struct TableDiff {
    /// Its name.
    pub name: String,
    /// Its name before, where that was another.
    pub renamed_from: Option<String>,
    /// The virtual table that keeps its data in it.
    pub shadow_of: Option<String>,
    /// How many rows.
    #[serde(flatten)]
    pub counts: TableCounts,
    /// Pages of one state are gone, and rows with them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl TableDiff {
    /// Of a table of `comparison`.
    #[must_use]
    pub fn of(
        pair: &TablePair<'_>,
        (counts, partial): (TableCounts, bool),
        comparison: &Comparison<'_>,
    ) -> Self {
        let states = [comparison.after, comparison.before];
        let shadow_of = states.iter().find_map(|state| state.catalog.shadowed_by(pair.name()));
        Self {
            name: pair.name().to_owned(),
            renamed_from: pair.renamed_from().map(str::to_owned),
            shadow_of: shadow_of.map(|entry| entry.name.clone()),
            counts,
            partial,
        }
    }

    /// Its name, and the one before where that was another, for people.
    fn full_name(&self) -> String {
        named(&self.name, self.renamed_from.as_deref())
    }
}

fn named(name: &str, renamed_from: Option<&str>) -> String {
    let name = escaped(name);
    match renamed_from {
        Some(old) => format!("{name} (was {})", escaped(old)),
        None => name.into_owned(),
    }
}

/// The line before the rows of a table.
///
/// # Errors
/// When the destination fails.
pub fn table_heading(to: &mut dyn Write, pair: &TablePair<'_>, paint: &Paint) -> io::Result<()> {
    let heading = named(pair.name(), pair.renamed_from());
    writeln!(to, "{}", paint.tone(Tone::Strong, &heading))
}

/// The line after all rows.
///
/// # Errors
/// When the destination fails.
pub fn summary(
    to: &mut dyn Write,
    tables: &[TableDiff],
    schema_changes: &[SchemaChange],
    settings: &[SettingChange],
    width: Option<u16>,
) -> io::Result<()> {
    let sum = |of: fn(&TableCounts) -> u64| tables.iter().map(|table| of(&table.counts)).sum();
    let sentence = if tables.is_empty() && schema_changes.is_empty() {
        match settings.is_empty() {
            // Pages may: indexes, free pages, the places of rows.
            true => "No row and no definition differs.".to_owned(),
            false => "No row differs.".to_owned(),
        }
    } else {
        let schema = match schema_changes.iter().filter(|change| change.has_line()).count() {
            0 => String::new(),
            count => format!("; {} of the schema", counted(count as u64, "change")),
        };
        let present = match sum(|counts| counts.present) {
            0 => String::new(),
            count => format!(", {} present in one state, the other gone", grouped(count)),
        };
        format!(
            "{}: {} inserted, {} updated, {} deleted{present}{schema}.",
            counted(tables.len() as u64, "table"),
            grouped(sum(|counts| counts.inserted)),
            grouped(sum(|counts| counts.updated)),
            grouped(sum(|counts| counts.deleted)),
        )
    };
    writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
    let partial = tables.iter().filter(|table| table.partial);
    let names: Vec<_> = partial.map(|table| escaped(&table.name).into_owned()).collect();
    if !names.is_empty() {
        let sentence = format!(
            "Pages of one state are gone, and rows that were on them: of {}.",
            names.join(", ")
        );
        writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
    }
    Ok(())
}

/// A number of the database header that applications set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SettingChange {
    /// The PRAGMA that it is.
    pub name: &'static str,
    /// Its value before.
    pub before: i32,
    /// Its value afterwards.
    pub after: i32,
}

/// The settings that differ.
pub fn setting_changes(comparison: &Comparison<'_>) -> Vec<SettingChange> {
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
pub fn setting_lines(
    to: &mut dyn Write,
    changes: &[SettingChange],
    paint: &Paint,
) -> io::Result<()> {
    changes.iter().try_for_each(|SettingChange { name, before, after }| {
        let line = format!("~ {name}: {before} -> {after}");
        writeln!(to, "{}", paint.tone(Tone::Notice, &line))
    })
}

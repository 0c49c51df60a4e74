//! What `diff` writes: rows, counts, a script, SQLite's session formats.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tempfile::SpooledTempFile;

use crate::access::Context;
use crate::access::differences::{self, Differences, TableDiff, setting_changes};
use crate::access::files::Files;
use crate::access::row_text::{self, EVENT_FIELDS};
use crate::access::states::{StateAt, States};
use crate::diagnosis::PairProof;
use crate::history::rows::{
    Comparison, LeftOut, SchemaChange, SetFormat, TableCounts, Written, put_script, put_table,
    schema_changes,
};
use crate::history::snapshot::Snapshot;
use crate::output::{FileName, ItemList, ItemStream, Output};
use crate::storage::NewFile;

use super::report::DiffStat;
use super::{Diff, SPOOL_BYTES};

/// What is said of the two states.
pub(super) struct Head<'h> {
    pub files: &'h Files,
    /// The files of the other database.
    pub with: Option<&'h Files>,
    pub states: &'h States<'h>,
    pub pair: Option<PairProof>,
    pub from: &'h Snapshot,
    pub to: &'h Snapshot,
}

impl Head<'_> {
    pub(super) fn path(&self) -> &Path {
        self.files.database.as_deref().unwrap_or(&self.files.wal)
    }

    fn other(&self) -> Option<FileName> {
        self.with.map(|with| FileName::from(with.database.as_deref().unwrap_or(&with.wal)))
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "database": self.files.database.as_deref().map(FileName::from),
            "wal": FileName::from(&self.files.wal),
            "with": self.other(),
            "salts": self.states.salts_pair(),
            "pair": self.pair,
            "from": StateAt::from(self.from),
            "to": StateAt::from(self.to),
        })
    }
}

pub(super) fn stat_of(comparison: &Comparison<'_>, head: &Head<'_>) -> Result<DiffStat> {
    Ok(DiffStat {
        database: head.files.database.as_deref().map(FileName::from),
        wal: FileName::from(&head.files.wal),
        with: head.other(),
        salts: head.states.salts_pair(),
        pair: head.pair,
        from: StateAt::from(head.from),
        to: StateAt::from(head.to),
        differences: Differences::of(comparison)?,
        left_out: Vec::new(),
    })
}

impl Diff {
    pub(super) fn write_sql(
        &self,
        comparison: &Comparison<'_>,
        head: &Head<'_>,
        text: &mut SpooledTempFile,
        context: &Context,
    ) -> Result<(bool, Vec<LeftOut>)> {
        let mut has_lines = false;
        let (from, to) = (head.from.to_txn, head.to.to_txn);
        let Written { left_out, anew } = put_script(comparison, self.by, &mut |line| {
            if !has_lines {
                writeln!(
                    text,
                    "-- walsmith diff: from the state after transaction {from} to {to}"
                )?;
                has_lines = true;
            }
            Ok::<_, anyhow::Error>(writeln!(text, "{line}")?)
        })?;
        if !anew.is_empty() {
            context.warn(format!(
                "the script drops or writes anew every row of {}: run it only on the state that it \
                 starts from, or rows that were written since are lost",
                anew.join(", ")
            ));
        }
        Ok((has_lines, left_out))
    }

    pub(super) fn write_rows(
        &self,
        comparison: &Comparison<'_>,
        head: &Head<'_>,
        text: &mut SpooledTempFile,
        context: &Context,
    ) -> Result<(bool, bool)> {
        let shape = &context.output;
        let mut output = Output {
            color: shape.color,
            width_columns: shape.width_columns,
            charset: shape.charset,
            quiet: shape.quiet,
            ..Output::new(text, shape.format)
        };
        let list =
            ItemList { command: "diff", head: &head.json(), list: "rows", columns: &EVENT_FIELDS };
        let mut stream = ItemStream::open(&mut output, &list)?;
        let schema_changes = schema_changes(comparison.before.catalog, comparison.after.catalog);
        let tables = self.list(comparison, &schema_changes, &mut stream)?;
        let settings = setting_changes(comparison);
        let differs = !schema_changes.is_empty() || !tables.is_empty() || !settings.is_empty();
        let tail = json!({
            "tables": tables, "schema_changes": schema_changes, "settings": settings,
        });
        stream.close(&tail)?;
        Ok((differs, tables.iter().any(|table| table.partial)))
    }

    fn list(
        &self,
        comparison: &Comparison<'_>,
        schema_changes: &[SchemaChange],
        stream: &mut ItemStream<'_, '_>,
    ) -> Result<Vec<TableDiff>> {
        stream.people(|to, paint, width| {
            row_text::schema_change_lines(to, schema_changes, "", paint, width)
        })?;
        let mut tables = Vec::new();
        for table in &comparison.tables {
            let pair = &table.0;
            let mut counts = TableCounts::default();
            let partial = comparison.visit(table, &mut |event| {
                let first = counts.total() == 0;
                counts.count(event.op());
                let human = |to: &mut dyn Write, paint: &_, width| {
                    if first {
                        differences::table_heading(to, pair, paint)?;
                    }
                    writeln!(to, "{}", row_text::event_line(pair, &event, paint, width))
                };
                let item = || row_text::event_json(None, pair, &event, self.integers);
                Ok::<_, anyhow::Error>(stream.item(item, human)?)
            })?;
            if counts.total() > 0 || partial {
                tables.push(TableDiff::of(pair, (counts, partial), comparison));
            }
        }
        let settings = setting_changes(comparison);
        stream.people(|to, paint, width| {
            differences::setting_lines(to, &settings, paint)?;
            differences::summary(to, &tables, schema_changes, &settings, width)
        })?;
        Ok(tables)
    }
}

/// A changeset or patchset in a file that has no name yet.
pub(super) fn write_set(
    comparison: &Comparison<'_>,
    path: &Path,
    format: SetFormat,
    context: &Context,
) -> Result<(Box<dyn NewFile>, Vec<LeftOut>)> {
    let file = context.vfs.new_file(path)?;
    let mut buffer: Vec<u8> = Vec::new();
    let mut offset = 0_u64;
    let mut left_out = Vec::new();
    for table in &comparison.tables {
        let missing = put_table(format, comparison, table, &mut |bytes| {
            buffer.extend_from_slice(bytes);
            if buffer.len() >= SPOOL_BYTES {
                file.write_at(&buffer, offset)?;
                offset += buffer.len() as u64;
                buffer.clear();
            }
            Ok::<_, anyhow::Error>(())
        })?;
        left_out.extend(missing);
    }
    file.write_at(&buffer, offset)?;
    Ok((file, left_out))
}

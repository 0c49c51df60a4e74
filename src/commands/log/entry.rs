//! One transaction, for programs and for people.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::access::row_text::schema_change_lines;
use crate::format::FrameNo;
use crate::history::rows::{SchemaChange, TableActs, TableCounts};
use crate::output::quantity::{counted, grouped};
use crate::output::text::{cut, escaped};
use crate::output::{Format, Paint, Tone, csv_line, wrapped};

/// What a transaction did to a table.
#[derive(Debug, Serialize)]
pub(super) struct TableEntry {
    /// Its name.
    name: String,
    /// The virtual table that keeps its data in it.
    shadow_of: Option<String>,
    /// Rows that are new; `None` where that is not known.
    inserted: Option<u64>,
    /// Rows with other values.
    updated: Option<u64>,
    /// Rows that are gone.
    deleted: Option<u64>,
}

impl TableEntry {
    pub(super) fn of(table: &TableActs, counts: Option<TableCounts>) -> Self {
        Self {
            name: table.name.clone(),
            shadow_of: table.shadow_of.clone(),
            inserted: counts.map(|counts| counts.inserted),
            updated: counts.map(|counts| counts.updated),
            deleted: counts.map(|counts| counts.deleted),
        }
    }

    /// `+2 ~1 -6`.
    fn counts(&self) -> String {
        let signed = [("+", self.inserted), ("~", self.updated), ("-", self.deleted)];
        let known = signed.iter().filter_map(|(sign, count)| {
            let count = (*count)?;
            (count > 0).then(|| format!("{sign}{}", grouped(count)))
        });
        let text = known.collect::<Vec<_>>().join(" ");
        if self.inserted.is_none() { "?".to_owned() } else { text }
    }
}

/// A transaction.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    /// Counted from 1.
    pub txn: u32,
    /// Its first frame.
    pub first_frame: FrameNo,
    /// Its commit frame.
    pub last_frame: FrameNo,
    /// Frames in it.
    pub frames: u32,
    /// Different pages among them.
    pub pages: usize,
    /// Tables with rows that it changed.
    pub tables: Vec<TableEntry>,
    /// What it changed in the schema.
    pub schema_changes: Vec<SchemaChange>,
    /// Pages of the database after it.
    pub db_size_pages: u32,
    /// What it did is not known, or not all of it.
    pub partial: bool,
    /// Why.
    pub partial_because: Option<String>,
}

/// The fields of an entry.
pub(super) const FIELDS: [&str; 10] = [
    "txn",
    "first_frame",
    "last_frame",
    "frames",
    "pages",
    "tables",
    "schema_changes",
    "db_size_pages",
    "partial",
    "partial_because",
];

/// How much is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub oneline: bool,
    pub patch: bool,
}

/// An entry before and after its rows.
pub(super) type Rendered = [Vec<u8>; 2];

impl Entry {
    /// The entry in `format`, around the rows that are written beside it.
    pub(super) fn render(
        &self,
        shown: Shown,
        format: Format,
        paint: &Paint,
        width: Option<u16>,
    ) -> Result<Rendered> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        match format {
            Format::Json | Format::Jsonl => {
                serde_json::to_writer(&mut before, self)?;
                if shown.patch {
                    before.pop();
                    before.extend_from_slice(b",\"rows\":[");
                    after.extend_from_slice(b"]}");
                }
            }
            // With rows, each is a line.
            Format::Csv if shown.patch => {}
            Format::Csv => csv_line(&mut before, &FIELDS, &serde_json::to_value(self)?)?,
            Format::Table if shown.oneline => {
                let line = self.line();
                let line = match width {
                    Some(width) => cut(&line, width.into()).into_owned(),
                    None => line,
                };
                writeln!(before, "{line}")?;
            }
            Format::Table => self.human(shown, &mut before, &mut after, paint, width)?,
        }
        Ok([before, after])
    }

    fn frames_text(&self) -> String {
        match self.frames {
            1 => format!("frame {}", self.first_frame),
            _ => format!("frames {} to {}", self.first_frame, self.last_frame),
        }
    }

    fn line(&self) -> String {
        let tables = self.tables.iter();
        let mut acts: Vec<String> =
            tables.map(|table| format!("{} {}", escaped(&table.name), table.counts())).collect();
        let schema = self.schema_changes.iter().filter(|change| change.has_line());
        acts.extend(schema.map(|it| match &it.renamed_from {
            Some(old) => format!("{} {} renamed to {}", it.kind, escaped(old), escaped(&it.name)),
            None => format!("{} {} {}", it.kind, escaped(&it.name), it.change),
        }));
        if self.partial {
            acts.push("(partial)".to_owned());
        }
        if acts.is_empty() {
            acts.push("no row".to_owned());
        }
        format!("{:>6}  {}", self.txn, acts.join(", "))
    }

    fn human(
        &self,
        shown: Shown,
        to: &mut Vec<u8>,
        after: &mut Vec<u8>,
        paint: &Paint,
        width: Option<u16>,
    ) -> Result<()> {
        let head = paint.tone(Tone::Strong, &format!("transaction {}", self.txn));
        let pages = counted(self.pages as u64, "page");
        writeln!(
            to,
            "{head}  {}, {pages}, database {}",
            self.frames_text(),
            counted(self.db_size_pages.into(), "page")
        )?;
        schema_change_lines(to, &self.schema_changes, "  ", paint, width)?;
        let names: Vec<String> = self
            .tables
            .iter()
            .map(|table| match &table.shadow_of {
                Some(shadowed) => format!("{} (of {})", escaped(&table.name), escaped(shadowed)),
                None => escaped(&table.name).into_owned(),
            })
            .collect();
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (table, name) in self.tables.iter().zip(&names) {
            let is_listed = shown.patch && table.inserted.is_some();
            if !is_listed {
                writeln!(to, "  {name:longest$}  {}", table.counts())?;
            }
        }
        if let Some(why) = &self.partial_because {
            let sentence = format!("partial: {why}");
            writeln!(to, "  {}", wrapped(&paint.tone(Tone::Notice, &sentence), 2, 2, width))?;
        } else if self.tables.is_empty() && self.schema_changes.is_empty() {
            writeln!(to, "  {}", paint.tone(Tone::Dim, "no row differs"))?;
        }
        after.push(b'\n');
        Ok(())
    }
}

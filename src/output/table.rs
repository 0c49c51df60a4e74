//! Small tables and lists of facts.

use comfy_table::{ContentArrangement, LineStyle, Table, presets};

/// A table with `head`; wraps to `width` where that is known.
#[must_use]
pub fn table(head: &[&str], width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(head.iter().copied());
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width);
    }
    table
}

/// Facts as two aligned columns, `name  value`, one a line.
#[must_use]
pub fn key_values(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    facts.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect()
}

//! Rows that two states of a table do not share.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::contents::{Contents, Row, apart};

/// For each table that has the same definition in both: what was `inserted`, `updated` and
/// `deleted` by rowid, or, where the rowid has no name or is none, what has `gone` and `come`;
/// whether its rowid is `hidden`, and whether it is `plain`: sessions see its rows as they are.
pub(super) fn of(from: &Path, to: &Path) -> Value {
    let (from, to) = (Contents::read(from), Contents::read(to));
    let mut counts = Vec::new();
    for (name, table) in &to.tables {
        let Some(before) = from.tables.get(name).filter(|it| it.sql == table.sql) else { continue };
        if table.sql.starts_with("CREATE VIRTUAL") {
            continue;
        }
        let (gone, come) = apart(&before.rows, &table.rows);
        let hidden = table.alias.is_none() && !table.without_rowid;
        let by_rowid = |rows: &[&Row]| -> Option<BTreeMap<i64, ()>> {
            rows.iter().map(|row| row.rowid.map(|rowid| (rowid, ()))).collect()
        };
        let mut count = match (by_rowid(&gone), by_rowid(&come)) {
            (Some(gone), Some(come)) if table.alias.is_some() => {
                let updated = gone.keys().filter(|rowid| come.contains_key(rowid)).count();
                json!({
                    "name": name,
                    "inserted": come.len() - updated,
                    "updated": updated,
                    "deleted": gone.len() - updated,
                })
            }
            _ => json!({"name": name, "gone": gone.len(), "come": come.len()}),
        };
        count["hidden"] = hidden.into();
        let quirks = [" COLLATE ", "\" REAL DEFAULT "];
        count["plain"] = (!quirks.iter().any(|quirk| table.sql.contains(quirk))).into();
        counts.push(count);
    }
    counts.into()
}

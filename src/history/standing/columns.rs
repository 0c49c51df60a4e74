//! The tables of the file and of the log, and the records of the log against the columns of the
//! tables that its pages belong to.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::database::check::{Health, Owner};
use crate::database::{self, EntryKind, Error, Pages, Schema, SchemaEntry, TableColumn, check};
use crate::format::btree::BtreeHeader;
use crate::format::record::{self, Value};
use crate::format::{FrameNo, PageKind, Pgno};
use crate::history::snapshot::Snapshot;
use crate::scan::Watch;

use super::structure::used_twice;
use super::{Evidence, MAX_PAGES, Pair, Reason, SpeaksFor};

/// The names of the tables of a schema, but for those of SQLite itself.
fn tables(schema: &Schema) -> HashSet<&str> {
    let tables = schema.entries.iter().filter(|entry| !entry.kind.is_statement());
    let own = |name: &str| !name.to_ascii_lowercase().starts_with("sqlite_");
    tables.filter(|entry| own(&entry.name)).map(|entry| entry.name.as_str()).collect()
}

/// Whether a later schema has a table of an earlier one, under its name or another, or a view or
/// trigger that stayed while all tables were dropped.
pub(super) fn share_a_table(earlier: &Schema, later: &Schema) -> bool {
    let stayed = |entry: &SchemaEntry| {
        entry.kind.is_statement()
            && later.entries.iter().any(|other| {
                (other.kind, other.row_id) == (entry.kind, entry.row_id) && other.sql == entry.sql
            })
    };
    !tables(earlier).is_disjoint(&tables(later))
        || earlier.entries.iter().any(|entry| stayed(entry) || renamed(entry, later).is_some())
}

/// Both have tables, and none in common.
pub(super) fn schemas(file: &Schema, both: &Schema) -> Option<Reason> {
    let (ours, theirs) = (tables(file), tables(both));
    let differ = !ours.is_empty() && !theirs.is_empty() && !share_a_table(file, both);
    differ.then(|| {
        let mut names: Vec<&str> = ours.iter().copied().collect();
        names.sort_unstable();
        Reason {
            speaks_for: SpeaksFor::Foreign,
            evidence: Evidence::Schema,
            table: None,
            page: None,
            count: ours.len() as u64,
            example: format!(
                "the log's schema has none of the file's tables, as {}",
                names.first().unwrap_or(&"")
            ),
        }
    })
}

/// How many statements lead from one schema to another without a table in common, at least: each
/// adds one to the schema cookie (build.c sqlite3ChangeCookie).
pub(super) fn statements_between(earlier: &Schema, later: &Schema) -> usize {
    let made = later.entries.iter().filter(|entry| !entry.sql.is_empty() && !is_of_sqlite(entry));
    // Indexes and triggers go with their table.
    let is_dropped = |entry: &&SchemaEntry| {
        entry.kind != EntryKind::Index && !entry.kind.is_statement() && !is_of_sqlite(entry)
    };
    earlier.entries.iter().filter(is_dropped).count() + made.count()
}

/// Whether a transaction may have dropped every table of the file, and made all that are there
/// after it: roots of the file are given up or written, and it has written, after the commit
/// `before`, every page of a table or index that the file does not have.
pub(super) fn are_replaced(
    file: &Schema,
    before: FrameNo,
    (state, over_file): (&Snapshot, &Health),
) -> bool {
    let dropped = file.entries.iter().filter(|entry| !is_of_sqlite(entry));
    let mut roots = dropped.filter_map(|entry| u32::try_from(entry.root).ok()).map(Pgno);
    let are_given_up = roots.all(|root| {
        let owner = over_file.owners.of(root);
        let is_free = matches!(owner, Owner::FreelistTrunk | Owner::FreelistLeaf);
        root.0 == 0 || is_free || root.0 > over_file.size_pages || state.pages.contains_key(&root)
    });
    // One of SQLite's own that has rows had those of the tables that were dropped.
    let stays = |root: Pgno| {
        let is_it = |entry: &&SchemaEntry| entry.root == i64::from(root.0);
        let own = file.entries.iter().filter(|entry| is_of_sqlite(entry)).find(is_it);
        let tree = over_file.trees.iter().find(|tree| tree.root == root);
        root == Pgno::FIRST || own.is_some_and(|_| tree.is_some_and(|tree| tree.rows == 0))
    };
    let is_written = |page: &Pgno| state.pages.get(page).is_some_and(|&frame| frame > before);
    let mut pages = (1..=over_file.size_pages).map(Pgno);
    are_given_up
        && pages.all(|page| match over_file.owners.of(page) {
            Owner::Btree(root) | Owner::Overflow(root) => stays(root) || is_written(&page),
            Owner::FreelistTrunk
            | Owner::FreelistLeaf
            | Owner::PointerMap
            | Owner::LockByte
            | Owner::Unknown => true,
        })
}

/// SQLite's own tables stay when those that they are about are dropped.
fn is_of_sqlite(entry: &SchemaEntry) -> bool {
    entry.kind.is_table() && entry.name.to_ascii_lowercase().starts_with("sqlite_")
}

/// A table of the file under its name in `both`: ALTER TABLE RENAME keeps its row of the schema,
/// and quotes the name (alter.c renameTableFunc).
fn renamed<'s>(entry: &SchemaEntry, both: &'s Schema) -> Option<&'s SchemaEntry> {
    both.entries.iter().filter(|_| !entry.columns.is_empty()).find(|other| {
        let quoted = format!("CREATE TABLE \"{}\"", other.name.replace('"', "\"\""));
        other.row_id == entry.row_id
            && other.columns == entry.columns
            && other.sql.starts_with(&quoted)
    })
}

/// The names in the file of the tables that have another in `both`.
pub(super) fn former_names(file: &Schema, both: &Schema) -> HashMap<String, String> {
    let pairs = file.entries.iter().filter_map(|entry| Some((entry, renamed(entry, both)?)));
    pairs.map(|(entry, other)| (other.name.clone(), entry.name.clone())).collect()
}

/// A row that cannot be one of its table.
struct Misfit<'s> {
    table: &'s str,
    root: Pgno,
    page: Pgno,
    row_id: i64,
    how: &'static str,
}

/// Rows in pages of the log that cannot be rows of their table, and that the file does not have in
/// it: SQLite writes a page with a row that was wrong before the log, too.
pub(super) fn records(
    pair: &Pair,
    both: &Health,
    schema: &Schema,
    watch: &dyn Watch,
) -> Result<Vec<Reason>, Error> {
    let in_log = pair.snapshot.pages.keys().take(MAX_PAGES).copied();
    let wrong = misfits(pair.both, both, schema, in_log)?;
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let file = check(&pair.file, watch)?;
    let in_file = (1..=pair.file.size_pages()?).map(Pgno);
    let in_file = misfits(&pair.file, &file, schema, in_file)?;
    let of_file: HashSet<(Pgno, i64, &str)> =
        in_file.iter().map(|it| (it.root, it.row_id, it.how)).collect();
    let twice: HashSet<Pgno> = used_twice(&file).collect();
    let mut found: BTreeMap<&str, Reason> = BTreeMap::new();
    for Misfit { table, root, page, row_id, how } in wrong {
        if twice.contains(&page) || of_file.contains(&(root, row_id, how)) {
            continue;
        }
        let add = |reason: &mut Reason| reason.count += 1;
        found.entry(table).and_modify(add).or_insert_with(|| Reason {
            speaks_for: SpeaksFor::Foreign,
            evidence: Evidence::Columns,
            table: Some(table.to_owned()),
            page: None,
            count: 1,
            example: format!("row {row_id} on page {page} of the log {how} {table}"),
        });
    }
    Ok(found.into_values().collect())
}

/// Such rows on some of the pages of a database.
fn misfits<'s>(
    all: &dyn Pages,
    health: &Health,
    schema: &'s Schema,
    pages: impl Iterator<Item = Pgno>,
) -> Result<Vec<Misfit<'s>>, Error> {
    let tables: HashMap<Pgno, (&str, &[TableColumn])> = schema
        .entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Table)
        .filter(|entry| !entry.columns.iter().any(|column| column.generated))
        .filter_map(|entry| {
            let root = Pgno(u32::try_from(entry.root).ok()?);
            Some((root, (entry.name.as_str(), entry.columns.as_slice())))
        })
        .collect();
    let page_size = all.page_size();
    let usable = page_size.in_memory() - usize::from(database::header(all)?.reserved_bytes);
    let mut image = vec![0; page_size.in_memory()];
    let mut found = Vec::new();
    for page in pages {
        let Owner::Btree(root) = health.owners.of(page) else { continue };
        let Some(&(table, columns)) = tables.get(&root) else { continue };
        all.read(page, &mut image)?;
        let Some(header) = BtreeHeader::decode(page, page_size, &image) else { continue };
        if header.kind != PageKind::TableLeaf {
            continue;
        }
        for offset in header.cell_offsets(&image).into_iter().take(page_size.in_memory() / 6) {
            let Some(cell) = header.cell(&image, offset, usable) else { continue };
            let local = image.get(cell.local.clone()).unwrap_or_default();
            let Some(how) = misfit(local, columns) else { continue };
            let row_id = cell.row_id.unwrap_or_default();
            found.push(Misfit { table, root, page, row_id, how });
        }
    }
    Ok(found)
}

/// How a record cannot be one of a table with these columns.
fn misfit(local: &[u8], columns: &[TableColumn]) -> Option<&'static str> {
    let values = record::values(local);
    if columns.is_empty() || values.is_empty() {
        return None;
    }
    if values.len() > columns.len() {
        return Some("has more columns than");
    }
    values.iter().zip(columns).find_map(|(value, column)| match value {
        Value::Int(_) | Value::Float(_) if column.text => Some("has a number in a text column of"),
        Value::Int(_) | Value::Float(_) | Value::Text { .. } | Value::Blob { .. }
            if column.row_id =>
        {
            Some("has a value in the row id column of")
        }
        Value::Null
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text { .. }
        | Value::Blob { .. }
        | Value::Unknown { .. } => None,
    })
}

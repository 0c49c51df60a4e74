//! The state of a check, and the rules that are about the database as a whole.

use std::collections::{HashMap, HashSet};

use crate::database::schema::{Schema, SchemaEntry, Statement};
use crate::database::{EntryKind, Error, Pages, TreeKind};
use crate::format::Pgno;
use crate::scan::Watch;

use super::automatic::{self, Automatic};
use super::entries::{KeySum, key_columns};
use super::pass::Pass;
use super::pointer_map::Use;
use super::problem::{HeaderField, StructureFault};
use super::tree::{Facts, Walk};
use super::{Entries, Health, Tree, Unchecked};

/// Newest schema format that SQLite reads (`SQLITE_MAX_FILE_FORMAT`).
const MAX_SCHEMA_FORMAT: u8 = 4;

/// A check under way.
pub(super) struct Checker<'a> {
    pub pass: Pass<'a>,
    trees: Vec<Planned>,
    unchecked: Vec<Unchecked>,
}

/// A b-tree of the schema, and what its statement says of it.
#[derive(Clone, Debug)]
struct Planned {
    tree: Tree,
    /// Its keys are surely in BINARY order.
    ordered: bool,
    /// It has an entry for every row of its table.
    whole: bool,
    /// Before the walk, sums over no keys; see [`Facts::keys`].
    keys: Vec<KeySum>,
    /// Which of its table's sums is that of this index.
    sum: Option<usize>,
    facts: Facts,
}

impl Planned {
    /// Whether the entries of this index have other keys than the rows of its table.
    fn has_other_keys_than(&self, table: &Facts) -> bool {
        let rows = self.sum.and_then(|sum| table.keys.get(sum));
        rows.zip(self.facts.keys.first()).is_some_and(|(rows, entries)| rows.differs_from(entries))
    }

    /// Whether the keys of the entries of this index and of the rows of its table could be read.
    fn has_known_keys(&self, table: Option<&Facts>) -> bool {
        let rows = self.sum.zip(table).and_then(|(sum, table)| table.keys.get(sum));
        let both = rows.zip(self.facts.keys.first());
        both.is_some_and(|(rows, entries)| rows.is_known() && entries.is_known())
    }

    /// What of its tree was not looked at, beside `table`.
    fn unchecked(&self, table: Option<&Facts>) -> impl Iterator<Item = Unchecked> {
        let (name, kind) = (&self.tree.name, self.tree.kind);
        let values = kind == TreeKind::Index && !self.has_known_keys(table);
        let order = kind != TreeKind::Table && !self.ordered;
        let records = self.facts.long_records;
        let found = [
            values.then(|| Unchecked::IndexValues { index: name.clone() }),
            order.then(|| Unchecked::KeyOrder { tree: name.clone() }),
            (records > 0).then(|| Unchecked::LongRecords { tree: name.clone(), records }),
        ];
        found.into_iter().flatten()
    }
}

/// What a table has twice, and may have once.
fn twice(table: &SchemaEntry) -> Option<&'static str> {
    let mut names = HashSet::new();
    let is_new = |name: &str| names.insert(name.to_ascii_lowercase());
    if !table.columns.iter().map(|column| column.name.as_str()).all(is_new) {
        return Some("a column twice");
    }
    let primary = table.constraints.iter().filter(|constraint| constraint.primary);
    (primary.count() > 1).then_some("two primary keys")
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        pages: &'a dyn Pages,
        entries: Entries,
        watch: &'a dyn Watch,
    ) -> Result<Self, Error> {
        let pass = Pass::new(pages, entries, watch)?;
        Ok(Self { pass, trees: Vec::new(), unchecked: Vec::new() })
    }

    /// Judges the header (btree.c lockBtree, prepare.c sqlite3InitOne); false when SQLite does not
    /// even look at the rest.
    pub(super) fn header(&mut self) -> bool {
        let wrong = |checker: &mut Self, field| {
            checker.pass.fault(Some(Pgno::FIRST), StructureFault::Header { field });
            false
        };
        if let Err(fault) = self.pass.header.validate() {
            return wrong(self, fault.into());
        }
        if self.pass.header.page_size() != Some(self.pass.layout.page_size) {
            return wrong(self, HeaderField::PageSize);
        }
        let [.., format] = self.pass.header.schema_format.to_be_bytes();
        if format > MAX_SCHEMA_FORMAT {
            wrong(self, HeaderField::SchemaFormat);
        }
        let size_pages = self.pass.size_pages;
        if let Some(header_pages) =
            self.pass.header.page_count().filter(|&pages| pages > size_pages)
        {
            self.pass
                .fault(Some(Pgno::FIRST), StructureFault::PageCount { header_pages, size_pages });
        }
        true
    }

    /// Takes the b-trees from the schema.
    pub(super) fn schema(&mut self, schema: &Schema) {
        self.trees.push(Planned {
            tree: Tree {
                name: "sqlite_schema".to_owned(),
                table: "sqlite_schema".to_owned(),
                kind: TreeKind::Table,
                root: Pgno::FIRST,
                pages: 0,
                rows: 0,
            },
            ordered: false,
            whole: false,
            keys: Vec::new(),
            sum: None,
            facts: Facts::default(),
        });
        self.pass.current = Some((Pgno::FIRST, "sqlite_schema".to_owned()));
        for &row_id in &schema.unclear {
            self.pass.fault(None, StructureFault::SchemaEntry { row_id });
        }
        let unordered: Vec<&str> = schema
            .entries
            .iter()
            .filter(|entry| entry.kind.is_table() && !entry.plain_order)
            .map(|entry| entry.name.as_str())
            .collect();
        let is_statement = |entry: &&SchemaEntry| entry.kind.is_statement();
        let statements = schema.entries.iter().filter(is_statement).count();
        let statements = u32::try_from(statements).unwrap_or(u32::MAX);
        self.unchecked.extend((statements > 0).then_some(Unchecked::Statements { statements }));
        let of_virtual = schema.entries.iter().filter(|entry| entry.kind == EntryKind::Virtual);
        let unchecked = of_virtual.map(|it| Unchecked::VirtualTable { table: it.name.clone() });
        self.unchecked.extend(unchecked);
        self.schema_rows(schema);
        // Sums over the rows of each table, for its indexes.
        let mut row_sums: HashMap<String, Vec<KeySum>> = HashMap::new();
        for entry in &schema.entries {
            let Some(kind) = entry.kind.tree() else { continue };
            let root = u32::try_from(entry.root).ok().map(Pgno);
            let fits = root.filter(|root| root.0 > 1 && root.0 <= self.pass.owners.size_pages());
            let Some(root) = fits else {
                self.pass.current = Some((Pgno::FIRST, entry.name.clone()));
                self.pass.fault(None, StructureFault::RootPage { root: entry.root });
                continue;
            };
            let (mut keys, mut sum) = (Vec::new(), None);
            if let Some(columns) = key_columns(schema, entry) {
                keys.push(KeySum::of_entries(columns.len()));
                let sums = row_sums.entry(entry.table.to_ascii_lowercase()).or_default();
                sum = Some(sums.len());
                sums.push(KeySum::of_rows(columns));
            }
            let of_plain = !unordered.iter().any(|name| name.eq_ignore_ascii_case(&entry.table));
            self.trees.push(Planned {
                tree: Tree {
                    name: entry.name.clone(),
                    table: entry.table.clone(),
                    kind,
                    root,
                    pages: 0,
                    rows: 0,
                },
                ordered: entry.plain_order && of_plain,
                whole: entry.statement != Statement::Partial,
                keys,
                sum,
                facts: Facts::default(),
            });
        }
        for planned in self.trees.iter_mut().filter(|planned| planned.tree.kind.is_table()) {
            let sums = row_sums.get(&planned.tree.name.to_ascii_lowercase());
            planned.keys = sums.cloned().unwrap_or_default();
        }
        self.pass.current = None;
    }

    /// Rows of the schema say what their statements say, each has a name of its own, and tables
    /// come before their indexes, which are those that their constraints need (prepare.c
    /// sqlite3InitCallback, build.c).
    fn schema_rows(&mut self, schema: &Schema) {
        let mut names: HashSet<String> = HashSet::new();
        let mut tables: HashSet<String> = HashSet::new();
        for entry in &schema.entries {
            self.pass.current = Some((Pgno::FIRST, entry.name.clone()));
            if !entry.agrees {
                self.pass.fault(None, StructureFault::SchemaRow);
            }
            let name = entry.name.to_ascii_lowercase();
            // The name of a view is not read.
            if !entry.kind.is_statement() && !names.insert(name.clone()) {
                self.pass.fault(None, StructureFault::SameName);
            }
            if !entry.is_understood {
                self.unchecked.push(Unchecked::Statement { name: entry.name.clone() });
            }
            if entry.kind == EntryKind::Index && !tables.contains(&entry.table.to_ascii_lowercase())
            {
                self.pass.fault(None, StructureFault::OrphanIndex { table: entry.table.clone() });
            }
            if !entry.kind.is_table() {
                continue;
            }
            tables.insert(name);
            if !entry.is_understood {
                continue;
            }
            if let Some(why) = twice(entry) {
                self.pass.fault(None, StructureFault::SchemaStatement { why });
            }
            match automatic::judge(schema, entry) {
                Automatic::Fit => {}
                Automatic::Differ { found, needed } => {
                    self.pass.fault(None, StructureFault::AutomaticIndexes { found, needed });
                }
                Automatic::Unknown => {
                    let table = entry.name.clone();
                    self.unchecked.push(Unchecked::AutomaticIndexes { table });
                }
            }
        }
    }

    /// Of the entries of indexes only the number counts, and the order of keys in no tree.
    pub(super) fn leave_entries_out(&mut self) {
        for planned in &mut self.trees {
            (planned.ordered, planned.sum) = (false, None);
            planned.keys.clear();
        }
    }

    /// Rules of auto-vacuum about roots.
    pub(super) fn roots(&mut self) -> Result<(), Error> {
        let largest = self.trees.iter().map(|planned| planned.tree.root.0).max().unwrap_or(1);
        if self.pass.pointer_map.is_none() {
            if self.pass.header.incremental_vacuum != 0 {
                self.pass.fault(Some(Pgno::FIRST), StructureFault::IncrementalVacuum);
            }
            return Ok(());
        }
        let header = self.pass.header.largest_root;
        if header != largest {
            self.pass.fault(Some(Pgno::FIRST), StructureFault::LargestRoot { header, largest });
        }
        for place in 1..self.trees.len() {
            let Some(planned) = self.trees.get(place) else { continue };
            let root = planned.tree.root;
            self.pass.current = Some((root, planned.tree.name.clone()));
            self.pass.pointer_map(root, Use::Root, Pgno(0))?;
        }
        self.pass.current = None;
        Ok(())
    }

    /// Walks every b-tree.
    pub(super) fn trees(&mut self) -> Result<(), Error> {
        let mut trees = std::mem::take(&mut self.trees);
        for planned in &mut trees {
            let tree = &mut planned.tree;
            self.pass.current = Some((tree.root, tree.name.clone()));
            self.pass.owners.begin_tree(tree.root);
            let keys = std::mem::take(&mut planned.keys);
            let walk = Walk::new(&mut self.pass, (tree.root, tree.kind), planned.ordered, keys);
            let facts = walk.run()?;
            (tree.pages, tree.rows) = (facts.pages, facts.rows);
            planned.facts = facts;
        }
        self.pass.current = None;
        self.trees = trees;
        Ok(())
    }

    /// An index has one entry for every row of its table (pragma.c, `wrong # of entries in index`),
    /// of no other row, and with the values of its row.
    pub(super) fn counts(&mut self) {
        let tables: HashMap<String, (TreeKind, Facts)> = self
            .trees
            .iter()
            .filter(|planned| planned.tree.kind.is_table())
            .map(|planned| {
                let name = planned.tree.name.to_ascii_lowercase();
                (name, (planned.tree.kind, planned.facts.clone()))
            })
            .collect();
        let of = |tree: &Tree| tables.get(&tree.table.to_ascii_lowercase()).map(|(_, facts)| facts);
        let unchecked = self.trees.iter().flat_map(|planned| planned.unchecked(of(&planned.tree)));
        self.unchecked.extend(unchecked);
        let mut found = Vec::new();
        for planned in self.trees.iter().filter(|planned| planned.whole) {
            let tree = &planned.tree;
            let table = tables.get(&tree.table.to_ascii_lowercase());
            let Some((kind, table)) = table.filter(|_| !tree.kind.is_table()) else { continue };
            let (entries, rows) = (planned.facts.rows, table.rows);
            let fault = if entries != rows {
                StructureFault::EntryCount { entries, rows }
            } else if *kind == TreeKind::Table
                && planned.facts.row_ids.zip(table.row_ids).is_some_and(|(ours, its)| ours != its)
            {
                StructureFault::EntryRows
            } else if planned.has_other_keys_than(table) {
                StructureFault::EntryValues
            } else {
                continue;
            };
            found.push(((tree.root, tree.name.clone()), fault));
        }
        for (tree, fault) in found {
            self.pass.current = Some(tree);
            self.pass.fault(None, fault);
        }
        self.pass.current = None;
    }

    /// Every page is used, and those of the pointer map for nothing else.
    pub(super) fn unused(&mut self) {
        let mut listed = Vec::new();
        let count = self.pass.owners.misused(|page, claimed| listed.push((page, claimed)));
        let unlisted = count - listed.len() as u64;
        for (page, claimed) in listed {
            let fault =
                if claimed { StructureFault::PointerMapUsed } else { StructureFault::NeverUsed };
            self.pass.fault(Some(page), fault);
        }
        self.pass.ledger.count += unlisted;
    }

    pub(super) fn finish(self) -> Health {
        Health {
            size_pages: self.pass.owners.size_pages(),
            problems: self.pass.ledger.problems,
            problem_count: self.pass.ledger.count,
            trees: self.trees.into_iter().map(|planned| planned.tree).collect(),
            unchecked: self.unchecked,
            owners: self.pass.owners,
        }
    }
}

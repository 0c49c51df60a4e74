//! The state of a check, and the rules that are about the database as a whole.

use std::collections::HashMap;

use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, Pgno};
use crate::scan::Watch;

use super::entries::{KeySum, key_columns};
use super::owners::{Owner, Owners, Refused};
use super::page::Layout;
use super::pointer_map::{self, PointerMap, Use};
use super::problem::{Fault, HeaderField, Ledger, Problem};
use super::schema::{Schema, Statement};
use super::tree::{Facts, Walk};
use super::{Error, Health, Pages, Tree, TreeKind};

/// Newest schema format that SQLite reads (`SQLITE_MAX_FILE_FORMAT`).
const MAX_SCHEMA_FORMAT: u8 = 4;

/// A check under way.
pub(super) struct Checker<'a> {
    pub pages: &'a dyn Pages,
    watch: &'a dyn Watch,
    pub header: DatabaseHeader,
    pub layout: Layout,
    pub owners: Owners,
    pub ledger: Ledger,
    pointer_map: Option<PointerMap>,
    trees: Vec<Planned>,
    /// The tree that faults are found in.
    current: Option<(Pgno, String)>,
    images: Vec<Vec<u8>>,
    read_pages: u64,
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
}

impl<'a> Checker<'a> {
    pub fn new(pages: &'a dyn Pages, watch: &'a dyn Watch) -> Result<Self, Error> {
        let page_size = pages.page_size();
        let mut image = vec![0; page_size.in_memory()];
        pages.read(Pgno::FIRST, &mut image)?;
        let bytes = image.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES]);
        let header = DatabaseHeader::decode(bytes);
        let usable = page_size.in_memory() - usize::from(header.reserved_bytes);
        let in_header = header.page_count();
        let size_pages = in_header.unwrap_or(pages.size_pages()).min(pages.size_pages());
        let map = (header.largest_root != 0).then(|| pointer_map::Layout::new(page_size, usable));
        Ok(Self {
            pages,
            watch,
            header,
            layout: Layout { page_size, usable },
            owners: Owners::new(page_size, size_pages, map),
            ledger: Ledger::default(),
            pointer_map: map.map(|map| PointerMap::new(map, page_size)),
            trees: Vec::new(),
            current: None,
            images: vec![image],
            read_pages: 0,
        })
    }

    /// Judges the header (btree.c lockBtree, prepare.c sqlite3InitOne); false when SQLite does not
    /// even look at the rest.
    pub fn header(&mut self) -> bool {
        let wrong = |checker: &mut Self, field| {
            checker.fault(Some(Pgno::FIRST), Fault::Header { field });
            false
        };
        if let Err(fault) = self.header.validate() {
            return wrong(self, fault.into());
        }
        if self.header.page_size() != Some(self.layout.page_size) {
            return wrong(self, HeaderField::PageSize);
        }
        let [.., format] = self.header.schema_format.to_be_bytes();
        if format > MAX_SCHEMA_FORMAT {
            wrong(self, HeaderField::SchemaFormat);
        }
        let size_pages = self.pages.size_pages();
        if let Some(header_pages) = self.header.page_count().filter(|&pages| pages > size_pages) {
            self.fault(Some(Pgno::FIRST), Fault::PageCount { header_pages, size_pages });
        }
        true
    }

    /// Takes the b-trees from the schema.
    pub fn schema(&mut self, schema: &Schema) {
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
        self.current = Some((Pgno::FIRST, "sqlite_schema".to_owned()));
        for &row_id in &schema.unclear {
            self.fault(None, Fault::SchemaEntry { row_id });
        }
        let unordered: Vec<&str> = schema
            .entries
            .iter()
            .filter(|entry| entry.kind.is_table() && !entry.plain_order)
            .map(|entry| entry.name.as_str())
            .collect();
        // Sums over the rows of each table, for its indexes.
        let mut row_sums: HashMap<String, Vec<KeySum>> = HashMap::new();
        for entry in &schema.entries {
            let Some(kind) = entry.kind.tree() else { continue };
            let root = u32::try_from(entry.root).ok().map(Pgno);
            let fits = root.filter(|root| root.0 > 1 && root.0 <= self.owners.size_pages());
            let Some(root) = fits else {
                self.current = Some((Pgno::FIRST, entry.name.clone()));
                self.fault(None, Fault::RootPage { root: entry.root });
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
        self.current = None;
    }

    /// Rules of auto-vacuum about roots.
    pub fn roots(&mut self) -> Result<(), Error> {
        let largest = self.trees.iter().map(|planned| planned.tree.root.0).max().unwrap_or(1);
        if self.pointer_map.is_none() {
            if self.header.incremental_vacuum != 0 {
                self.fault(Some(Pgno::FIRST), Fault::IncrementalVacuum);
            }
            return Ok(());
        }
        let header = self.header.largest_root;
        if header != largest {
            self.fault(Some(Pgno::FIRST), Fault::LargestRoot { header, largest });
        }
        for place in 1..self.trees.len() {
            let Some(planned) = self.trees.get(place) else { continue };
            let root = planned.tree.root;
            self.current = Some((root, planned.tree.name.clone()));
            self.pointer_map(root, Use::Root, Pgno(0))?;
        }
        self.current = None;
        Ok(())
    }

    /// Walks every b-tree.
    pub fn trees(&mut self) -> Result<(), Error> {
        let mut trees = std::mem::take(&mut self.trees);
        for planned in &mut trees {
            let tree = &mut planned.tree;
            self.current = Some((tree.root, tree.name.clone()));
            self.owners.begin_tree(tree.root);
            let keys = std::mem::take(&mut planned.keys);
            let facts = Walk::new(self, (tree.root, tree.kind), planned.ordered, keys).run()?;
            (tree.pages, tree.rows) = (facts.pages, facts.rows);
            planned.facts = facts;
        }
        self.current = None;
        self.trees = trees;
        Ok(())
    }

    /// An index has one entry for every row of its table (pragma.c, `wrong # of entries in index`),
    /// of no other row, and with the values of its row.
    pub fn counts(&mut self) {
        let tables: HashMap<String, (TreeKind, Facts)> = self
            .trees
            .iter()
            .filter(|planned| planned.tree.kind.is_table())
            .map(|planned| {
                let name = planned.tree.name.to_ascii_lowercase();
                (name, (planned.tree.kind, planned.facts.clone()))
            })
            .collect();
        let mut found = Vec::new();
        for planned in self.trees.iter().filter(|planned| planned.whole) {
            let tree = &planned.tree;
            let table = tables.get(&tree.table.to_ascii_lowercase());
            let Some((kind, table)) = table.filter(|_| !tree.kind.is_table()) else { continue };
            let (entries, rows) = (planned.facts.rows, table.rows);
            let fault = if entries != rows {
                Fault::EntryCount { entries, rows }
            } else if *kind == TreeKind::Table
                && planned.facts.row_ids.zip(table.row_ids).is_some_and(|(ours, its)| ours != its)
            {
                Fault::EntryRows
            } else if planned.has_other_keys_than(table) {
                Fault::EntryValues
            } else {
                continue;
            };
            found.push(((tree.root, tree.name.clone()), fault));
        }
        for (tree, fault) in found {
            self.current = Some(tree);
            self.fault(None, fault);
        }
        self.current = None;
    }

    /// Every page is used, and those of the pointer map for nothing else.
    pub fn unused(&mut self) {
        let mut listed = Vec::new();
        let count = self.owners.misused(|page, claimed| listed.push((page, claimed)));
        let unlisted = count - listed.len() as u64;
        for (page, claimed) in listed {
            let fault = if claimed { Fault::PointerMapUsed } else { Fault::NeverUsed };
            self.fault(Some(page), fault);
        }
        self.ledger.count += unlisted;
    }

    pub fn finish(self) -> Health {
        Health {
            size_pages: self.owners.size_pages(),
            problems: self.ledger.problems,
            problem_count: self.ledger.count,
            trees: self.trees.into_iter().map(|planned| planned.tree).collect(),
            owners: self.owners,
        }
    }

    pub fn fault(&mut self, page: Option<Pgno>, fault: Fault) {
        let (root, name) = self.current.clone().unzip();
        self.ledger.add(Problem { page, root, name, fault });
    }

    /// Claims `target`, to which `page` refers; false when that cannot be.
    pub fn claim(&mut self, page: Pgno, target: Pgno, owner: Owner) -> bool {
        match self.owners.claim(target, owner) {
            Ok(()) => true,
            Err(Refused::NoSuchPage) => {
                self.fault(Some(page), Fault::NoSuchPage { target });
                false
            }
            Err(Refused::UsedTwice) => {
                self.fault(Some(page), Fault::UsedTwice { target });
                false
            }
        }
    }

    /// The pointer map, where there is one, knows `target` as `kind` below `parent`.
    pub fn pointer_map(&mut self, target: Pgno, kind: Use, parent: Pgno) -> Result<(), Error> {
        let Some(map) = &mut self.pointer_map else { return Ok(()) };
        let found = map.entry(self.pages, target)?.unwrap_or((0, Pgno(0)));
        if found != (kind.code(), parent) {
            let wanted_kind = kind.code();
            let fault = Fault::PointerMap {
                target,
                kind: found.0,
                parent: found.1,
                wanted_kind,
                wanted_parent: parent,
            };
            self.fault(Some(target), fault);
        }
        Ok(())
    }

    /// Reads a page that was claimed.
    pub fn read(&mut self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        let page_bytes = self.layout.page_size.bytes_u64();
        let total = u64::from(self.owners.size_pages()) * page_bytes;
        if self.read_pages.is_multiple_of(256)
            && self.watch.scanned(self.read_pages * page_bytes, total).is_break()
        {
            return Err(Error::Interrupted);
        }
        self.read_pages += 1;
        self.pages.read(page, image)
    }

    /// A buffer of one page.
    pub fn take_image(&mut self) -> Vec<u8> {
        self.images.pop().unwrap_or_else(|| vec![0; self.layout.page_size.in_memory()])
    }

    pub fn put_image(&mut self, image: Vec<u8>) {
        self.images.push(image);
    }
}

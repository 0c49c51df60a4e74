//! Pages of the log against the pages of the file that are above them, for databases that are too
//! large to be checked as a whole.
//!
//! The interior pages of a b-tree are a hundredth of it. They are walked from the roots that the
//! schema names; a leaf is read only where the log holds it. What the log puts there must be a page
//! of that kind, with row ids within the bounds of the page above; and no page of the log may be a
//! b-tree page that no b-tree has.

use std::collections::HashSet;

use crate::database::{self, Error, Pages as _, Schema, TreeKind};
use crate::format::btree::{BtreeHeader, MAX_LEVELS};
use crate::format::{PageKind, Pgno};
use crate::scan::Watch;

use super::links::{self, PageLink};
use super::{Evidence, MAX_PAGES, Pair, Reason, SpeaksFor};

/// Most interior pages that are read.
const MAX_INTERIOR: usize = 8192;
/// Most trunks of the freelist that are read.
const MAX_TRUNKS: usize = 1024;
/// From here on the first byte of an overflow page may be that of a b-tree page.
const FIRST_UNCLEAR_PAGE: u32 = 0x0200_0000;

/// What the log has in a place of the file where it cannot be.
struct Misplaced {
    table: String,
    evidence: Evidence,
    page: Pgno,
    parent: Option<Pgno>,
    count: u64,
}

/// Walks the b-trees of the log over the file.
struct Walk<'a> {
    pair: &'a Pair<'a>,
    watch: &'a dyn Watch,
    image: Vec<u8>,
    interior: usize,
    judged: usize,
    /// Pages of the log that a b-tree has.
    reached: HashSet<Pgno>,
    /// Every page that a b-tree has was told.
    is_whole: bool,
    misplaced: Vec<Misplaced>,
}

/// One contradiction for each table and kind of it; or else one for the pages of the log that
/// belong to no b-tree.
pub(super) fn hold(pair: &Pair, schema: &Schema, watch: &dyn Watch) -> Result<Vec<Reason>, Error> {
    let mut walk = Walk {
        pair,
        watch,
        image: vec![0; pair.shape.page_size().in_memory()],
        interior: 0,
        judged: 0,
        reached: HashSet::new(),
        is_whole: schema.unclear.is_empty(),
        misplaced: Vec::new(),
    };
    walk.tree("sqlite_schema", Pgno::FIRST, TreeKind::Table)?;
    for entry in &schema.entries {
        let (Some(kind), Ok(root)) = (entry.kind.tree(), u32::try_from(entry.root)) else {
            continue;
        };
        walk.tree(&entry.table, Pgno(root), kind)?;
    }
    let homeless = walk.homeless()?;
    Ok(walk.misplaced.into_iter().map(Reason::from).chain(homeless).collect())
}

impl Walk<'_> {
    fn tree(&mut self, table: &str, root: Pgno, kind: TreeKind) -> Result<(), Error> {
        let of_table = kind == TreeKind::Table;
        let link = PageLink { child: root, table: of_table, above: None, up_to: None };
        let mut open = vec![(link, None, 1)];
        while let Some((link, parent, level)) = open.pop() {
            if self.watch.is_interrupted() {
                return Err(Error::Interrupted);
            }
            let Some(children) = self.page(table, &link, parent)? else { continue };
            if level >= MAX_LEVELS {
                self.is_whole = false;
                continue;
            }
            let are_leaves = self.are_leaves(&children)?;
            for child in children {
                // All leaves are equally far from the root: those of the file are not read.
                if !are_leaves {
                    open.push((child, Some(link.child), level + 1));
                } else if self.is_in_log(child.child) {
                    self.page(table, &child, Some(link.child))?;
                }
            }
        }
        Ok(())
    }

    /// Judges the page of `link` where the log holds it and the file what is above. Its children,
    /// if it has some.
    fn page(
        &mut self,
        table: &str,
        link: &PageLink,
        parent: Option<Pgno>,
    ) -> Result<Option<Vec<PageLink>>, Error> {
        let (page, page_size) = (link.child, self.pair.shape.page_size());
        let is_in_log = self.is_in_log(page);
        if is_in_log && !self.reached.insert(page) {
            self.is_whole = false;
            return Ok(None);
        }
        let is_between = is_in_log && !self.is_in_log(parent.unwrap_or(Pgno::FIRST));
        self.pair.both.read(page, &mut self.image)?;
        let header = BtreeHeader::decode(page, page_size, &self.image);
        if is_between && self.judged < MAX_PAGES {
            self.judged += 1;
            let wrong = links::judge(self.pair, link, &self.image);
            if let Some(evidence) = wrong.filter(|_| page != Pgno::FIRST)
                && !self.is_wrong_in_file(link)?
            {
                self.add(Misplaced { table: table.to_owned(), evidence, page, parent, count: 1 });
                return Ok(None);
            }
        }
        match header.map(|header| header.kind) {
            Some(PageKind::TableInterior) if link.table => {}
            Some(PageKind::IndexInterior) if !link.table => {}
            Some(PageKind::TableLeaf | PageKind::IndexLeaf) => return Ok(None),
            _ => {
                self.is_whole = false;
                return Ok(None);
            }
        }
        self.interior += 1;
        if self.interior > MAX_INTERIOR {
            self.is_whole = false;
            return Ok(None);
        }
        Ok(Some(links::children(self.pair, page, &self.image)))
    }

    /// Whether the children of a page are leaves; told by the first one that the file holds.
    fn are_leaves(&mut self, children: &[PageLink]) -> Result<bool, Error> {
        let first = children.iter().find(|link| !self.is_in_log(link.child));
        let Some(first) = first.or(children.first()) else { return Ok(true) };
        self.pair.both.read(first.child, &mut self.image)?;
        let header = BtreeHeader::decode(first.child, self.pair.shape.page_size(), &self.image);
        let kind = header.map(|header| header.kind);
        Ok(matches!(kind, Some(PageKind::TableLeaf | PageKind::IndexLeaf)))
    }

    /// Whether the file's own page is no better there: then the file alone is no sound database.
    fn is_wrong_in_file(&mut self, link: &PageLink) -> Result<bool, Error> {
        self.pair.file.read(link.child, &mut self.image)?;
        Ok(links::judge(self.pair, link, &self.image).is_some())
    }

    fn is_in_log(&self, page: Pgno) -> bool {
        self.pair.snapshot.pages.contains_key(&page)
    }

    fn add(&mut self, found: Misplaced) {
        let same =
            |one: &&mut Misplaced| one.table == found.table && one.evidence == found.evidence;
        match self.misplaced.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => self.misplaced.push(found),
        }
    }

    /// B-tree pages of the log that are in no b-tree and not free, where nothing else is wrong.
    fn homeless(&mut self) -> Result<Option<Reason>, Error> {
        let pair = self.pair;
        if !self.is_whole || !self.misplaced.is_empty() || pair.size_pages >= FIRST_UNCLEAR_PAGE {
            return Ok(None);
        }
        let header = database::header(pair.both)?;
        let page_size = pair.shape.page_size();
        let usable = page_size.in_memory() - usize::from(header.reserved_bytes);
        let is_of_map =
            |page| header.largest_root != 0 && database::is_pointer_map(page_size, usable, page);
        let is_left = |page: Pgno| {
            pair.snapshot.pages.contains_key(&page)
                && !self.reached.contains(&page)
                && !is_of_map(page)
        };
        let trunk = Pgno(header.first_trunk);
        let (free, is_all) = database::free_pages(pair.both, trunk, MAX_TRUNKS, is_left)?;
        if !is_all {
            return Ok(None);
        }
        let free: HashSet<Pgno> = free.into_iter().collect();
        let left = pair.snapshot.pages.keys().copied().filter(|page| is_left(*page));
        let left: Vec<Pgno> = left.filter(|page| !free.contains(page)).take(MAX_PAGES).collect();
        let mut found: Option<Reason> = None;
        for page in left {
            pair.both.read(page, &mut self.image)?;
            let header = BtreeHeader::decode(page, page_size, &self.image);
            if !header.is_some_and(|header| header.fits(&self.image)) {
                continue;
            }
            let known = found.get_or_insert_with(|| Reason {
                speaks_for: SpeaksFor::Foreign,
                evidence: Evidence::PageUse,
                table: None,
                page: Some(page),
                count: 0,
                example: format!("page {page} of the log is of a b-tree, and no b-tree has it"),
            });
            known.count += 1;
        }
        Ok(found)
    }
}

impl From<Misplaced> for Reason {
    fn from(found: Misplaced) -> Self {
        let Misplaced { table, evidence, page, parent, count } = found;
        let place = match parent {
            Some(parent) => format!("below page {parent} of the file"),
            None => "where the file has the root of a b-tree".to_owned(),
        };
        let what = match evidence {
            Evidence::Order => "with row ids that cannot be there",
            _ => "and is no such page",
        };
        Self {
            speaks_for: SpeaksFor::Foreign,
            evidence,
            table: Some(table),
            page: Some(page),
            count,
            example: format!("page {page} of the log is {place}, {what}"),
        }
    }
}

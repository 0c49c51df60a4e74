//! Whether one image can be a page of its database.

use crate::database::PageLayout;
use crate::format::{DatabaseHeader, PageSize, Pgno};

use super::{page, pointer_map};

/// What the rules of a b-tree page say of an image; the better, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Soundness {
    /// It begins as a b-tree page, and breaks a rule.
    Unsound,
    /// It is no b-tree page: the rules say nothing.
    Other,
    /// A b-tree page that breaks no rule.
    Sound,
}

/// The rules for the pages of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRules {
    layout: PageLayout,
    has_pointer_map: bool,
}

impl PageRules {
    /// For a database with that header; `None` where the header is not one, or not for that page
    /// size.
    #[must_use]
    pub fn of(header: &DatabaseHeader, page_size: PageSize) -> Option<Self> {
        let fits = header.validate().is_ok() && header.page_size() == Some(page_size);
        let usable = page_size.in_memory() - usize::from(header.reserved_bytes);
        let has_pointer_map = header.largest_root != 0;
        fits.then_some(Self { layout: PageLayout { page_size, usable }, has_pointer_map })
    }

    /// Judges an image of `page`.
    #[must_use]
    pub fn soundness(&self, page: Pgno, image: &[u8]) -> Soundness {
        let PageLayout { page_size, usable } = self.layout;
        // Its first entry may begin as a b-tree page does.
        if self.has_pointer_map && pointer_map::is_pointer_map(page_size, usable, page) {
            return Soundness::Other;
        }
        match page::check(page, self.layout, image) {
            Ok(checked) if checked.faults.is_empty() => Soundness::Sound,
            Ok(_) => Soundness::Unsound,
            Err(page::StructureFault::Kind { .. }) => Soundness::Other,
            Err(_) => Soundness::Unsound,
        }
    }
}

//! Pages of an earlier state that a checkpoint has overwritten. What is in the database file cannot
//! be taken out of it again.

use std::collections::BTreeMap;
use std::fmt;

use crate::format::{Checksum, DatabaseHeader, FrameNo, Pgno};
use crate::scan::{Error, Watch};

use super::image_sums::ImageSums;
use super::view::View;

/// What shows that a page of an earlier state is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The file has the image of this later frame.
    Copied {
        /// The page.
        page: Pgno,
        /// The frame.
        frame: FrameNo,
    },
    /// The file ends before it.
    CutOff {
        /// The page.
        page: Pgno,
    },
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copied { page, frame } => write!(f, "page {page} is there as of frame {frame}"),
            Self::CutOff { page } => write!(f, "page {page} was cut off"),
        }
    }
}

/// What an earlier state takes from the database file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenFromFile {
    /// It takes a page from there that a later frame has, so that a checkpoint may have changed it.
    pub any: bool,
    /// The first that is gone.
    pub gone: Option<Gone>,
}

/// Looks at the pages that the state of `view` takes from its base, and that frames after it up to
/// `mx_frame` have. `page_1` is the header of the state, where the log has it.
///
/// # Errors
/// When a file cannot be read.
pub fn taken_from_file(
    view: &View<'_>,
    page_1: Option<&DatabaseHeader>,
    mx_frame: u32,
    watch: &dyn Watch,
) -> Result<TakenFromFile, Error> {
    let (Some(base), Some((log, shape))) = (view.base, view.log) else {
        return Ok(TakenFromFile::default());
    };
    // Before the first transaction the size is that of the base, whatever it was.
    let size = view.snapshot.db_size_pages.unwrap_or(u32::MAX);
    let later = FrameNo(view.snapshot.to_frame + 1)..FrameNo(mx_frame + 1);
    let images = ImageSums::of(log, shape, base, page_1)?;
    let mut in_file: BTreeMap<Pgno, Option<Checksum>> = BTreeMap::new();
    for facts in shape.facts(log, later, watch) {
        let facts = facts?;
        let page = facts.header.page;
        if page.0 > size || view.snapshot.pages.contains_key(&page) {
            continue;
        }
        let sum = match in_file.get(&page) {
            Some(sum) => *sum,
            None => images.of_page(page)?,
        };
        in_file.insert(page, sum);
        if sum == Some(images.of_frame(&facts)?) {
            let gone = Some(Gone::Copied { page, frame: facts.frame });
            return Ok(TakenFromFile { any: true, gone });
        }
    }
    let base_pages = base.size()? / shape.page_size().bytes_u64();
    let cut = in_file.keys().find(|page| u64::from(page.0) > base_pages);
    let cut = cut.filter(|_| view.snapshot.db_size_pages.is_some());
    let gone = cut.map(|&page| Gone::CutOff { page });
    Ok(TakenFromFile { any: !in_file.is_empty(), gone })
}

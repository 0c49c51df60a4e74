//! Commits that a damaged log has lost: were they copied into the database file before that?
//!
//! Then the file is no longer what the rest of the log was written on, and a state of that rest
//! over the file is none that ever was.

use std::collections::HashMap;

use crate::format::{Checksum, FrameNo, Pgno};
use crate::log::Examination;
use crate::log::link::Link;
use crate::scan::{Error, Watch};
use crate::storage::File;

use super::image_sums::ImageSums;

/// The first page of `database` that has the image of a frame of a lost commit, and that frame. A
/// page that has the image of a frame before the damage as well says nothing.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn copied_into(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<Option<(Pgno, FrameNo)>, Error> {
    let (Some(shape), Some(last)) = (examination.shape, examination.tail.last_lost_commit) else {
        return Ok(None);
    };
    let images = ImageSums::of(log, &shape, database, None)?;
    let mut copied: HashMap<Pgno, (Checksum, FrameNo)> = HashMap::new();
    for slot in examination.slots_after_prefix(log, last, watch) {
        let judged = slot?.judged;
        let page = judged.header.page;
        if matches!(judged.link, Link::Blank | Link::Foreign) || copied.contains_key(&page) {
            continue;
        }
        let in_frame = images.of_frame(&judged.facts)?;
        if images.of_page(page)? == Some(in_frame) {
            copied.insert(page, (in_frame, judged.facts.frame));
        }
    }
    if copied.is_empty() {
        return Ok(None);
    }
    let seen = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    for facts in examination.facts(log, seen, watch) {
        let facts = facts?;
        let page = facts.header.page;
        let is_known = |image: Checksum| copied.get(&page).is_some_and(|it| it.0 == image);
        if copied.contains_key(&page) && is_known(images.of_frame(&facts)?) {
            copied.remove(&page);
        }
    }
    Ok(copied.into_iter().map(|(page, (_, frame))| (page, frame)).min())
}

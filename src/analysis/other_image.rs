//! Another image of a damaged frame's page that gives the frame's stored sum: proof of what the
//! right bytes are, though the frame itself does not hold them.

use crate::format::{Checksum, FrameNo};
use crate::scan::{Error, FrameFacts, Nobody, Watch};
use crate::storage::File;

use super::link::Link;
use super::tail::{Break, Tail};
use super::{Certainty, LogShape, Prefix};

/// Where the right image of a damaged frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// In another frame of the log.
    Frame(FrameNo),
    /// In the database file.
    Database,
}

/// Looks for the image that the frame at the stop should have, and sharpens `tail` when it is found.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn sharpen(
    tail: &mut Tail,
    log: &dyn File,
    database: Option<&dyn File>,
    shape: &LogShape,
    prefix: &Prefix,
    watch: &dyn Watch,
) -> Result<(), Error> {
    let doubtful = match tail.broken {
        Break::None | Break::Losing(Certainty::Proven) => false,
        Break::Torn | Break::Losing(Certainty::Possible | Certainty::Likely) => true,
    };
    let broken = matches!(tail.stop_link, Some(Link::Broken { .. }));
    let stop = prefix.stop.frame;
    let facts = shape.facts(log, stop..stop.next(), &Nobody).next().transpose()?;
    let Some(facts) = facts.filter(|facts| doubtful && broken && facts.header.page.0 != 0) else {
        return Ok(());
    };
    let Some(source) = find(&facts, log, database, shape, prefix.end_sum, watch)? else {
        return Ok(());
    };
    tail.stop_image = Some(source);
    if facts.commit_size_pages().is_some() {
        tail.last_lost_commit = tail.last_lost_commit.max(Some(stop));
    }
    if tail.last_lost_commit.is_some() {
        tail.broken = Break::Losing(Certainty::Proven);
    }
    Ok(())
}

fn find(
    facts: &FrameFacts,
    log: &dyn File,
    database: Option<&dyn File>,
    shape: &LogShape,
    before: Checksum,
    watch: &dyn Watch,
) -> Result<Option<ImageSource>, Error> {
    let joiner = shape.joiner();
    let fits = |image_sum| joiner.follows(&joiner.with_image(facts, image_sum), before);
    if let Some(database) = database {
        let mut image = vec![0; shape.page_size().in_memory()];
        let offset = facts.header.page.offset_bytes(shape.page_size());
        let whole = database.read_at(&mut image, offset)? == image.len();
        if whole && fits(Checksum::ZERO.update(shape.order, &image)) {
            return Ok(Some(ImageSource::Database));
        }
    }
    for other in shape.facts(log, FrameNo::FIRST..shape.extent.end(), watch) {
        let other = other?;
        if other.header.page == facts.header.page && fits(joiner.image_sum(&other)) {
            return Ok(Some(ImageSource::Frame(other.frame)));
        }
    }
    Ok(None)
}

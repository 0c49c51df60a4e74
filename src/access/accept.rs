//! Earlier states of which not everything is known.

use clap::Args;

use crate::format::Pgno;
use crate::history::past::Past;

use super::Context;

/// Pages that a warning names.
const NAMED: usize = 8;

/// What is accepted of earlier states.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct AcceptArgs {
    /// Show states although log and file do not seem to belong together
    #[arg(long)]
    pub accept_foreign: bool,
    /// Take pages for what they were before the log where that is likely, but not known
    #[arg(long)]
    pub accept_likely: bool,
}

impl AcceptArgs {
    /// Earlier states, as far as they are accepted.
    #[must_use]
    pub fn of<'p>(self, past: Past<'p>) -> Past<'p> {
        if self.accept_likely { past.accepting_likely() } else { past }
    }
}

/// Says which pages of the file were taken for what they were before the log because that is
/// likely; whether there are any. The answer is not complete then.
pub fn tell_likely(past: &Past<'_>, context: &Context) -> bool {
    let pages = past.likely_pages();
    if pages.is_empty() {
        return false;
    }
    let named: Vec<String> = pages.iter().take(NAMED).map(Pgno::to_string).collect();
    let more = if pages.len() > NAMED { ", .." } else { "" };
    let (noun, them) = if pages.len() == 1 { ("page", "it") } else { ("pages", "them") };
    context.warn(format!(
        "{noun} {}{more} of the file may have been changed by a checkpoint that was cut short; \
         rows on {them} are what they were only if none was",
        named.join(", "),
    ));
    true
}

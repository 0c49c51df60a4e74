//! What is done to a log and to its database by checkpoints.

use fastrand::Rng;

use super::pages;
use super::set::{FRAME_HEADER_BYTES, Set, WAL_HEADER_BYTES};

/// What was done, and what is left.
#[derive(Default)]
pub(super) struct Harm {
    /// In a few words.
    pub(super) kinds: Vec<&'static str>,
    /// With its numbers.
    pub(super) told: String,
    /// The last state that SQLite sees.
    pub(super) known: u32,
    /// The file has pages of this state.
    pub(super) copied: u32,
    /// The log shows that commits are lost.
    pub(super) is_loss: bool,
    /// Commits are lost, and the log does not show it: it may be one that a crash has left.
    pub(super) is_hidden_loss: bool,
    /// Pages of the file that were damaged.
    pub(super) damaged: Vec<u32>,
}

impl Harm {
    fn enter(&mut self, kind: &'static str, told: String) {
        self.kinds.push(kind);
        self.told += &format!("{kind} ({told}); ");
    }

    pub(super) fn name(&self) -> String {
        self.kinds.join(" + ")
    }
}

/// Harms a set in one or two ways; checkpoints have copied as much as commit `copied`.
pub(super) fn inflict(set: &Set, states: &std::path::Path, copied: u32, random: &mut Rng) -> Harm {
    let mut harm = Harm { known: set.last(), copied, ..Harm::default() };
    if copied > 0 {
        harm.enter("checkpointed", format!("to {copied}"));
    }
    let kind = random.u32(..130);
    if kind >= 100 {
        power_loss(set, &mut harm, random);
        return harm;
    }
    if (0..25).contains(&kind) || (70..80).contains(&kind) {
        crash(set, &mut harm, random);
    }
    if (25..45).contains(&kind) || (70..90).contains(&kind) {
        damage_log(set, &mut harm, random);
    }
    if (45..70).contains(&kind) || kind >= 80 {
        pages::damage(set, states, &mut harm, random);
    }
    if set.index().exists() && random.u32(..3) == 0 {
        set.remove_index();
        harm.enter("no index", String::new());
    }
    harm
}

/// When a checkpoint ran: the last commit that was in the log, and the last one that readers let it
/// copy. What has been copied before, up to `copied`, stays so.
fn moment(set: &Set, copied: u32, random: &mut Rng) -> (u32, u32) {
    let least = copied.max(1);
    let now = random.u32(least..=set.last());
    (now, if random.bool() { now } else { random.u32(least..=now) })
}

/// A process has died amid a checkpoint.
fn crash(set: &Set, harm: &mut Harm, random: &mut Rng) {
    let (now, safe) = moment(set, harm.copied, random);
    let count = set.copy_pages(safe, now, 0);
    let pages = if random.u32(..4) == 0 { count } else { random.usize(..=count) };
    set.copy_pages(safe, now, pages);
    // Whoever comes next recovers the log, and takes it that all of it may have been copied.
    let attempted = if now == set.last() { safe } else { now };
    let has_index = set.set_backfill(attempted, (pages == count && random.bool()).then_some(safe));
    harm.copied = harm.copied.max(safe);
    let index = if has_index { "" } else { ", no index" };
    harm.enter("crash", format!("{pages} of {count} pages to {safe} of {now}{index}"));
}

/// The power was lost amid a checkpoint: any of its pages are in the file, and the index is as old
/// as it may be, or not there.
fn power_loss(set: &Set, harm: &mut Harm, random: &mut Rng) {
    let (now, safe) = moment(set, harm.copied, random);
    let percent = random.u32(10..95);
    let mut pages = 0;
    let count = set.copy_those(safe, now, |_| {
        let is_taken = random.u32(..100) < percent;
        pages += usize::from(is_taken);
        is_taken
    });
    harm.copied = harm.copied.max(safe);
    harm.enter("power loss", format!("{pages} of {count} pages to {safe} of {now}"));
}

/// What is done to the bytes of a log.
type Change = Box<dyn FnOnce(&mut Vec<u8>)>;

fn damage_log(set: &Set, harm: &mut Harm, random: &mut Rng) {
    let frames = set.frames.len();
    let first_of_last = set.ends[set.ends.len() - 2] + 1;
    let any = random.usize(1..=frames);
    let slot = FRAME_HEADER_BYTES + set.page_bytes;
    let (frame, kind, change): (usize, _, Change) = match random.u32(..8) {
        0 => {
            let at = set.offset(any) + random.usize(FRAME_HEADER_BYTES..slot);
            let bit = 1 << random.u32(..8);
            (any, "byte flipped in a page of the log", Box::new(move |log| log[at] ^= bit))
        }
        1 => {
            let at = set.offset(any) + random.usize(..FRAME_HEADER_BYTES);
            let bit = 1 << random.u32(..8);
            (any, "byte flipped in a frame header", Box::new(move |log| log[at] ^= bit))
        }
        2 => {
            let end = set.offset(any) + random.usize(..slot);
            (any, "log cut", Box::new(move |log| log.truncate(end)))
        }
        3 => {
            let range = set.offset(any)..set.offset(any) + random.usize(1..=3 * slot);
            let zero = move |log: &mut Vec<u8>| {
                let end = range.end.min(log.len());
                log[range.start..end].fill(0);
            };
            (any, "log zeroed", Box::new(zero))
        }
        4 => {
            let at = set.offset(any) + 8;
            let salt = random.u64(..).to_le_bytes();
            let other = move |log: &mut Vec<u8>| log[at..at + 8].copy_from_slice(&salt);
            (any, "other salts", Box::new(other))
        }
        5 => {
            let from = set.offset(any);
            let salt = random.u64(..).to_le_bytes();
            let other = move |log: &mut Vec<u8>| {
                for header in log[from..].chunks_mut(slot) {
                    header[8..16].copy_from_slice(&salt);
                }
            };
            (any, "other salts from there on", Box::new(other))
        }
        6 => {
            let at = random.usize(..WAL_HEADER_BYTES);
            (1, "byte flipped in the log header", Box::new(move |log| log[at] ^= 1))
        }
        _ => {
            let torn = random.usize(first_of_last..=frames);
            let range = set.offset(torn) + random.usize(8..slot)..set.offset(torn) + slot;
            (torn, "last commit torn", Box::new(move |log| log[range].fill(0xa5)))
        }
    };
    Set::rewrite(&set.log(), change);
    let known = set.commits_before(frame);
    harm.known = known;
    let is_seen = !matches!(kind, "log cut" | "last commit torn" | "other salts from there on");
    // Zeros are as long as three frames, and an intact commit must come after them.
    let reaches = if kind == "log zeroed" { frame + 3 } else { frame };
    harm.is_loss |= is_seen && reaches < first_of_last;
    harm.is_hidden_loss |= !harm.is_loss && known < set.last();
    harm.enter(kind, format!("frame {frame} of {frames}, {known} commits are left"));
}

impl Harm {
    /// A page of the file was damaged.
    pub(super) fn damage(&mut self, kind: &'static str, page: u32, of: &str) {
        self.damaged.push(page);
        self.enter(kind, format!("page {page}, {of}"));
    }
}

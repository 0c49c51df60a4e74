//! What nobody can see: damage that leaves files as SQLite itself could have left them. Claims
//! about them are counted apart.

use std::ops::Range;

use super::damage::Set;

/// Bytes of a frame that are few enough to be found again. What is put there is judged apart.
const FEW_BYTES: usize = 64;
/// Of these, in its header: one of an older frame differs in more.
const FEW_HEADER_BYTES: usize = 8;

/// Why a claim that is false of the undamaged database is none that the files refute.
pub(super) fn excuse(set: &Set<'_>) -> Option<&'static str> {
    let unseen = || unseen_frame(set).then_some("a frame has the same sum as before");
    let mended = || {
        let mended = without_small_damage(set);
        let is_left = mended.wal != set.content.wal && left_by_sqlite(&mended).is_some();
        is_left.then_some("as SQLite leaves it, but for damage that can be mended")
    };
    left_by_sqlite(set).or_else(unseen).or_else(mended)
}

/// The end was cut off, or damage is left that no sum shows, and the result is right otherwise.
pub(super) fn excuse_of_result(
    set: &Set<'_>,
    written: &[u8],
    is_claim: bool,
) -> Option<&'static str> {
    if is_claim && is_cut_at(set, written) {
        return Some("cut at a commit, and all other damage is mended");
    }
    is_left_unseen(set, written).then_some("the rest of the damage adds nothing to the sum")
}

/// Whether `written` is the state at a commit after which the log was cut, in the next transaction
/// or before it: whoever gives that has mended all that can be.
fn is_cut_at(set: &Set<'_>, written: &[u8]) -> bool {
    let Set { content, wal, .. } = set;
    let all = content.frames.len();
    let commits: Vec<usize> = (1..=all).filter(|&it| content.frames[it - 1].commits).collect();
    let is_left = |commit: usize| {
        let at = content.frames[commit - 1].at;
        wal.windows(24).any(|head| head == &content.wal[at..at + 24])
    };
    let has_room = |commit: usize| wal.len() >= 32 + commit * (24 + content.page_bytes);
    let last = commits.iter().rposition(|&commit| content.state(commit) == written);
    last.is_some_and(|last| {
        let next = &commits[last + 1..];
        next.first().is_some_and(|&commit| !has_room(commit)) && !next.iter().any(|it| is_left(*it))
    })
}

/// Whether all that is wrong in `written` is damage that was there, and that no sum shows: in each
/// such page nothing was changed but what is right now, and its frame follows as it is given.
fn is_left_unseen(set: &Set<'_>, written: &[u8]) -> bool {
    let Set { content, wal, .. } = set;
    let page_bytes = content.page_bytes;
    let truth = content.state(content.frames.len());
    let last = content.last_writers(content.frames.len());
    let is_unseen = |page: usize| {
        let given = page * page_bytes..(page + 1) * page_bytes;
        let Some(&frame) = u32::try_from(page + 1).ok().and_then(|number| last.get(&number)) else {
            return false;
        };
        let image = content.image_range(frame);
        let Some(damaged) = wal.get(image.clone()) else { return false };
        let pairs = written[given.clone()].iter().zip(&truth[given.clone()]).zip(damaged);
        let mut mended = wal.clone();
        mended[image].copy_from_slice(&written[given]);
        pairs.into_iter().all(|((is, was), damaged)| is == was || is == damaged)
            && content.links(&mended, frame) == Some(true)
    };
    let wrong = written.chunks(page_bytes).zip(truth.chunks(page_bytes)).enumerate();
    let mut wrong = wrong.filter(|(_, (is, was))| is != was).map(|(page, _)| page).peekable();
    written.len() == truth.len() && wrong.peek().is_some() && wrong.all(is_unseen)
}

/// The set with its own header, and with frames as they were of which few bytes are other ones.
/// What else is damaged is seen as little as without that.
fn without_small_damage<'c>(set: &Set<'c>) -> Set<'c> {
    let (mut mended, wal) = (set.clone(), &set.content.wal);
    let slot_bytes = 24 + set.content.page_bytes;
    let Some((header, slots)) = mended.wal.split_at_mut_checked(32) else { return mended };
    header.copy_from_slice(&wal[..32]);
    for (slot, was) in slots.chunks_exact_mut(slot_bytes).zip(wal[32..].chunks_exact(slot_bytes)) {
        let differ = |range: Range<usize>| {
            let pairs = slot[range.clone()].iter().zip(&was[range]);
            pairs.filter(|(byte, was)| byte != was).count()
        };
        if differ(0..24) <= FEW_HEADER_BYTES && differ(0..slot_bytes) <= FEW_BYTES {
            slot.copy_from_slice(was);
        }
    }
    mended
}

/// Whether a frame is damaged, and its sum is right all the same. The sums are linear: equal faults
/// of the highest bit, in words of which an even number counts an odd number of times, are none.
fn unseen_frame(set: &Set<'_>) -> bool {
    let Set { content, wal, .. } = set;
    (0..content.frames.len()).any(|frame| {
        let at = content.frames[frame].at;
        let slot = at..content.image_range(frame).end;
        wal.get(slot.clone()).is_some_and(|bytes| *bytes != content.wal[slot])
            && wal.get(at + 8..at + 24) == Some(&content.wal[at + 8..at + 24])
            && content.links(wal, frame) == Some(true)
    })
}

/// Why SQLite itself could have left these files, with nothing damaged.
fn left_by_sqlite(set: &Set<'_>) -> Option<&'static str> {
    let Set { content, database, wal } = set;
    if *database != content.database {
        return None;
    }
    let copied = content.frames_copied;
    let copied_bytes = 32 + copied * (24 + content.page_bytes);
    let same = wal.iter().zip(&content.wal).take_while(|(one, two)| one == two).count();
    let is_old_from = |at: usize| {
        let older = content.previous.get(at..).unwrap_or_default();
        at <= same && older.starts_with(&wal[at..])
    };
    let ends = || content.commit_ends().filter(|&end| end >= copied_bytes && end <= wal.len());
    if copied == 0 && is_old_from(0) {
        return Some("the log as it was before its reset");
    }
    if let Some(end) = ends().find(|&end| is_old_from(end)) {
        let is_cut = wal.len() == end;
        return Some(if is_cut { "cut at a commit" } else { "the log as it was at a commit" });
    }
    if ends().any(|end| end <= same && wal[end..].iter().all(|&byte| byte == 0)) {
        return Some("zeros from a commit on");
    }
    let slot_bytes = 24 + content.page_bytes;
    let border = same.saturating_sub(32) / slot_bytes * slot_bytes + 32;
    if same >= copied_bytes && is_old_from(same) {
        let is_border = same == border;
        return Some(match is_border {
            true => "as a crash leaves it between two frames of a transaction",
            false => "as a crash leaves it in a frame of a transaction",
        });
    }
    let are_moved = |slots: usize| {
        let older = content.previous.get(border + slots * slot_bytes..).unwrap_or_default();
        border <= wal.len() && older.starts_with(&wal[border..])
    };
    if border >= copied_bytes && (1..4).any(are_moved) {
        return Some("as a crash leaves it, but for older frames that are moved by whole slots");
    }
    // What older frames hold is nothing to anybody, so that damage of them tells nothing.
    let later = (border + slot_bytes..wal.len().saturating_sub(16)).step_by(slot_bytes);
    let are_older = later.clone().all(|at| wal[at + 8..at + 16] != wal[16..24]);
    let is_in_order = same >= copied_bytes && same < wal.len() && wal[..32] == content.wal[..32];
    (is_in_order && are_older && later.count() > 0 && !content.previous.is_empty())
        .then_some("as a crash leaves it in a frame, but for older frames that are damaged, too")
}

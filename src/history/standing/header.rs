//! Page 1 of the file against page 1 in the log (`engine/PROTOCOL.md`, Whose log is it?).

use crate::database::{self, Error};
use crate::format::{DatabaseHeader, FrameNo, Pgno};

use super::beginning::Beginning;
use super::{Evidence, Pair, Reason, SpeaksFor};

/// `beginning` is what the log says of the state that it was written on.
pub(super) fn compare(pair: &Pair, beginning: &Beginning) -> Result<Vec<Reason>, Error> {
    let both = database::header(pair.both)?;
    let mut reasons = Vec::new();
    reasons.extend(size(pair, &both));
    let file = database::header(&pair.file)?;
    // What is no database yet, or no longer, says nothing.
    if pair.snapshot.pages.contains_key(&Pgno::FIRST) && file.validate().is_ok() {
        reasons.extend(settings(&file, &both));
        reasons.extend(counters(&file, &both));
    }
    reasons.extend(mode(pair, &file, beginning)?);
    if file.validate().is_ok() && file.is_wal() {
        reasons.extend(continuity(pair, &file, beginning)?);
        reasons.extend(beginning.sizes(pair, &file)?);
    }
    Ok(reasons)
}

/// Page 1 of the file says rollback mode, and no page 1 of the log does: a log is opened only after
/// the file says WAL mode, and one that outlives it has the page 1 by which it was left (vdbe.c
/// OP_JournalMode).
fn mode(
    pair: &Pair,
    file: &DatabaseHeader,
    beginning: &Beginning,
) -> Result<Option<Reason>, Error> {
    let is_rollback = (file.write_version, file.read_version) == (1, 1);
    if !is_rollback || file.validate().is_err() || !beginning.is_known(pair) {
        return Ok(None);
    }
    for &frame in &beginning.firsts {
        if pair.header_in(frame)?.is_none_or(|in_log| !in_log.is_wal()) {
            return Ok(None);
        }
    }
    let example = "page 1 of the file says rollback mode, and no page 1 of the log does";
    Ok(Some(against(Evidence::Header, example.to_owned())))
}

/// Another page size: nothing else can be compared.
pub(super) fn page_size(pair: &Pair) -> Result<Option<Reason>, Error> {
    let file = database::header(&pair.file)?;
    let (in_file, in_log) = (file.page_size(), pair.shape.page_size());
    let other = in_file.filter(|&in_file| file.validate().is_ok() && in_file != in_log);
    Ok(other.map(|in_file| {
        let example = format!("pages have {in_file} bytes in the file and {in_log} in the log");
        against(Evidence::Header, example)
    }))
}

fn against(evidence: Evidence, example: String) -> Reason {
    Reason { speaks_for: SpeaksFor::Foreign, evidence, table: None, page: None, count: 1, example }
}

/// Page 1 is written with every change of the database's size (btree.c allocateBtreePage), so it
/// agrees with the commit size wherever both are to be trusted, and no page that the log writes
/// lies after the end that it knows.
fn size(pair: &Pair, both: &DatabaseHeader) -> Vec<Reason> {
    let counted = both.page_count().filter(|_| both.validate().is_ok());
    let (Some(committed), Some(counted)) = (pair.snapshot.db_size_pages, counted) else {
        return Vec::new();
    };
    let mut reasons = Vec::new();
    if counted != committed {
        let example = format!("page 1 counts {counted} pages, the log commits {committed}");
        reasons.push(against(Evidence::CommitSize, example));
    }
    let beyond = pair.snapshot.pages.range(Pgno(counted.saturating_add(1))..);
    let count = beyond.clone().count() as u64;
    if let Some((page, frame)) = beyond.into_iter().next() {
        let example = format!("frame {frame} writes page {page}, but page 1 counts only {counted}");
        reasons.push(Reason { count, ..against(Evidence::PageUse, example) });
    }
    reasons
}

/// Whether the last commit has another size than page 1 of the log counts: that says nothing about
/// the file.
///
/// # Errors
/// When the page cannot be read.
pub(super) fn log_contradicts_itself(pair: &Pair) -> Result<bool, Error> {
    let both = database::header(pair.both)?;
    let is_counted = pair.snapshot.pages.contains_key(&Pgno::FIRST) && both.validate().is_ok();
    let counted = both.page_count().filter(|_| is_counted);
    Ok(counted.is_some_and(|counted| pair.snapshot.db_size_pages != Some(counted)))
}

/// Settings that only VACUUM or an application that brands its files changes. They are one
/// contradiction however many they are.
fn settings(file: &DatabaseHeader, log: &DatabaseHeader) -> Option<Reason> {
    let fields = [
        ("text encoding", file.text_encoding, log.text_encoding),
        ("application id", file.application_id, log.application_id),
    ];
    // A file of one page may have none of them yet: the log defines them.
    let mut differing: Vec<String> = fields
        .iter()
        .filter(|(_, file, log)| *file != 0 && file != log)
        .map(|(name, file, log)| format!("the {name} is {file} in the file and {log} in the log"))
        .collect();
    let kind = |header: &DatabaseHeader| match header.largest_root {
        0 => "no",
        _ => "a",
    };
    if file.page_count().is_some_and(|pages| pages > 1) && kind(file) != kind(log) {
        let (file, log) = (kind(file), kind(log));
        differing.push(format!("the file has {file} pointer map, the log {log} one"));
    }
    if file.reserved_bytes != log.reserved_bytes {
        let (file, log) = (file.reserved_bytes, log.reserved_bytes);
        differing.push(format!("pages reserve {file} bytes in the file and {log} in the log"));
    }
    let count = differing.len() as u64;
    let example = differing.into_iter().next()?;
    Some(Reason { count, ..against(Evidence::Header, example) })
}

/// The change counter and the schema cookie of the newest page 1 are not before those of the file,
/// which is older or a copy of a frame.
fn counters(file: &DatabaseHeader, log: &DatabaseHeader) -> Option<Reason> {
    let fields = [
        ("change counter", file.change_counter, log.change_counter),
        ("schema cookie", file.schema_cookie, log.schema_cookie),
    ];
    // They wrap around.
    let back = |file: u32, log: u32| file.wrapping_sub(log).cast_signed() > 0;
    let mut older = fields.iter().filter(|(_, file, log)| back(*file, *log));
    let (name, in_file, in_log) = older.next()?;
    let example = format!("the {name} is {in_file} in the file and only {in_log} in the log");
    Some(Reason { count: 1 + older.count() as u64, ..against(Evidence::Counters, example) })
}

/// A commit that writes page 1 gives it the counter that the connection last read, and one more
/// (pager.c pager_write_changecounter): from one page 1 to the next it goes up by one, or not at
/// all where the same connection writes again. So page 1 of the file is one of the log's, or has
/// the counter of the first of them or the one before it.
fn continuity(
    pair: &Pair,
    file: &DatabaseHeader,
    beginning: &Beginning,
) -> Result<Option<Reason>, Error> {
    let known = |frame: &FrameNo| frame.0 <= pair.snapshot.to_frame;
    let Some(first) = beginning.firsts.first().copied().filter(known) else { return Ok(None) };
    let in_file = file.change_counter;
    let Some(in_log) = pair.header_in(first)? else { return Ok(None) };
    let in_log = in_log.change_counter;
    let reason =
        |speaks_for, example| Reason { speaks_for, ..against(Evidence::Counters, example) };
    // They wrap around.
    let ahead = in_file.wrapping_sub(in_log).cast_signed();
    Ok(match ahead {
        _ if beginning.has_page_1 => Some(reason(
            SpeaksFor::Same,
            format!("the change counter of the file, {in_file}, is one of the log's"),
        )),
        -1 => Some(reason(
            SpeaksFor::Same,
            format!(
                "the change counter of the file is {in_file}, and the log's first, in frame \
                 {first}, is the next"
            ),
        )),
        // The same connection may have written both.
        0 => None,
        ..0 => Some(reason(
            SpeaksFor::Foreign,
            format!(
                "the change counter of the file is {in_file}, and the log's first, in frame \
                 {first}, is {in_log}: what came between is missing"
            ),
        )),
        // Of a log whose pages the file has, page 1 of the file is damaged, or a later one.
        1.. if !beginning.is_uncopied(pair) => None,
        1.. => Some(reason(
            SpeaksFor::Foreign,
            format!(
                "the change counter of the file is {in_file}, on a page 1 that the log does not \
                 have; the log's first, in frame {first}, has {in_log}"
            ),
        )),
    })
}

/// How far the change counter of the file is ahead of the log's newest; `None` where page 1 is not
/// in the log, or the file has it from there. A later file has no smaller one.
pub(super) fn ahead_of_newest(pair: &Pair, beginning: &Beginning) -> Result<Option<i32>, Error> {
    let (file, both) = (database::header(&pair.file)?, database::header(pair.both)?);
    let is_told = pair.snapshot.pages.contains_key(&Pgno::FIRST) && !beginning.has_page_1;
    let are_valid = file.validate().is_ok() && both.validate().is_ok();
    let ahead = file.change_counter.wrapping_sub(both.change_counter).cast_signed();
    Ok((is_told && are_valid).then_some(ahead))
}

//! What the human view says of many logs: one line a log, and how many there are of each verdict.

use crate::log::Verdict;
use crate::output::quantity::{bytes, counted, grouped};
use crate::output::{Heading, Room, Table};

use super::FileReport;

/// The table: one line a log.
pub(super) fn table(files: &[&FileReport]) -> Table {
    let mut rows = Table::new([
        Heading::text("log", Room::Broken),
        Heading::text("verdict", Room::Always),
        Heading::number("frames", Room::IfWide(3)),
        Heading::number("committed", Room::IfWide(4)),
        Heading::number("txns", Room::IfWide(2)),
        Heading::number("page size", Room::IfWide(0)),
        Heading::number("size", Room::IfWide(1)),
    ]);
    for file in files {
        rows.row([
            file.wal.to_string(),
            file.verdict.word().to_owned(),
            number(file.slot_frames),
            number(file.mx_frame),
            number(file.transactions),
            number(file.page_size_bytes),
            file.file_bytes.map_or("-".to_owned(), bytes),
        ]);
    }
    rows
}

fn number(count: Option<u32>) -> String {
    count.map_or("-".to_owned(), |count| grouped(count.into()))
}

/// `12 logs: 10 clean, 1 damaged, 1 unreadable`, worst last; directories are no logs.
pub(super) fn summary(files: &[FileReport]) -> String {
    const ORDER: [Verdict; 8] = [
        Verdict::Clean,
        Verdict::Empty,
        Verdict::Absent,
        Verdict::UncommittedTail,
        Verdict::TornTail,
        Verdict::BadHeader,
        Verdict::Damaged,
        Verdict::Unreadable,
    ];
    let logs = || files.iter().filter(|file| !file.is_directory);
    let counts = ORDER.into_iter().filter_map(|verdict| {
        let count = logs().filter(|file| file.verdict == verdict).count();
        (count > 0).then(|| format!("{} {}", grouped(count as u64), verdict.word()))
    });
    let counts: Vec<String> = counts.collect();
    let all = counted(logs().count() as u64, "log");
    let logs = if counts.is_empty() { all } else { format!("{all}: {}", counts.join(", ")) };
    match files.iter().filter(|file| file.is_directory).count() {
        0 => logs,
        1 => format!("{logs}; 1 directory could not be searched"),
        many => format!("{logs}; {} directories could not be searched", grouped(many as u64)),
    }
}

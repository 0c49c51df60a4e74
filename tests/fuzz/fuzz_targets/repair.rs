//! Plans for edited logs: they keep what they promise and can be carried out; and what a plan calls
//! lossless is what stood there before the damage.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use walsmith::format::{FrameNo, Pgno};
use walsmith::history::standing;
use walsmith::history::view::View;
use walsmith::log::{Examination, ExamineOptions, LogShape, Verdict, examine, examine_with};
use walsmith::repair::plan::choice::choose;
use walsmith::repair::plan::{Action, CandidateKind, Plan, Restored};
use walsmith::scan::Nobody;
use walsmith::storage::File;
use walsmith::storage::overlay::Overlay;
use walsmith_fuzz::file;
use walsmith_fuzz::fixture::{Fixture, replayed};
use walsmith_fuzz::log::{Edit, Files};

/// Larger databases are not written out.
const MOST_BYTES: u64 = 1 << 22;

#[derive(Arbitrary, Debug)]
struct Input {
    fixture: Fixture,
    /// What has happened to the files before the damage.
    history: Vec<Edit>,
    damage: Vec<Damage>,
}

/// One byte is written over a part of an image, once. Other bytes, and two runs in one image, could
/// be made to look like one wrong word, which no disk does.
#[derive(Arbitrary, Debug)]
struct Damage {
    frame: u8,
    at: u16,
    byte: u8,
    length: u8,
}

fuzz_target!(|input: Input| {
    let (database, wal) = input.fixture.files();
    let whole = Files { database: database.to_vec(), wal: wal.to_vec() }.edited(&input.history);
    let mut frames: Vec<usize> = Vec::new();
    let apart = input.damage.iter().filter(|damage| {
        let frame = whole.frame(damage.frame);
        let is_apart = frames.iter().all(|other| other.abs_diff(frame) > 1);
        frames.push(frame);
        is_apart
    });
    let damage: Vec<_> = apart.map(Damage::edit).collect();
    let damaged = whole.clone().edited(&damage);
    let (log, base) = (file(&damaged.wal), file(&damaged.database));
    let options = ExamineOptions { database: Some(&base), ..ExamineOptions::default() };
    let examination = examine_with(&log, options, &Nobody).unwrap();
    let plan = Plan::of(&log, &examination, Some(&base), &Nobody).unwrap();
    let Some(shape) = &examination.shape else {
        assert!(plan.steps.is_empty());
        return;
    };
    promises(&plan, &examination);
    let pages = BTreeSet::new();
    let view = |restored| of(restored, (&log, shape), &base, &pages);
    let views: Vec<_> = plan.candidates.iter().map(|candidate| view(&candidate.restored)).collect();
    let choices = choose(&plan, &views, None, &Nobody).unwrap();
    let chosen = choices.iter().filter(|choice| choice.chosen).count();
    assert_eq!(chosen, usize::from(!choices.is_empty()), "{choices:?}");
    let result = view(&plan.restored);
    standing::judge(&result, standing::Depth::States, &Nobody).unwrap();
    if result.size_bytes().unwrap() <= MOST_BYTES {
        let repaired = written(&result, &damaged.database);
        // A step of that kind assumes that a checkpoint has copied all or nothing; an edit need
        // not.
        let trusts_file = plan.steps.iter().any(|step| step.action == Action::SkipCopied);
        if plan.is_lossless() && !trusts_file && is_clean(&whole) {
            assert!(repaired == replayed(&whole.database, &whole.wal), "{plan:#?}");
        }
    }
});

impl Damage {
    fn edit(&self) -> Edit {
        let bytes = vec![self.byte; usize::from(self.length % 61)];
        Edit::Bytes { frame: self.frame, at: self.at, bytes }
    }
}

/// What a plan says of itself agrees with itself and with the log.
fn promises(plan: &Plan, examination: &Examination) {
    let end = examination.shape.map_or(0, |shape| shape.extent.slot_frames);
    for step in &plan.steps {
        assert!(!step.lossless || step.proof.is_some(), "{step:?}");
        // The cut may be behind the last slot, where a part of one stands.
        assert!(step.frame.is_none_or(|frame| (1..=end + 1).contains(&frame.0)), "{step:?}");
    }
    let gives_up = |action| matches!(action, Action::DropBehind | Action::TakeOldPages);
    assert!(plan.steps.iter().all(|step| !(step.lossless && gives_up(step.action))), "{plan:#?}");
    assert!(!plan.is_lossless() || plan.candidates.is_empty(), "{plan:#?}");
    assert!(plan.error_bound.is_none_or(|bound| bound >= 0.0 && bound.is_finite()));
    if let Some(last) = plan.candidates.last() {
        assert_eq!(last.kind, CandidateKind::SqliteView);
        assert_eq!(last.restored.snapshot.to_frame, examination.prefix.mx_frame);
    }
    let candidates = plan.candidates.iter().map(|candidate| &candidate.restored);
    for restored in candidates.chain([&plan.restored]) {
        let snapshot = &restored.snapshot;
        assert!(snapshot.to_frame <= end);
        assert_eq!(snapshot.db_size_pages.is_some(), snapshot.to_frame > 0);
        let size_pages = snapshot.db_size_pages.unwrap_or(0);
        for (page, frame) in &snapshot.pages {
            assert!((1..=size_pages).contains(&page.0), "page {page} of {size_pages}");
            assert!((1..=snapshot.to_frame).contains(&frame.0), "frame {frame}");
        }
    }
    // Only a database that is newer than its log gives less than SQLite keeps.
    assert!(plan.restored.snapshot.to_frame >= examination.prefix.mx_frame);
}

fn of<'a>(
    restored: &'a Restored,
    (log, shape): (&'a dyn File, &'a LogShape),
    base: &'a dyn File,
    base_pages: &'a BTreeSet<Pgno>,
) -> View<'a> {
    View {
        fixes: &restored.fixes,
        base_pages,
        page_count: restored.page_count,
        ..View::plain(log, shape, &restored.snapshot, Some(base))
    }
}

/// The database that the view gives.
fn written(view: &View<'_>, database: &[u8]) -> Vec<u8> {
    let target = Overlay::new(Box::new(file(database))).unwrap();
    let mut image = vec![0; view.page_size.in_memory()];
    for page in view.changed_pages() {
        view.read(page, &mut image).unwrap();
        target.write_at(&image, page.offset_bytes(view.page_size)).unwrap();
    }
    target.truncate(view.size_bytes().unwrap()).unwrap();
    let mut bytes = vec![0; usize::try_from(target.size().unwrap()).unwrap()];
    target.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Nothing is wrong in a log before its damage, and its database never shrinks: SQLite may show any
/// old content of pages that are cut off, come back and are not written.
fn is_clean(files: &Files) -> bool {
    let log = file(&files.wal);
    let found = examine(&log, &Nobody).unwrap();
    let Some(shape) = found.shape.filter(|_| found.verdict == Verdict::Clean) else { return false };
    let committed = FrameNo::FIRST..FrameNo(found.prefix.mx_frame + 1);
    let facts = shape.facts(&log, committed, &Nobody);
    facts.filter_map(|facts| facts.unwrap().commit_size_pages()).is_sorted()
}

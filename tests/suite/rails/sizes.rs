//! Sizes that contradict each other.

use std::fs;
use std::path::Path;

use walsmith::format::{Checksum, FrameHeader, WalHeader};

use super::{assert_all_refuse, grown, refused, rules};
use crate::support::{beside, rows, text, walsmith};

/// Rewrites the frames of a log and chains them again.
pub(crate) fn rechained(
    wal: &[u8],
    mut change: impl FnMut(usize, &mut FrameHeader, &mut [u8]),
) -> Vec<u8> {
    let header = WalHeader::decode(wal.first_chunk().unwrap());
    let slot = usize::try_from(header.page_size().unwrap().slot_bytes()).unwrap();
    let mut sum: Checksum = header.checksum;
    let mut out = wal[..32].to_vec();
    for (number, frame) in wal[32..].chunks_exact(slot).enumerate() {
        let (head, image) = frame.split_first_chunk::<24>().unwrap();
        let mut head = FrameHeader::decode(head);
        let mut image = image.to_vec();
        change(number + 1, &mut head, &mut image);
        head.checksum = head.sum_from(sum, header.byte_order(), &image);
        sum = head.checksum;
        out.extend_from_slice(&head.encode());
        out.extend_from_slice(&image);
    }
    out
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let frames = |wal: &[u8]| (wal.len() - 32) / 4120;
    let commit = |size: u32| {
        move |wal: &[u8]| {
            let last = frames(wal);
            rechained(wal, |number, head, _| {
                if number == last {
                    head.commit_size_pages = size;
                }
            })
        }
    };
    type Damage = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let count = |wal: &[u8]| {
        rechained(wal, |_, head, image| {
            if head.page.0 == 1 {
                image[28..32].copy_from_slice(&500_u32.to_be_bytes());
            }
        })
    };
    let cases: [(Damage, &str, bool); 3] = [
        (Box::new(commit(20)), "page 1 counts", true),
        (Box::new(count), "page 1 counts 500 pages", true),
        (Box::new(commit(5000)), "the last commit says 5000 pages", false),
    ];
    for (damage, rule, may_be_accepted) in cases {
        let (_folder, database, wal) = grown();
        fs::write(beside(&database, "-wal"), damage(&wal)).unwrap();
        assert_all_refuse(&database, rule, may_be_accepted);
        let (seen, exit) = walsmith(&["verify-checksums", text(&database)]);
        assert_eq!(
            (seen["files"][0]["findings"][0]["rule"].as_str(), exit),
            (Some("sizes-contradict"), 1),
            "{seen:#}"
        );
        let (seen, exit) = walsmith(&["info", text(&database)]);
        assert_eq!(
            (seen["findings"][0]["rule"].as_str(), exit),
            (Some("sizes-contradict"), 1),
            "{seen:#}"
        );
        assert_repairs(&database, "601");
    }
}

/// Repair finds the one size that gives a sound database.
fn assert_repairs(database: &Path, count: &str) {
    let (plan, exit) = walsmith(&["repair", text(database)]);
    assert_eq!((plan["plan"].as_array().unwrap().len(), exit), (1, 1), "{plan:#}");
    let fixed = database.with_extension("fixed");
    let apply = ["repair", "--apply", "--force", "--output", text(&fixed), text(database)];
    let (done, exit) = walsmith(&apply);
    assert_eq!((done["lossless"].as_bool(), exit), (Some(true), 0), "{done:#}");
    assert_eq!(rows(&fixed, "SELECT count(*) FROM t").trim(), format!("[{count}]"));
    assert_eq!(rows(&fixed, "PRAGMA integrity_check").trim(), r#"["ok"]"#);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&fixed, suffix));
    }
    let before = fs::read(database).unwrap();
    let (done, exit) = walsmith(&["repair", "--apply", "--in-place", text(database)]);
    assert_eq!((done["applied"].as_bool(), exit), (Some(true), 0), "{done:#}");
    let (done, exit) = walsmith(&["undo", text(database)]);
    assert_eq!(exit, 0, "{done:#}");
    assert_eq!(fs::read(database).unwrap(), before);
}

#[test]
fn a_file_that_is_shorter_or_longer_than_its_header_says_is_not_healthy() {
    let (_folder, database, _) = grown();
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let bytes = fs::read(&database).unwrap();
    for (count, rule) in [(1_u32, "sizes-contradict"), (500, "file-short")] {
        let mut changed = bytes.clone();
        changed[28..32].copy_from_slice(&count.to_be_bytes());
        fs::write(&database, changed).unwrap();
        let (seen, exit) = walsmith(&["info", text(&database)]);
        assert_eq!((rules(&seen), exit), (vec![rule.to_owned()], 1), "{seen:#}");
        let copy = database.with_extension("copy");
        refused(&["replay", "--output", text(&copy)], &database, "page 1 counts");
        assert_repairs(&database, "300");
    }
}

//! The structure check on edited databases: it ends and does not panic; so does a comparison of
//! their rows.

#![no_main]

use libfuzzer_sys::arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use walsmith::database::check::MAX_PROBLEMS;
use walsmith::database::{FilePages, Rows, check, row_changes};
use walsmith::format::{DatabaseHeader, PageSize, Pgno};
use walsmith::scan::Nobody;
use walsmith_fuzz::fixture::Fixture;
use walsmith_fuzz::{file, overwrite};

#[derive(Arbitrary, Debug)]
struct Input {
    database: Database,
    edits: Vec<Edit>,
}

#[derive(Arbitrary, Debug)]
enum Database {
    Fixture(Fixture),
    /// Bytes behind the header of the format.
    Bytes(Vec<u8>),
}

/// Something that is done to a database. Pages are counted from 0, around its end.
#[derive(Arbitrary, Debug)]
enum Edit {
    /// A two-byte field of a page: of its header, its cell pointers, its cells.
    Short { page: u8, at: u16, value: u16 },
    /// A four-byte field: a child, an overflow page, a word of the database header.
    Word { page: u8, at: u16, value: u32 },
    /// A small page number in such a field.
    Reference { page: u8, at: u16, value: u8 },
    /// Bytes of a page.
    Bytes { page: u8, at: u16, bytes: Vec<u8> },
    /// A page stands where another was.
    Copy { from: u8, to: u8 },
    /// The end is cut off, or zeros follow.
    Resize { pages: u8, more_bytes: u8 },
}

fuzz_target!(|input: Input| {
    let mut bytes = match &input.database {
        Database::Fixture(fixture) => fixture.whole(),
        Database::Bytes(bytes) => {
            let mut database = b"SQLite format 3\0\x02\0\x01\x01\0\x40\x20\x20".to_vec();
            database.extend(bytes);
            database
        }
    };
    let before = bytes.clone();
    let page_size = bytes.first_chunk().and_then(|bytes| DatabaseHeader::decode(bytes).page_size());
    let page_size = page_size.unwrap_or(PageSize::ALL[0]);
    input.edits.iter().for_each(|edit| edit.apply(&mut bytes, page_size.in_memory()));
    let (one, other) = (file(&before), file(&bytes));
    let one = FilePages::new(&one, page_size).unwrap();
    let other = FilePages::new(&other, page_size).unwrap();
    let health = check(&other, &Nobody).unwrap();
    assert!(health.problems.len() <= MAX_PROBLEMS);
    assert_eq!(health.is_sound(), health.problems.is_empty());
    for problem in &health.problems {
        assert!(!problem.to_string().is_empty());
    }
    for tree in health.trees.iter().take(20) {
        let (before, after) =
            (Rows::new(&one, tree.root).unwrap(), Rows::new(&other, tree.root).unwrap());
        row_changes(before, after).unwrap();
        let _ = health.owner_name(tree.root);
    }
    if matches!(input.database, Database::Fixture(_)) && before == bytes {
        assert!(health.is_sound(), "{:?}", health.problems);
    }
    assert!(health.trees.len() <= 1 + bytes.len());
    let _ = health.owner_name(Pgno(0));
});

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, page_bytes: usize) {
        let pages = (bytes.len() / page_bytes).max(1);
        let start = |page: u8| usize::from(page) % pages * page_bytes;
        let place = |page: u8, at: u16| start(page) + usize::from(at) % page_bytes;
        match *self {
            Self::Short { page, at, value } => {
                overwrite(bytes, place(page, at), &value.to_be_bytes());
            }
            Self::Word { page, at, value } => {
                overwrite(bytes, place(page, at), &value.to_be_bytes());
            }
            Self::Reference { page, at, value } => {
                overwrite(bytes, place(page, at), &u32::from(value).to_be_bytes());
            }
            Self::Bytes { page, at, bytes: ref with } => overwrite(bytes, place(page, at), with),
            Self::Copy { from, to } => {
                let from = start(from)..(start(from) + page_bytes).min(bytes.len());
                let copied = bytes[from].to_vec();
                overwrite(bytes, start(to), &copied);
            }
            Self::Resize { pages, more_bytes } => {
                bytes.resize(usize::from(pages) * page_bytes + usize::from(more_bytes), 0);
            }
        }
    }
}

//! The fixtures are what their README says.

use std::fs;

use crate::support::{fixtures, names, read};
use walsmith::format::WalHeader;

#[test]
fn fixtures_are_small_and_each_has_its_row_in_the_readme() {
    let readme = fs::read_to_string(fixtures().join("README.md")).unwrap();
    let names = names();
    assert!(names.len() >= 12);
    let mut total = 0;
    for name in &names {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in fixtures/README.md");
        for entry in fs::read_dir(fixtures().join(name)).unwrap() {
            total += entry.unwrap().metadata().unwrap().len();
        }
    }
    assert!(total < 2_000_000, "{total} bytes");
}

#[test]
fn headers_of_all_fixtures_are_valid() {
    for name in names() {
        let (_, wal) = read(&name);
        let header = WalHeader::decode(wal.first_chunk().unwrap());
        assert_eq!(header.validate(), Ok(()), "{name}");
    }
}

//! The WAL-reset race against a SQLite that has the bug.

#[path = "../../race.rs"]
mod race;

use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [action, database] => race::run(action, Path::new(database)),
        _ => panic!("old-sqlite race NEW-DATABASE"),
    }
}

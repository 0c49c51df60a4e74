//! `dump` on fixtures: what the image of a page is, and what is said when it is not whole.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{beside, copy, names, oracle, rows, text, walsmith};

fn dump(args: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walsmith")).arg("dump").args(args).arg(path).output().unwrap()
}

fn json(args: &[&str], path: &Path) -> Value {
    let output = dump(&[args, &["--json"]].concat(), path);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn pages_written_by_sqlite_have_no_problems() {
    let mut pages = 0;
    for name in names() {
        let (_folder, database) = copy(&name);
        for page in 1..=40 {
            let report = json(&["--page", &page.to_string()], &database);
            if report["page"].is_null() {
                break;
            }
            assert_eq!(report["page"]["problems"], serde_json::json!([]), "{name} page {page}");
            pages += 1;
        }
    }
    assert!(pages > 100, "{pages} pages");
}

#[test]
fn rows_are_decoded_as_sqlite_reads_them() {
    let (_folder, database) = copy("twenty-rows");
    let report = json(&["--page", "2"], &database);
    let cells = report["page"]["cells"].as_array().unwrap();
    let decoded: Vec<String> = cells
        .iter()
        .map(|cell| serde_json::json!([cell["row_id"], cell["values"][1]["value"]]).to_string())
        .collect();
    // The row id is an INTEGER PRIMARY KEY, so the first value of a record is NULL.
    let seen = rows(&database, "SELECT rowid, * FROM t");
    let seen: Vec<Value> = seen.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let seen: Vec<String> =
        seen.iter().map(|row| serde_json::json!([row[0], row[2]]).to_string()).collect();
    assert_eq!(decoded, seen);
}

#[test]
fn a_frame_cut_by_the_end_of_the_file_is_shown_as_far_as_it_goes() {
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    let bytes = fs::read(&wal).unwrap();
    let whole = (bytes.len() - 32) / 4120;
    fs::write(&wal, &bytes[..bytes.len() - 100]).unwrap();
    let frame = whole.to_string();
    let report = json(&["--frame", &frame], &database);
    assert_eq!(report["page"]["state"], "partial");
    assert_eq!(report["page"]["missing_bytes"], 100);
    let raw = dump(&["--raw", "--frame", &frame], &database).stdout;
    assert_eq!(raw, &bytes[bytes.len() - 4096..bytes.len() - 100]);
}

#[test]
fn a_page_behind_the_commit_size_is_not_passed_off_as_part_of_the_database() {
    let (_folder, database) = copy("vacuum-shrink");
    // The file has 17 pages; the last commits shrink the database to 4.
    let report = json(&["--page", "17"], &database);
    assert_eq!(report["page"]["behind_end_of_pages"], 4);
    let report = json(&["--page", "4"], &database);
    assert_eq!(report["page"]["behind_end_of_pages"], Value::Null);
}

#[test]
fn what_is_not_there_is_exit_3_with_a_hint() {
    let (_folder, database) = copy("twenty-rows");
    for args in [["--page", "999"], ["--frame", "999"], ["--frame", "0"]] {
        let output = dump(&args, &database);
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("frame-list"), "{args:?}");
    }
}

#[test]
fn an_existing_output_is_kept_without_force() {
    let (folder, database) = copy("twenty-rows");
    let output = folder.path().join("page");
    fs::write(&output, "mine").unwrap();
    let args = ["--page", "2", "--raw", "--output", output.to_str().unwrap()];
    assert_eq!(dump(&args, &database).status.code(), Some(6));
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    assert_eq!(dump(&[args.as_slice(), &["--force"]].concat(), &database).status.code(), Some(0));
    assert_eq!(fs::read(&output).unwrap().len(), 4096);
}

#[test]
fn a_page_of_before_that_a_checkpoint_has_overwritten_is_not_given() {
    let (_folder, database) = copy("twenty-rows");
    let page = |txn: &str| {
        let args = ["dump", "--page", "2", "--txn", txn, text(&database)];
        walsmith(&args)
    };
    assert_eq!(page("0").1, 0);
    oracle(&["checkpoint", text(&database), "PASSIVE"]);
    let (report, exit) = page("0");
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6), "{report:#}");
    assert_eq!(page("20").1, 0);
}

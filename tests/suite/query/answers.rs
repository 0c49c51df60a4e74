//! What the command says: formats, several results, errors with their kinds, and states by name.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use super::query;
use crate::support::{copy, oracle, rows, text, walsmith_command, walsmith_program};

#[test]
fn a_state_is_named_by_transaction_frame_or_as_the_last() {
    let (_folder, database) = copy("twenty-rows");
    let count = |at: &str| query(&database, &["--json", "--at", at, "SELECT count(*) FROM t"]);
    for (at, wanted, frame) in [("7", 7, 7), ("frame:7", 7, 7), ("last", 20, 20)] {
        let said = count(at);
        assert_eq!((said.exit, said.value()), (0, json!(wanted)), "{said:?}");
        assert_eq!(said.json()["at"], json!({"txn": frame, "frame": frame}));
    }
    for (at, exit, kind) in [("21", 3, "no-commit"), ("frame:21", 3, "no-commit")] {
        let said = count(at);
        assert_eq!((said.exit, said.error_kind().as_str()), (exit, kind), "{said:?}");
    }
    assert_eq!(query(&database, &["--at", "x", "SELECT 1"]).exit, 2);
}

#[test]
fn a_frame_that_commits_nothing_is_refused_with_the_commits_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
               CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(3000))";
    oracle(&["run", text(&database), sql]);
    let said = query(&database, &["--json", "--at", "frame:4", "SELECT 1"]);
    assert_eq!((said.exit, said.error_kind().as_str()), (3, "no-commit"), "{said:?}");
    assert!(said.stderr.contains("the commit before it is frame 2, the next one "), "{said:?}");
    for command in [&["dump", "--page", "1"][..], &["replay", "--dry-run"]] {
        let run = |at: &str| {
            let mut walsmith = walsmith_command();
            let output = walsmith.args(command).args(["--at", at, text(&database)]).output();
            output.unwrap().status.code()
        };
        assert_eq!((run("frame:4"), run("frame:2"), run("1")), (Some(3), Some(0), Some(0)));
    }
    let mut walsmith = walsmith_command();
    walsmith.args(["replay", "--dry-run", "--at", "1", "--to-txn", "1", text(&database)]);
    assert_eq!(walsmith.output().unwrap().status.code(), Some(2));
}

#[test]
fn replay_writes_the_state_that_at_names() {
    let (folder, database) = copy("twenty-rows");
    let new = folder.path().join("new.db");
    let mut walsmith = walsmith_command();
    walsmith.args(["replay", "--at", "frame:7", "--output", text(&new), text(&database)]);
    assert_eq!(walsmith.output().unwrap().status.code(), Some(0));
    assert_eq!(rows(&new, "SELECT count(*) FROM t").trim(), "[7]");
}

#[test]
fn two_states_are_compared_in_one_statement() {
    let (_folder, database) = copy("twenty-rows");
    let sql = "SELECT count(*) FROM (SELECT * FROM main.t EXCEPT SELECT * FROM before.t)";
    let args = ["--json", "--at", "12", "--also", "before=5", "--also", "empty=1", sql];
    let said = query(&database, &args);
    assert_eq!((said.exit, said.value()), (0, json!(7)), "{said:?}");
    assert_eq!(said.json()["also"]["before"], json!({"txn": 5, "frame": 5}));
    for also in ["main=1", "TEMP=1", "=1", "x", "x=y"] {
        let said = query(&database, &["--also", also, "SELECT 1"]);
        assert_eq!(said.exit, 2, "{also}: {said:?}");
    }
    let twice = query(&database, &["--also", "x=1", "--also", "X=2", "SELECT 1"]);
    assert_eq!(twice.exit, 2, "{twice:?}");
}

#[test]
fn each_format_has_every_result() {
    let (_folder, database) = copy("twenty-rows");
    let sql = "SELECT 1 AS a, NULL AS b, 'x,\"y' AS c; CREATE TEMP TABLE o AS SELECT 2 AS n;
               SELECT n, x'00ff' AS blob, 1e999 AS far FROM o";
    let said = |format: &str| {
        let said = query(&database, &["--format", format, sql]);
        assert_eq!(said.exit, 0, "{said:?}");
        said.stdout
    };
    let document: serde_json::Value = serde_json::from_str(&said("json")).unwrap();
    assert_eq!(
        document["results"],
        json!([
            {"columns": ["a", "b", "c"], "rows": [[1, null, "x,\"y"]]},
            {"columns": ["n", "blob", "far"], "rows": [[2, {"blob": "AP8="}, {"real": "inf"}]]},
        ])
    );
    let lines = said("jsonl");
    let lines: Vec<&str> = lines.lines().skip(1).collect();
    assert_eq!(lines[0], r#"{"a":1,"b":null,"c":"x,\"y"}"#);
    assert_eq!(lines.len(), 2);
    let csv = said("csv");
    assert!(csv.starts_with("a,b,c\n1,,\"x,\"\"y\"\n\nn,blob,far\n2,"), "{csv}");
    let table = said("table");
    assert!(table.contains(" a  b     c\n") && table.contains(" 1  NULL  x,\"y\n"), "{table}");
    let number = query(&database, &["--json", "--integers", "string", "SELECT 9007199254740993"]);
    assert_eq!(number.value(), json!("9007199254740993"));
}

#[test]
fn sql_comes_from_an_argument_a_file_or_stdin() {
    let (folder, database) = copy("twenty-rows");
    let file = folder.path().join("ask.sql");
    fs::write(&file, "-- how many\nSELECT count(*) FROM t;\n").unwrap();
    let said = query(&database, &["--json", "-f", text(&file)]);
    assert_eq!(said.value(), json!(20), "{said:?}");
    for args in [&["-"][..], &["-f", "-"]] {
        let mut walsmith = walsmith_command();
        walsmith.args(["query", "--json", text(&database)]).args(args);
        let output = walsmith.write_stdin("SELECT 41 + 1").output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["results"][0]["rows"][0][0], json!(42));
    }
    let said = query(&database, &["--json", "--", "-- a comment\nSELECT 1"]);
    assert_eq!(said.value(), json!(1), "{said:?}");
    fs::write(&file, "SELECT 1\0; SELECT 2").unwrap();
    assert_eq!(query(&database, &["-f", text(&file)]).exit, 2);
    assert_eq!(query(&database, &[]).exit, 2);
}

#[test]
fn what_fails_has_its_kind_and_prints_no_rows() {
    let (_folder, database) = copy("twenty-rows");
    for (sql, exit, kind) in [
        ("SELECT 1; SELEC 2", 3, "sql"),
        ("SELECT 1; SELECT * FROM none", 3, "sql"),
        ("SELECT 1; SELECT abs(-9223372036854775808)", 3, "sql"),
        ("INSERT INTO t DEFAULT VALUES", 3, "sql"),
        ("ATTACH 'x.db' AS x", 3, "sql"),
        ("VACUUM INTO 'x.db'", 3, "sql"),
    ] {
        let said = query(&database, &["--json", sql]);
        assert_eq!((said.exit, said.error_kind().as_str()), (exit, kind), "{sql}: {said:?}");
        assert!(said.json().get("results").is_none(), "{said:?}");
        assert_eq!(query(&database, &["--format", "csv", sql]).stdout, "");
    }
    assert!(!fs::exists("x.db").unwrap());
}

#[test]
fn a_page_that_a_checkpoint_has_overwritten_fails_only_what_needs_it() {
    let (_folder, database) = copy("twenty-rows");
    oracle(&["checkpoint", text(&database), "PASSIVE"]);
    let at_start = |sql: &str| query(&database, &["--json", "--at", "0", sql]);
    let said = at_start("SELECT count(*) FROM t");
    assert_eq!((said.exit, said.error_kind().as_str()), (6, "refused"), "{said:?}");
    assert!(said.stderr.contains("is gone"), "{said:?}");
    assert_eq!(query(&database, &["--json", "SELECT count(*) FROM t"]).value(), json!(20));
}

#[test]
fn a_page_that_a_checkpoint_has_cut_off_is_gone_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let setup = "PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE TABLE first(x); INSERT INTO first VALUES(zeroblob(20000));
        CREATE TABLE second(x); INSERT INTO second VALUES('it')";
    oracle(&["run", text(&database), setup]);
    oracle(&["checkpoint", text(&database), "TRUNCATE"]);
    let log = "PRAGMA wal_autocheckpoint = 0; CREATE TABLE third(x); DROP TABLE first; VACUUM";
    oracle(&["run", text(&database), log]);
    let ask = || query(&database, &["--json", "--at", "1", "SELECT x FROM second"]);
    assert_eq!(ask().value(), json!("it"));
    let before = fs::metadata(&database).unwrap().len();
    oracle(&["checkpoint", text(&database), "PASSIVE"]);
    assert!(fs::metadata(&database).unwrap().len() < before);
    // Page 1 has a frame, and the page of the table has none: it was cut off.
    let said = ask();
    assert_eq!((said.exit, said.error_kind().as_str()), (6, "refused"), "{said:?}");
    assert!(said.stderr.contains("is gone"), "{said:?}");
    let mut diff = walsmith_command();
    let output = diff.args(["diff", text(&database), "1..2", "--table", "second"]).output();
    assert_eq!(output.unwrap().status.code(), Some(6));
}

#[test]
fn a_database_of_ten_gigabytes_opens_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let setup = "PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)";
    oracle(&["run", text(&database), setup]);
    oracle(&["checkpoint", text(&database), "TRUNCATE"]);
    let pages: u32 = 10 << 18;
    let file = fs::File::options().write(true).open(&database).unwrap();
    file.set_len(u64::from(pages) * 4096).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &pages.to_be_bytes(), 28).unwrap();
    oracle(&["run", text(&database), "INSERT INTO t VALUES(1, 'one'), (2, 'two')"]);
    let started = std::time::Instant::now();
    let sql = "SELECT (SELECT page_count FROM pragma_page_count), count(*) FROM t WHERE id = 2";
    let said = query(&database, &["--json", sql]);
    assert_eq!(said.json()["results"][0]["rows"], json!([[pages, 1]]), "{said:?}");
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn virtual_tables_json_windows_and_recursion_are_what_sqlite_answers() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE VIRTUAL TABLE f USING fts5(body); CREATE VIRTUAL TABLE r USING rtree(id, a, b);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
            INSERT INTO f SELECT 'word' || (i % 17) || ' more' FROM n;
        INSERT INTO r SELECT rowid, rowid, rowid + 3 FROM f;
        CREATE TABLE t AS SELECT rowid AS id, body FROM f";
    oracle(&["run", text(&database), sql]);
    let private = folder.path().join("private.db");
    for suffix in ["", "-wal"] {
        let of = |path| crate::support::beside(path, suffix);
        fs::copy(of(&database), of(&private)).unwrap();
    }
    for sql in [
        "SELECT rowid, highlight(f, 0, '<', '>') FROM f('word3') ORDER BY rank, rowid",
        "SELECT id FROM r WHERE a >= 20 AND b <= 40 ORDER BY id",
        "SELECT json_group_array(json_object('id', id)) FROM t WHERE id < 5",
        "SELECT id, sum(id) OVER (PARTITION BY id % 3 ORDER BY id), lag(body) OVER () FROM t",
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x * 2 FROM c WHERE x < 999) \
         SELECT x FROM c",
        "SELECT key, value FROM json_each('[1,{\"a\":2}]')",
    ] {
        let said = query(&database, &["--json", sql]);
        let ours: Vec<String> = said.json()["results"][0]["rows"]
            .as_array()
            .unwrap_or_else(|| panic!("{said:?}"))
            .iter()
            .map(ToString::to_string)
            .collect();
        let theirs: Vec<String> = rows(&private, sql).lines().map(str::to_owned).collect();
        assert!(!ours.is_empty());
        assert_eq!(ours, theirs, "{sql}");
    }
}

#[test]
fn the_files_are_only_read_and_no_journal_is_looked_for() {
    let (folder, database) = copy("twenty-rows");
    let trace = tempfile::tempdir().unwrap();
    let trace = trace.path().join("trace");
    let sql = "CREATE TEMP TABLE o AS SELECT * FROM t; SELECT * FROM o ORDER BY 1";
    let calls = "trace=%file,fcntl,flock,ftruncate,pwrite64,fallocate,fchmod,fchown";
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", calls, "-o", text(&trace)])
        .arg(walsmith_program())
        .args(["query", text(&database), sql])
        .stdout(Stdio::null())
        .status()
        .expect("strace is needed: apt-get install strace");
    assert!(status.success());
    let trace = fs::read_to_string(trace).unwrap();
    let of_the_folder = trace.lines().filter(|line| line.contains(text(folder.path())));
    let mut opened = 0;
    for line in of_the_folder {
        opened += u32::from(line.contains("openat") && line.contains("O_RDONLY"));
        let words = ["O_WRONLY", "O_RDWR", "O_CREAT", "unlink", "pwrite", "truncate", "F_WRLCK"];
        let found = words.into_iter().find(|word| line.contains(word));
        assert_eq!(found, None, "{line}");
    }
    assert!(opened >= 2, "{trace}");
}

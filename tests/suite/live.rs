//! Beside running SQLite processes.
//!
//! Three seconds here; a minute, as the README says: `WALSMITH_LIVE_SECONDS=60 cargo test live`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::oracle_program;

#[test]
fn a_live_log_is_never_called_damaged_or_torn() {
    let seconds = std::env::var("WALSMITH_LIVE_SECONDS").map_or(3, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("live.db");
    let setup = "PRAGMA journal_mode=WAL";
    crate::support::rows(&database, setup);
    let writer = || {
        Command::new(oracle_program())
            .arg("write")
            .arg(&database)
            .arg(u64::to_string(&seconds))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let writers: Vec<Child> = (0..4).map(|_| writer()).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut verdicts = std::collections::BTreeMap::new();
    let mut generations = std::collections::BTreeSet::new();
    while Instant::now() < end {
        let output = Command::new(env!("CARGO_BIN_EXE_walsmith"))
            .args(["verify-checksums", "--json"])
            .arg(&database)
            .output()
            .unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let file = &document["files"][0];
        let verdict = match file["error"]["kind"].as_str() {
            Some(kind) => kind.to_owned(),
            None => file["verdict"].as_str().unwrap().to_owned(),
        };
        assert!(!["damaged", "torn-tail", "bad-header"].contains(&&*verdict), "{file:#}");
        generations.insert(file["salt2"].as_u64());
        *verdicts.entry(verdict).or_insert(0) += 1;
    }
    let mut commits = 0_u64;
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success());
        commits += String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap();
    }
    println!("{commits} commits, {} generations seen, verdicts {verdicts:?}", generations.len());
    assert!(commits > 0 && verdicts.values().sum::<u32>() > 0);
}

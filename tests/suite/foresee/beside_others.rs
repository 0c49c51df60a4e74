//! The forecast where others have the files open.
//!
//! Twenty sets here; more with `WALSMITH_FORESEE_LIVE`.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use fastrand::Rng;

use super::{Score, happened, number};
use crate::support::{Oracle, beside, hold, hold_command, oracle_program, release, text, walsmith};

/// Who is there.
const OTHERS: [&str; 6] =
    ["idle", "a reader", "a reader of an older state", "a writer", "spilled", "an exclusive one"];

/// Somebody who has a healthy set open.
fn holder(path: &std::path::Path, seed: u64, rng: &mut Rng) -> Child {
    let kinds = ["plain", "never", "partly", "pinned", "reset", "vacuum", "auto-vacuum"];
    let kind = kinds[rng.usize(0..kinds.len())];
    let mut child = Command::new(oracle_program())
        .args(["healthy", text(path), &seed.to_string(), kind, "hold", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    child
}

#[test]
fn the_forecast_beside_others_is_what_sqlite_does() {
    let (count, first) = (number("WALSMITH_FORESEE_LIVE", 20), number("WALSMITH_SEED", 1));
    let (mut sqlite, mut score) = (Oracle::opening(), Score::default());
    for seed in first..first + count {
        let mut rng = Rng::with_seed(seed ^ 0x6c69_7665);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let who = OTHERS[rng.usize(0..OTHERS.len())];
        let run = |sql: &str| drop(crate::support::oracle(&["run", text(&path), sql]));
        let hold_sql = |sql: &str| {
            let mut command = Command::new(oracle_program());
            command.arg("hold-sql").arg(&path).arg(sql);
            hold_command(command)
        };
        let mut there = Vec::new();
        if who == "an exclusive one" {
            crate::support::oracle(&["prepare", text(&path), "40", "4096"]);
            there.push(hold("hold-exclusive", &path));
        } else {
            there.push(holder(&path, seed, &mut rng));
        }
        match who {
            "a reader" => there.push(hold("hold-read", &path)),
            "a reader of an older state" => {
                there.push(hold("hold-read", &path));
                run("CREATE TABLE later(x); INSERT INTO later VALUES(1)");
            }
            "a writer" => there.push(hold("hold-write", &path)),
            "spilled" => there.push(hold_sql(
                "PRAGMA cache_size=4; BEGIN; CREATE TABLE spilled(x); WITH RECURSIVE n(i) AS \
                 (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO spilled SELECT \
                 randomblob(900) FROM n",
            )),
            _ => {}
        }
        let (report, _) = walsmith(&["doctor", text(&path)]);
        let had_log = beside(&path, "-wal").exists();
        let outcome = sqlite.outcome(&path);
        let case = format!("seed {seed}");
        score.take(&case, who, &report["forecast"], &happened(had_log, &outcome));
        there.into_iter().rev().for_each(release);
    }
    score.judge();
}

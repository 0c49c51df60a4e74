//! Answers beside four writers with small checkpoints and resets: each is of one committed state.
//!
//! Some seconds here; longer with `WALSMITH_HELD_SECONDS=60 cargo test --test suite query::busy --
//! --nocapture`.

use std::collections::BTreeMap;

use serde_json::json;

use super::query;
use crate::held::Busy;

/// How many counters do not count their rows, and how often the rows are in each index.
const IS_A_COMMIT: &str = "
    SELECT count(*) FROM s WHERE n <> (SELECT count(*) FROM t WHERE t.w = s.w);
    SELECT (SELECT count(*) FROM t NOT INDEXED) - (SELECT count(*) FROM t INDEXED BY t_by_count
                                                   WHERE w >= 0),
           (SELECT sum(n) FROM s) - (SELECT count(*) FROM t);
    PRAGMA integrity_check";

#[test]
fn every_answer_beside_busy_writers_is_one_commit() {
    let seconds = std::env::var("WALSMITH_HELD_SECONDS").map_or(8, |text| text.parse().unwrap());
    let busy = Busy::with_writers(seconds, 4, &["bounded"]);
    let (mut exits, mut frames) = (BTreeMap::<_, u32>::new(), BTreeMap::new());
    let mut random = fastrand::Rng::with_seed(1);
    while busy.is_going_on() {
        // The newest state, an earlier one, and both with and without locks.
        let at = [None, Some(random.u32(1..40).to_string())][random.usize(..2)].clone();
        let mut args = vec!["--json", IS_A_COMMIT];
        args.extend(at.iter().flat_map(|at| ["--at", at]));
        let lock = ["locked", "--no-lock"][usize::from(random.u32(..4) == 0)];
        if lock == "--no-lock" {
            args.push(lock);
        }
        let said = query(&busy.database, &args);
        *exits.entry((lock, said.exit)).or_default() += 1;
        match said.exit {
            0 => {
                let document = said.json();
                let results: Vec<_> =
                    document["results"].as_array().unwrap().iter().map(|it| &it["rows"]).collect();
                assert_eq!(
                    results,
                    [&json!([[0]]), &json!([[0, 0]]), &json!([["ok"]])],
                    "{said:?}"
                );
                *frames.entry(document["at"]["frame"].to_string()).or_insert(0_u32) += 1;
            }
            // A transaction that the log has not, after a reset; a lock; a page that is gone.
            3 => assert_eq!(said.error_kind(), "no-commit", "{said:?}"),
            4 => assert!(["busy", "changed"].contains(&said.error_kind().as_str()), "{said:?}"),
            6 => assert!(
                said.stderr.contains("is gone") || said.stderr.contains("while it is read"),
                "{said:?}"
            ),
            _ => panic!("{said:?}"),
        }
    }
    let commits = busy.finish();
    println!("{commits} commits, exits {exits:?}, {} frames", frames.len());
    let answers = exits.get(&("locked", 0)).copied().unwrap_or_default();
    assert!(u64::from(answers) >= seconds / 4, "{exits:?}");
    assert!(frames.len() > 1 && commits > 50, "{frames:?}");
}

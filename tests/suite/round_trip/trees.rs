//! Whose the pages of frames are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Tally, World};
use crate::support::{rows, text, walsmith};

/// `frame-list` names the table or index that SQLite's dbstat names, of each state.
pub(super) fn named(world: &World, tally: &mut Tally) -> Vec<String> {
    let (report, code) = walsmith(&["frame-list", text(&world.database())]);
    let Some(frames) = report["frames"].as_array() else {
        return vec![format!("exit {code}: {report}")];
    };
    let (log, code) = walsmith(&["log", text(&world.database())]);
    let Some(entries) = log["transactions"].as_array() else {
        return vec![format!("log: exit {code}: {log}")];
    };
    let sql = "SELECT pageno, name, pagetype FROM dbstat";
    let mut found = Vec::new();
    for txn in 1..=world.last {
        let pages: BTreeMap<u64, (String, bool)> = rows(&world.state(txn), sql)
            .lines()
            .map(|line| serde_json::from_str::<(u64, String, String)>(line).unwrap())
            .map(|(page, name, kind)| (page, (name, kind == "overflow")))
            .collect();
        // The way back to this state is over pages that may be gone.
        let later = &entries[txn as usize..];
        let may_be_unknown = later.iter().any(|entry| entry["partial"] == true);
        let of_txn: Vec<&Value> = frames.iter().filter(|it| it["txn"] == txn).collect();
        if may_be_unknown && of_txn.iter().all(|it| it["tree"].is_null()) {
            continue;
        }
        for frame in of_txn {
            let wanted = match pages.get(&frame["page"].as_u64().unwrap()) {
                Some((name, false)) => json!(name),
                Some((_, true)) | None => Value::Null,
            };
            *tally.entry("frames with a table or index".to_owned()).or_default() +=
                u32::from(wanted.is_string());
            if frame["tree"]["name"] != wanted {
                found.push(format!("{frame}, and SQLite: {wanted}"));
            }
        }
    }
    found
}

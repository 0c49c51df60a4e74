//! Seeded histories: a database with a log, and what SQLite says each state of it holds.
//!
//! A history is a list of transactions, each a list of SQL statements. Some comments are more than
//! that: `-- record` has SQLite's session extension record what follows,
//! `-- blob ["table", "column", rowid, offset, "hex"]` writes into a value in place, `-- reader` is
//! a second connection that reads until the end, or until `-- later reader`, and `-- checkpoint`
//! copies into the file what that one does not need.

mod player;
pub(crate) mod schema;
mod tables;
mod values;
mod writer;

use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use self::player::Player;
use self::writer::Writer;

/// Everything that SQLite is asked to do.
#[derive(Serialize, Deserialize)]
struct History {
    /// Bytes at the end of each page that are not used.
    reserved: i32,
    settings: String,
    /// The first transaction is in the file, and not in the log.
    first_in_file: bool,
    /// The wal-index stays, or only the database and its log, as where they were copied.
    wal_index: bool,
    transactions: Vec<Vec<String>>,
}

/// Makes the history of `seed` in `directory`: `x.db` and its log, `N.db` with the state after the
/// N-th transaction of the log (0: before it), `N.changeset` with what a session recorded of it,
/// `copied` with the number of the last state that a checkpoint has copied, and `history.json`.
pub(crate) fn make(directory: &Path, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let page_bytes = [512, 512, 512, 1024, 1024, 2048, 4096, 4096, 8192, 65_536];
    let page_bytes: u32 = page_bytes[random.usize(..page_bytes.len())];
    let encoding = ["UTF-8", "UTF-8", "UTF-8", "UTF-8", "UTF-16le", "UTF-16be"];
    let settings = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum={}; PRAGMA encoding='{}';
         PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;
         PRAGMA foreign_keys={}; PRAGMA recursive_triggers={}; PRAGMA cache_size={}",
        [0, 0, 0, 1, 2][random.usize(..5)],
        encoding[random.usize(..encoding.len())],
        random.u32(..2),
        random.u32(..2),
        [3, 10, 1000][random.usize(..3)],
    );
    let mut history = History {
        reserved: [0, 0, 0, 0, 8, 32][random.usize(..6)],
        settings,
        first_in_file: random.u32(..6) > 0,
        wal_index: random.bool(),
        transactions: Vec::new(),
    };
    let most = [5, 12, 25, 60][random.usize(..4)];
    let transactions = random.usize(4..most);
    let mut player = Player::new(directory, &history);
    let mut writer = Writer::new(random, page_bytes);
    for number in 0..=transactions {
        let mut steps = writer.start(&player.connection, number);
        steps.iter().for_each(|step| player.step(step));
        while let Some(more) = writer.next(&player.connection) {
            more.iter().for_each(|step| player.step(step));
            steps.extend(more);
        }
        player.end(number == 0 && history.first_in_file);
        history.transactions.push(steps);
    }
    leave(player, directory, &history);
    let text = serde_json::to_string_pretty(&history).unwrap();
    fs::write(directory.join("history.json"), text).unwrap();
}

/// Makes the files again of the history that is in `directory`.
pub(crate) fn again(directory: &Path) {
    let text = fs::read_to_string(directory.join("history.json")).unwrap();
    let history: History = serde_json::from_str(&text).unwrap();
    let mut player = Player::new(directory, &history);
    for (number, steps) in history.transactions.iter().enumerate() {
        steps.iter().for_each(|step| player.step(step));
        player.end(number == 0 && history.first_in_file);
    }
    leave(player, directory, &history);
}

fn leave(player: Player, directory: &Path, history: &History) {
    drop(player);
    if !history.wal_index {
        // Where nothing was read or written, there is none.
        let _ = fs::remove_file(directory.join("x.db-shm"));
    }
}

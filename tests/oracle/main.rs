//! Real SQLite, asked by the tests in a child process and never in theirs: closing a database file
//! in a process that also runs SQLite on it would drop SQLite's locks.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test program: it panics where SQLite does not do what the fixture needs"
)]

mod applications;
mod columns;
mod counted;
mod families;
mod foresee;
mod generate;
mod healthy;
mod histories;
mod holders;
mod indexes;
mod journals;
mod judge;
mod measured;
mod race;
mod rewound;
mod see;
mod session;
mod shims;
mod standing;
mod timelines;
mod work;
mod worlds;
mod zoo;

use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&args);
}

fn run(args: &[&str]) {
    match args {
        ["shim", name, action @ ..] => {
            ::shims::Shim::named(name).unwrap().register();
            run(action);
        }
        ["run-reserving", database, reserved, sql] => {
            shims::run_reserving(Path::new(database), number(reserved), sql);
        }
        ["contents"] => shims::contents_of_each(),
        ["verify", database] => shims::verify(Path::new(database)),
        ["history", database, reserved, seed] => {
            shims::history(Path::new(database), number(reserved), number(seed));
        }
        ["see"] => see::see(),
        ["foresee"] => foresee::foresee(),
        ["run", database, sql] => see::open(Path::new(database)).execute_batch(sql).unwrap(),
        ["check", pragma @ ..] => see::check(pragma.first().copied()),
        ["is-true"] => see::is_true(),
        ["worlds", directory, first, count] => {
            worlds::all(Path::new(directory), number(first), number(count));
        }
        ["families", directory, seed] => families::make(Path::new(directory), number(seed)),
        ["timelines", directory, seed] => {
            timelines::make(Path::new(directory), number(seed));
        }
        ["applications", args @ ..] => applications::of_args(args),
        ["standing", directory, seed, kind] => standing::of_seed(directory, number(seed), kind),
        ["look"] => families::look(),
        ["zoo", directory] => zoo::all(Path::new(directory)),
        ["rows", database, sql] => see::rows(Path::new(database), sql),
        ["healthy", database, seed, kind, end, reserved] => {
            healthy::make(Path::new(database), number(seed), kind, end, number(reserved));
        }
        ["hold-updates", database] => holders::hold_updates(Path::new(database)),
        ["hold-with-child", database] => holders::hold_with_child(Path::new(database)),
        ["lose-locks", database] => holders::lose_locks(Path::new(database)),
        ["grown", database] => holders::grown(Path::new(database)),
        ["prepare-counted", database] => counted::prepare(Path::new(database)),
        ["write-counted", database, writer, seconds, options @ ..] => {
            counted::write_as(Path::new(database), writer, number(seconds), options);
        }
        ["checkpoint", database, mode] => work::checkpoint(Path::new(database), mode, "FULL"),
        ["checkpoint", database, mode, sync] => {
            work::checkpoint(Path::new(database), mode, sync);
        }
        ["generate", directory] => generate::all(Path::new(directory)),
        // Called as SQLite's shell is, and it stays in a transaction.
        [database] if database.ends_with(".db") => work::hold(Path::new(database), "BEGIN"),
        ["hold-read", database] => work::hold(Path::new(database), "BEGIN"),
        ["hold-sql", database, sql] => work::hold(Path::new(database), sql),
        ["hold-write", database] => work::hold(Path::new(database), "BEGIN IMMEDIATE"),
        ["write", database, seconds] => work::write(Path::new(database), number(seconds)),
        ["prepare", database, rows, page_bytes] => {
            work::prepare(Path::new(database), number(rows), number(page_bytes));
        }
        ["append", database, writer, seconds] => {
            work::append(Path::new(database), number(writer), number(seconds));
        }
        ["hold-sight", database] => work::hold_sight(Path::new(database)),
        ["hot-journal", database, page_bytes, sync] => {
            work::hot_journal(Path::new(database), number(page_bytes), sync);
        }
        ["workload", database, page_bytes, transactions] => {
            work::workload(Path::new(database), number(page_bytes), number(transactions));
        }
        ["churn", database, page_bytes, transactions] => {
            work::churn(Path::new(database), number(page_bytes), number(transactions));
        }
        ["journals", directory] => journals::all(Path::new(directory)),
        ["sparse", database] => work::sparse(Path::new(database)),
        ["hold-exclusive", database] => work::hold_exclusive(Path::new(database)),
        ["long-log", database, frames] => {
            work::long_log(Path::new(database), number(frames));
        }
        [action, database] if action.starts_with("race") => {
            race::run(action, Path::new(database));
        }
        ["crowd", database, connections, seconds] => {
            work::crowd(Path::new(database), number(connections), number(seconds));
        }
        ["observe", database, seconds] => {
            work::observe(Path::new(database), number(seconds));
        }
        ["grow", database, bytes, page_bytes] => {
            measured::grow(Path::new(database), number(bytes), number(page_bytes));
        }
        ["swap", database] => generate::swap(Path::new(database)),
        ["rows-for-frames", database] => measured::rows_for_frames(Path::new(database)),
        ["frames", database, transactions, pages] => {
            measured::frames(Path::new(database), number(transactions), number(pages));
        }
        ["vacuum-into", database, output] => measured::vacuum_into(Path::new(database), output),
        ["back-up", database, output] => measured::back_up(Path::new(database), output),
        ["recover", database] => measured::recover(Path::new(database)),
        ["own-log", database, page_bytes] => {
            work::own_log(Path::new(database), number(page_bytes));
        }
        ["spill-and-die", database] => work::spill_and_die(Path::new(database)),
        ["write-and-die", database, sql] => work::write_and_die(Path::new(database), sql),
        _ => run_rows(args),
    }
}

/// Definitions; histories of rows, and what is made of their states.
fn run_rows(args: &[&str]) {
    match args {
        ["columns"] => columns::columns(),
        ["indexes"] => indexes::indexes(),
        ["history-of", directory, seed] => histories::make(Path::new(directory), number(seed)),
        ["history-again", directory] => histories::again(Path::new(directory)),
        ["judge"] => judge::judge(),
        ["rewound", database, action @ ..] => rewound(Path::new(database), action),
        _ => panic!("unknown action: {args:?}"),
    }
}

/// What is at work beside rewinds.
fn rewound(database: &Path, action: &[&str]) {
    match action {
        ["prepare", vacuum] => rewound::prepare(database, vacuum),
        ["write", writer, seconds, autocheckpoint] => {
            rewound::write(database, number(writer), number(seconds), number(autocheckpoint));
        }
        ["read", seconds] => rewound::read(database, number(seconds)),
        ["reset"] => rewound::reset(database),
        _ => panic!("unknown action: {action:?}"),
    }
}

fn number<N: FromStr<Err: Debug>>(word: &str) -> N {
    word.parse().unwrap()
}

//! Whole commands and the library against real SQLite, on the fixtures.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is a panic")]
#![allow(clippy::print_stdout, reason = "counts of a long run, shown with --nocapture")]

mod applications_in_time;
mod beside;
#[cfg(feature = "sql")]
mod bisect;
mod blockers;
mod check;
mod checkpoint_now;
mod commands;
mod crash;
mod damages;
mod defaults;
mod definitions;
mod doctor;
mod dropped_tables;
mod dry_run;
mod dump;
mod engine;
mod families;
mod fixtures;
mod forecast;
mod foresee;
mod found;
mod harmed_rows;
mod healthy;
mod healthy_copies;
mod held;
mod in_place;
mod index;
mod index_definitions;
mod interrupt;
mod journal;
mod journal_by_hand;
mod journal_damages;
mod journal_states;
mod kill;
mod kinds;
mod known;
mod large_pairs;
mod live;
mod lost_frames;
mod mutate;
mod newer;
mod older_files;
mod oracle_agreement;
mod output;
mod page_checksums;
mod page_stamps;
mod pairing;
mod pairs_in_time;
#[cfg(feature = "sql")]
mod query;
mod race;
mod rails;
mod readme;
mod repair;
mod replay;
mod rescue;
mod rewind;
mod rolled_back;
mod round_trip;
mod row_renames;
mod row_scripts;
mod row_traps;
mod rows;
mod rows_past;
mod rows_unsound;
mod screens;
mod shifted;
mod shim;
mod spill;
#[path = "../stamps/mod.rs"]
mod stamps;
mod standing_in_time;
mod structure;
mod support;
mod threads;

//! States of a database in time: file and log together. Read-only.
//!
//! [`snapshot`] maps pages to the frames of one commit, [`view`] reads them over the file;
//! [`copied`] tells what a checkpoint has copied already, by [`image_sums`]; [`standing`] tells
//! whether the log belongs to the file, and which of them is newer; [`lost_pages`] what an earlier
//! checkpoint has not left in it, [`past`] what a later one has overwritten, [`lost_commits`] what
//! it has of commits that the log has lost;
//! [`past`] reads earlier states as far as they are there, by [`committed`]: [`state_pages`] are
//! the pages of one, a thread reads them ahead for whoever goes through all, and [`proven`] looks
//! at their checksums again; [`rows`] are the rows in which two states differ; [`bisect`] says
//! which states are asked where a property changes.

pub mod bisect;
pub mod committed;
pub mod copied;
pub mod image_sums;
pub mod lost_commits;
pub mod lost_pages;
mod page_map;
pub mod past;
pub mod proven;
mod read_ahead;
pub mod rows;
pub mod snapshot;
pub mod standing;
pub mod state_pages;
pub mod view;
pub mod wrong_pages;

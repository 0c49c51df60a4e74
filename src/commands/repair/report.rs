//! What `repair` reports: the plan, the states that can be recovered, and what became of them.

use serde::Serialize;

use crate::database::check::Health;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rails::Accepted;
use crate::format::Pgno;
use crate::history::standing::Pairing;
use crate::history::standing::newer::FileAge;
use crate::log::Verdict;
use crate::output::FileName;
use crate::repair::plan::Step;
use crate::repair::plan::choice::{Choice, TableLoss};

/// The plan, and what became of it.
#[derive(Debug, Serialize)]
pub struct RepairReport {
    /// The database.
    pub database: Option<FileName>,
    /// The log; `None` without one.
    pub wal: Option<FileName>,
    /// Its verdict.
    pub verdict: Verdict,
    /// The steps.
    pub plan: Vec<Step>,
    /// Every step is proven by checksums, or by evidence under the assumption that the damage of a
    /// dropped frame is confined to its image, and the result is sound. `None` where nobody can
    /// know: a step is only likely, a rollback journal put pages back (its sums are over one byte
    /// of 200) or has a header of zeros, pages come from frames that SQLite left without a
    /// checksum, or the result is an empty database.
    pub lossless: Option<bool>,
    /// Whether the database file has pages that came after the log.
    pub file_age: FileAge,
    /// The pages are encrypted.
    #[serde(skip)]
    pub is_encrypted: bool,
    /// A step is only likely.
    pub likely: bool,
    /// There are so many damaged frames that not all of them were looked at.
    pub search_cut_short: bool,
    /// The result has no page: an empty database.
    pub empty_result: bool,
    /// Chance that a one-word correction of this plan fits without being true.
    pub lossless_error_bound: Option<f64>,
    /// States that a plan with loss could give, the newest first; one of them is chosen.
    pub candidates: Vec<Choice>,
    /// What is lost in the chosen state; `None` without loss.
    pub lost: Option<Loss>,
    /// What the structure check says of the result.
    pub health: Option<HealthReport>,
    /// Whether log and database belong together; `None` when one of them holds nothing whole.
    pub pairing: Option<Pairing>,
    /// Transactions of the log that SQLite sees without a repair.
    pub transactions_before: u32,
    /// Transactions of the log that the result has.
    pub transactions_after: u32,
    /// The result was written.
    pub applied: bool,
    /// Where, or where it would be.
    pub output: Option<FileName>,
    /// The undo set; `None` when nothing was overwritten.
    pub undo: Option<FileName>,
    /// What does not fit in the result, and cannot be set right.
    pub findings: Vec<Finding>,
    /// Dangers that were taken on.
    pub accepted: Vec<Accepted>,
    /// The state that was asked for by its number.
    #[serde(skip)]
    pub choose: Option<usize>,
    /// The files that were named by options, as they are typed again.
    #[serde(skip)]
    pub given: String,
}

/// What a plan with loss gives up.
#[derive(Debug, Serialize)]
pub struct Loss {
    /// Rows by table that can be read after the damage, and are given up.
    pub rows_lost_by_table: Vec<TableLoss>,
    /// No other rows are lost: every page of the newest state can be read.
    pub rows_are_exact: bool,
    /// Pages of which an older copy is taken, and whose they are.
    pub pages: Vec<PageLoss>,
}

/// A page of which the newest image cannot be recovered.
#[derive(Debug, Serialize)]
pub struct PageLoss {
    /// The page.
    pub page: Pgno,
    /// The table or index that it belongs to; `None` where that is not known.
    pub owner: Option<String>,
}

/// The result of a structure check.
#[derive(Debug, Serialize)]
pub struct HealthReport {
    /// Nothing is wrong.
    pub sound: bool,
    /// How many problems there are.
    pub problems: u64,
    /// The first of them, in words.
    pub first_problems: Vec<String>,
    /// What was not checked, in words.
    pub not_checked: Vec<String>,
}

impl Loss {
    /// `is_whole`: every page of the newest state can be read.
    pub(super) fn of(choice: &Choice, is_whole: bool, health: Option<&Health>) -> Self {
        let owner = |page: Pgno| health.and_then(|health| health.owner_name(page));
        let pages = choice.old_pages.iter();
        Self {
            rows_lost_by_table: choice.rows_lost_by_table.clone(),
            rows_are_exact: is_whole,
            pages: pages.map(|&page| PageLoss { page, owner: owner(page) }).collect(),
        }
    }
}

impl HealthReport {
    pub(super) fn of(health: &Health) -> Self {
        Self {
            sound: health.is_sound(),
            problems: health.problem_count,
            first_problems: health.problems.iter().take(8).map(|one| one.to_string()).collect(),
            not_checked: health.unchecked.iter().map(|one| one.to_string()).collect(),
        }
    }
}

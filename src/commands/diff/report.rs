//! The report of `diff`.

use std::io::{self, Write};

use serde::Serialize;

use crate::access::differences::Differences;
use crate::access::states::StateAt;
use crate::diagnosis::PairProof;
use crate::history::rows::LeftOut;
use crate::output::text::escaped;
use crate::output::{FileName, Paint, Report, Tone, wrapped};

/// How many rows of each table differ.
#[derive(Debug, Serialize)]
pub(super) struct DiffStat {
    /// The database.
    pub(super) database: Option<FileName>,
    /// Its log.
    pub(super) wal: FileName,
    /// The other database, where two are compared.
    pub(super) with: Option<FileName>,
    /// The salts of the log that the transactions are of.
    pub(super) salts: Option<[u32; 2]>,
    /// Whether the file is what the log was written on; `None` without one of them.
    pub(super) pair: Option<PairProof>,
    /// The first state.
    pub(super) from: StateAt,
    /// The second.
    pub(super) to: StateAt,
    /// What differs.
    #[serde(flatten)]
    pub(super) differences: Differences,
    /// What a changeset or patchset does not have.
    pub(super) left_out: Vec<LeftOut>,
}

impl Report for DiffStat {
    const COMMAND: &'static str = "diff";

    fn needs_attention(&self) -> bool {
        self.differences.differs()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        self.differences.human(to, paint, width)?;
        for left in &self.left_out {
            let sentence = format!("Left out: {}: {}.", escaped(&left.name), left.why);
            writeln!(to, "{}", wrapped(&paint.tone(Tone::Notice, &sentence), 0, 2, width))?;
        }
        Ok(())
    }
}

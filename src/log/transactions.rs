//! The transactions of the prefix, one row each.

use std::collections::HashSet;

use serde::Serialize;

use crate::format::{FrameNo, Pgno};
use crate::scan::FrameFacts;

/// A committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// Counted from 1.
    pub txn: u32,
    /// Its first frame.
    pub first_frame: FrameNo,
    /// Its commit frame.
    pub last_frame: FrameNo,
    /// Frames in it.
    pub frames: u32,
    /// Different pages among them.
    pub distinct_pages: usize,
    /// Database size in pages after it.
    pub db_size_pages: u32,
}

/// Folds the committed frames into transactions.
#[derive(Debug, Default)]
pub struct TransactionFold {
    pages: HashSet<Pgno>,
    frames: u32,
    txn: u32,
}

impl TransactionFold {
    /// Takes the next frame; returns the transaction that it commits.
    pub fn push(&mut self, facts: &FrameFacts) -> Option<Transaction> {
        self.pages.insert(facts.header.page);
        self.frames += 1;
        let db_size_pages = facts.commit_size_pages()?;
        self.txn += 1;
        let transaction = Transaction {
            txn: self.txn,
            first_frame: FrameNo(facts.frame.0 + 1 - self.frames),
            last_frame: facts.frame,
            frames: self.frames,
            distinct_pages: self.pages.len(),
            db_size_pages,
        };
        self.pages.clear();
        self.frames = 0;
        Some(transaction)
    }
}

//! What can be wrong with a rollback journal that its own bytes tell. SQLite says nothing of it: it
//! plays back what it takes for valid, and deletes the journal.

use crate::format::Pgno;

/// Where a journal is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It does not begin with a header: nothing is put back.
    NoHeader,
    /// It ends before the last record that a header counts.
    Cut {
        /// Where the record begins.
        offset_bytes: u64,
    },
    /// A record that a header counts has a wrong checksum or no page number.
    Record {
        /// Where it begins.
        offset_bytes: u64,
    },
    /// A later header lacks its magic: what it counts is not put back.
    Header {
        /// Where it begins.
        offset_bytes: u64,
    },
    /// Where the size of the file counts, the records have another nonce than their header: none is
    /// put back.
    Nonce {
        /// Where the first of them begins.
        offset_bytes: u64,
    },
    /// A header counts fewer records than come after it.
    Count {
        /// Where the first of them begins, or the header that comes after one that counts by the
        /// size of the file.
        offset_bytes: u64,
    },
    /// Two records have the same page number.
    Twice {
        /// The page.
        page: Pgno,
    },
    /// The name of the super-journal is wrong: the journal is rolled back even if that has gone,
    /// which means that the transaction was committed.
    Name {
        /// Where the records end.
        offset_bytes: u64,
    },
}

impl Flaw {
    /// What is wrong, in words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::NoHeader => "it does not begin with a valid header".to_owned(),
            Self::Cut { offset_bytes } => {
                format!("it was cut: the record at offset {offset_bytes} is not all there")
            }
            Self::Record { offset_bytes } => {
                format!("the record at offset {offset_bytes} is damaged")
            }
            Self::Header { offset_bytes } => {
                format!("the header at offset {offset_bytes} is damaged")
            }
            Self::Nonce { offset_bytes } => {
                format!("the records from offset {offset_bytes} on do not fit their header")
            }
            Self::Count { offset_bytes } => {
                format!("a header does not count what comes from offset {offset_bytes} on")
            }
            Self::Twice { page } => format!("two records are for page {page}"),
            Self::Name { offset_bytes } => format!(
                "the name of its super-journal, after offset {offset_bytes}, is damaged: whether \
                 the transaction was committed is not known"
            ),
        }
    }
}

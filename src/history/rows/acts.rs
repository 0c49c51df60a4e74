//! What is known of the rows of one transaction, and why not all of it is.

use crate::database::Error as ReadError;

use super::Error;
use super::event::TableCounts;

/// Why what a transaction did is not known, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss(pub String);

/// What a transaction did to a table.
#[derive(Clone, Debug)]
pub struct TableActs {
    /// Its name.
    pub name: String,
    /// The virtual table that keeps its data in it.
    pub shadow_of: Option<String>,
    /// How many rows; `None` where that is not known.
    pub counts: Option<TableCounts>,
}

/// What a transaction did to rows.
#[derive(Clone, Debug, Default)]
pub struct TransactionRows {
    /// The transaction.
    pub txn: u32,
    /// Different pages that it wrote.
    pub pages: usize,
    /// Tables with rows that it changed, or may have changed.
    pub tables: Vec<TableActs>,
    /// Why not all is known.
    pub loss: Option<Loss>,
}

/// What ends the reading of a transaction.
pub(super) enum Stopped<E> {
    /// The files.
    Rows(Error),
    /// Whoever takes the rows.
    Taker(E),
}

impl<E> From<Error> for Stopped<E> {
    fn from(error: Error) -> Self {
        Self::Rows(error)
    }
}

impl<E> From<ReadError> for Stopped<E> {
    fn from(error: ReadError) -> Self {
        Self::Rows(error.into())
    }
}

impl<E: From<Error>> Stopped<E> {
    /// What is not known for it; an error where the files cannot be read at all.
    pub(super) fn loss(self) -> Result<Loss, E> {
        match self {
            Self::Taker(error) => Err(error),
            Self::Rows(Error::Pages(error)) => match error {
                ReadError::Gone { page, frame, is_likely_there, .. } => Ok(Loss(format!(
                    "page {page} as it was before {}: the file has the image of frame {frame}{}",
                    if is_likely_there { "may be gone" } else { "is gone, or may be" },
                    if is_likely_there { ", or a part of it" } else { "" },
                ))),
                ReadError::CutOff { .. } => Ok(Loss(error.to_string())),
                ReadError::Storage(_)
                | ReadError::Shrunk { .. }
                | ReadError::Broken { .. }
                | ReadError::OutOfMemory
                | ReadError::Interrupted => Err(Error::Pages(error).into()),
            },
            Self::Rows(damage) => Ok(Loss(damage.to_string())),
        }
    }
}

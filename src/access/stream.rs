//! The end of a stream of rows.

use anyhow::Result;

use crate::output::RowStream;

use super::classify::{describe, is_closed_pipe};

/// Closes `stream`: whole, or with the error that ended it early, so that one document comes out.
///
/// # Errors
/// That error, or that of the destination.
pub fn close(stream: RowStream<'_, '_>, listed: Result<()>) -> Result<()> {
    match listed {
        Ok(()) => Ok(stream.close(None)?),
        Err(error) if is_closed_pipe(&error) => Err(error),
        Err(error) => {
            stream.close(Some(&describe(&error).1))?;
            Err(error)
        }
    }
}

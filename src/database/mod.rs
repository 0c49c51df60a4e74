//! One state of a database as pages, whatever its damage: a file, or a file with a log over it.
//!
//! [`Schema`] tells which b-trees there are, [`Rows`] what is in them, [`check`](mod@check)
//! judges the whole as SQLite's integrity_check does, [`describe`](mod@describe) explains one page,
//! and [`opaque`] tells whether it is encrypted.

use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, Pgno};
use crate::scan;
use crate::storage::File;

pub mod check;
pub mod describe;
mod free_pages;
pub mod opaque;
mod page_rows;
mod pages;
mod payload;
mod rows;
mod schema;
mod sql;
mod sql_value;
mod table_reader;
mod tree_pages;

pub use check::{check, check_schema, is_pointer_map, quick_check};
pub use free_pages::free_pages;
pub use page_rows::{PageRows, ReadRow, StoredRow};
use pages::PageLayout;
pub use pages::{FilePages, Pages};
pub use rows::{RowChange, RowChanges, Rows, TableRow, compare_rows, row_changes};
pub use schema::{EntryKind, Schema, SchemaEntry, TreeKind};
pub use sql::{
    Affinity, ColumnDefinition, Generated, TableColumn, TableDefinition, table_definition,
};

pub use sql_value::{SqlValue, TextEncoding};
pub use table_reader::{TableReader, Unreadable};
pub use tree_pages::{TreePages, page_children};

/// Why reading a database ended early. Damage is no error.
pub type Error = scan::Error;

/// The header on page 1.
///
/// # Errors
/// When page 1 cannot be read.
pub fn header(pages: &dyn Pages) -> Result<DatabaseHeader, Error> {
    let mut image = vec![0; pages.page_size().in_memory()];
    pages.read(Pgno::FIRST, &mut image)?;
    Ok(DatabaseHeader::decode(image.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES])))
}

/// The header of a database file; `None` where it has no valid one.
///
/// # Errors
/// When it cannot be read.
pub fn header_of_file(file: &dyn File) -> Result<Option<DatabaseHeader>, Error> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    let header = DatabaseHeader::decode(&bytes);
    Ok((read == bytes.len() && header.validate().is_ok()).then_some(header))
}

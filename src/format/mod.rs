//! Bytes to values and back: the ground floor.
//!
//! No files, clock, locks or mapping. Decoding keeps what it found even when it is wrong;
//! validation is a separate step. Sources: fileformat2.html section 4, wal.c, btreeInt.h.
#![doc = include_str!("FORMATS.md")]

pub mod btree;
mod bytes;
pub mod checksum;
pub mod database_header;
mod dot;
pub mod entropy;
pub mod frame;
pub mod lock_bytes;
pub mod page_checksum;
pub mod page_kind;
pub mod page_size;
pub mod record;
pub mod rollback_journal;
pub mod varint;
pub mod wal_header;
pub mod wal_index;

pub use checksum::{ByteOrder, Checksum};
pub use database_header::DatabaseHeader;
pub use frame::{FRAME_HEADER_BYTES, FrameHeader, FrameNo, Pgno, Salts};
pub use page_kind::PageKind;
pub use page_size::PageSize;
pub use wal_header::{WAL_HEADER_BYTES, WalHeader, WalHeaderFault};
pub use wal_index::{IndexHeader, WalIndexHeader};

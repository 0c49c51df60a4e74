//! Whether pages that are written into a database file get a checksum of their own, as SQLite's VFS
//! shim cksumvfs gives it to them.
//!
//! The shim goes by byte 20 of page 1 alone, because it is loaded where its databases are. We do
//! not know whether it is, so a page of the file must show that it was.

use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::page_checksum::{PAGE_CHECKSUM_BYTES, verifies};
use crate::format::{DatabaseHeader, PageSize};
use crate::storage::{File, Result};

/// Bytes of the file that one read takes.
const READ_BYTES: usize = 1 << 20;

/// Who cares for the page checksums of cksumvfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageChecksums {
    /// Pages go into the database as the log has them: SQLite's own VFS lies below, or none is
    /// there.
    #[default]
    Leave,
    /// We do: pages get their checksums in a database that has them.
    Keep,
}

/// What pages get on their way into a database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// Their checksum.
    Checksum,
    /// Nobody knows.
    NotKnown(Doubt),
}

/// Why it is not known what pages get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Only the log reserves 8 bytes.
    #[error(
        "8 bytes of each page are reserved in the log only, and not yet in the file: whether its \
         application keeps page checksums there (cksumvfs) cannot be known, and without them it \
         could not read the result"
    )]
    OnlyInLog,
    /// The file reserves 8 bytes and uses them, but not one page shows its checksum.
    #[error(
        "8 bytes of each page are reserved and in use, but no page of the file ends with its \
         checksum: whether they are checksums (cksumvfs) and all damaged cannot be known"
    )]
    NoneVerifies,
}

impl Doubt {
    /// What to do.
    pub const HINT: &str =
        "let the application itself run the checkpoint: it knows what it keeps there";
}

/// Decides that for a file, of which the log holds `page_1` if it holds it. Without a file all
/// pages come from the log, and a checksum is right for whoever reads them.
///
/// # Errors
/// When the file cannot be read.
pub fn wanted(
    file: Option<&dyn File>,
    page_size: PageSize,
    page_1: Option<&DatabaseHeader>,
) -> Result<Wanted> {
    let in_log = page_1.map(|header| header.has_magic() && reserves(header));
    if in_log == Some(false) {
        return Ok(Wanted::Nothing);
    }
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let read = match file {
        Some(file) => file.read_at(&mut bytes, 0)?,
        None => 0,
    };
    let Some(file) = file.filter(|_| read == bytes.len()) else {
        return Ok(if in_log == Some(true) { Wanted::Checksum } else { Wanted::Nothing });
    };
    if reserves(&DatabaseHeader::decode(&bytes)) {
        return shown_by(file, page_size);
    }
    let switched_on = in_log == Some(true);
    Ok(if switched_on { Wanted::NotKnown(Doubt::OnlyInLog) } else { Wanted::Nothing })
}

/// Whether `file` is a database of cksumvfs.
///
/// # Errors
/// When the file cannot be read.
pub fn are_in(file: &dyn File, page_size: PageSize) -> Result<bool> {
    Ok(wanted(Some(file), page_size, None)? == Wanted::Checksum)
}

fn reserves(header: &DatabaseHeader) -> bool {
    usize::from(header.reserved_bytes) == PAGE_CHECKSUM_BYTES
}

/// What the pages of a file with 8 reserved bytes show. One page with its checksum is enough, since
/// page 1 itself may be damaged; zeros are right in every file and show nothing.
fn shown_by(file: &dyn File, page_size: PageSize) -> Result<Wanted> {
    let mut chunk = vec![0; READ_BYTES];
    let (mut offset, mut in_use) = (0, false);
    loop {
        let read = file.read_at(&mut chunk, offset)?;
        for page in chunk.split_at(read).0.chunks_exact(page_size.in_memory()) {
            let reserved = page.last_chunk::<PAGE_CHECKSUM_BYTES>();
            if page.iter().all(|&byte| byte == 0) {
                continue;
            }
            if verifies(page) {
                return Ok(Wanted::Checksum);
            }
            in_use |= reserved.is_some_and(|bytes| bytes != &[0; PAGE_CHECKSUM_BYTES]);
        }
        if read < chunk.len() {
            break;
        }
        offset += chunk.len() as u64;
    }
    Ok(if in_use { Wanted::NotKnown(Doubt::NoneVerifies) } else { Wanted::Nothing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::page_checksum::write;
    use crate::storage::memory::MemoryFile;

    const PAGE: usize = 512;

    /// Page 1 with `reserved` bytes.
    fn page_1(reserved: u8) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        page[..16].copy_from_slice(b"SQLite format 3\0");
        page[16..24].copy_from_slice(&[2, 0, 2, 2, reserved, 64, 32, 32]);
        page
    }

    fn summed(mut page: Vec<u8>) -> Vec<u8> {
        write(&mut page);
        page
    }

    fn asked(pages: Option<&[Vec<u8>]>, in_log: Option<u8>) -> Wanted {
        let file = pages.map(|pages| MemoryFile::with_bytes(pages.concat()));
        let file = file.as_ref().map(|file| file as &dyn File);
        let header =
            in_log.map(|reserved| DatabaseHeader::decode(page_1(reserved).first_chunk().unwrap()));
        wanted(file, PageSize::ALL[0], header.as_ref()).unwrap()
    }

    #[test]
    fn one_page_of_the_file_shows_that_pages_have_checksums() {
        let (zeros, other) = (vec![0; PAGE], summed(vec![7; PAGE]));
        let mut damaged = summed(page_1(8));
        damaged[80] ^= 1;
        let none_verifies = Wanted::NotKnown(Doubt::NoneVerifies);
        for (in_log, shown) in [(None, Wanted::Checksum), (Some(8), Wanted::Checksum)] {
            assert_eq!(asked(Some(&[summed(page_1(8))]), in_log), shown);
            assert_eq!(
                asked(Some(&[damaged.clone(), zeros.clone(), other.clone()]), in_log),
                shown
            );
            // Zeros verify, and show nothing.
            assert_eq!(asked(Some(&[damaged.clone(), zeros.clone()]), in_log), none_verifies);
            assert_eq!(asked(Some(&[page_1(8), zeros.clone()]), in_log), Wanted::Nothing);
        }
    }

    #[test]
    fn the_log_decides_how_many_bytes_the_result_reserves() {
        let in_log_only = Wanted::NotKnown(Doubt::OnlyInLog);
        for (in_file, in_log, expected) in [
            (0, Some(8), in_log_only),
            (16, Some(8), in_log_only),
            (0, Some(0), Wanted::Nothing),
            (0, None, Wanted::Nothing),
            (16, None, Wanted::Nothing),
            (8, Some(16), Wanted::Nothing),
        ] {
            let file = [summed(page_1(in_file))];
            assert_eq!(asked(Some(&file), in_log), expected, "{in_file} {in_log:?}");
        }
        for file in [None, Some(&[][..]), Some(&[vec![0; 50]][..])] {
            assert_eq!(asked(file, Some(8)), Wanted::Checksum);
            assert_eq!(asked(file, Some(16)), Wanted::Nothing);
            assert_eq!(asked(file, None), Wanted::Nothing);
        }
    }
}

//! What a file is by its content. Names are asked in `files`, and only where content does not tell.

use crate::format::btree::BtreeHeader;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::entropy::looks_random;
use crate::format::rollback_journal::JOURNAL_MAGIC;
use crate::format::wal_header::{WAL_FORMAT_VERSION, WAL_MAGIC};
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::storage::{File, Result};

/// Bytes at the beginning of a file by which it is recognised.
const HEAD_BYTES: usize = 4096;
/// Pages that are looked at for b-trees, for every page size.
const SAMPLED_PAGES: u32 = 16;
/// What the content of a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begins with the magic of a database.
    Database,
    /// Begins with the magic of a log.
    Wal,
    /// Begins with the version of a wal-index.
    Shm,
    /// Begins with the magic of a rollback journal.
    Journal,
    /// None of these, or empty, or not there.
    Other,
}

impl Kind {
    /// What the first bytes of a file say.
    #[must_use]
    pub fn of_head(head: &[u8; 16]) -> Self {
        let [a, b, c, d, ..] = *head;
        let word = [a, b, c, d];
        if head == b"SQLite format 3\0" {
            Self::Database
        } else if u32::from_be_bytes(word) & !1 == WAL_MAGIC {
            Self::Wal
        } else if u32::from_ne_bytes(word) == WAL_FORMAT_VERSION {
            Self::Shm
        } else if head.starts_with(&JOURNAL_MAGIC) {
            Self::Journal
        } else {
            Self::Other
        }
    }
}

/// What a file is that begins like none of SQLite's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Nothing, or one byte, which counts as nothing (os_unix.c unixFileSize).
    Empty,
    /// A database whose page 1 was written over: other pages, or the rest of the header, tell.
    Database,
    /// The text that Git keeps in place of a file which it has not fetched.
    LfsPointer,
    /// Another format, in words with its article.
    Format(&'static str),
    /// Text.
    Text,
    /// Zeros and nothing else, as far as it was looked at.
    Zeros,
    /// No order at all: random, encrypted or compressed.
    Random,
    /// None of these.
    Unknown,
}

impl Stranger {
    /// Recognises `file`, which begins like none of SQLite's files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(file: &dyn File) -> Result<Self> {
        let size_bytes = file.size()?;
        if size_bytes <= 1 {
            return Ok(Self::Empty);
        }
        let mut head = vec![0; HEAD_BYTES];
        let read = file.read_at(&mut head, 0)?;
        head.truncate(read);
        if head.starts_with(b"version https://git-lfs.github.com/spec/") {
            return Ok(Self::LfsPointer);
        }
        if has_rest_of_header(&head) || has_btree_pages(file)? {
            return Ok(Self::Database);
        }
        let is_random = looks_random(&head);
        Ok(match infer::get(&head) {
            // Formats that are known by two bytes are found by chance, too.
            Some(found) if !is_random || is_sure(found.mime_type()) => {
                Self::Format(words_of(found.mime_type()))
            }
            _ if head.iter().all(|&byte| byte == 0) => Self::Zeros,
            _ if is_text(&head) => Self::Text,
            _ if is_random => Self::Random,
            _ => Self::Unknown,
        })
    }

    /// What it looks like, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "an empty file",
            Self::Database => "a database without its first page",
            Self::LfsPointer => "a Git LFS pointer: the real file was not fetched",
            Self::Format(words) => words,
            Self::Text => "text",
            Self::Zeros => "zeros",
            Self::Random => "random bytes: encrypted, compressed, or no SQLite file",
            Self::Unknown => "bytes of no format that is known here",
        }
    }

    /// Whether it is surely something else than a file of SQLite's that was damaged or encrypted.
    #[must_use]
    pub fn is_something_else(self) -> bool {
        match self {
            Self::LfsPointer | Self::Format(_) | Self::Text => true,
            Self::Empty | Self::Database | Self::Zeros | Self::Random | Self::Unknown => false,
        }
    }
}

/// A header in which only the magic is wrong.
fn has_rest_of_header(head: &[u8]) -> bool {
    let Some(bytes) = head.first_chunk::<DATABASE_HEADER_BYTES>() else { return false };
    let header = DatabaseHeader::decode(bytes);
    header.payload_fractions == [64, 32, 32]
        && (1..=3).contains(&header.write_version)
        && (1..=3).contains(&header.read_version)
        && header.page_size().is_some()
}

/// Whether one of the first pages, by any page size, is a whole page of a b-tree.
fn has_btree_pages(file: &dyn File) -> Result<bool> {
    let size_bytes = file.size()?;
    for page_size in PageSize::ALL {
        let mut image = vec![0; page_size.in_memory()];
        for page in (1..=SAMPLED_PAGES).map(Pgno) {
            let offset = page.offset_bytes(page_size);
            if offset + page_size.bytes_u64() > size_bytes {
                break;
            }
            let read = file.read_at(&mut image, offset)?;
            // Whichever page it was: only page 1 has its b-tree header elsewhere.
            let header = BtreeHeader::decode(Pgno(2), page_size, &image);
            if read == image.len() && header.is_some_and(|header| header.fits(&image)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn is_text(head: &[u8]) -> bool {
    let whole = match std::str::from_utf8(head) {
        Ok(_) => head.len(),
        // The sample may end inside a character.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
    };
    let plain = |&byte: &u8| byte >= b' ' && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t');
    head.iter().take(whole).all(plain)
}

/// Whether a format is known by so many bytes that random ones do not look like it.
fn is_sure(mime_type: &str) -> bool {
    ["image/png", "application/gzip", "application/zip", "application/zstd", "application/x-xz"]
        .contains(&mime_type)
        || mime_type == "application/x-7z-compressed"
        || mime_type == "application/pdf"
}

fn words_of(mime_type: &'static str) -> &'static str {
    match mime_type {
        "image/png" => "a PNG image",
        "image/jpeg" => "a JPEG image",
        "image/gif" => "a GIF image",
        "application/gzip" => "a gzip file",
        "application/zip" => "a zip archive",
        "application/zstd" => "a zstd file",
        "application/x-xz" => "an xz file",
        "application/x-bzip2" => "a bzip2 file",
        "application/x-7z-compressed" => "a 7-Zip archive",
        "application/x-tar" => "a tar archive",
        "application/pdf" => "a PDF",
        "application/x-executable" => "a program",
        "text/html" => "an HTML page",
        "text/xml" => "XML",
        "text/x-shellscript" => "a shell script",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryFile;

    fn stranger(bytes: &[u8]) -> Stranger {
        Stranger::of(&MemoryFile::with_bytes(bytes.to_vec())).unwrap()
    }

    fn random(seed: u64, len: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..len).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn formats_are_named() {
        let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &random(1, 9000)].concat();
        assert_eq!(stranger(&png).words(), "a PNG image");
        let gzip = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &random(2, 9000)].concat();
        assert_eq!(stranger(&gzip).words(), "a gzip file");
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
        assert_eq!(stranger(pointer), Stranger::LfsPointer);
        assert_eq!(stranger("Gr\u{fc}\u{df}e\n".repeat(900).as_bytes()), Stranger::Text);
        assert_eq!(stranger(b"x"), Stranger::Empty);
        assert_eq!(stranger(&[0; 5000]), Stranger::Zeros);
    }

    #[test]
    fn random_bytes_are_no_format() {
        for seed in 0..200 {
            assert_eq!(stranger(&random(seed, 8192)), Stranger::Random, "{seed}");
        }
    }
}

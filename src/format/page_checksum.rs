//! The checksum that SQLite's VFS shim cksumvfs keeps at the end of each page of a database file
//! (ext/misc/cksumvfs.c cksmCompute).
//!
//! It is there where exactly 8 bytes of each page are reserved, and only in the file: the log holds
//! whatever these bytes were when the page was read.

use super::{ByteOrder, Checksum};

/// Bytes of the checksum, and what byte 20 of page 1 says where there is one.
pub const PAGE_CHECKSUM_BYTES: usize = 8;

/// The checksum of a page: the recurrence of the log in little-endian words over all bytes before
/// it.
fn sum(content: &[u8]) -> [u8; PAGE_CHECKSUM_BYTES] {
    let Checksum { a, b } = Checksum::ZERO.update(ByteOrder::Little, content);
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a.to_le_bytes(), b.to_le_bytes());
    [a0, a1, a2, a3, b0, b1, b2, b3]
}

/// Whether a page, a multiple of 8 bytes long, ends with its checksum. A page of zeros does.
#[must_use]
pub fn verifies(image: &[u8]) -> bool {
    image.split_last_chunk().is_some_and(|(content, stored)| sum(content) == *stored)
}

/// Writes the checksum of a page, a multiple of 8 bytes long, to its end.
pub fn write(image: &mut [u8]) {
    if let Some((content, stored)) = image.split_last_chunk_mut() {
        *stored = sum(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_little_endian_whatever_the_log_has() {
        let mut image = [0; 24];
        image[..8].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
        write(&mut image);
        // By hand: (1, 3) after the first pair, (1 + 3, 3 + 4) after the second, which is zeros.
        assert_eq!(image[16..], [4, 0, 0, 0, 7, 0, 0, 0]);
        assert!(verifies(&image));
        image[3] ^= 1;
        assert!(!verifies(&image));
        assert!(verifies(&[0; 512]));
    }
}

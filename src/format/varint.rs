//! Variable-length integers (fileformat2.html section 1.6, sqlite3GetVarint).

/// Longest encoding in bytes.
pub const MAX_VARINT_BYTES: usize = 9;

/// Decodes the varint at the start of `bytes`: its value and length; `None` when `bytes` ends
/// inside it.
///
/// Big-endian groups of 7 bits, the high bit meaning "more"; a ninth byte gives 8 bits.
#[must_use]
#[inline]
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    // Most are one byte long.
    match bytes.first() {
        Some(&byte) if byte & 0x80 == 0 => Some((u64::from(byte), 1)),
        Some(_) => longer(bytes),
        None => None,
    }
}

fn longer(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        if index + 1 == MAX_VARINT_BYTES {
            return Some(((value << 8) | u64::from(byte), MAX_VARINT_BYTES));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_length() {
        assert_eq!(varint(&[0]), Some((0, 1)));
        assert_eq!(varint(&[0x7f, 9]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0x81]), None);
        assert_eq!(varint(&[]), None);
    }
}

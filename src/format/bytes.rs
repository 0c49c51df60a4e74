//! Bounded big-endian reads and writes, the only place of the format floor that slices raw bytes.

/// Reads the big-endian `u32` at `OFFSET` of a fixed-size array; the bound is checked when
/// compiled.
pub(crate) fn field_u32<const OFFSET: usize, const N: usize>(bytes: &[u8; N]) -> u32 {
    const { assert!(OFFSET + 4 <= N, "field lies outside the structure") };
    let mut field = [0; 4];
    field.copy_from_slice(bytes.split_at(OFFSET).1.split_at(4).0);
    u32::from_be_bytes(field)
}

/// Writes `value` big-endian at `OFFSET` of a fixed-size array; the bound is checked when compiled.
pub(crate) fn put_u32<const OFFSET: usize, const N: usize>(bytes: &mut [u8; N], value: u32) {
    const { assert!(OFFSET + 4 <= N, "field lies outside the structure") };
    bytes.split_at_mut(OFFSET).1.split_at_mut(4).0.copy_from_slice(&value.to_be_bytes());
}

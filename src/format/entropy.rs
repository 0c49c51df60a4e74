//! Whether bytes look random, as encrypted pages do.

/// Bits of entropy a byte from which bytes count as random. The lowest of 2,000 random samples had
/// 7.84 in 512 bytes and 7.93 in 1024, after the correction for their length; text, records and
/// machine code have less than 7.
const RANDOM_BITS: f64 = 7.8;

/// Whether bytes have no order: as many of each value as chance gives. Fewer than 512 bytes do not
/// tell.
#[must_use]
pub fn looks_random(bytes: &[u8]) -> bool {
    if bytes.len() < 512 {
        return false;
    }
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total: u32 = counts.iter().sum();
    let share = counts.iter().filter(|&&count| count > 0).map(|&count| {
        let share = f64::from(count) / f64::from(total);
        -share * share.log2()
    });
    // A short sample cannot show every value as often: its entropy is lower by about 255 / 2n ln 2
    // (Miller and Madow).
    let shortage = 255.0 / (2.0 * f64::from(total) * std::f64::consts::LN_2);
    share.sum::<f64>() + shortage >= RANDOM_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_of_any_length_look_random_and_others_do_not() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            for len in [512, 1024, 4096, 65_536] {
                let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
                assert!(looks_random(&bytes), "{seed} {len}");
                let seven_bits: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
                assert!(!looks_random(&seven_bits), "{seed} {len}");
            }
        }
        assert!(!looks_random(&[0; 4096]));
        assert!(!looks_random(&[]));
    }
}

//! Numbers for people.

/// `count` with a thin separator between thousands: `12,345`.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in binary units: `4.0 KiB`, exact below 1 KiB.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut scale, mut name) = (1024_u64, "KiB");
    for unit in UNITS.into_iter().skip(1) {
        if bytes / scale < 1024 {
            break;
        }
        scale = scale.saturating_mul(1024);
        name = unit;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// `n thing` or `n things`; a noun on s takes -es.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let plural = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(4152), "4.0 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(counted(1, "frame"), "1 frame");
        assert_eq!(counted(20, "frame"), "20 frames");
        assert_eq!(counted(2, "process"), "2 processes");
    }
}

//! Names and values as SQL.

use crate::database::{SqlValue, TextEncoding};

/// `name` as an identifier.
pub(in crate::history::rows) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as a literal that gives it back: type, bits and bytes. `encoding` is the database's.
pub(in crate::history::rows) fn literal(value: &SqlValue, encoding: TextEncoding) -> String {
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) if number.is_finite() => real(*number),
        SqlValue::Real(number) if *number > 0.0 => "9e999".to_owned(),
        SqlValue::Real(_) => "-9e999".to_owned(),
        // A literal ends at NUL, and SQLite's shell drops a CR before LF.
        SqlValue::Text(text) if text.contains(['\0', '\r']) => text_of(&encoding.bytes(text)),
        // On the way to UTF-16 both become U+FFFD (utf.c READ_UTF8).
        SqlValue::Text(text)
            if encoding != TextEncoding::Utf8 && text.contains(['\u{fffe}', '\u{ffff}']) =>
        {
            text_of(&encoding.bytes(text))
        }
        SqlValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
        SqlValue::BrokenText(bytes) => text_of(bytes),
        SqlValue::Blob(bytes) => blob(bytes),
    }
}

/// A finite number: as a decimal where every SQLite reads it back, and else as an integer and
/// powers of two, of which nothing is rounded. Up to 3.42 SQLite reads decimals with one rounding
/// or more, in 53 bits or 64, and later with about 100 (util.c sqlite3AtoF).
fn real(number: f64) -> String {
    match is_read_back(number.abs()) {
        true => format!("{number:?}"),
        false => exact(number),
    }
}

/// Whether the shortest decimal of a number is read as that number, however exactly its digits are
/// divided by a power of ten.
fn is_read_back(number: f64) -> bool {
    const WHOLE: u64 = 1 << f64::MANTISSA_DIGITS;
    if number == 0.0 {
        return true;
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return false };
    let after_point = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits: Option<u64> = digits.replace('.', "").parse().ok();
    let exponent = exponent.parse::<i32>().ok().zip(i32::try_from(after_point).ok());
    let (Some(digits), Some((exponent, after_point))) = (digits, exponent) else { return false };
    let exponent = exponent - after_point;
    // Both are numbers without a rounding.
    if digits > WHOLE || exponent.abs() > 22 || !number.is_normal() {
        return false;
    }
    if exponent >= 0 {
        let odd = u128::from(digits) * 5_u128.pow(exponent.unsigned_abs());
        return odd <= u128::from(WHOLE);
    }
    #[expect(clippy::cast_precision_loss, reason = "it is no longer than the digits of a double")]
    let digits = digits as f64;
    let divisor = 10_f64.powi(-exponent);
    let product = number * divisor;
    let lost = number.mul_add(divisor, -product);
    let off_by = ((digits - product) - lost) / divisor;
    // A quotient that is rounded twice may go to the wrong side of the middle of two numbers.
    let is_clear = |half: f64| (off_by.abs() - half).abs() > half / 128.0;
    is_clear((number.next_up() - number) / 2.0) && is_clear((number - number.next_down()) / 2.0)
}

/// A number that is not 0 as an integer and powers of two.
fn exact(number: f64) -> String {
    /// The largest power of two that is an integer of SQLite's.
    const STEP: u32 = 62;
    let bits = number.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = i32::try_from(bits >> 52 & 0x7ff).unwrap_or_default();
    let (integer, exponent) = match biased {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, biased - 1075),
    };
    let zeros = integer.trailing_zeros();
    let exponent = exponent + i32::try_from(zeros).unwrap_or_default();
    let sign = if number < 0.0 { "-" } else { "" };
    let mut text = format!("({sign}{}.0", integer >> zeros);
    let (operator, mut rest) = (if exponent < 0 { '/' } else { '*' }, exponent.unsigned_abs());
    while rest > 0 {
        let step = rest.min(STEP);
        text.push_str(&format!("{operator}{}", 1_u64 << step));
        rest -= step;
    }
    text.push(')');
    text
}

fn text_of(bytes: &[u8]) -> String {
    format!("CAST({} AS TEXT)", blob(bytes))
}

fn blob(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(*DIGITS.get(usize::from(nibble)).unwrap_or(&b'0'));
    let mut literal = String::with_capacity(bytes.len() * 2 + 3);
    literal.push_str("x'");
    for byte in bytes {
        literal.push(digit(byte >> 4));
        literal.push(digit(byte & 15));
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_sql() {
        let of = |value: SqlValue| literal(&value, TextEncoding::Utf16Le);
        assert_eq!(of(SqlValue::Real(0.1)), "0.1");
        assert_eq!(of(SqlValue::Real(1234.56)), "1234.56");
        assert_eq!(of(SqlValue::Real(1e22)), "1e22");
        assert_eq!(of(SqlValue::Real(0.1 + 0.2)), "(1351079888211149.0/4503599627370496)");
        assert_eq!(of(SqlValue::Real(-1.5 * 2_f64.powi(70))), "(-3.0*4611686018427387904*128)");
        assert_eq!(of(SqlValue::Real(-0.0)), "-0.0");
        assert_eq!(of(SqlValue::Real(f64::NEG_INFINITY)), "-9e999");
        assert_eq!(of(SqlValue::Text("it's".to_owned())), "'it''s'");
        assert_eq!(of(SqlValue::Text("a\0".to_owned())), "CAST(x'61000000' AS TEXT)");
        assert_eq!(of(SqlValue::Blob(vec![0, 0xfe])), "x'00fe'");
        assert_eq!(quoted("a \"b\""), "\"a \"\"b\"\"\"");
    }

    /// The value of what [`exact`] and [`real`] write, without a rounding.
    fn value(text: &str) -> f64 {
        let Some(inner) = text.strip_prefix('(').and_then(|it| it.strip_suffix(')')) else {
            return text.parse().unwrap();
        };
        let mut parts = inner.split(['*', '/']);
        let first: f64 = parts.next().unwrap().parse().unwrap();
        parts.map(|it| it.parse::<f64>().unwrap()).fold(first, |value, power| {
            if inner.contains('*') { value * power } else { value / power }
        })
    }

    #[test]
    fn numbers_are_read_back() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let odd =
            [f64::MIN_POSITIVE, f64::MAX, f64::from_bits(1), -0.0, 2_f64.powi(53), 1e23, 5e-324];
        let random = std::iter::repeat_with(|| f64::from_bits(random.u64(..))).take(20_000);
        for number in odd.into_iter().chain(random.filter(|it| it.is_finite())) {
            let text = real(number);
            assert_eq!(value(&text).to_bits(), number.to_bits(), "seed {seed}: {text}");
            if number != 0.0 {
                let text = exact(number);
                assert_eq!(value(&text).to_bits(), number.to_bits(), "seed {seed}: {text}");
            }
        }
    }

    #[test]
    fn money_is_a_decimal() {
        let plain = (0..100_000).filter(|&cents| is_read_back(f64::from(cents) / 100.0));
        assert!(plain.count() > 99_900);
    }
}

//! The value of a default that is a literal (vdbemem.c sqlite3ValueFromExpr of SQLite 3.54; older
//! ones, as 3.40, read a whole real in a column without affinity as an integer).

use std::borrow::Cow;

use crate::database::SqlValue;

use super::declared_type::Affinity;
use super::tokens::{Token, tokens, unquoted};

/// What the text of a default stands for in a column of `affinity`; `None` where it is no literal.
pub(in crate::database) fn default_value(text: &str, affinity: Affinity) -> Option<SqlValue> {
    let tokens = tokens(text);
    let (sign, token) = match tokens.as_slice() {
        [Token::Symbol('-'), number] => (-1, number),
        [Token::Symbol('+'), number] => (1, number),
        [only] => (0, only),
        _ => return None,
    };
    let value = match token {
        Token::Word(word) if affinity == Affinity::Text && is_number(word) => {
            return text_of_number(word, sign);
        }
        Token::Word(word) => word_value(word, sign)?,
        Token::Quoted(_) if sign == 0 && !text.starts_with('[') => SqlValue::Text(unquoted(text)),
        Token::Quoted(_) | Token::Symbol(_) => return None,
    };
    stored_as(value, affinity)
}

fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}

/// In a column of text, a number that is no integer of 64 bits is the text of its literal.
fn text_of_number(word: &str, sign: i64) -> Option<SqlValue> {
    match word_value(word, sign)? {
        SqlValue::Integer(number) => Some(SqlValue::Text(number.to_string())),
        SqlValue::Real(_) => {
            let sign = if sign < 0 { "-" } else { "" };
            Some(SqlValue::Text(format!("{sign}{}", word.replace('_', ""))))
        }
        _ => None,
    }
}

fn word_value(word: &str, sign: i64) -> Option<SqlValue> {
    let lower = word.to_ascii_lowercase();
    if sign == 0 {
        match lower.as_str() {
            "null" => return Some(SqlValue::Null),
            "true" => return Some(SqlValue::Integer(1)),
            "false" => return Some(SqlValue::Integer(0)),
            _ => {}
        }
        if let Some(hex) = lower.strip_prefix("x'").and_then(|rest| rest.strip_suffix('\'')) {
            return Some(SqlValue::Blob(blob(hex)?));
        }
    }
    if !is_number(word) {
        // Words like CURRENT_TIMESTAMP; a bare identifier is text.
        let is_time = lower.starts_with("current_");
        let is_text = sign == 0 && !is_time;
        return is_text.then(|| SqlValue::Text(word.to_owned()));
    }
    let digits: Cow<'_, str> = Cow::from(lower.replace('_', ""));
    if let Some(hex) = digits.strip_prefix("0x") {
        let bits = u64::from_str_radix(hex, 16).ok()?.cast_signed();
        return Some(SqlValue::Integer(if sign < 0 { bits.wrapping_neg() } else { bits }));
    }
    let signed = if sign < 0 { Cow::from(format!("-{digits}")) } else { digits };
    if let Ok(number) = signed.parse::<i64>() {
        return Some(SqlValue::Integer(number));
    }
    signed.parse().ok().map(SqlValue::Real)
}

fn blob(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())
}

/// The value as a column stores it (datatype3.html section 3); `None` where that takes SQLite's own
/// text of a real.
fn stored_as(value: SqlValue, affinity: Affinity) -> Option<SqlValue> {
    Some(match (value, affinity) {
        (SqlValue::Integer(number), Affinity::Text) => SqlValue::Text(number.to_string()),
        (SqlValue::Real(_), Affinity::Text) => return None,
        #[expect(clippy::cast_precision_loss, reason = "SQLite does the same")]
        (SqlValue::Integer(number), Affinity::Real) => SqlValue::Real(number as f64),
        (SqlValue::Text(text), Affinity::Numeric | Affinity::Integer | Affinity::Real) => {
            number_of(&text, affinity).unwrap_or(SqlValue::Text(text))
        }
        // The sign is taken after the affinity is given, when it is an integer already.
        (SqlValue::Real(0.0), Affinity::Real) => SqlValue::Real(0.0),
        (SqlValue::Real(number), Affinity::Numeric | Affinity::Integer) => {
            integer_of(number).map_or(SqlValue::Real(number), SqlValue::Integer)
        }
        (value, _) => value,
    })
}

/// The number that a text is, from its first to its last byte but for space.
fn number_of(text: &str, affinity: Affinity) -> Option<SqlValue> {
    let plain = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let is_decimal = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if plain.is_empty() || !plain.chars().all(is_decimal) {
        return None;
    }
    match plain.parse::<i64>() {
        Ok(number) => stored_as(SqlValue::Integer(number), affinity),
        Err(_) => stored_as(SqlValue::Real(plain.parse().ok()?), affinity),
    }
}

/// The integer that a real is.
fn integer_of(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "compared afterwards")]
    let integer = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "numbers that large are left out")]
    let same = integer as f64 == number && integer.unsigned_abs() < 1 << 51;
    same.then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_values_of_the_affinity() {
        use SqlValue::{Blob, Integer, Null, Real, Text};
        for (text, affinity, expected) in [
            ("5", Affinity::Blob, Some(Integer(5))),
            ("-5", Affinity::Real, Some(Real(-5.0))),
            ("'12'", Affinity::Integer, Some(Integer(12))),
            ("'1.5'", Affinity::Numeric, Some(Real(1.5))),
            ("\"it\"\"s\"", Affinity::Text, Some(Text("it\"s".to_owned()))),
            ("x'0aFF'", Affinity::Blob, Some(Blob(vec![10, 255]))),
            ("0x10", Affinity::Integer, Some(Integer(16))),
            ("TRUE", Affinity::Blob, Some(Integer(1))),
            ("null", Affinity::Text, Some(Null)),
            ("1e3", Affinity::Integer, Some(Integer(1000))),
            ("CURRENT_TIMESTAMP", Affinity::Text, None),
            ("random()", Affinity::Blob, None),
            ("1 + 1", Affinity::Blob, None),
            ("2.5", Affinity::Text, Some(Text("2.5".to_owned()))),
            ("-1E3", Affinity::Text, Some(Text("-1E3".to_owned()))),
            ("99999999999999999999", Affinity::Text, Some(Text("99999999999999999999".to_owned()))),
            ("-0.0", Affinity::Real, Some(Real(0.0))),
            ("-0.0", Affinity::Integer, Some(Integer(0))),
            ("-0.0", Affinity::Blob, Some(Real(-0.0))),
        ] {
            assert_eq!(default_value(text, affinity), expected, "{text}");
        }
    }
}

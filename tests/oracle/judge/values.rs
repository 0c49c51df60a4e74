//! Values that walsmith tells, as the cells of a state are written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::ValueRef;
use serde_json::Value;

use super::contents::cell;

/// JSON is read with an error in the last digit of a number.
pub(super) fn rounded(cell: &str) -> String {
    let is_real = cell.starts_with(|it: char| it.is_ascii_digit() || "-iN".contains(it))
        && cell.parse::<i64>().is_err();
    match cell.parse::<f64>() {
        Ok(number) if is_real => format!("{number:.11e}"),
        _ => cell.to_owned(),
    }
}

/// A value as walsmith writes it.
pub(super) fn value_cell(value: &Value, encoding: &str) -> Result<String, String> {
    let no_value = || format!("{value} is no value");
    Ok(match value {
        Value::Null => cell(ValueRef::Null, false),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => cell(ValueRef::Integer(integer), false),
            None => rounded(&cell(ValueRef::Real(number.as_f64().ok_or_else(no_value)?), false)),
        },
        Value::String(text) => {
            let units = text.encode_utf16();
            let bytes: Vec<u8> = match encoding {
                "UTF-16le" => units.flat_map(u16::to_le_bytes).collect(),
                "UTF-16be" => units.flat_map(u16::to_be_bytes).collect(),
                _ => text.clone().into_bytes(),
            };
            cell(ValueRef::Blob(&bytes), true)
        }
        Value::Object(object) => {
            let (kind, text) = object.iter().next().ok_or_else(no_value)?;
            let text = text.as_str().ok_or_else(no_value)?;
            match kind.as_str() {
                "blob" => {
                    cell(ValueRef::Blob(&STANDARD.decode(text).map_err(|_| no_value())?), false)
                }
                "text_hex" => cell(ValueRef::Blob(&unhexed(text)), true),
                "real" => {
                    rounded(&cell(ValueRef::Real(text.parse().map_err(|_| no_value())?), false))
                }
                _ => return Err(no_value()),
            }
        }
        Value::Bool(_) | Value::Array(_) => return Err(no_value()),
    })
}

fn unhexed(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

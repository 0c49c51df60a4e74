//! SQLite's mathematical functions (lang_mathfunc.html): the bundled SQLite is built without them,
//! and the shell has them.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

const FLAGS: FunctionFlags = FunctionFlags::SQLITE_DETERMINISTIC
    .union(FunctionFlags::SQLITE_INNOCUOUS)
    .union(FunctionFlags::SQLITE_UTF8);

type OfOne = fn(f64) -> f64;
type OfTwo = fn(f64, f64) -> f64;

/// Functions of one number.
const OF_ONE: [(&str, OfOne); 20] = [
    ("acos", f64::acos),
    ("acosh", f64::acosh),
    ("asin", f64::asin),
    ("asinh", f64::asinh),
    ("atan", f64::atan),
    ("atanh", f64::atanh),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("degrees", f64::to_degrees),
    ("exp", f64::exp),
    ("radians", f64::to_radians),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
    // Of numbers that are not positive there is no logarithm: NaN, which is NULL.
    ("ln", |number| if number > 0.0 { number.ln() } else { f64::NAN }),
    ("log", |number| if number > 0.0 { number.log10() } else { f64::NAN }),
    ("log10", |number| if number > 0.0 { number.log10() } else { f64::NAN }),
    ("log2", |number| if number > 0.0 { number.log2() } else { f64::NAN }),
];

/// Functions of two numbers.
const OF_TWO: [(&str, OfTwo); 5] = [
    ("atan2", f64::atan2),
    ("log", log_to_base),
    ("mod", |number, by| number % by),
    ("pow", f64::powf),
    ("power", f64::powf),
];

/// Functions that leave an integer as it is.
const WHOLE: [(&str, OfOne); 4] =
    [("ceil", f64::ceil), ("ceiling", f64::ceil), ("floor", f64::floor), ("trunc", f64::trunc)];

fn log_to_base(base: f64, number: f64) -> f64 {
    // func.c logFunc: no base up to 1 gives a number.
    let below = base.ln();
    if number > 0.0 && below > 0.0 { number.ln() / below } else { f64::NAN }
}

/// Adds them to a connection.
///
/// # Errors
/// When SQLite has no memory.
pub(super) fn add(connection: &Connection) -> rusqlite::Result<()> {
    for (name, function) in OF_ONE {
        connection.create_scalar_function(name, 1, FLAGS, move |context| {
            Ok(real(number(context, 0).map(|it| function(as_real(&it)))))
        })?;
    }
    for (name, function) in OF_TWO {
        connection.create_scalar_function(name, 2, FLAGS, move |context| {
            let numbers = number(context, 0).zip(number(context, 1));
            Ok(real(numbers.map(|(one, other)| function(as_real(&one), as_real(&other)))))
        })?;
    }
    for (name, function) in WHOLE {
        connection.create_scalar_function(name, 1, FLAGS, move |context| {
            Ok(match number(context, 0) {
                Some(Value::Real(number)) => real(Some(function(number))),
                whole => whole.map_or(ToSqlOutput::Owned(Value::Null), ToSqlOutput::Owned),
            })
        })?;
    }
    connection.create_scalar_function("pi", 0, FLAGS, |_| Ok(std::f64::consts::PI))
}

/// A result; NULL for what is no number.
fn real(number: Option<f64>) -> ToSqlOutput<'static> {
    let number = number.filter(|number| !number.is_nan());
    ToSqlOutput::Owned(number.map_or(Value::Null, Value::Real))
}

fn as_real(number: &Value) -> f64 {
    match number {
        #[expect(clippy::cast_precision_loss, reason = "as sqlite3_value_double")]
        Value::Integer(number) => *number as f64,
        Value::Real(number) => *number,
        Value::Null | Value::Text(_) | Value::Blob(_) => f64::NAN,
    }
}

/// An argument, where it is a number or text that is one (sqlite3_value_numeric_type).
fn number(context: &Context<'_>, place: usize) -> Option<Value> {
    match context.get_raw(place) {
        ValueRef::Integer(number) => Some(Value::Integer(number)),
        ValueRef::Real(number) => Some(Value::Real(number)),
        ValueRef::Text(text) => {
            let text =
                std::str::from_utf8(text).ok()?.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
            // Rust reads words like `inf`, too.
            let is_numeric = |it: u8| it.is_ascii_digit() || b"+-.eE".contains(&it);
            if !text.bytes().all(is_numeric) {
                return None;
            }
            let whole = text.parse().ok().map(Value::Integer);
            whole.or_else(|| text.parse().ok().map(Value::Real))
        }
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

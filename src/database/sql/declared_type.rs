//! Declared types of columns, and the affinity that they give.

use super::tokens::{Token, unquoted};

/// Types that are shown in this spelling, whatever the statement says (global.c sqlite3StdType).
const STANDARD_TYPES: [(&str, Affinity); 6] = [
    ("ANY", Affinity::Numeric),
    ("BLOB", Affinity::Blob),
    ("INT", Affinity::Integer),
    ("INTEGER", Affinity::Integer),
    ("REAL", Affinity::Real),
    ("TEXT", Affinity::Text),
];

/// What a quoted name begins with.
const QUOTES: [char; 4] = ['"', '\'', '[', '`'];

/// How values are stored in a column (datatype3.html section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// As they are.
    Blob,
    /// Numbers become text.
    Text,
    /// Text that is a number becomes one.
    Numeric,
    /// As `Numeric`; reals without a fraction become integers.
    Integer,
    /// As `Numeric`; integers are reals, and may be stored as integers.
    Real,
}

/// Words that are no part of a type (parse.y: those without a fallback to an identifier).
pub(super) fn ends_type(token: &Token) -> bool {
    const WORDS: [&str; 10] = [
        "constraint",
        "primary",
        "not",
        "null",
        "unique",
        "check",
        "default",
        "collate",
        "references",
        "as",
    ];
    WORDS.iter().any(|word| token.is(word))
}

/// A type without the GENERATED ALWAYS that the parser takes for a part of it.
pub(super) fn without_generated(text: &str) -> &str {
    let without = |text: &str, word: &str| {
        let start = text.len().checked_sub(word.len())?;
        let (before, end) = text.split_at_checked(start)?;
        end.eq_ignore_ascii_case(word).then_some(before.trim_end().len())
    };
    let shorter = without(text, "always").and_then(|end| {
        let before = text.get(..end)?;
        before.get(..without(before, "generated")?)
    });
    shorter.unwrap_or(text)
}

/// A type as it is shown: a standard one in capitals, a quoted one without its quotes.
pub(super) fn standard_type(text: String) -> String {
    let plain = if text.len() >= 3 { without_quotes(&text) } else { &text };
    match STANDARD_TYPES.iter().find(|(name, _)| plain.eq_ignore_ascii_case(name)) {
        Some((name, _)) => (*name).to_owned(),
        None if plain.starts_with(QUOTES) => unquoted(plain),
        None => plain.to_owned(),
    }
}

/// A type that begins with a quote and has no other inside, without its first and last character,
/// whatever that is (util.c sqlite3DequoteToken).
fn without_quotes(text: &str) -> &str {
    let inside = text.strip_prefix(QUOTES).and_then(|rest| rest.get(..rest.len().checked_sub(1)?));
    inside.filter(|inside| !inside.contains(QUOTES)).unwrap_or(text)
}

/// Affinity of a declared type (build.c sqlite3AffinityType).
pub(super) fn affinity(declared: &str) -> Affinity {
    let plain = standard_type(declared.to_owned());
    if plain.is_empty() {
        return Affinity::Blob;
    }
    if let Some((_, affinity)) = STANDARD_TYPES.iter().find(|(name, _)| *name == plain) {
        return *affinity;
    }
    let has = |word: &str| plain.to_ascii_uppercase().contains(word);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

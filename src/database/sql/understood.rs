//! Whether a CREATE statement is one that SQLite's parser takes (parse.y), as far as it is read
//! here: words at places where they have no meaning show that it was damaged. What expressions in
//! parentheses say is not looked at.

use super::tokens::Token;
use super::{begins_constraint, ends_type, parentheses, parts};

/// Words of constraints.
const WORDS: [&str; 38] = [
    "primary",
    "key",
    "asc",
    "desc",
    "on",
    "conflict",
    "rollback",
    "abort",
    "fail",
    "ignore",
    "replace",
    "autoincrement",
    "not",
    "null",
    "unique",
    "check",
    "generated",
    "always",
    "as",
    "stored",
    "virtual",
    "deferrable",
    "initially",
    "deferred",
    "immediate",
    "delete",
    "update",
    "set",
    "cascade",
    "restrict",
    "no",
    "action",
    "foreign",
    "references",
    "collate",
    "match",
    "constraint",
    "default",
];

/// Whether everything that defines a table is known: what is in the parentheses, and after them.
pub(super) fn table(definitions: &[Token], after: &[Token]) -> bool {
    let is_option = |option: &[Token]| match option {
        [strict] => strict.is("strict"),
        [without, rowid] => without.is("without") && rowid.is("rowid"),
        _ => false,
    };
    let options_are_known = after.is_empty() || parts(after).all(is_option);
    options_are_known && parts(definitions).all(definition)
}

/// Whether nothing follows the keys of an index but its condition.
pub(super) fn after_keys(after: &[Token]) -> bool {
    after.first().is_none_or(|first| first.is("where") && after.len() > 1)
}

fn definition(tokens: &[Token]) -> bool {
    let mut rest = tokens;
    match tokens.split_first() {
        Some((first, after)) if !begins_constraint(first) => {
            let is_type = |token: &&Token| !ends_type(token) && token.name().is_some();
            let words = after.iter().take_while(is_type).count();
            rest = after.get(words..).unwrap_or_default();
            if first.name().is_none() {
                return false;
            }
            if words > 0
                && let Some((_, after)) = parentheses(rest)
            {
                rest = after;
            }
        }
        Some(_) => {}
        None => return false,
    }
    while let Some((token, after)) = rest.split_first() {
        rest = match token {
            Token::Symbol('(') => match parentheses(rest) {
                Some((_, after)) => after,
                None => return false,
            },
            token if token.is("default") => match after {
                [Token::Symbol('('), ..] => after,
                [Token::Symbol('+' | '-'), _, after @ ..] | [_, after @ ..] => after,
                [] => return false,
            },
            // With a name after them.
            token if NAMING.iter().any(|word| token.is(word)) => match after {
                [name, after @ ..] if name.name().is_some() => after,
                _ => return false,
            },
            token if WORDS.iter().any(|word| token.is(word)) => after,
            Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => return false,
        };
    }
    true
}

const NAMING: [&str; 4] = ["constraint", "collate", "references", "match"];

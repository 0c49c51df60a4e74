//! The tokens of a statement (tokenize.c sqlite3GetToken).

use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or an identifier.
    Word(String),
    /// A quoted identifier or a string.
    Quoted(String),
    Symbol(char),
}

impl Token {
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name.clone()),
            Self::Symbol(_) => None,
        }
    }
}

/// The tokens of `sql`, without where they are.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    tokens_in(sql).into_iter().map(|(token, _)| token).collect()
}

/// The tokens of `sql`, and the bytes that each is. A number is a word.
pub(super) fn tokens_in(sql: &str) -> Vec<(Token, Range<usize>)> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some((kind, bytes)) = first_token(rest) {
        let start = sql.len() - rest.len();
        let (text, after) = rest.split_at(bytes);
        let token = match kind {
            Kind::Nothing => None,
            Kind::Word => Some(Token::Word(text.to_owned())),
            Kind::Quoted => Some(Token::Quoted(unquoted(text))),
            Kind::Symbol => text.chars().next().map(Token::Symbol),
        };
        found.extend(token.map(|token| (token, start..start + bytes)));
        rest = after;
    }
    found
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Space or a comment.
    Nothing,
    Word,
    Quoted,
    Symbol,
}

/// The first token, and its bytes; `None` at the end.
fn first_token(text: &str) -> Option<(Kind, usize)> {
    let first = text.chars().next()?;
    let second = text.get(first.len_utf8()..).and_then(|after| after.chars().next());
    let until = |end: Option<usize>| end.unwrap_or(text.len());
    Some(match first {
        '-' if second == Some('-') => (Kind::Nothing, until(text.find('\n'))),
        '/' if second == Some('*') => {
            let inside = text.get(2..).unwrap_or_default();
            (Kind::Nothing, until(inside.find("*/").map(|end| end + 4)))
        }
        '[' => (Kind::Quoted, until(text.find(']').map(|end| end + 1))),
        '\'' | '"' | '`' => (Kind::Quoted, quoted_bytes(text, first)),
        _ if first.is_ascii_whitespace() => {
            (Kind::Nothing, until(text.find(|c: char| !c.is_ascii_whitespace())))
        }
        _ if first.is_ascii_digit()
            || (first == '.' && second.is_some_and(|c| c.is_ascii_digit())) =>
        {
            (Kind::Word, number_bytes(text))
        }
        // A blob is one token.
        'x' | 'X' if second == Some('\'') => {
            let inside = text.get(1..).unwrap_or_default();
            (Kind::Word, 1 + quoted_bytes(inside, '\''))
        }
        _ if is_name(first) => (Kind::Word, until(text.find(|c| !is_name(c)))),
        _ => (Kind::Symbol, first.len_utf8()),
    })
}

/// Bytes of a text that begins with `quote`. A quote inside is written twice.
fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut inside = text.char_indices().skip(1).peekable();
    while let Some((place, here)) = inside.next() {
        if here == quote && inside.next_if(|&(_, next)| next == quote).is_none() {
            return place + 1;
        }
    }
    text.len()
}

/// Bytes of a number: digits with a point and an exponent, or hexadecimal.
fn number_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let digits = |mut place: usize| {
        while at(place).is_ascii_digit() || at(place) == b'_' {
            place += 1;
        }
        place
    };
    if at(0) == b'0' && matches!(at(1), b'x' | b'X') && at(2).is_ascii_hexdigit() {
        let rest = text.get(2..).unwrap_or_default();
        return 2 + rest.find(|c: char| !c.is_ascii_hexdigit() && c != '_').unwrap_or(rest.len());
    }
    let mut end = digits(0);
    if at(end) == b'.' {
        end = digits(end + 1);
    }
    let sign = usize::from(matches!(at(end + 1), b'+' | b'-'));
    if matches!(at(end), b'e' | b'E') && at(end + 1 + sign).is_ascii_digit() {
        end = digits(end + 1 + sign);
    }
    end
}

/// The text of a quoted token (util.c sqlite3Dequote).
pub(super) fn unquoted(token: &str) -> String {
    let mut chars = token.chars();
    let Some(first) = chars.next() else { return String::new() };
    if first == '[' {
        return chars.take_while(|&c| c != ']').collect();
    }
    let mut chars = chars.peekable();
    let mut text = String::new();
    while let Some(here) = chars.next() {
        if here == first && chars.next_if_eq(&first).is_none() {
            break;
        }
        text.push(here);
    }
    text
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

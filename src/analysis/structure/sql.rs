//! As much of a CREATE statement as tells what b-tree it has. Not a parser: SQLite wrote the
//! statement, or accepted it, and only words at fixed places are looked at (tokenize.c).

/// What a statement creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sql {
    /// A table.
    Table {
        name: String,
        without_rowid: bool,
        /// No column has another order than ascending and BINARY.
        plain_order: bool,
    },
    /// An index.
    Index {
        name: String,
        table: String,
        /// It has a WHERE clause.
        partial: bool,
        /// Its keys are nothing but columns, in ascending order.
        plain_order: bool,
    },
    /// A view, a trigger or a virtual table.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A keyword or an identifier.
    Word(String),
    /// A quoted identifier or a string.
    Quoted(String),
    Symbol(char),
}

impl Token {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name.clone()),
            Self::Symbol(_) => None,
        }
    }
}

/// Reads a statement; `None` when it creates nothing that SQLite knows.
pub(super) fn read(sql: &str) -> Option<Sql> {
    let tokens = tokens(sql);
    let mut rest = tokens.as_slice();
    take(&mut rest, "create").then_some(())?;
    let _ = take(&mut rest, "temp") || take(&mut rest, "temporary");
    let unique = take(&mut rest, "unique");
    if take(&mut rest, "index") {
        return index(rest);
    }
    if unique {
        return None;
    }
    if take(&mut rest, "table") {
        return table(rest);
    }
    let other = ["view", "trigger", "virtual"].iter().any(|word| take(&mut rest, word));
    other.then_some(Sql::Other)
}

fn take(rest: &mut &[Token], keyword: &str) -> bool {
    match rest.split_first() {
        Some((first, behind)) if first.is(keyword) => {
            *rest = behind;
            true
        }
        Some(_) | None => false,
    }
}

/// A name, with or without the name of a database before it.
fn name(rest: &mut &[Token]) -> Option<String> {
    if take(rest, "if") {
        let _ = take(rest, "not") && take(rest, "exists");
    }
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    if let [Token::Symbol('.'), second, behind @ ..] = behind {
        *rest = behind;
        return second.name();
    }
    first.name()
}

fn table(mut rest: &[Token]) -> Option<Sql> {
    let name = name(&mut rest)?;
    let (columns, behind) = parentheses(rest)?;
    let pairs = behind.iter().zip(behind.iter().skip(1));
    let without_rowid = pairs.clone().any(|(one, two)| one.is("without") && two.is("rowid"));
    let ordered = |token: &Token| !token.is("collate") && !token.is("desc");
    Some(Sql::Table { name, without_rowid, plain_order: columns.iter().all(ordered) })
}

fn index(mut rest: &[Token]) -> Option<Sql> {
    let name = name(&mut rest)?;
    take(&mut rest, "on").then_some(())?;
    let (first, behind) = rest.split_first()?;
    let table = first.name()?;
    let (keys, behind) = parentheses(behind)?;
    let plain = |token: &Token| match token {
        Token::Word(_) => !token.is("collate") && !token.is("desc"),
        Token::Quoted(_) => true,
        Token::Symbol(symbol) => *symbol == ',',
    };
    let partial = behind.iter().any(|token| token.is("where"));
    Some(Sql::Index { name, table, partial, plain_order: keys.iter().all(plain) })
}

/// What stands inside the parentheses that `tokens` begin with, and what stands behind them.
fn parentheses(tokens: &[Token]) -> Option<(&[Token], &[Token])> {
    let (Token::Symbol('('), inside) = tokens.split_first()? else { return None };
    let mut depth = 1_usize;
    for (place, token) in inside.iter().enumerate() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => {}
        }
        if depth == 0 {
            let (inside, behind) = inside.split_at(place);
            return Some((inside, behind.get(1..).unwrap_or_default()));
        }
    }
    None
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            '-' if chars.peek() == Some(&'-') => while chars.next_if(|&c| c != '\n').is_some() {},
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                let mut before = ' ';
                for here in chars.by_ref() {
                    if before == '*' && here == '/' {
                        break;
                    }
                    before = here;
                }
            }
            '[' => tokens.push(Token::Quoted(chars.by_ref().take_while(|&c| c != ']').collect())),
            '\'' | '"' | '`' => {
                let mut text = String::new();
                while let Some(here) = chars.next() {
                    // A quote inside is written twice.
                    if here == first && chars.next_if_eq(&first).is_none() {
                        break;
                    }
                    text.push(here);
                }
                tokens.push(Token::Quoted(text));
            }
            _ if first.is_whitespace() => {}
            _ if is_name(first) => {
                let mut word = String::from(first);
                while let Some(here) = chars.next_if(|&c| is_name(c)) {
                    word.push(here);
                }
                tokens.push(Token::Word(word));
            }
            symbol => tokens.push(Token::Symbol(symbol)),
        }
    }
    tokens
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, without_rowid: bool, plain_order: bool) -> Option<Sql> {
        Some(Sql::Table { name: name.to_owned(), without_rowid, plain_order })
    }

    fn index(table: &str, partial: bool, plain_order: bool) -> Option<Sql> {
        let (name, table) = ("i".to_owned(), table.to_owned());
        Some(Sql::Index { name, table, partial, plain_order })
    }

    #[test]
    fn tables_are_told_by_what_stands_behind_their_columns() {
        assert_eq!(read("CREATE TABLE t(a, b)"), table("t", false, true));
        let sql = "create table \"a \"\"b\" (\"(c(\", d /* ) */) STRICT, without rowid";
        assert_eq!(read(sql), table("a \"b", true, true));
        let sql = "CREATE TABLE [x y](a DEFAULT 'it''s WITHOUT ROWID)', b TEXT COLLATE NOCASE)";
        assert_eq!(read(sql), table("x y", false, false));
    }

    #[test]
    fn indexes_are_told_by_their_keys_and_what_stands_behind_them() {
        assert_eq!(read("CREATE INDEX i ON t(a, \"where\")"), index("t", false, true));
        assert_eq!(read("CREATE UNIQUE INDEX i ON `t`(a) WHERE b > 1"), index("t", true, true));
        assert_eq!(read("CREATE INDEX i ON t(a DESC)"), index("t", false, false));
        assert_eq!(read("CREATE INDEX i ON t(a || 'x')"), index("t", false, false));
        assert_eq!(read("CREATE INDEX i ON t(a) -- where"), index("t", false, true));
    }

    #[test]
    fn what_has_no_b_tree_and_what_is_no_statement() {
        for sql in ["CREATE VIEW v AS SELECT 1", "CREATE VIRTUAL TABLE f USING fts5(a)"] {
            assert_eq!(read(sql), Some(Sql::Other));
        }
        for sql in ["", "CREATE", "CREATE TABLE t", "CREATE TABLE t(a", "DROP TABLE t", "CREATE '"]
        {
            assert_eq!(read(sql), None, "{sql}");
        }
    }
}

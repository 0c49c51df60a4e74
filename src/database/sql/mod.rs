//! As much of a CREATE statement as tells what b-tree it has. Not a parser: SQLite wrote the
//! statement, or accepted it, and only words at fixed places are looked at (tokenize.c).

use tokens::{Token, tokens};

mod declared_type;
mod default_value;
mod definition;
mod reader;
mod tokens;
mod understood;

pub use declared_type::Affinity;
pub(super) use default_value::default_value;
pub use definition::{ColumnDefinition, Generated, TableDefinition};
pub use reader::table_definition;

/// What a statement creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sql {
    /// A table.
    Table {
        name: String,
        without_rowid: bool,
        /// No column has another order than ascending and BINARY.
        plain_order: bool,
        columns: Vec<TableColumn>,
        constraints: Vec<Constraint>,
        understood: bool,
    },
    /// An index.
    Index {
        name: String,
        table: String,
        /// No two rows have the same keys.
        unique: bool,
        /// It has a WHERE clause.
        partial: bool,
        /// Its keys are nothing but columns, in ascending order.
        plain_order: bool,
        /// Names of the columns that are its keys; `None` where a key is not just a column.
        keys: Option<Vec<String>>,
        understood: bool,
    },
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A virtual table.
    Virtual { name: String },
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its values are stored as text, blobs or NULL (datatype3.html section 3.1).
    pub text: bool,
    /// It is the row id (`INTEGER PRIMARY KEY`), and stored as NULL.
    pub row_id: bool,
    /// It is computed, and perhaps not stored.
    pub generated: bool,
}

/// A constraint of a table that needs an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Constraint {
    /// PRIMARY KEY; otherwise UNIQUE.
    pub primary: bool,
    /// Its columns.
    pub columns: Vec<String>,
}

/// Reads a statement; `None` when it creates nothing that SQLite knows.
pub(super) fn read(sql: &str) -> Option<Sql> {
    let tokens = tokens(sql);
    let mut rest = tokens.as_slice();
    take(&mut rest, "create").then_some(())?;
    let _ = take(&mut rest, "temp") || take(&mut rest, "temporary");
    let unique = take(&mut rest, "unique");
    if take(&mut rest, "index") {
        return index(rest, unique);
    }
    if unique {
        return None;
    }
    if take(&mut rest, "table") {
        return table(rest);
    }
    if take(&mut rest, "virtual") {
        take(&mut rest, "table").then_some(())?;
        return Some(Sql::Virtual { name: name(&mut rest)? });
    }
    if take(&mut rest, "view") {
        return Some(Sql::View);
    }
    take(&mut rest, "trigger").then_some(Sql::Trigger)
}

fn take(rest: &mut &[Token], keyword: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if first.is(keyword) => {
            *rest = after;
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
    let (first, after) = rest.split_first()?;
    *rest = after;
    if let [Token::Symbol('.'), second, after @ ..] = after {
        *rest = after;
        return second.name();
    }
    first.name()
}

fn table(mut rest: &[Token]) -> Option<Sql> {
    let name = name(&mut rest)?;
    let (columns, after) = parentheses(rest)?;
    let pairs = after.iter().zip(after.iter().skip(1));
    let without_rowid = pairs.clone().any(|(one, two)| one.is("without") && two.is("rowid"));
    let ordered = |token: &Token| !token.is("collate") && !token.is("desc");
    let plain_order = columns.iter().all(ordered);
    let constraints = constraints(columns);
    Some(Sql::Table {
        name,
        without_rowid,
        plain_order,
        understood: understood::table(columns, after),
        columns: self::columns(columns),
        constraints,
    })
}

/// The constraints that need an index, of columns and of the table, in their order.
fn constraints(definitions: &[Token]) -> Vec<Constraint> {
    let mut found = Vec::new();
    for definition in parts(definitions) {
        let of_column =
            definition.first().filter(|first| !begins_constraint(first)).and_then(Token::name);
        let mut depth = 0_i64;
        let mut rest = definition;
        while let Some((first, after)) = rest.split_first() {
            depth += match first {
                Token::Symbol('(') => 1,
                Token::Symbol(')') => -1,
                Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => 0,
            };
            let primary = first.is("primary") && after.first().is_some_and(|key| key.is("key"));
            let is_name = std::ptr::eq(rest, definition) && of_column.is_some();
            if depth == 0 && !is_name && (primary || first.is("unique")) {
                let keys = after.get(usize::from(primary)..).and_then(parentheses);
                let listed = || parts(keys?.0).map(key_column).collect();
                let columns = of_column.clone().map_or_else(listed, |name| Some(vec![name]));
                // A list that is not of columns has no column that an index could be compared with.
                found.push(Constraint { primary, columns: columns.unwrap_or_default() });
            }
            rest = after;
        }
    }
    found
}

/// Whether a definition that begins so is a constraint of the table.
fn begins_constraint(token: &Token) -> bool {
    ["constraint", "primary", "unique", "check", "foreign"].iter().any(|word| token.is(word))
}

/// The columns among the definitions and constraints of a table.
fn columns(definitions: &[Token]) -> Vec<TableColumn> {
    let mut columns: Vec<TableColumn> = Vec::new();
    let mut integers = Vec::new();
    for definition in parts(definitions) {
        let Some((first, rest)) = definition.split_first() else { continue };
        if begins_constraint(first) {
            for key in constraints(definition).iter().filter(|constraint| constraint.primary) {
                let alias = |column: &&mut TableColumn| {
                    let is_it = |name: &String| column.name.eq_ignore_ascii_case(name);
                    let is_key = matches!(&key.columns[..], [only] if is_it(only));
                    is_key && integers.contains(&column.name)
                };
                columns.iter_mut().filter(alias).for_each(|column| column.row_id = true);
            }
            continue;
        }
        let Some(name) = first.name() else { continue };
        let end = rest.iter().position(ends_type).unwrap_or(rest.len());
        let (declared, constraints) = rest.split_at(end);
        let words: Vec<String> =
            declared.iter().filter_map(Token::name).map(|word| word.to_ascii_uppercase()).collect();
        let declared = words.join(" ");
        if declared == "INTEGER" {
            integers.push(name.clone());
        }
        let is_text = ["CHAR", "CLOB", "TEXT"].iter().any(|word| declared.contains(word));
        let mut key = (0..constraints.len()).filter_map(|place| constraints.get(place..));
        // INTEGER PRIMARY KEY DESC is, by an old mistake that stays, an ordinary column.
        let is_key = |window: &[Token]| match window {
            [one, two, after @ ..] if one.is("primary") && two.is("key") => {
                !after.first().is_some_and(|token| token.is("desc"))
            }
            _ => false,
        };
        columns.push(TableColumn {
            text: is_text && !declared.contains("INT"),
            row_id: declared == "INTEGER" && key.any(is_key),
            generated: constraints.iter().any(|token| token.is("as")),
            name,
        });
    }
    columns
}

/// Whether the declared type of a column ends before `token`.
fn ends_type(token: &Token) -> bool {
    declared_type::ends_type(token) || token.is("generated")
}

/// What is between the commas that are in no parentheses.
fn parts(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0_i64;
    tokens.split(move |token| {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => {}
        }
        depth == 0 && *token == Token::Symbol(',')
    })
}

fn index(mut rest: &[Token], unique: bool) -> Option<Sql> {
    let name = name(&mut rest)?;
    take(&mut rest, "on").then_some(())?;
    let (first, after) = rest.split_first()?;
    let table = first.name()?;
    let (keys, after) = parentheses(after)?;
    let plain = |token: &Token| match token {
        Token::Word(_) => !token.is("collate") && !token.is("desc"),
        Token::Quoted(_) => true,
        Token::Symbol(symbol) => *symbol == ',',
    };
    let partial = after.iter().any(|token| token.is("where"));
    let plain_order = keys.iter().all(plain);
    let keys = parts(keys).map(key_column).collect();
    let understood = understood::after_keys(after);
    Some(Sql::Index { name, table, unique, partial, plain_order, keys, understood })
}

/// The column that a key of an index is, whatever its order.
fn key_column(key: &[Token]) -> Option<String> {
    let (first, mut rest) = key.split_first()?;
    if let [collate, _, after @ ..] = rest
        && collate.is("collate")
    {
        rest = after;
    }
    let _ = take(&mut rest, "asc") || take(&mut rest, "desc");
    first.name().filter(|_| rest.is_empty())
}

/// What is inside the parentheses that `tokens` begin with, and what is after them.
fn parentheses(tokens: &[Token]) -> Option<(&[Token], &[Token])> {
    let (Token::Symbol('('), inside) = tokens.split_first()? else { return None };
    let (inside, after) = inside.split_at(closing(inside.iter())?);
    Some((inside, after.get(1..).unwrap_or_default()))
}

/// The place of the parenthesis that closes one before these tokens.
fn closing<'a>(inside: impl Iterator<Item = &'a Token>) -> Option<usize> {
    let mut depth = 1_usize;
    for (place, token) in inside.enumerate() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => {}
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sql: &str) -> (String, bool, bool) {
        match read(sql) {
            Some(Sql::Table { name, without_rowid, plain_order, .. }) => {
                (name, without_rowid, plain_order)
            }
            other => panic!("{other:?}"),
        }
    }

    fn index(table: &str, partial: bool, plain_order: bool, keys: &[&str]) -> Option<Sql> {
        let (name, table) = ("i".to_owned(), table.to_owned());
        let names = keys.iter().map(|&key| key.to_owned()).collect();
        let keys = (!keys.is_empty()).then_some(names);
        let (understood, unique) = (true, partial);
        Some(Sql::Index { name, table, unique, partial, plain_order, keys, understood })
    }

    #[test]
    fn tables_are_known_by_what_follows_their_columns() {
        assert_eq!(table("CREATE TABLE t(a, b)"), ("t".to_owned(), false, true));
        let sql = "create table \"a \"\"b\" (\"(c(\", d /* ) */) STRICT, without rowid";
        assert_eq!(table(sql), ("a \"b".to_owned(), true, true));
        let sql = "CREATE TABLE [x y](a DEFAULT 'it''s WITHOUT ROWID)', b TEXT COLLATE NOCASE)";
        assert_eq!(table(sql), ("x y".to_owned(), false, false));
    }

    /// Names of columns; `t` for text, `r` for the row id, `g` for generated ones after them.
    fn shown(sql: &str) -> Vec<String> {
        let Some(Sql::Table { columns, .. }) = read(sql) else { panic!("{sql}") };
        let mark = |yes: bool, letter: &str| if yes { letter.to_owned() } else { String::new() };
        let one = |column: TableColumn| {
            let marks =
                mark(column.text, "t") + &mark(column.row_id, "r") + &mark(column.generated, "g");
            format!("{}:{marks}", column.name)
        };
        columns.into_iter().map(one).collect()
    }

    #[test]
    fn columns_are_told_from_constraints() {
        let sql = "CREATE TABLE t(a INTEGER PRIMARY KEY, b VARCHAR(10, 2) NOT NULL, c, d CHARINT,
                   e AS (a, b), UNIQUE(b, c), CHECK(a > 1), \"primary\" text)";
        assert_eq!(shown(sql), ["a:r", "b:t", "c:", "d:", "e:g", "primary:t"]);
        let sql = "CREATE TABLE t(a integer, b INT, c, CONSTRAINT k PRIMARY KEY(A DESC))";
        assert_eq!(shown(sql), ["a:r", "b:", "c:"]);
        let sql = "CREATE TABLE t(a INTEGER CONSTRAINT k NOT NULL PRIMARY KEY, b)";
        assert_eq!(shown(sql), ["a:r", "b:"]);
        let sql = "CREATE TABLE t(a INTEGER, b, PRIMARY KEY(a COLLATE nocase))";
        assert_eq!(shown(sql), ["a:r", "b:"]);
        for sql in [
            "CREATE TABLE t(a INTEGER PRIMARY KEY DESC, b)",
            "CREATE TABLE t(a INT PRIMARY KEY, b)",
            "CREATE TABLE t(a INTEGER, b, PRIMARY KEY(a, b))",
        ] {
            assert_eq!(shown(sql), ["a:", "b:"], "{sql}");
        }
    }

    #[test]
    fn constraints_that_need_an_index_are_found_in_their_order() {
        let listed = |sql: &str| -> Vec<String> {
            let Some(Sql::Table { constraints, .. }) = read(sql) else { panic!("{sql}") };
            let one = |it: Constraint| {
                (if it.primary { "p:" } else { "u:" }).to_owned() + &it.columns.join(",")
            };
            constraints.into_iter().map(one).collect()
        };
        let sql = "CREATE TABLE t(a TEXT NOT NULL PRIMARY KEY UNIQUE, \"unique\" DEFAULT (unique),
                   b UNIQUE, CONSTRAINT k UNIQUE(a, b COLLATE nocase DESC), CHECK(b IN (1, unique)),
                   UNIQUE(a || b))";
        assert_eq!(listed(sql), ["p:a", "u:a", "u:b", "u:a,b", "u:"]);
        let sql = "CREATE TABLE t(a, b, primary key(b, a)) without rowid";
        assert_eq!(listed(sql), ["p:b,a"]);
    }

    #[test]
    fn indexes_are_known_by_their_keys_and_what_follows_them() {
        let where_is_a_name = read("CREATE INDEX i ON t(a, \"where\")");
        assert_eq!(where_is_a_name, index("t", false, true, &["a", "where"]));
        let partial = read("CREATE UNIQUE INDEX i ON `t`(a) WHERE b > 1");
        assert_eq!(partial, index("t", true, true, &["a"]));
        let descending = read("CREATE INDEX i ON t([a b] DESC, c COLLATE nocase, d collate x asc)");
        assert_eq!(descending, index("t", false, false, &["a b", "c", "d"]));
        assert_eq!(read("CREATE INDEX i ON t(a || 'x', b)"), index("t", false, false, &[]));
        assert_eq!(read("CREATE INDEX i ON t(a) -- where"), index("t", false, true, &["a"]));
    }

    #[test]
    fn what_has_no_b_tree_and_what_is_no_statement() {
        assert_eq!(read("CREATE VIEW v AS SELECT 1"), Some(Sql::View));
        assert_eq!(read("CREATE TEMP TRIGGER t AFTER INSERT ON x"), Some(Sql::Trigger));
        let name = "f".to_owned();
        assert_eq!(read("CREATE VIRTUAL TABLE f USING fts5(a)"), Some(Sql::Virtual { name }));
        for sql in ["", "CREATE", "CREATE TABLE t", "CREATE TABLE t(a", "DROP TABLE t", "CREATE '"]
        {
            assert_eq!(read(sql), None, "{sql}");
        }
    }
}

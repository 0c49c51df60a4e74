//! Reads the definitions and constraints of a table (parse.y).

use std::ops::Range;

use super::declared_type::{affinity, ends_type, standard_type, without_generated};
use super::definition::{ColumnDefinition, Generated, TableDefinition};
use super::tokens::{Token, tokens_in};
use super::{closing, understood};

type Spanned = (Token, Range<usize>);

/// A statement while it is read.
struct Reader<'a> {
    sql: &'a str,
    rest: &'a [Spanned],
}

/// Reads `CREATE TABLE`; `None` for anything else.
#[must_use]
pub fn table_definition(sql: &str) -> Option<TableDefinition> {
    let tokens = tokens_in(sql);
    let mut reader = Reader { sql, rest: &tokens };
    reader.take("create").then_some(())?;
    let _ = reader.take("temp") || reader.take("temporary");
    reader.take("table").then_some(())?;
    if reader.take("if") {
        let _ = reader.take("not") && reader.take("exists");
    }
    reader.next()?;
    if reader.take_symbol('.') {
        reader.next()?;
    }
    let definitions = reader.parentheses()?;
    let plain = |tokens: &[Spanned]| -> Vec<Token> {
        tokens.iter().map(|(token, _)| token.clone()).collect()
    };
    let mut table = TableDefinition {
        columns: Vec::new(),
        row_id: None,
        without_rowid: reader.rest.windows(2).any(|two| match two {
            [(one, _), (two, _)] => one.is("without") && two.is("rowid"),
            _ => false,
        }),
        strict: reader.rest.iter().any(|(token, _)| token.is("strict")),
        autoincrement: false,
        replaces_rows: definitions.windows(2).any(|two| match two {
            [(one, _), (two, _)] => one.is("conflict") && two.is("replace"),
            _ => false,
        }),
        is_understood: understood::table(&plain(definitions), &plain(reader.rest)),
    };
    let mut keys = Vec::new();
    let mut is_constraint = false;
    for definition in parts(definitions) {
        let mut reader = Reader { sql, rest: definition };
        // Between constraints of a table no comma is needed, and columns come first.
        is_constraint |= reader.rest.first().is_some_and(|(first, _)| {
            ["constraint", "primary", "unique", "check", "foreign"].iter().any(|it| first.is(it))
        });
        match is_constraint {
            true => reader.table_constraints(&mut table, &mut keys),
            false => reader.column(&mut table, &mut keys)?,
        }
    }
    table.end(&keys);
    Some(table)
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Spanned> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn is(&self, keyword: &str) -> bool {
        self.rest.first().is_some_and(|(token, _)| token.is(keyword))
    }

    fn take(&mut self, keyword: &str) -> bool {
        let is_it = self.is(keyword);
        if is_it {
            self.next();
        }
        is_it
    }

    fn take_symbol(&mut self, symbol: char) -> bool {
        let is_it =
            matches!(self.rest.first(), Some((Token::Symbol(found), _)) if *found == symbol);
        if is_it {
            self.next();
        }
        is_it
    }

    /// What is in the parentheses that come next; `None` without.
    fn parentheses(&mut self) -> Option<&'a [Spanned]> {
        let inside = match self.rest.split_first()? {
            ((Token::Symbol('('), _), inside) => inside,
            _ => return None,
        };
        let (inside, after) = inside.split_at(closing(inside.iter().map(|(token, _)| token))?);
        self.rest = after.get(1..).unwrap_or_default();
        Some(inside)
    }

    /// The text between two places, without space around it.
    fn text(&self, bytes: Range<usize>) -> String {
        self.sql.get(bytes).unwrap_or_default().trim().to_owned()
    }

    fn column(&mut self, table: &mut TableDefinition, keys: &mut Vec<usize>) -> Option<()> {
        let name = self.next()?.0.name()?;
        let declared_type = self.declared_type();
        let mut column = ColumnDefinition {
            name,
            affinity: affinity(&declared_type),
            declared_type: standard_type(declared_type),
            not_null: false,
            default: None,
            key: 0,
            generated: Generated::No,
            collation: None,
        };
        let place = table.columns.len();
        let mut is_key = None;
        while !self.rest.is_empty() {
            if let Some(found) = self.column_constraint(&mut column, table) {
                is_key = Some(found);
            }
        }
        table.columns.push(column);
        if let Some(descends) = is_key {
            keys.push(place);
            table.primary_key(&[place], descends);
        }
        Some(())
    }

    /// The type, up to the first word that begins a constraint.
    fn declared_type(&mut self) -> String {
        let Some((_, start)) = self.rest.first() else { return String::new() };
        let (start, mut end) = (start.start, start.start);
        while let Some((token, bytes)) = self.rest.first() {
            if ends_type(token) || matches!(token, Token::Symbol(_)) {
                break;
            }
            end = bytes.end;
            self.next();
        }
        if end > start && matches!(self.rest.first(), Some((Token::Symbol('('), _))) {
            let before = self.rest;
            if self.parentheses().is_some() {
                let taken = before.len() - self.rest.len();
                let last = before.get(taken.saturating_sub(1));
                end = last.map_or(end, |(_, bytes)| bytes.end);
            }
        }
        let text = self.text(start..end);
        without_generated(&text).to_owned()
    }

    /// One constraint of a column; whether the column is the primary key, and whether it descends.
    fn column_constraint(
        &mut self,
        column: &mut ColumnDefinition,
        table: &mut TableDefinition,
    ) -> Option<bool> {
        let (token, _) = self.next()?;
        if token.is("constraint") {
            self.next();
        } else if token.is("not") {
            column.not_null |= self.take("null");
        } else if token.is("default") {
            column.default = self.default();
        } else if token.is("collate") {
            column.collation = self.next().and_then(|(name, _)| name.name());
        } else if token.is("as") {
            self.parentheses();
            let is_stored = self.take("stored");
            column.generated = if is_stored { Generated::Stored } else { Generated::Virtual };
            column.default = None;
        } else if token.is("primary") {
            self.take("key");
            let descends = !self.take("asc") && self.take("desc");
            if self.take("on") {
                self.take("conflict");
                self.next();
            }
            table.autoincrement |= self.take("autoincrement");
            return Some(descends);
        } else if token.is("check") || token.is("references") {
            if token.is("references") {
                self.next();
            }
            self.parentheses();
        } else if *token == Token::Symbol('(') {
            // Never, in a statement that SQLite accepted: everything inside is skipped.
            while !self.rest.is_empty() && !self.take_symbol(')') {
                self.next();
            }
        } else if token.is("on") && !self.take("conflict") {
            // ON DELETE SET NULL, ON UPDATE SET DEFAULT: no constraints of the column.
            self.next();
            if self.take("set") {
                self.next();
            }
        }
        None
    }

    /// The text of a default: one token, with its sign, or what is in parentheses.
    fn default(&mut self) -> Option<String> {
        let before = self.rest;
        let (first, start) = before.first()?;
        match first {
            Token::Symbol('(') => {
                self.parentheses()?;
                let taken = before.len() - self.rest.len();
                let (_, last) = before.get(taken.checked_sub(1)?)?;
                Some(self.text(start.end..last.start))
            }
            Token::Symbol('+' | '-') => {
                self.next();
                let (_, number) = self.next()?;
                Some(self.text(start.start..number.end))
            }
            Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => {
                self.next();
                Some(self.text(start.clone()))
            }
        }
    }

    /// What constraints of a table say of its primary key.
    fn table_constraints(&mut self, table: &mut TableDefinition, keys: &mut Vec<usize>) {
        while let Some((token, _)) = self.next() {
            if token.is("constraint") {
                self.next();
            } else if token.is("primary") && self.take("key") {
                let Some(listed) = self.parentheses() else { continue };
                let is_autoincrement = |(token, _): &Spanned| token.is("autoincrement");
                table.autoincrement |= listed.iter().any(is_autoincrement);
                let listed: Vec<usize> = parts(listed)
                    .filter_map(|part| table.place_of(&part.first()?.0.name()?))
                    .collect();
                // Of a table constraint, the order of a column says nothing.
                table.primary_key(&listed, false);
                keys.extend(listed);
            } else {
                self.parentheses();
            }
        }
    }
}

/// What is between the commas that are in no parentheses.
fn parts(tokens: &[Spanned]) -> impl Iterator<Item = &[Spanned]> {
    let mut depth = 0_i64;
    tokens.split(move |(token, _)| {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => {}
        }
        depth == 0 && *token == Token::Symbol(',')
    })
}

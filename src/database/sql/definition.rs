//! A table as its CREATE statement describes it: what `PRAGMA table_xinfo` answers, and what rows
//! need to be read (build.c sqlite3AddColumn, sqlite3AddDefaultValue, sqlite3AddPrimaryKey,
//! sqlite3EndTable).

use std::ops::Range;

use super::tokens::{Token, tokens_in, unquoted};

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

/// Whether a column is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// It has values of its own.
    No,
    /// When it is read; it is in no record.
    Virtual,
    /// When the row is written; it is in the record.
    Stored,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type as declared; empty without one.
    pub declared_type: String,
    /// How its values are stored.
    pub affinity: Affinity,
    /// NULL is refused.
    pub not_null: bool,
    /// The expression of its default, as SQL text.
    pub default: Option<String>,
    /// Its place in the primary key, from 1 on; 0 where it is not part of it.
    pub key: u32,
    /// Whether it is computed.
    pub generated: Generated,
    /// Its collation, where one is named.
    pub collation: Option<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition {
    /// Its columns, as declared.
    pub columns: Vec<ColumnDefinition>,
    /// The column that is the row id, and NULL in every record.
    pub row_id: Option<usize>,
    /// Its rows are the entries of its primary key.
    pub without_rowid: bool,
    /// Values have the declared types.
    pub strict: bool,
    /// Row ids are never given twice.
    pub autoincrement: bool,
}

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
    let mut table = TableDefinition {
        columns: Vec::new(),
        row_id: None,
        without_rowid: reader.rest.windows(2).any(|two| match two {
            [(one, _), (two, _)] => one.is("without") && two.is("rowid"),
            _ => false,
        }),
        strict: reader.rest.iter().any(|(token, _)| token.is("strict")),
        autoincrement: false,
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

impl TableDefinition {
    /// The column of this name.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// What is only known when the whole statement is read (build.c sqlite3EndTable).
    fn end(&mut self, keys: &[usize]) {
        let mut ordinal = 0;
        for &place in keys {
            ordinal += 1;
            if let Some(column) = self.columns.get_mut(place)
                && column.key == 0
            {
                column.key = ordinal;
            } else if self.without_rowid {
                // A column that is named twice is in the key once.
                ordinal -= 1;
            }
        }
        if self.without_rowid {
            self.row_id = None;
        }
        let row_id = self.row_id;
        if self.strict {
            let any = self.columns.iter_mut().filter(|column| column.declared_type == "ANY");
            any.for_each(|column| column.affinity = Affinity::Blob);
        }
        if self.without_rowid || self.strict {
            let columns = self.columns.iter_mut().enumerate();
            for (_, column) in columns.filter(|(place, _)| Some(*place) != row_id) {
                column.not_null |= column.key > 0;
            }
        }
    }

    /// Where the primary key is one column of type INTEGER, it is the row id. By an old mistake
    /// that stays, not for `INTEGER PRIMARY KEY DESC` (build.c sqlite3AddPrimaryKey).
    fn primary_key(&mut self, columns: &[usize], descends: bool) {
        let [only] = columns else { return };
        let is_integer = self
            .columns
            .get(*only)
            .is_some_and(|column| column.declared_type.eq_ignore_ascii_case("INTEGER"));
        if is_integer && !descends {
            self.row_id = Some(*only);
        }
    }
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
        let mut depth = 1_usize;
        for (place, (token, _)) in inside.iter().enumerate() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) => {}
            }
            if depth == 0 {
                let (inside, after) = inside.split_at(place);
                self.rest = after.get(1..).unwrap_or_default();
                return Some(inside);
            }
        }
        None
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
        while self.rest.first().is_some() {
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
            while self.rest.first().is_some() && !self.take_symbol(')') {
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

/// Words that are no part of a type (parse.y: those without a fallback to an identifier).
fn ends_type(token: &Token) -> bool {
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
fn without_generated(text: &str) -> &str {
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
fn standard_type(text: String) -> String {
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
fn affinity(declared: &str) -> Affinity {
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

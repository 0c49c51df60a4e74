//! Chooses what a history does next.

use fastrand::Rng;
use rusqlite::Connection;

use super::schema::{Table, number, quoted, strings, tables};
use super::tables::{NAMES, ORDINARY, VIRTUAL};
use super::values;

mod definitions;

pub(super) struct Writer {
    random: Rng,
    page_bytes: u32,
    /// Steps that the transaction still has.
    left: u32,
    /// For the names of things.
    made: u32,
    /// There are checkpoints.
    copies: bool,
    /// How likely a definition changes, in percent; how many tables there are.
    defining: u32,
    most_tables: usize,
}

impl Writer {
    pub(super) fn new(mut random: Rng, page_bytes: u32) -> Self {
        let defining = [0, 5, 15, 40][random.usize(..4)];
        let most_tables = random.usize(1..=12);
        let copies = random.u32(..4) == 0;
        Self { random, page_bytes, left: 0, made: 0, copies, defining, most_tables }
    }

    /// The first steps of a transaction; the first transaction makes the tables.
    pub(super) fn start(&mut self, connection: &Connection, number: usize) -> Vec<String> {
        if number == 0 {
            self.left = [0, 10, 40][self.random.usize(..3)];
            return self.setup();
        }
        let alone = [
            "VACUUM",
            "VACUUM",
            "REINDEX",
            "ANALYZE",
            "PRAGMA incremental_vacuum(3)",
            "PRAGMA incremental_vacuum",
            "PRAGMA user_version=7",
        ];
        self.left = 0;
        if self.copies && self.random.u32(..12) == 0 {
            let step = if self.random.bool() { "-- reader" } else { "-- checkpoint" };
            return vec![step.to_owned()];
        }
        match self.random.u32(..20) {
            0 => return vec![alone[self.random.usize(..alone.len())].to_owned()],
            1 => return self.one(connection),
            2..=10 => self.left = self.random.u32(1..4),
            _ => self.left = self.random.u32(1..9),
        }
        let begin = "BEGIN".to_owned();
        if self.random.bool() { vec!["-- record".to_owned(), begin] } else { vec![begin] }
    }

    /// More steps, while the transaction has some.
    pub(super) fn next(&mut self, connection: &Connection) -> Option<Vec<String>> {
        self.left = self.left.checked_sub(1)?;
        if self.random.u32(..12) > 0 {
            return Some(self.one(connection));
        }
        let mut steps = vec!["SAVEPOINT s".to_owned()];
        for _ in 0..self.random.u32(1..4) {
            steps.extend(self.one(connection));
        }
        steps.push("ROLLBACK TO s".to_owned());
        if self.random.bool() {
            steps.extend(self.one(connection));
        }
        steps.push("RELEASE s".to_owned());
        Some(steps)
    }

    fn setup(&mut self) -> Vec<String> {
        let mut steps = vec!["BEGIN".to_owned()];
        for _ in 0..self.most_tables {
            steps.extend(self.create_table(None));
        }
        if self.random.u32(..3) == 0 {
            steps.extend(self.create_virtual());
        }
        steps
    }

    /// One thing to do.
    fn one(&mut self, connection: &Connection) -> Vec<String> {
        if self.random.u32(..100) < self.defining {
            return self.define(connection);
        }
        let all = tables(connection);
        if self.random.u32(..10) == 0
            && let Some(steps) = self.virtual_row(connection)
        {
            return steps;
        }
        if all.is_empty() {
            return self.create_table(None);
        }
        let table = &all[self.random.usize(..all.len())];
        let count = format!("SELECT count(*) FROM {}", quoted(&table.name));
        let rows = number(connection, &count).unwrap_or(0);
        if rows < 4 {
            return self.insert(table);
        }
        match self.random.u32(..42) {
            0..=11 => self.insert(table),
            12..=19 => self.update(table, rows),
            20..=22 => self.update_keys(table, rows),
            23 | 24 => self.same_size(table),
            25..=30 => self.delete(table, rows),
            31 => vec![format!("DELETE FROM {}", quoted(&table.name))],
            32 => self.swap(table, connection),
            33 | 34 => self.blob(table, connection),
            35 => self.shift_rowids(table),
            36 => vec!["UPDATE sqlite_sequence SET seq = seq + 5".to_owned()],
            37 => vec!["DELETE FROM sqlite_sequence WHERE rowid % 2 = 0".to_owned()],
            38 => self.refill(table),
            _ => self.grow(table),
        }
    }

    fn value(&mut self, table: &Table, column: usize) -> String {
        let column = &table.columns[column];
        if column.key > 0 || column.name == "u" || column.name == "up" || column.name == "p" {
            return values::key(&mut self.random, &column.kind);
        }
        values::value(&mut self.random, &column.kind, self.page_bytes)
    }

    /// Places of the columns that can be written.
    fn places(table: &Table) -> Vec<usize> {
        (0..table.columns.len()).filter(|&place| !table.columns[place].generated).collect()
    }

    fn insert(&mut self, table: &Table) -> Vec<String> {
        let or = ["", "OR IGNORE ", "OR IGNORE ", "OR REPLACE ", "OR FAIL "];
        let or = or[self.random.usize(..or.len())];
        let mut places = Self::places(table);
        if self.random.bool() {
            let keep = self.random.usize(1..=places.len());
            self.random.shuffle(&mut places);
            places.truncate(keep);
        }
        let mut names: Vec<String> =
            places.iter().map(|&place| quoted(&table.columns[place].name)).collect();
        let rowid = table.alias.filter(|_| self.random.u32(..6) == 0);
        let rowid =
            rowid.filter(|_| table.columns.iter().all(|it| it.key == 0 || it.kind != "INTEGER"));
        names.extend(rowid.map(str::to_owned));
        let into = format!("INSERT {or}INTO {}({})", quoted(&table.name), names.join(", "));
        (0..[1, 1, 2, 8][self.random.usize(..4)])
            .map(|_| {
                let mut cells: Vec<String> =
                    places.iter().map(|&place| self.value(table, place)).collect();
                if rowid.is_some() {
                    cells.push(self.random.i64(-9..400).to_string());
                }
                format!("{into} VALUES ({})", cells.join(", "))
            })
            .collect()
    }

    /// Many rows at once.
    fn grow(&mut self, table: &Table) -> Vec<String> {
        let places = Self::places(table);
        let names: Vec<String> =
            places.iter().map(|&place| quoted(&table.columns[place].name)).collect();
        let cells: Vec<String> = places
            .iter()
            .map(|&place| {
                let column = &table.columns[place];
                match column.kind.to_ascii_uppercase().as_str() {
                    "INT" | "INTEGER" => "i * 3".to_owned(),
                    "REAL" | "DOUBLE" => "i / 2.0".to_owned(),
                    "BLOB" => "zeroblob(i % 90)".to_owned(),
                    "TEXT" => {
                        "'text ' || i % 97 || replace(hex(zeroblob(i % 50)), '00', 'x')".to_owned()
                    }
                    _ if column.key > 0 => "i % 250".to_owned(),
                    _ => self.value(table, place),
                }
            })
            .collect();
        let rows = [20, 60, 300][self.random.usize(..3)];
        vec![format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT OR IGNORE INTO {}({}) SELECT {} FROM n",
            quoted(&table.name),
            names.join(", "),
            cells.join(", ")
        )]
    }

    /// A condition that some rows meet: of a few, or of many.
    fn some(&mut self, table: &Table, rows: i64) -> String {
        let handle = table.handle();
        let few = if self.random.u32(..4) > 0 { 1 } else { self.random.i64(1..=rows) };
        let from = self.random.i64(0..rows);
        format!(
            "({handle}) IN (SELECT {handle} FROM {} LIMIT {few} OFFSET {from})",
            quoted(&table.name)
        )
    }

    fn update(&mut self, table: &Table, rows: i64) -> Vec<String> {
        let mut places = Self::places(table);
        places.retain(|&place| table.columns[place].key == 0);
        if places.is_empty() {
            return self.insert(table);
        }
        self.random.shuffle(&mut places);
        places.truncate(self.random.usize(1..=2));
        let sets: Vec<String> = places
            .iter()
            .map(|&place| {
                format!("{} = {}", quoted(&table.columns[place].name), self.value(table, place))
            })
            .collect();
        let condition = self.some(table, rows);
        let or = ["", "OR IGNORE ", "OR REPLACE "][self.random.usize(..3)];
        let name = quoted(&table.name);
        vec![format!("UPDATE {or}{name} SET {} WHERE {condition}", sets.join(", "))]
    }

    fn update_keys(&mut self, table: &Table, rows: i64) -> Vec<String> {
        let keys: Vec<usize> =
            (0..table.columns.len()).filter(|&place| table.columns[place].key > 0).collect();
        let Some(&place) = keys.get(self.random.usize(..keys.len().max(1))) else {
            return self.shift_rowids(table);
        };
        let name = quoted(&table.columns[place].name);
        let new = match self.random.u32(..4) {
            0 => format!("{name} + 1000"),
            1 => format!("-{name}"),
            2 => format!("upper({name})"),
            _ => values::key(&mut self.random, &table.columns[place].kind),
        };
        let condition = self.some(table, rows);
        let or = ["", "OR IGNORE ", "OR REPLACE "][self.random.usize(..3)];
        vec![format!("UPDATE {or}{} SET {name} = {new} WHERE {condition}", quoted(&table.name))]
    }

    fn shift_rowids(&mut self, table: &Table) -> Vec<String> {
        let (name, by) = (quoted(&table.name), self.random.i64(1..2000));
        let Some(alias) = table.alias else { return self.insert(table) };
        let some = if self.random.bool() { 2 } else { 30 };
        vec![format!("UPDATE OR IGNORE {name} SET {alias} = {alias} + {by} WHERE {alias} > {some}")]
    }

    /// Other bytes, as many as before: the page of the row itself may stay as it is.
    fn same_size(&mut self, table: &Table) -> Vec<String> {
        let mut places = Self::places(table);
        places.retain(|&place| table.columns[place].key == 0);
        let Some(&place) = places.get(self.random.usize(..places.len().max(1))) else {
            return self.insert(table);
        };
        let name = quoted(&table.columns[place].name);
        let table = quoted(&table.name);
        vec![format!(
            "UPDATE {table} SET {name} = CASE typeof({name})
                 WHEN 'text' THEN replace({name}, 'bc', 'zy')
                 ELSE CAST(substr({name}, 1, length({name}) - 1) || 'e' AS BLOB) END
             WHERE length({name}) > 40 AND typeof({name}) IN ('text', 'blob')"
        )]
    }

    fn delete(&mut self, table: &Table, rows: i64) -> Vec<String> {
        let condition = self.some(table, rows);
        vec![format!("DELETE FROM {} WHERE {condition}", quoted(&table.name))]
    }

    /// Everything out, and half of it in again in another order.
    fn refill(&mut self, table: &Table) -> Vec<String> {
        let written = table.written();
        let names: Vec<String> = written.iter().map(|it| quoted(&it.name)).collect();
        let (names, name) = (names.join(", "), quoted(&table.name));
        vec![
            format!("CREATE TEMP TABLE kept AS SELECT {names} FROM {name}"),
            format!("DELETE FROM {name}"),
            format!(
                "INSERT OR IGNORE INTO {name}({names}) SELECT * FROM kept WHERE rowid % 2
                 ORDER BY rowid DESC"
            ),
            "DROP TABLE temp.kept".to_owned(),
        ]
    }

    /// Two rows change their values of one column.
    fn swap(&mut self, table: &Table, connection: &Connection) -> Vec<String> {
        let handle = table.handle();
        let name = quoted(&table.name);
        if handle.contains(", ") {
            return self.insert(table);
        }
        let sql = format!("SELECT quote({handle}) FROM {name} ORDER BY 1 LIMIT 2");
        let pair = strings(connection, &sql);
        let written = table.written();
        let column = quoted(&written[self.random.usize(..written.len())].name);
        let [one, other] = pair.as_slice() else { return self.insert(table) };
        let value = |key: &str| {
            let sql = format!("SELECT quote({column}) FROM {name} WHERE {handle} IS {key}");
            strings(connection, &sql).pop().unwrap_or_else(|| "NULL".to_owned())
        };
        let (first, second) = (value(one), value(other));
        let set = |key: &str, to: &str| {
            format!("UPDATE OR REPLACE {name} SET {column} = {to} WHERE {handle} IS {key}")
        };
        if column == handle || table.columns.iter().any(|it| it.key > 0) {
            return vec![set(one, "-77"), set(other, &first), set("-77", &second)];
        }
        vec![set(one, "-77"), set(other, &first), set(one, &second)]
    }

    /// Writes into a value in place.
    fn blob(&mut self, table: &Table, connection: &Connection) -> Vec<String> {
        let (Some(alias), written) = (table.alias, table.written()) else {
            return self.insert(table);
        };
        let column = &written[self.random.usize(..written.len())].name;
        let sql = format!(
            "SELECT {alias} || ' ' || length(CAST({0} AS BLOB)) FROM {1}
             WHERE typeof({0}) IN ('blob', 'text') AND length({0}) > 9
             ORDER BY length({0}) DESC LIMIT 1",
            quoted(column),
            quoted(&table.name)
        );
        let Some(found) = strings(connection, &sql).pop() else { return self.insert(table) };
        let (row, bytes) = found.split_once(' ').unwrap();
        let offset = self.random.i64(0..(bytes.parse::<i64>().unwrap() - 4).min(60_000));
        let row: i64 = row.parse().unwrap();
        let place = serde_json::json!([table.name, column, row, offset, "3a3b3c3d"]);
        vec![format!("-- blob {place}")]
    }

    fn virtual_row(&mut self, connection: &Connection) -> Option<Vec<String>> {
        let sql = "SELECT name || char(9) || sql FROM sqlite_schema
                   WHERE sql LIKE 'CREATE VIRTUAL%' ORDER BY rowid";
        let all = strings(connection, sql);
        let (name, sql) = all.get(self.random.usize(..all.len().max(1)))?.split_once('\t')?;
        let (_, row) = VIRTUAL.iter().find(|(using, _)| sql.ends_with(using))?;
        let (name, number) = (quoted(name), self.random.u32(1..200).to_string());
        if self.random.u32(..4) == 0 {
            return Some(vec![format!("DELETE FROM {name} WHERE rowid % 5 = {number} % 5")]);
        }
        Some(vec![format!("INSERT OR REPLACE INTO {name}{}", row.replace("{i}", &number))])
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("{}{}", NAMES[self.random.usize(..NAMES.len())], self.made)
    }

    fn create_table(&mut self, name: Option<String>) -> Vec<String> {
        let body = ORDINARY[self.random.usize(..ORDINARY.len())];
        let name = quoted(&name.unwrap_or_else(|| self.new_name()));
        let body = body.replace("{n}", &name).replace("{p}", &name);
        vec![format!("CREATE TABLE {name}{body}")]
    }

    fn create_virtual(&mut self) -> Vec<String> {
        let (using, _) = VIRTUAL[self.random.usize(..VIRTUAL.len())];
        self.made += 1;
        let name = ["words", "box", "my words"][self.random.usize(..3)];
        let name = quoted(&format!("{name}{}", self.made));
        vec![format!("CREATE VIRTUAL TABLE {name} {using}")]
    }
}

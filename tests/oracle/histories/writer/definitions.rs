//! Statements that change what tables, indexes, views and triggers there are.

use rusqlite::Connection;

use super::Writer;
use crate::histories::schema::{Table, names, quoted, tables};
use crate::histories::tables::TRIGGERS;

impl Writer {
    pub(super) fn define(&mut self, connection: &Connection) -> Vec<String> {
        let all = tables(connection);
        if all.is_empty() {
            return self.create_table(None);
        }
        let table = &all[self.random.usize(..all.len())];
        let name = quoted(&table.name);
        match self.random.u32(..36) {
            0..=2 => self.create_table(None),
            3 => vec![format!("DROP TABLE {name}")],
            4 => {
                let new = self.create_table(None).remove(0);
                vec![format!("DROP TABLE {name}"), new]
            }
            5 | 6 => {
                let new = self.create_table(Some(table.name.clone())).remove(0);
                vec![format!("DROP TABLE {name}"), new]
            }
            7 => vec![format!("DROP TABLE {name}"), table.sql.clone()],
            8 => vec![format!("ALTER TABLE {name} RENAME TO {}", quoted(&self.new_name()))],
            9 => self.exchange(&all),
            10..=12 => self.rename_column(table),
            13..=17 => self.add_column(&name),
            18..=20 => self.drop_column(table),
            21..=25 => self.create_index(table),
            26 => self.drop(connection, "index"),
            27 | 28 => self.create_view(table),
            29 => self.drop(connection, "view"),
            30 | 31 => self.create_trigger(connection, &all),
            32 => self.drop(connection, "trigger"),
            33 => self.create_virtual(),
            34 => self.copy(table),
            _ => vec!["ANALYZE".to_owned()],
        }
    }

    /// Two tables change their names.
    fn exchange(&mut self, all: &[Table]) -> Vec<String> {
        let one = quoted(&all[self.random.usize(..all.len())].name);
        let other = quoted(&all[self.random.usize(..all.len())].name);
        vec![
            format!("ALTER TABLE {one} RENAME TO between_both"),
            format!("ALTER TABLE {other} RENAME TO {one}"),
            format!("ALTER TABLE between_both RENAME TO {other}"),
        ]
    }

    /// A new table with the rows of this one, which takes its place: as applications do what
    /// ALTER TABLE cannot.
    fn copy(&mut self, table: &Table) -> Vec<String> {
        let name = quoted(&table.name);
        self.made += 1;
        let new = quoted(&format!("new{}", self.made));
        vec![
            format!("CREATE TABLE {new} AS SELECT * FROM {name}"),
            format!("DROP TABLE {name}"),
            format!("ALTER TABLE {new} RENAME TO {name}"),
        ]
    }

    fn column(&mut self, table: &Table) -> String {
        quoted(&table.columns[self.random.usize(..table.columns.len())].name)
    }

    fn rename_column(&mut self, table: &Table) -> Vec<String> {
        self.made += 1;
        let new = ["renamed", "re named", "rowid", "Re\"n", "\u{e4}"][self.random.usize(..5)];
        let new = if new == "rowid" { quoted(new) } else { quoted(&format!("{new}{}", self.made)) };
        let (name, old) = (quoted(&table.name), self.column(table));
        vec![format!("ALTER TABLE {name} RENAME COLUMN {old} TO {new}")]
    }

    fn add_column(&mut self, name: &str) -> Vec<String> {
        self.made += 1;
        let kinds = [
            "",
            "TEXT",
            "INT DEFAULT 7",
            "TEXT DEFAULT 7",
            "REAL DEFAULT 3",
            "DEFAULT 'it''s'",
            "BLOB DEFAULT x'0102'",
            "TEXT NOT NULL DEFAULT ''",
            "REAL DEFAULT -0.0",
            "NUMERIC DEFAULT '12'",
            "INT DEFAULT -9223372036854775808",
            "INT AS (1 + 1)",
            "DEFAULT NULL",
            "DEFAULT TRUE",
            "DEFAULT +5",
            "CHECK(1)",
            "REAL DEFAULT 9e999",
            "INT REFERENCES nobody(id)",
            "TEXT COLLATE NOCASE DEFAULT \"quoted\"",
        ];
        let kind = kinds[self.random.usize(..kinds.len())];
        vec![format!("ALTER TABLE {name} ADD COLUMN \"added {}\" {kind}", self.made)]
    }

    fn drop_column(&mut self, table: &Table) -> Vec<String> {
        let column = match table.columns.iter().find(|it| it.name.starts_with("added")) {
            Some(added) if self.random.bool() => quoted(&added.name),
            _ => self.column(table),
        };
        vec![format!("ALTER TABLE {} DROP COLUMN {column}", quoted(&table.name))]
    }

    fn create_index(&mut self, table: &Table) -> Vec<String> {
        let (one, other) = (self.column(table), self.column(table));
        let place = ["", " DESC", " COLLATE NOCASE"][self.random.usize(..3)];
        let what = match self.random.u32(..6) {
            0 => format!("({one}{place}, {other})"),
            1 => format!("({one}) WHERE {other} IS NOT NULL"),
            2 => format!("(length({one}), {other} || 'x')"),
            3 => format!("({one}) WHERE {other} > 3 AND {one} <> 'a;b'"),
            _ => format!("({one}{place})"),
        };
        let unique = if self.random.u32(..6) == 0 { "UNIQUE " } else { "" };
        let index = quoted(&format!("index of {}", self.new_name()));
        vec![format!("CREATE {unique}INDEX {index} ON {}{what}", quoted(&table.name))]
    }

    fn create_view(&mut self, table: &Table) -> Vec<String> {
        let (view, table) = (quoted(&format!("view {}", self.new_name())), quoted(&table.name));
        let select = match self.random.u32(..3) {
            0 => format!("SELECT * FROM {table}"),
            1 => format!("SELECT count(*) AS n -- of ; all\n FROM {table}"),
            _ => "SELECT * FROM nobody".to_owned(),
        };
        vec![format!("CREATE VIEW {view} AS {select}")]
    }

    fn create_trigger(&mut self, connection: &Connection, all: &[Table]) -> Vec<String> {
        let trigger = quoted(&format!("trigger {}", self.new_name()));
        let name = quoted(&all[self.random.usize(..all.len())].name);
        let into = quoted(&all[self.random.usize(..all.len())].name);
        let views = names(connection, "view");
        if let Some(view) = views.first().filter(|_| self.random.u32(..4) == 0) {
            let view = quoted(view);
            return vec![format!(
                "CREATE TRIGGER {trigger} INSTEAD OF INSERT ON {view} BEGIN SELECT 1; END"
            )];
        }
        let text = TRIGGERS[self.random.usize(..TRIGGERS.len())];
        vec![text.replace("{t}", &trigger).replace("{n}", &name).replace("{p}", &into)]
    }

    fn drop(&mut self, connection: &Connection, kind: &str) -> Vec<String> {
        let all = names(connection, kind);
        let name = all.get(self.random.usize(..all.len().max(1)));
        let drop = |name: &String| format!("DROP {} {}", kind.to_uppercase(), quoted(name));
        name.map(drop).into_iter().collect()
    }
}

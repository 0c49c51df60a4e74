//! Tables of every kind: `{n}` is the name of the table, `{p}` that of another one.

/// `CREATE TABLE` statements, without `CREATE TABLE {n}`.
pub(super) const ORDINARY: &[&str] = &[
    "(a, b, c)",
    "(a)",
    "(id INTEGER PRIMARY KEY, a TEXT, b BLOB)",
    "(a INT, id INTEGER PRIMARY KEY, b)",
    "(id INTEGER PRIMARY KEY DESC, a, b)",
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b REAL)",
    "(id INTEGER, a, b, PRIMARY KEY(id DESC))",
    "(id INT PRIMARY KEY, a)",
    "(id \"INTEGER\" PRIMARY KEY, a)",
    "(a TEXT PRIMARY KEY, b INT, c)",
    "(a REAL PRIMARY KEY, b)",
    "(a, b, c, PRIMARY KEY(b, a))",
    "(a TEXT, b INT, c BLOB, d, PRIMARY KEY(a, b, c))",
    "(a TEXT COLLATE NOCASE PRIMARY KEY ON CONFLICT REPLACE, b)",
    "(a PRIMARY KEY, b) WITHOUT ROWID",
    "(c BLOB, a TEXT, b INT, PRIMARY KEY(b, a)) WITHOUT ROWID",
    "(v, k TEXT COLLATE NOCASE, n INT, w TEXT, PRIMARY KEY(k DESC, n)) WITHOUT ROWID",
    "(a REAL, b NUMERIC, c REAL, PRIMARY KEY(a, b, a)) WITHOUT ROWID",
    "(a TEXT, b TEXT, PRIMARY KEY(b, a)) WITHOUT ROWID",
    "(id INTEGER PRIMARY KEY, a TEXT) WITHOUT ROWID",
    "(a INT, v AS (a + 1), k TEXT, s TEXT AS (k || a) STORED, z, PRIMARY KEY(k)) WITHOUT ROWID",
    "(k INT, v BLOB, r REAL, PRIMARY KEY(k)) STRICT, WITHOUT ROWID",
    "(id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, x ANY) STRICT",
    "(id INTEGER PRIMARY KEY, r REAL, d DOUBLE, n NUMERIC, i INTEGER)",
    "(a REAL, b REAL, c INT)",
    "(a, b INT, v AS (a || b), s AS (b + 1) STORED, c)",
    "(v INT AS (id * 2), id INTEGER PRIMARY KEY, s TEXT GENERATED ALWAYS AS (a || 'x') STORED, a)",
    "(rowid, a, b)",
    "(rowid TEXT, _rowid_ INT, oid)",
    "(_rowid_ INT, oid TEXT PRIMARY KEY, a)",
    "(oid INTEGER PRIMARY KEY, rowid, _rowid_ TEXT)",
    "(\"a b\" TEXT, \"c\"\"d\", [g h] INT, \"select\", \"\u{fc}\", \"new\nline\" INT, 'it''s')",
    "(\"PRIMARY\" INTEGER PRIMARY KEY, \"a;b\", \"-- x\" TEXT)",
    "(id INTEGER PRIMARY KEY, a DEFAULT 'x''y', b INT DEFAULT (1+2), c DEFAULT x'00ff',
      d REAL DEFAULT 5, e DEFAULT -1.5, f TEXT DEFAULT NULL, g TEXT DEFAULT 7)",
    "(id INTEGER PRIMARY KEY, a INT CHECK(a IS NULL OR a > -5), b TEXT NOT NULL DEFAULT 'd')",
    "(id INTEGER PRIMARY KEY, up INT REFERENCES {n}(id) ON DELETE CASCADE ON UPDATE CASCADE, a)",
    "(id INTEGER PRIMARY KEY, p INT REFERENCES {p} ON DELETE SET NULL, a)",
    "(a TEXT, p INT, FOREIGN KEY(p) REFERENCES {p} DEFERRABLE INITIALLY DEFERRED)",
    "(id INTEGER PRIMARY KEY, u INT UNIQUE, v TEXT UNIQUE, w)",
    "(id INTEGER PRIMARY KEY, u INT UNIQUE ON CONFLICT REPLACE, v, UNIQUE(v, u))",
    "(id INTEGER PRIMARY KEY, u TEXT UNIQUE COLLATE NOCASE ON CONFLICT IGNORE, v)",
    "(k TEXT, u INT UNIQUE, v, PRIMARY KEY(k)) WITHOUT ROWID",
    "(a -- the first; \"one\"\n, b /* ) */ TEXT DEFAULT ')', c)",
    "(c1,c2 INT,c3 TEXT,c4,c5,c6 REAL,c7,c8,c9,c10,c11,c12 BLOB,c13,c14,c15,c16,c17,c18,c19,c20)",
    " AS SELECT 1 AS a, 'x' AS b, NULL AS c",
    "(a VARCHAR(10) COLLATE RTRIM, b DECIMAL(10,2), c BOOLEAN, d DATE, e JSON)",
    "(id INTEGER PRIMARY KEY, a, b DEFAULT CURRENT_TIMESTAMP, c INT DEFAULT TRUE)",
];

/// Virtual tables: statement, and how a row is put in, with `{i}` for a number.
pub(super) const VIRTUAL: &[(&str, &str)] = &[
    ("USING fts5(a, b)", "(a, b) VALUES('some words {i}', 'more {i}')"),
    ("USING fts5(a, content='')", "(rowid, a) VALUES({i}, 'gone words {i}')"),
    ("USING fts4(a)", "(a) VALUES('old words {i}')"),
    ("USING rtree(id, x0, x1)", "VALUES({i}, {i}, {i} + 0.5)"),
    ("USING rtree(id, x0, x1, +note)", "VALUES({i}, {i}, {i} + 2, 'n{i}')"),
];

/// Names of tables, which a number follows.
pub(super) const NAMES: &[&str] = &[
    "t",
    "t",
    "T",
    "order",
    "with space",
    "quo\"te",
    "it's",
    "\u{fc}\u{df}\u{4e2d}",
    "new\nline",
    "semi;colon",
    "-- dash",
    "br]ack[et",
    "dot.ted",
    "/* open",
    "123",
];

/// Triggers: `{n}` is a table, `{p}` one that its trigger writes into, `{t}` the trigger.
pub(super) const TRIGGERS: &[&str] = &[
    "CREATE TRIGGER {t} AFTER INSERT ON {n} BEGIN DELETE FROM {p} WHERE rowid = 3; END",
    "CREATE TRIGGER {t} AFTER DELETE ON {n} BEGIN INSERT OR IGNORE INTO {p} DEFAULT VALUES; END",
    "CREATE TRIGGER {t} BEFORE UPDATE ON {n} WHEN 1 -- ; END;\n BEGIN SELECT 'a;b'; END",
    "CREATE TRIGGER {t} AFTER UPDATE ON {n} BEGIN INSERT OR REPLACE INTO {p} DEFAULT VALUES; END",
];

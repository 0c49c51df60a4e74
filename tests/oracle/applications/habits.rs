//! What applications do, those among them that put back what was there before.

use fastrand::Rng;

/// A table of an application, and one thing that it does with it.
pub(super) struct Habit {
    pub table: &'static str,
    pub setup: &'static str,
    /// SQL; the number counts up.
    pub step: fn(&mut Rng, u32) -> String,
}

pub(super) const HABITS: [Habit; 11] = [
    Habit {
        table: "tasks",
        setup: "CREATE TABLE tasks(id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT, body TEXT);
                CREATE INDEX tasks_state ON tasks(state)",
        step: queue,
    },
    Habit {
        table: "pairs",
        setup: "CREATE TABLE pairs(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID",
        step: key_values,
    },
    Habit {
        table: "events",
        setup: "CREATE TABLE events(id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, body TEXT)",
        step: events,
    },
    Habit { table: "blobs", setup: "CREATE TABLE blobs(name TEXT UNIQUE, body BLOB)", step: blobs },
    Habit {
        table: "settings",
        setup: "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT, number INTEGER)",
        step: settings,
    },
    Habit {
        table: "cache",
        setup: "CREATE TABLE cache(id INTEGER PRIMARY KEY, body TEXT)",
        step: cache,
    },
    Habit {
        table: "totals",
        setup: "CREATE TABLE totals(day INTEGER PRIMARY KEY, total INTEGER, note TEXT)",
        step: totals,
    },
    Habit {
        table: "people",
        setup: "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, city TEXT, visits INTEGER);
                CREATE INDEX people_name ON people(name); CREATE INDEX people_city ON people(city)",
        step: people,
    },
    Habit {
        table: "mail",
        setup:
            "CREATE TABLE mail(id INTEGER PRIMARY KEY, account INTEGER, state TEXT, subject TEXT);
                INSERT INTO mail WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i
                LIMIT 90) SELECT x, x % 7, 'seen on the server', 'mail ' || x * 7919 FROM i",
        step: |random, now| synchronized(random, now, "mail"),
    },
    Habit {
        table: "folders",
        setup: "CREATE TABLE folders(id INTEGER PRIMARY KEY, account INTEGER, state TEXT,
                    subject TEXT) WITHOUT ROWID;
                INSERT INTO folders WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i
                LIMIT 40) SELECT x, x % 7, 'seen on the server', 'folder ' || x * 7919 FROM i",
        step: |random, now| synchronized(random, now, "folders"),
    },
    Habit {
        table: "counts",
        setup: "CREATE TABLE counts(id INTEGER PRIMARY KEY, n INTEGER, label TEXT);
                INSERT INTO counts WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i
                LIMIT 200) SELECT x, 0, 'the label of counter ' || x FROM i",
        step: counts,
    },
];

fn word(random: &mut Rng) -> String {
    let letters = 3 + random.usize(0..9);
    (0..letters).map(|_| random.lowercase()).collect()
}

fn queue(random: &mut Rng, now: u32) -> String {
    match random.u32(0..5) {
        0..=1 => format!(
            "INSERT INTO tasks(state, body) VALUES('new', 'task {now} {}')",
            word(random).repeat(random.usize(1..6))
        ),
        2 => "UPDATE tasks SET state='taken'
              WHERE id=(SELECT min(id) FROM tasks WHERE state='new')"
            .to_owned(),
        3 => {
            "DELETE FROM tasks WHERE id=(SELECT min(id) FROM tasks WHERE state='taken')".to_owned()
        }
        // Given back.
        _ => "UPDATE tasks SET state='new' WHERE state='taken'".to_owned(),
    }
}

fn key_values(random: &mut Rng, now: u32) -> String {
    let key = random.u32(0..80);
    match random.u32(0..6) {
        0 => format!("DELETE FROM pairs WHERE k='key {key}'"),
        // The same value as ever.
        1 => format!("REPLACE INTO pairs VALUES('key {key}', 'the standard value of key {key}')"),
        2 => format!("REPLACE INTO pairs VALUES('session', 'begun at {now}')"),
        _ => format!("REPLACE INTO pairs VALUES('key {key}', '{} {now}')", word(random)),
    }
}

fn events(random: &mut Rng, now: u32) -> String {
    match random.u32(0..12) {
        0 => "DELETE FROM events WHERE id < (SELECT max(id) - 100 FROM events)".to_owned(),
        _ => format!(
            "INSERT INTO events(at, kind, body) VALUES({now}, 'kind {}', '{}')",
            random.u32(0..5),
            word(random).repeat(random.usize(1..20))
        ),
    }
}

fn blobs(random: &mut Rng, now: u32) -> String {
    let name = random.u32(0..25);
    match random.u32(0..5) {
        0 => format!("DELETE FROM blobs WHERE name='blob {name}'"),
        _ => format!(
            "REPLACE INTO blobs VALUES('blob {name}', CAST('{now} {}' AS BLOB))",
            word(random).repeat(random.usize(1..1500))
        ),
    }
}

fn settings(random: &mut Rng, now: u32) -> String {
    let name = random.u32(0..12);
    let value = ["switched on by the user", "switched off by the user"][random.usize(0..2)];
    match random.u32(0..4) {
        0 => format!("REPLACE INTO settings VALUES('last start', 'at {now}', {now})"),
        1 => format!("UPDATE settings SET number = 1 - number WHERE name='setting {name}'"),
        _ => format!("REPLACE INTO settings VALUES('setting {name}', '{value}', 0)"),
    }
}

fn cache(random: &mut Rng, now: u32) -> String {
    let row = random.u32(1..40);
    match random.u32(0..6) {
        0 => "DELETE FROM cache".to_owned(),
        1 => format!("DELETE FROM cache WHERE id > {row}"),
        2 => format!("REPLACE INTO cache VALUES(1000, 'filled at {now}')"),
        // Filled again, one by one or all at once, with what was there.
        3 => "INSERT OR IGNORE INTO cache WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1
              FROM i LIMIT 40) SELECT x, 'what the server says of item ' || x FROM i"
            .to_owned(),
        _ => format!("REPLACE INTO cache VALUES({row}, 'what the server says of item {row}')"),
    }
}

fn totals(random: &mut Rng, now: u32) -> String {
    let day = now / 30;
    match random.u32(0..4) {
        0 => format!("DELETE FROM totals WHERE day > {day} - 4"),
        // Closed days have the same total as before.
        1 => format!(
            "REPLACE INTO totals WITH RECURSIVE i(x) AS (SELECT {day} - 4 UNION ALL SELECT x+1
             FROM i LIMIT 4) SELECT x, x * 7919, 'the total of the closed day ' || x FROM i"
        ),
        _ => format!("REPLACE INTO totals VALUES({day}, {now}, 'the day is not over')"),
    }
}

fn people(random: &mut Rng, now: u32) -> String {
    let row = random.u32(1..300);
    match random.u32(0..6) {
        0..=1 => format!(
            "INSERT INTO people(name, city, visits) VALUES('{}', 'city {}', {now})",
            word(random),
            random.u32(0..9)
        ),
        2 => format!("DELETE FROM people WHERE id={row}"),
        3 => format!("UPDATE people SET city='city {}' WHERE id={row}", random.u32(0..9)),
        4 => format!("UPDATE people SET visits = visits + 1 WHERE id % 10 = {row} % 10"),
        _ => format!("UPDATE people SET name='{}' WHERE id={row}", word(random)),
    }
}

/// All are marked, and each gets back what it was when it is seen.
fn synchronized(random: &mut Rng, now: u32, table: &str) -> String {
    let account = random.u32(0..7);
    match random.u32(0..12) {
        0 => format!("UPDATE {table} SET state='to be asked for' WHERE account={account}"),
        1 => format!("DELETE FROM {table} WHERE state='to be asked for' AND id % 5 = {now} % 5"),
        2 if random.bool() => {
            format!(
                "INSERT INTO {table} \
                     SELECT max(id) + 1, {account}, 'new', 'mail {now}' FROM {table}"
            )
        }
        _ => format!(
            "UPDATE {table} SET state='seen on the server'
             WHERE id=(SELECT min(id) FROM {table} WHERE state='to be asked for')"
        ),
    }
}

fn counts(random: &mut Rng, _: u32) -> String {
    let row = random.u32(1..200);
    match random.u32(0..3) {
        0 => format!("UPDATE counts SET n = 1 - n WHERE id={row}"),
        1 => format!("UPDATE counts SET n = n + 1 WHERE id={row}"),
        _ => format!("UPDATE counts SET n = (n + 1) % 3 WHERE id BETWEEN {row} AND {row} + 9"),
    }
}

//! A connection to states, and the statements that are run on it.

use std::ffi::c_int;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi as code;
use rusqlite::limits::Limit;

use crate::database::SqlValue;

use super::ffi::{Refusal, StateConnection, Statement};
use super::host::{Denied, Host, NamedState, Patience};
use super::{Error, functions};

/// What a hostile schema may ask of SQLite; each is enough for any that a person has written.
const LIMITS: [(Limit, c_int); 4] = [
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 5000),
    // Pages are read by one thread.
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    (Limit::SQLITE_LIMIT_VDBE_OP, 10_000_000),
];

/// Bytes of pages that SQLite keeps of each state, in KiB and negative (`PRAGMA cache_size`). A
/// larger cache makes scans slower: pages come to memory that no cache of the processor has.
const CACHE_KIB: i32 = -8_192;

/// What is safe with files from anywhere (security.html).
const SETTINGS: [(DbConfig, bool); 4] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
];

/// What a statement gives.
#[derive(Debug)]
pub enum Event {
    /// A result begins; its columns.
    Columns(Vec<String>),
    /// A row of it.
    Row(Vec<SqlValue>),
}

/// States that SQLite has open.
pub struct Session<'p> {
    states: StateConnection<'p>,
}

impl<'p> Session<'p> {
    /// Opens `states`: the first is `main`.
    ///
    /// # Errors
    /// When the size of a state cannot be read, or SQLite has no memory.
    pub fn open(states: &[NamedState<'p>], patience: Patience<'p>) -> Result<Self, Error> {
        let this = Self { states: StateConnection::open(Host::new(states, patience)?)? };
        this.settle(states)?;
        this.states.close_to_others();
        Ok(this)
    }

    fn settle(&self, states: &[NamedState<'p>]) -> Result<(), Error> {
        let host = self.states.host();
        let main = |error| host.not_opened("main", &error);
        self.settle_main().map_err(main)?;
        for (place, state) in states.iter().enumerate() {
            self.attach(place, state.name).map_err(|error| host.not_opened(state.name, &error))?;
        }
        let attached = c_int::try_from(states.len().saturating_sub(1)).unwrap_or(c_int::MAX);
        let connection = self.states.connection();
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, attached).map_err(main)?;
        Ok(())
    }

    fn attach(&self, place: usize, name: &str) -> rusqlite::Result<()> {
        let connection = self.states.connection();
        if place > 0 {
            let file = Host::file_name(place);
            connection.execute("ATTACH ? AS ?", [file.to_string_lossy().as_ref(), name])?;
        }
        connection.pragma_update(Some(name), "cache_size", CACHE_KIB)
    }

    fn settle_main(&self) -> rusqlite::Result<()> {
        let connection = self.states.connection();
        // There is nobody to wait for.
        connection.busy_timeout(Duration::ZERO)?;
        for (setting, value) in SETTINGS {
            connection.set_db_config(setting, value)?;
        }
        for (limit, most) in LIMITS {
            connection.set_limit(limit, most)?;
        }
        functions::add(connection)
    }

    /// Runs every statement of `sql`, one after the other, and gives what each returns to `each`.
    ///
    /// # Errors
    /// When a statement is wrong, writes, takes too long or may not run, when a page cannot be
    /// read, and whatever `each` reports. What a statement gave before is then not the whole.
    pub fn run<E: From<Error>>(
        &self,
        sql: &str,
        mut each: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_statement(sql, |statement, at| self.run_one(statement, at, &mut each))
    }

    /// Whether the first value that `sql` gives is true, as WHERE takes it: a number other than 0,
    /// or what SQLite makes such a number of. Where there is no row, it is not. Statements before
    /// the one that gives it are run, too.
    ///
    /// # Errors
    /// As [`Session::run`], and where no statement gives a value, or another one comes after it.
    pub fn is_true(&self, sql: &str) -> Result<bool, Error> {
        let mut found = None;
        self.each_statement(sql, |mut statement, at| {
            if found.is_some() {
                return Err(Error::AfterValue { statement: at.number });
            }
            if statement.columns().is_empty() {
                return self.run_one(statement, at, &mut |_| Ok(()));
            }
            let row = statement.step().map_err(|refusal| self.error(&refusal, at))?;
            found = Some(row.is_some_and(|row| row.is_true()));
            self.sound()
        })?;
        found.ok_or(Error::NoValue)
    }

    /// Gives every statement of `sql` to `each`, one after the other.
    fn each_statement<E: From<Error>>(
        &self,
        sql: &str,
        mut each: impl FnMut(Statement<'_>, &Place<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut rest, mut number) = (sql, 1);
        while !rest.is_empty() {
            let at = Place { sql, number, start_bytes: sql.len() - rest.len() };
            let prepared = self.states.prepare(rest);
            let (statement, used) = prepared.map_err(|refusal| self.error(&refusal, &at))?;
            // What was read for the schema may have failed without a word.
            self.sound()?;
            if let Some(statement) = statement {
                each(statement, &at)?;
                number += 1;
            }
            rest = rest.get(used..).filter(|_| used > 0).unwrap_or_default();
        }
        Ok(())
    }

    fn run_one<E: From<Error>>(
        &self,
        mut statement: Statement<'_>,
        at: &Place<'_>,
        each: &mut impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        let columns = statement.columns();
        let gives_rows = !columns.is_empty();
        if gives_rows {
            each(Event::Columns(columns))?;
        }
        while let Some(row) = statement.step().map_err(|refusal| self.error(&refusal, at))? {
            let values = row.values().ok_or(Error::OutOfMemory)?;
            self.sound()?;
            each(Event::Row(values))?;
        }
        // Before the statement is forgotten: some of SQLite's code goes on without what it could
        // not read.
        Ok(self.sound()?)
    }

    /// Fails where a page could not be read, whatever SQLite has made of it.
    fn sound(&self) -> Result<(), Error> {
        self.states.host().take_failure().map_or(Ok(()), Err)
    }

    fn error(&self, refusal: &Refusal, at: &Place<'_>) -> Error {
        if let Some(failure) = self.states.host().take_failure() {
            return failure;
        }
        let (statement, message) = (at.number, refusal.message.clone());
        match refusal.primary() {
            code::SQLITE_AUTH => match self.states.host().take_denied() {
                Some(Denied::Attach) => Error::Attaches { statement },
                Some(Denied::Pragma(pragma)) => Error::Sets { pragma, statement },
                None => Error::Sql { message, statement, at: None },
            },
            code::SQLITE_READONLY => Error::Writes { statement },
            code::SQLITE_CORRUPT | code::SQLITE_NOTADB => {
                Error::Damaged { message, statement: Some(statement) }
            }
            code::SQLITE_NOMEM => Error::OutOfMemory,
            code::SQLITE_IOERR | code::SQLITE_FULL | code::SQLITE_CANTOPEN => {
                Error::Temporary { message }
            }
            _ => Error::Sql { message, statement, at: at.line_and_column(refusal.at_bytes) },
        }
    }
}

/// Where a statement is in the text.
struct Place<'t> {
    sql: &'t str,
    number: usize,
    start_bytes: usize,
}

impl Place<'_> {
    /// Of what is `at_bytes` after the start of the statement, both counted from 1.
    fn line_and_column(&self, at_bytes: Option<usize>) -> Option<(usize, usize)> {
        let before = self.sql.get(..self.start_bytes + at_bytes?)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..)?.chars().count() + 1;
        Some((before.matches('\n').count() + 1, column))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::*;
    use crate::database::{FilePages, Pages, header_of_file};
    use crate::format::{FrameNo, PageSize, Pgno};
    use crate::scan::{self, Nobody};
    use crate::storage::memory::MemoryVfs;
    use crate::storage::os::OsVfs;
    use crate::storage::{File, OpenMode, Vfs};

    const SCHEMA: &str = "
        CREATE TABLE t(id INTEGER PRIMARY KEY, word TEXT, n REAL);
        CREATE INDEX by_word ON t(word);
        WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c WHERE x < 300)
            INSERT INTO t SELECT x, 'word ' || x, x / 2.0 FROM c;
        CREATE VIRTUAL TABLE notes USING fts5(body);
        INSERT INTO notes SELECT word FROM t;
        CREATE VIRTUAL TABLE boxes USING rtree(id, left, right);
        INSERT INTO boxes SELECT id, id, id + 10 FROM t;
        PRAGMA journal_mode = WAL;";

    /// A database of SQLite's own, opened as a file.
    struct Made {
        _folder: tempfile::TempDir,
        file: Box<dyn File>,
        page_size: PageSize,
    }

    fn made(sql: &str) -> Made {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let file = OsVfs.open(&path, OpenMode::ReadOnly).unwrap();
        let header = header_of_file(file.as_ref()).unwrap().unwrap();
        Made { _folder: folder, page_size: header.page_size().unwrap(), file }
    }

    impl Made {
        fn pages(&self) -> FilePages<'_> {
            FilePages::new(self.file.as_ref(), self.page_size).unwrap()
        }
    }

    fn patience(clock: &dyn Vfs, limit: Option<Duration>) -> Patience<'_> {
        Patience { clock, watch: &Nobody, limit, began: Duration::ZERO }
    }

    fn asked(pages: &dyn Pages, sql: &str) -> Result<Vec<Vec<SqlValue>>, Error> {
        let clock = MemoryVfs::default();
        let states = [NamedState { name: "main", pages }];
        let mut rows = Vec::new();
        Session::open(&states, patience(&clock, None))?.run(sql, |event| {
            if let Event::Row(values) = event {
                rows.push(values);
            }
            Ok::<_, Error>(())
        })?;
        Ok(rows)
    }

    fn value(pages: &dyn Pages, sql: &str) -> SqlValue {
        asked(pages, sql).unwrap().remove(0).remove(0)
    }

    #[test]
    fn sqlite_reads_tables_indexes_and_virtual_tables() {
        let made = made(SCHEMA);
        let pages = made.pages();
        for (sql, wanted) in [
            ("SELECT count(*) FROM t", 300),
            ("SELECT id FROM t WHERE word = 'word 77'", 77),
            ("SELECT count(*) FROM notes WHERE notes MATCH 'word AND 12'", 1),
            ("SELECT count(*) FROM boxes WHERE left >= 5 AND right <= 20", 6),
            ("SELECT json_extract('{\"a\":[1,2]}', '$.a[1]')", 2),
            ("SELECT sum(n) OVER (ORDER BY id) > 1 FROM t WHERE id = 3", 1),
            (
                "WITH RECURSIVE c(x) AS (VALUES(1) UNION SELECT x+1 FROM c WHERE x<9) \
                 SELECT max(x) FROM c",
                9,
            ),
            ("SELECT floor(pow(2, 3)) + ceil(7) + log('10') + (acos(2) IS NULL)", 17),
        ] {
            let found = value(&pages, &format!("SELECT CAST(({sql}) AS INTEGER)"));
            assert_eq!(found, SqlValue::Integer(wanted), "{sql}");
        }
        let sound = value(&pages, "PRAGMA integrity_check");
        assert_eq!(sound, SqlValue::Text("ok".to_owned()));
        // The file says WAL, and the state has no log.
        assert_eq!(value(&pages, "PRAGMA journal_mode"), SqlValue::Text("delete".to_owned()));
    }

    #[test]
    fn the_first_value_is_true_as_where_takes_it() {
        for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
            let made = made(&format!("PRAGMA encoding = '{encoding}'; {SCHEMA}"));
            let pages = made.pages();
            let clock = MemoryVfs::default();
            let states = [NamedState { name: "main", pages: &pages as &dyn Pages }];
            let session = Session::open(&states, patience(&clock, None)).unwrap();
            for value in [
                "NULL",
                "0",
                "1",
                "-1",
                "9223372036854775807",
                "0.0",
                "-0.0",
                "0.5",
                "1e-320",
                "'1'",
                "'1abc'",
                "'a'",
                "''",
                "' 2'",
                "'0.1'",
                "'.5x'",
                "'0x10'",
                "'-'",
                "x''",
                "x'31'",
                "x'3100'",
                "x'0031'",
                "x'30'",
                "x'61'",
                "x'00'",
                "x'ff'",
                "'\u{e9}1'",
                "1 = 2",
                "1 = 1",
                "NULL = 1",
                "zeroblob(5)",
                "'1e400'",
                "9e999",
                "char(0) || '1'",
                "(SELECT word FROM t WHERE id = 3)",
                "(SELECT n FROM t WHERE id = 3)",
                "(SELECT 1 WHERE 0)",
                "current_date",
                "'TRUE'",
                "TRUE",
            ] {
                let wanted = format!("SELECT count(*) FROM (SELECT 1 WHERE {value})");
                let wanted = self::value(&pages, &wanted) == SqlValue::Integer(1);
                let found = session.is_true(&format!("SELECT {value}, 'other'")).unwrap();
                assert_eq!(found, wanted, "{encoding}: {value}");
            }
        }
    }

    #[test]
    fn one_value_is_asked_for() {
        let made = made(SCHEMA);
        let pages = made.pages();
        let clock = MemoryVfs::default();
        let states = [NamedState { name: "main", pages: &pages as &dyn Pages }];
        let session = Session::open(&states, patience(&clock, None)).unwrap();
        assert!(!session.is_true("SELECT id FROM t WHERE id = 1000").unwrap());
        assert!(session.is_true("SELECT id FROM t WHERE id = 100 -- that is all").unwrap());
        let sql = "CREATE TEMP TABLE own AS SELECT * FROM t; ; SELECT count(*) = 300 FROM own;";
        assert!(session.is_true(sql).unwrap());
        for sql in ["", " -- nothing", "CREATE TEMP TABLE other(x)"] {
            assert!(matches!(session.is_true(sql), Err(Error::NoValue)), "{sql}");
        }
        let found = session.is_true("SELECT 1; SELECT 2");
        assert!(matches!(found, Err(Error::AfterValue { statement: 2 })), "{found:?}");
        let found = session.is_true("SELECT abs(-9223372036854775808)");
        assert!(matches!(&found, Err(Error::Sql { .. })), "{found:?}");
    }

    #[test]
    fn what_writes_attaches_or_undoes_the_settings_is_refused() {
        let made = made(SCHEMA);
        let pages = made.pages();
        for sql in [
            "INSERT INTO t VALUES(1000, 'x', 1)",
            "DELETE FROM t WHERE 0",
            "CREATE TABLE other(x)",
            "PRAGMA user_version = 5",
            "ANALYZE",
            "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = ''",
            "UPDATE notes SET body = 'x'",
        ] {
            let found = asked(&pages, sql);
            assert!(matches!(found, Err(Error::Writes { .. } | Error::Sql { .. })), "{found:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new.db");
        let quoted = |path: &Path| path.to_str().unwrap().to_owned();
        for sql in [
            format!("ATTACH '{}' AS other", quoted(&new)),
            format!("ATTACH 'file:{}?vfs=unix' AS other", quoted(&new)),
            format!("VACUUM INTO '{}'", quoted(&new)),
            "ATTACH 'state-0' AS again".to_owned(),
            "ATTACH ':memory:' AS other".to_owned(),
            "DETACH main".to_owned(),
        ] {
            let found = asked(&pages, &sql);
            assert!(matches!(found, Err(Error::Attaches { .. })), "{sql}: {found:?}");
        }
        assert!(!new.exists());
        let found = asked(&pages, "PRAGMA trusted_schema = 1");
        assert!(matches!(found, Err(Error::Sets { .. })), "{found:?}");
        let found = asked(&pages, "SELECT load_extension('/none')");
        assert!(matches!(found, Err(Error::Sql { .. })), "{found:?}");
        // A temporary table is no part of the state.
        let sql = "CREATE TEMP TABLE own AS SELECT * FROM t; SELECT count(*) FROM own";
        assert_eq!(value(&pages, sql), SqlValue::Integer(300));
    }

    /// Pages of which one cannot be read.
    struct Without<'a>(FilePages<'a>, Pgno);

    impl Pages for Without<'_> {
        fn page_size(&self) -> PageSize {
            self.0.page_size()
        }

        fn size_pages(&self) -> Result<u32, scan::Error> {
            self.0.size_pages()
        }

        fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), scan::Error> {
            if page != self.1 {
                return self.0.read(page, image);
            }
            let (path, frame) = ("x.db".to_owned(), FrameNo(7));
            Err(scan::Error::Gone { path, page, frame, is_likely_there: false })
        }
    }

    #[test]
    fn a_page_that_cannot_be_read_fails_what_needs_it_and_gives_the_reason() {
        let made = made(SCHEMA);
        let last = made.pages().size_pages().unwrap();
        let mut failed = [0; 4];
        for page in (1..=last).map(Pgno) {
            for (place, sql) in [
                "PRAGMA integrity_check",
                "SELECT count(*) FROM notes WHERE notes MATCH 'word'",
                "SELECT count(*), sum(n) FROM t NOT INDEXED",
                "SELECT count(*) FROM boxes WHERE left >= 0",
            ]
            .into_iter()
            .enumerate()
            {
                let whole = asked(&made.pages(), sql).unwrap();
                match asked(&Without(made.pages(), page), sql) {
                    Ok(rows) => assert_eq!(rows, whole, "page {page}: {sql}"),
                    Err(Error::Pages(scan::Error::Gone { page: told, .. })) => {
                        assert_eq!(told, page);
                        failed[place] += 1;
                    }
                    Err(other) => panic!("page {page}: {sql}: {other:?}"),
                }
            }
        }
        assert!(failed.iter().all(|&pages| pages > 1), "{failed:?}");
        assert_eq!(failed[0], last);
    }

    #[test]
    fn a_statement_ends_when_its_time_is_over() {
        let made = made(SCHEMA);
        let pages = made.pages();
        let clock = MemoryVfs::default();
        let states = [NamedState { name: "main", pages: &pages }];
        let limit = Duration::from_secs(1);
        let session = Session::open(&states, patience(&clock, Some(limit))).unwrap();
        let run = |sql| session.run(sql, |_| Ok::<_, Error>(()));
        run("SELECT 1").unwrap();
        clock.sleep(limit);
        let endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT 1 FROM c)
                       SELECT count(*) FROM c";
        let found = run(endless);
        assert!(matches!(found, Err(Error::TimedOut(it)) if it == limit), "{found:?}");
    }

    #[test]
    fn wrong_sql_is_told_with_its_line_and_column() {
        let made = made(SCHEMA);
        let found = asked(&made.pages(), "SELECT 1;\n  -- é\nSELECT 2,\n é FRM;");
        let Err(Error::Sql { statement, at, .. }) = &found else { panic!("{found:?}") };
        assert_eq!((*statement, *at), (2, Some((4, 2))));
    }

    #[test]
    fn a_view_of_the_database_may_not_use_what_sqlite_calls_unsafe() {
        let made = made("CREATE VIEW told AS SELECT * FROM dbstat; CREATE TABLE t(x)");
        assert!(asked(&made.pages(), "SELECT * FROM dbstat").is_ok());
        let found = asked(&made.pages(), "SELECT * FROM told");
        assert!(
            matches!(&found, Err(Error::Sql { message, .. }) if message.contains("unsafe")),
            "{found:?}"
        );
    }
}

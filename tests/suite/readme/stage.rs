//! The files that README's transcripts are shown on, and the shell that they are typed in.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{
    beside, copy, fixtures, hold_command, oracle, oracle_program, release, rows, text,
    walsmith_program,
};

/// What README's commands are typed as.
const BUILT: (&str, &str) = ("cargo run --release -- ", "walsmith ");

/// The pid of README's reader, which is another one at every run.
const SHOWN_PID: &str = "16915";

/// The generation of README's log, whose salts are other ones at every run.
const SHOWN_GENERATION: &str = "3f0c5a17-9be24d60";

/// What README asks first of a state.
const FIRST_QUERY: &str = "walsmith query app.db --at 40 \
    \"SELECT customer, count(*), sum(total) FROM orders GROUP BY customer\"";

/// A command that is typed again once its reader has gone ends with this.
const READER_ENDS: &str = "# the reader ends meanwhile";

/// Orders, a transaction each; number 41 deletes those that it should not.
fn bad_delete(database: &Path) {
    let mut sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
        CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, total REAL);"
        .to_owned();
    for id in 1..=39 {
        let customer = ["Ada", "Grace", "Edsger", "Barbara"][id % 4];
        sql += &format!("INSERT INTO orders VALUES({id}, '{customer}', {}.5);", id * 7 % 90);
    }
    sql += "DELETE FROM orders WHERE customer = 'Grace' AND id > 20;
        UPDATE orders SET total = total + 1 WHERE id = 3;";
    let mut writer = Command::new(oracle_program());
    let _ = writer.args(["write-and-die", text(database), &sql]).output().unwrap();
}

/// The salts of a log as commands name them; empty where there is no log.
fn generation(log: &Path) -> String {
    let header = fs::read(log).unwrap_or_default();
    let salts = header.get(16..24).unwrap_or_default().chunks(4);
    let words = salts.map(|salt| salt.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    words.collect::<Vec<_>>().join("-")
}

/// The files of a transcript, and who has them open.
pub(super) struct Stage {
    folder: TempDir,
    reader: Option<Child>,
    exit: i32,
}

impl Stage {
    /// The files on which a transcript that starts with `command` is shown.
    pub(super) fn of(command: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        let reader = match command {
            "walsmith verify-checksums app.db"
            | "walsmith info app.db"
            | "walsmith rescue app.db --output app-rescue" => {
                one_flipped_bit(&database);
                None
            }
            "walsmith repair app.db" => {
                four_damages(&database);
                None
            }
            "walsmith log app.db --oneline --txn 38.."
            | "walsmith log app.db --oneline --txn 39.."
            | FIRST_QUERY => {
                bad_delete(&database);
                None
            }
            "walsmith checkpoint-now app.db --mode truncate" => Some(pinned(&database)),
            "cargo run --release -- verify-checksums fixtures/twenty-rows/x.db" => {
                let (fixture, _) = copy("twenty-rows");
                fs::create_dir(folder.path().join("fixtures")).unwrap();
                fs::rename(fixture.keep(), folder.path().join("fixtures/twenty-rows")).unwrap();
                None
            }
            _ => panic!("no files are made for the transcript of {command:?}"),
        };
        Self { folder, reader, exit: 0 }
    }

    /// Types the command as in a shell; the lines that it prints, to stdout and stderr.
    pub(super) fn typed(&mut self, command: &str) -> Vec<String> {
        let generation = generation(&self.folder.path().join("app.db-wal"));
        let command = command.replace(BUILT.0, BUILT.1).replace(SHOWN_GENERATION, &generation);
        assert!(
            command.starts_with("walsmith ") || command == "echo $?",
            "{command:?} is neither typed nor in the list of those that are not"
        );
        let pid = self.reader.as_ref().map(Child::id);
        // Before the command begins: what it says of the pair depends on who is attached when it
        // looks.
        if command.ends_with(READER_ENDS) {
            release(self.reader.take().unwrap());
        }
        let program = walsmith_program();
        let found = program.parent().unwrap().to_str().unwrap();
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(format!("exec 2>&1; (exit {}); {command}", self.exit))
            .current_dir(self.folder.path())
            .env("PATH", format!("{found}:{}", std::env::var("PATH").unwrap()))
            .env("LC_ALL", "C.UTF-8")
            .env("COLUMNS", "100")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        shell.stdout.as_mut().unwrap().read_to_string(&mut printed).unwrap();
        self.exit = shell.wait().unwrap().code().unwrap();
        let printed = pid.map_or(printed.clone(), |pid| with_shown_pid(&printed, pid));
        let printed = match generation.is_empty() {
            true => printed,
            false => printed.replace(&generation, SHOWN_GENERATION),
        };
        let lines = printed.lines().filter(|line| !line.contains("could not be looked into"));
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.reader.take().into_iter().for_each(release);
    }
}

/// Copies of a fixture's files under the name of README's database.
fn twenty_rows(database: &Path) {
    for suffix in ["", "-wal"] {
        let from = beside(&fixtures().join("twenty-rows/x.db"), suffix);
        fs::copy(from, beside(database, suffix)).unwrap();
    }
}

/// Changes the bytes of the log.
fn damage(database: &Path, change: impl FnOnce(&mut [u8])) {
    let wal = beside(database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    change(&mut bytes);
    fs::write(&wal, bytes).unwrap();
}

/// Where a frame of 4,096 bytes starts.
fn offset(frame: usize) -> usize {
    32 + (frame - 1) * (24 + 4096)
}

fn one_flipped_bit(database: &Path) {
    twenty_rows(database);
    damage(database, |bytes| bytes[offset(11) + 24 + 4000] ^= 2);
}

/// A log of 62 transactions that lost a byte, a sector, a quarter of a page and a salt.
fn four_damages(database: &Path) {
    let mut sql = "PRAGMA journal_mode=WAL; CREATE TABLE orders(id INTEGER PRIMARY KEY, customer, \
                   item); CREATE INDEX by_customer ON orders(customer);"
        .to_owned();
    for transaction in 0..60 {
        let ids = 3 * transaction + 1..=3 * transaction + 3;
        let row = |id: u32| {
            let items = format!("item {id}, ").repeat(8);
            format!("({id}, 'customer {:03}', '{items}')", id * 7919 % 1000)
        };
        let values: Vec<String> = ids.map(row).collect();
        sql.push_str(&format!("INSERT INTO orders VALUES {};", values.join(", ")));
    }
    oracle(&["run", text(database), &sql]);
    fs::remove_file(beside(database, "-shm")).unwrap();
    damage(database, |bytes| {
        for (frame, at, lost) in [(89, 3024, 1), (104, 3024, 512), (114, 3096, 1024), (122, 8, 4)] {
            bytes[offset(frame) + at..][..lost].fill(0);
        }
    });
}

/// A reader of the twentieth commit, after which three more came.
fn pinned(database: &Path) -> Child {
    twenty_rows(database);
    let mut command = Command::new(oracle_program());
    command.arg0("sqlite3").arg("app.db").current_dir(database.parent().unwrap());
    let reader = hold_command(command);
    for _ in 0..3 {
        rows(database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    }
    reader
}

/// The lines with README's pid in the place of the real one, in a table as wide as that makes it.
fn with_shown_pid(printed: &str, pid: u32) -> String {
    let column = |word: &str| format!(" {word:<3} ");
    let (real, shown) = (pid.to_string(), SHOWN_PID);
    let header = |pid: &str| format!(" {:<1$} ", "pid", pid.len().max(3));
    let lines = printed.lines().map(|line| {
        let rule = line.chars().next().filter(|first| "─═".contains(*first));
        match rule {
            Some(rule) => {
                let columns = line.chars().count() + shown.len() - real.len().max(3);
                rule.to_string().repeat(columns)
            }
            None => {
                line.replace(&header(&real), &header(shown)).replace(&column(&real), &column(shown))
            }
        }
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn a_table_is_as_wide_as_the_shown_pid_makes_it() {
    let table = |rule: &str, header: &str, row: &str| format!("{rule}\n{header}\n{row}\n");
    let shown = table("───────────────────", " lock  pid    mark ", " read  16915  20   ");
    let short = table("─────────────────", " lock  pid  mark ", " read  7    20   ");
    let long = table("─────────────────────", " lock  pid      mark ", " read  4194304  20   ");
    assert_eq!(with_shown_pid(&short, 7), shown);
    assert_eq!(with_shown_pid(&long, 4_194_304), shown);
    assert_ne!(with_shown_pid(&long, 7), shown);
}

//! What applications write.

use super::World;

impl World {
    pub(super) fn word(&mut self) -> String {
        let letters = 3 + self.random.usize(0..9);
        (0..letters).map(|_| self.random.lowercase()).collect()
    }

    pub(super) fn insert(&mut self) {
        let (name, note) = (self.word(), self.word().repeat(self.random.usize(1..9)));
        let number = self.random.u32(0..100_000);
        let sql = match self.random.u32(0..5) {
            0 => format!("INSERT INTO c(n, flag, word) VALUES({number}, 0, '{name}')"),
            1 => format!("REPLACE INTO u VALUES('{name}', '{note}')"),
            _ => format!("INSERT INTO t(name, note) VALUES('{name}', '{note}')"),
        };
        self.run(&sql);
    }

    pub(super) fn change(&mut self) {
        let (name, row) = (self.word(), self.random.u32(1..500));
        let sql = match self.random.u32(0..5) {
            0 => format!("UPDATE c SET n = n + 1 WHERE id % 40 = {row} % 40"),
            // Back to what it was, every second time.
            1 => format!("UPDATE c SET flag = 1 - flag WHERE id % 9 = {row} % 9"),
            2 => format!("UPDATE u SET v = '{name}' WHERE k > '{name}' AND k < '{name}z'"),
            // The page is written as it is.
            3 => format!("UPDATE t SET note = note WHERE id = {row}"),
            _ => format!(
                "UPDATE t SET name = '{name}' WHERE id = (SELECT max(id) FROM t WHERE id <= {row})"
            ),
        };
        self.run(&sql);
    }

    pub(super) fn delete(&mut self) {
        let row = self.random.u32(1..500);
        let sql = match self.random.u32(0..3) {
            0 => format!("DELETE FROM c WHERE id = {row}"),
            1 => format!("DELETE FROM t WHERE id BETWEEN {row} AND {row} + 15"),
            _ => "DELETE FROM t WHERE id = (SELECT max(id) FROM t)".to_owned(),
        };
        self.run(&sql);
    }

    pub(super) fn refresh(&mut self) {
        self.run("DELETE FROM r");
        let word = self.word();
        let rows = self.random.u32(1..60);
        self.run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows})
             INSERT INTO r(x) SELECT '{word}' || i * 7919 FROM n"
        ));
    }

    pub(super) fn step(&mut self) {
        match (self.habits.style, self.random.u32(0..10)) {
            (1, _) | (0, 0..=3) => self.insert(),
            (2, _) | (0, 4..=6) => self.change(),
            (3, _) | (0, 9) => self.refresh(),
            _ => self.delete(),
        }
    }

    /// Some transactions, of which some are rolled back.
    pub(super) fn transactions(&mut self, count: u32) {
        for _ in 0..count {
            if self.random.bool() && self.other.is_some() {
                std::mem::swap(&mut self.connection, &mut self.other);
            }
            let is_dropped = self.random.u32(0..6) == 0;
            self.run("BEGIN");
            let steps = self.random.u32(1..6) * if is_dropped { 4 } else { 1 };
            for _ in 0..steps {
                self.step();
            }
            self.run(if is_dropped { "ROLLBACK" } else { "COMMIT" });
        }
    }

    pub(super) fn work(&mut self) {
        let most = [4, 12, 30][self.random.usize(0..3)];
        let count = self.random.u32(1..most);
        self.transactions(count);
        self.rare();
        let count = self.random.u32(1..4);
        self.transactions(count);
    }

    /// What happens now and then.
    pub(super) fn rare(&mut self) {
        let what = self.random.u32(0..30);
        let sql = match what {
            0 => "VACUUM",
            1 => "DELETE FROM t WHERE id % 3 > 0",
            2 => "DELETE FROM t WHERE id % 3 > 0; VACUUM",
            3 => "CREATE INDEX IF NOT EXISTS c_word ON c(word)",
            4 => "DROP INDEX IF EXISTS c_word",
            5 => "PRAGMA incremental_vacuum(3)",
            6 => "CREATE TABLE IF NOT EXISTS later(a, b); INSERT INTO later VALUES(1, 2)",
            _ => return,
        };
        self.done.push(sql.replace(' ', "_"));
        self.run(sql);
    }
}

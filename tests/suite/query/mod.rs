//! `query`: SQL on states of a log, put to SQLite.

mod answers;
mod busy;
mod hostile;
mod states;

use std::path::Path;

use serde_json::Value;

use crate::support::{text, walsmith_command};

/// What `query` printed on stdout and stderr, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    exit: i32,
}

fn query(database: &Path, args: &[&str]) -> Said {
    let mut command = walsmith_command();
    let output = command.args(["query", text(database)]).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        exit: output.status.code().unwrap(),
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The first value of the first result.
    fn value(&self) -> Value {
        self.json()["results"][0]["rows"][0][0].clone()
    }

    fn error_kind(&self) -> String {
        self.json()["error"]["kind"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}: {:.2000}\n{:.2000}", self.exit, self.stderr, self.stdout)
    }
}

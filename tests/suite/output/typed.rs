//! Commands that are printed to be typed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use super::{commands_in, damaged_as, on, printed, stdout};
use crate::support::{text, walsmith_program};

/// Types a command into bash, in `folder`.
fn typed(folder: &Path, command: &str) -> Output {
    let program = walsmith_program();
    let path = format!("{}:{}", text(program.parent().unwrap()), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.current_dir(folder).args(["-c", command]).env("PATH", path).output().unwrap()
}

#[test]
fn every_command_that_is_printed_can_be_typed() {
    let names: [&[u8]; 4] = [b"sp ace's.db", b"-dash.db", b"e\x1b[31m\nsc.db", b"caf\xe9 $HOME.db"];
    for name in names {
        let name = OsStr::from_bytes(name);
        let path = [OsStr::new("./"), name].concat_os();
        let folder = damaged_as(name);
        let folder = folder.path();
        let first: [&[&str]; 7] = [
            &["info"],
            &["verify-checksums"],
            &["repair"],
            &["replay", "--dry-run"],
            &["checkpoint-now"],
            &["index-rebuild"],
            &["dump", "--frame", "999"],
        ];
        let mut all = BTreeSet::new();
        for args in first {
            let found = commands_in(&printed(&on(folder, args, &path)));
            assert!(!found.is_empty(), "{args:?} {name:?}");
            all.extend(found);
        }
        for command in &all {
            let done = typed(folder, command);
            assert!(matches!(done.status.code(), Some(0 | 1)), "{command}: {}", printed(&done));
        }
        let stem = Path::new(name).file_stem().unwrap();
        let repaired = folder.join([stem, OsStr::new("-repaired.db")].concat_os());
        assert!(repaired.exists() && all.iter().any(|one| one.starts_with("cp ")), "{all:#?}");
        // In place, then what is printed to go back.
        let before = fs::read(folder.join(name)).unwrap();
        let done = on(folder, &["repair", "--apply", "--in-place"], &path);
        let back = commands_in(&stdout(&done));
        assert_eq!(back.len(), 2, "{}", printed(&done));
        assert_ne!(fs::read(folder.join(name)).unwrap(), before);
        let list = on(folder, &["undo", "--list"], &path);
        assert_eq!(commands_in(&stdout(&list)), back[..1]);
        let again = on(folder, &["repair", "--apply", "--in-place"], &path);
        assert_eq!(
            (again.status.code(), commands_in(&printed(&again))),
            (Some(6), back[..1].to_vec())
        );
        let done = typed(folder, &back[0]);
        assert_eq!(done.status.code(), Some(0), "{}", printed(&done));
        assert_eq!(fs::read(folder.join(name)).unwrap(), before);
    }
}

trait ConcatOs {
    fn concat_os(&self) -> OsString;
}

impl ConcatOs for [&OsStr] {
    fn concat_os(&self) -> OsString {
        let bytes: Vec<u8> = self.iter().flat_map(|part| part.as_bytes()).copied().collect();
        OsStr::from_bytes(&bytes).to_owned()
    }
}

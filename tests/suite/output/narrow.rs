//! Narrow terminals and plain locales.

use std::ffi::OsStr;

use super::{LOOKING, commands_in, on, stdout};
use crate::support::{copy, names, walsmith_command};

#[test]
fn everything_fits_sixty_columns_and_plain_locales() {
    for name in names() {
        let (folder, _) = copy(&name);
        for args in LOOKING {
            let done = on(folder.path(), args, OsStr::new("x.db"));
            let shown = stdout(&done);
            for line in shown.lines().filter(|line| commands_in(line).is_empty()) {
                assert!(line.chars().count() <= 60, "{name} {args:?}: {line}\n{shown}");
            }
            let mut plain = walsmith_command();
            plain.current_dir(folder.path()).args(args).arg("x.db").env("LC_ALL", "C");
            let plain = plain.output().unwrap();
            assert!(plain.stdout.is_ascii(), "{name} {args:?}: {}", stdout(&plain));
            assert_eq!(plain.status.code(), done.status.code());
        }
    }
}

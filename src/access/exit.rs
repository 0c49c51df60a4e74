//! How a run ends: the exit codes.

use crate::log::Verdict;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, nothing wrong.
    Done,
    /// Done, and damage, loss or differences were found.
    Found,
    /// The command line was wrong.
    Usage,
    /// Could not: I/O error, not SQLite's, unsupported.
    CouldNot,
    /// A lock was not granted in time, or the log kept changing.
    Busy,
    /// The promise of the asked mode was not kept, though something was done.
    Incomplete,
    /// Refused by a safety rail.
    Refused,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// Every way to end, with its code and meaning: the source of README, man pages and tests.
    pub const TABLE: [(Self, u8, &'static str); 8] = [
        (Self::Done, 0, "done, nothing wrong"),
        (Self::Found, 1, "done, and damage, loss or differences were found"),
        (Self::Usage, 2, "usage: the command line was wrong"),
        (Self::CouldNot, 3, "could not: I/O error, not SQLite's, unsupported"),
        (
            Self::Busy,
            4,
            "busy: a lock was not granted in time, nothing was changed; or the log kept changing \
             under a scan",
        ),
        (
            Self::Incomplete,
            5,
            "incomplete: the asked mode's promise was not kept, though something was done",
        ),
        (
            Self::Refused,
            6,
            "refused by a safety rail; the message names the flag that overrides it, where there \
             is one",
        ),
        (Self::Interrupted, 130, "interrupted: died of SIGINT (143 of SIGTERM, 129 of SIGHUP)"),
    ];

    /// How a command that inspects a log of `verdict` ends: as `verify-checksums`.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::BadHeader | Verdict::Damaged => Self::Found,
            Verdict::Unreadable
            | Verdict::Absent
            | Verdict::TornTail
            | Verdict::UncommittedTail
            | Verdict::Empty
            | Verdict::Clean => Self::Done,
        }
    }

    /// How a run over several files ends, by how two of them did: what was found is not hidden by a
    /// file that could not be read, and "could not" is said only where nothing else is to be said.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Done => 0,
            Self::CouldNot => 1,
            Self::Busy => 2,
            Self::Incomplete => 3,
            Self::Refused => 4,
            Self::Found => 5,
            Self::Usage => 6,
            Self::Interrupted => 7,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// The process exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        let row = Self::TABLE.iter().find(|(exit, _, _)| *exit == self);
        row.map_or(3, |&(_, code, _)| code)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{Busy, CouldNot, Done, Found, Interrupted};
    use super::*;

    #[test]
    fn one_unreadable_file_hides_no_finding() {
        let of = |exits: &[Exit]| exits.iter().fold(Done, |all, &one| all.merged(one));
        for (exits, wanted) in [
            (&[][..], Done),
            (&[Done, CouldNot, Done], CouldNot),
            (&[Found, CouldNot], Found),
            (&[CouldNot, Done, Found], Found),
            (&[CouldNot, Busy], Busy),
            (&[Busy, CouldNot], Busy),
            (&[Busy, Found, CouldNot], Found),
            (&[Found, Interrupted], Interrupted),
        ] {
            assert_eq!(of(exits), wanted, "{exits:?}");
        }
    }

    #[test]
    fn merging_does_not_depend_on_the_order() {
        let all = Exit::TABLE.map(|(exit, _, _)| exit);
        for one in all {
            for other in all {
                assert_eq!(one.merged(other), other.merged(one));
            }
        }
    }
}

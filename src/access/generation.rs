//! The name of a generation of a log: numbers of transactions begin again when a log is reset, so
//! a command that acts on a number says of which generation it is.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use crate::format::Salts;
use crate::output::text::argument;

/// The salts of a log as arguments have them: `1a2b3c4d-5e6f7a8b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub Salts);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:08x}", self.0.salt1, self.0.salt2)
    }
}

impl FromStr for Generation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let salt = |part: &str| match part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true if part.len() == 8 => u32::from_str_radix(part, 16).ok(),
            true | false => None,
        };
        let salts = text
            .split_once('-')
            .and_then(|(one, two)| Some(Salts { salt1: salt(one)?, salt2: salt(two)? }));
        salts.map(Self).ok_or_else(|| {
            format!("`{text}` is no generation: the two salts of the log, as 1a2b3c4d-5e6f7a8b")
        })
    }
}

/// The command that takes a database back to the state after transaction `txn` of a generation.
#[must_use]
pub fn rewind_command(database: impl AsRef<OsStr>, txn: u32, salts: Salts) -> String {
    let (database, generation) = (argument(database), Generation(salts));
    format!("walsmith rewind {database} --to {txn} --generation {generation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_as_it_is_written() {
        let salts = Salts { salt1: 0x00ab_cdef, salt2: 7 };
        let text = Generation(salts).to_string();
        assert_eq!(text, "00abcdef-00000007");
        assert_eq!(text.parse(), Ok(Generation(salts)));
        assert_eq!("00ABCDEF-00000007".parse(), Ok(Generation(salts)));
        for wrong in ["", "-", "00abcdef", "abcdef-7", "00abcdef-0000000g", "+0abcdef-00000007"] {
            assert!(wrong.parse::<Generation>().is_err(), "{wrong}");
        }
        assert!("00abcdef-00000007-00000007".parse::<Generation>().is_err());
    }

    #[test]
    fn the_command_is_complete_and_quoted() {
        let salts = Salts { salt1: 1, salt2: 0xffff_ffff };
        assert_eq!(
            rewind_command("my app.db", 7, salts),
            format!(
                "walsmith rewind {} --to 7 --generation 00000001-ffffffff",
                argument("my app.db")
            )
        );
    }
}

//! Text that comes from outside, made fit for a terminal or a shell.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use shell_quote::{Bash, QuoteRefExt, Sh};

/// `text` on one line and without control characters: each is shown as `\x1b`, `\n` or `\u{202e}`.
/// Directional marks are control characters here, too: they let a name be read as another.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            char if is_control(char) && char.is_ascii() => {
                let _ = write!(shown, "\\x{:02x}", u32::from(char));
            }
            char if is_control(char) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(char));
            }
            char => shown.push(char),
        }
    }
    Cow::Owned(shown)
}

fn is_control(char: char) -> bool {
    let direction =
        matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || direction || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// `word` as a shell reads it back: as it is where that is safe, in quotes otherwise. What is no
/// UTF-8 or holds control characters is written as `$'..'`, which bash, zsh and ksh know.
#[must_use]
pub fn shell_quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    let quoted: Vec<u8> = match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_control) => text.quoted(Sh),
        Ok(_) | Err(_) => bytes.quoted(Bash),
    };
    String::from_utf8_lossy(&quoted).into_owned()
}

/// `walsmith WORDS PATH`, complete, to be typed.
#[must_use]
pub fn command(words: &str, path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    // A name that begins with a dash would be read as an option.
    let dash = if path.as_bytes().starts_with(b"-") { "./" } else { "" };
    let mut name = std::ffi::OsString::from(dash);
    name.push(path);
    format!("walsmith {words} {}", shell_quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(escaped("plain / name"), "plain / name");
        assert_eq!(escaped("\x1b]0;x\x07a\nb\u{202e}c"), "\\x1b]0;x\\x07a\\nb\\u{202e}c");
        assert_eq!(escaped("\u{9b}31m"), "\\u{9b}31m");
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let names: [&[u8]; 7] = [
            b"plain.db",
            b"sp ace's.db",
            b"$HOME `x` \"y\" \\z",
            b"line\nfeed",
            b"\x1b[31m",
            b"caf\xe9.db",
            "\u{e9}t\u{e9} *?.db".as_bytes(),
        ];
        for name in names {
            let quoted = shell_quoted(OsStr::from_bytes(name));
            let script = format!("printf %s {quoted}");
            let output = Command::new("bash").arg("-c").arg(&script).output().unwrap();
            assert_eq!(output.stdout, name, "{quoted}");
        }
        assert_eq!(shell_quoted("app.db-wal"), "app.db-wal");
        assert_eq!(command("info", "-x.db"), "walsmith info ./-x.db");
    }
}

//! Text that comes from outside, made fit for a terminal or a shell.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use shell_quote::{Bash, QuoteRefExt, Sh};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text of a report that comes from outside: raw in JSON, escaped for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outside(String);

impl Outside {
    /// The text as it is.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl From<String> for Outside {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.0))
    }
}

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
    format!("walsmith {words} {}", argument(path))
}

/// A path as a shell gives it to a command, which must not read it as an option.
#[must_use]
pub fn argument(path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    let dash = if path.as_bytes().starts_with(b"-") { "./" } else { "" };
    let mut name = OsString::from(dash);
    name.push(path);
    shell_quoted(name)
}

/// The name of a new file beside `path`: `app.db` and `-repaired` give `app-repaired.db`.
#[must_use]
pub fn new_name(path: impl AsRef<Path>, word: &str) -> PathBuf {
    let path = path.as_ref();
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(word);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// `text` cut to `columns` of a terminal, with dots where something is left out.
#[must_use]
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    const DOTS: &str = "...";
    let mut room = columns.saturating_sub(DOTS.len());
    let kept = text.char_indices().find_map(|(index, char)| {
        let width = char.width().unwrap_or_default();
        let fits = width <= room;
        room = room.saturating_sub(width);
        (!fits).then_some(index)
    });
    let kept = text.get(..kept.unwrap_or(text.len())).unwrap_or_default();
    Cow::Owned(format!("{kept}{DOTS}"))
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

    #[test]
    fn text_is_cut_to_columns_not_to_bytes() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc...");
        assert_eq!(cut("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", 4), "\u{e9}...");
        assert_eq!(cut("\u{4e2d}\u{6587}\u{4e2d}\u{6587}", 6), "\u{4e2d}...");
    }

    #[test]
    fn a_new_name_keeps_its_ending() {
        assert_eq!(new_name("a/app.db", "-repaired"), Path::new("a/app-repaired.db"));
        assert_eq!(new_name("app", "-repaired"), Path::new("app-repaired"));
    }
}

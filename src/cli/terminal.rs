//! What the environment says of the terminal. The only place that reads it.

use crate::output::Charset;

/// Columns of the terminal that stdout is, or else by `COLUMNS`; `None` where nobody says.
pub(super) fn width_columns(stdout_is_terminal: bool) -> Option<u16> {
    let terminal = match stdout_is_terminal {
        true => terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| columns),
        false => None,
    };
    terminal.or_else(|| columns_of(&std::env::var("COLUMNS").ok()?))
}

/// Columns of the terminal that stderr is; `None` where it is none, and lines stay whole.
pub(super) fn stderr_width_columns() -> Option<u16> {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map(|(terminal_size::Width(columns), _)| columns)
}

fn columns_of(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|&columns| columns > 0)
}

/// What the locale can show: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is not empty
/// decides, as in setlocale(3).
pub(super) fn charset() -> Charset {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    charset_of(["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).as_deref())
}

fn charset_of(locale: Option<&str>) -> Charset {
    let plain: String = locale.unwrap_or_default().to_lowercase().replace('-', "");
    if plain.contains("utf8") { Charset::Unicode } else { Charset::Ascii }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_says_what_it_can_show() {
        for locale in ["C.UTF-8", "de_DE.utf8", "en_US.UTF-8@euro"] {
            assert_eq!(charset_of(Some(locale)), Charset::Unicode, "{locale}");
        }
        for locale in [None, Some("C"), Some("POSIX"), Some("de_DE.ISO-8859-1"), Some("de_DE")] {
            assert_eq!(charset_of(locale), Charset::Ascii, "{locale:?}");
        }
    }

    #[test]
    fn columns_are_a_number_above_zero() {
        assert_eq!(columns_of("60"), Some(60));
        assert_eq!(["0", "", "-3", "x"].map(columns_of), [None; 4]);
    }
}

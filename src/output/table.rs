//! Tables that fit a terminal, and lists of facts.

use comfy_table::{CellAlignment, ColumnConstraint, LineStyle, Row, TableStyle};
use unicode_width::UnicodeWidthStr;

use super::{Charset, Paint, Side, text, wrapped};

/// Columns of a table where nobody knows how wide the terminal is.
const ASSUMED_COLUMNS: u16 = 100;
/// Least width of a column whose cells are cut.
const LEAST_COLUMNS: usize = 16;
/// Longest word that is not broken.
const WHOLE_WORD_COLUMNS: usize = 30;
/// Spaces around a cell.
const PADDING_COLUMNS: usize = 2;

/// What becomes of a column where the terminal is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It is shown.
    Always,
    /// Its cells are cut.
    Cut,
    /// Its cells are broken into lines.
    Broken,
    /// It is left out, and said to be. Columns with a lower number go first.
    IfWide(u8),
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    /// Its heading.
    pub head: &'static str,
    /// How its cells are aligned.
    pub side: Side,
    /// What becomes of it where the terminal is narrow.
    pub room: Room,
}

impl Heading {
    /// Text, flush left.
    #[must_use]
    pub const fn text(head: &'static str, room: Room) -> Self {
        Self { head, side: Side::Left, room }
    }

    /// Numbers, flush right.
    #[must_use]
    pub const fn number(head: &'static str, room: Room) -> Self {
        Self { head, side: Side::Right, room }
    }
}

/// A table of cells that are collected before it is drawn.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<Heading>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(headings: impl Into<Vec<Heading>>) -> Self {
        Self { headings: headings.into(), rows: Vec::new() }
    }

    /// Adds a row, a cell a heading.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }

    /// Draws the table without a line feed at its end, no wider than `width` where that can be.
    #[must_use]
    pub fn draw(&self, paint: &Paint, width: Option<u16>) -> String {
        let mut table = self.whole(paint);
        let natural: Vec<usize> =
            table.column_max_content_widths().into_iter().map(usize::from).collect();
        let layout = Layout::of(&self.headings, &natural, &self.rows, width);
        for row in table.row_iter_mut().zip(&self.rows) {
            *row.0 = Row::from(layout.fitted(&self.headings, row.1));
        }
        for (column, (heading, place)) in
            table.column_iter_mut().zip(self.headings.iter().zip(&layout.places))
        {
            if *place == Place::LeftOut {
                column.set_constraint(ColumnConstraint::Hidden);
            }
            if heading.side == Side::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let hidden = self.headings.iter().zip(&layout.places);
        let hidden = hidden.filter(|(_, place)| **place == Place::LeftOut);
        let left_out = left_out(hidden.map(|(heading, _)| heading.head), width);
        let drawn = table.trim_fmt();
        let columns = drawn.lines().map(UnicodeWidthStr::width).max().unwrap_or_default();
        let rule = dashes(paint).0.to_string().repeat(columns);
        let left_out = left_out.map_or(String::new(), |line| format!("\n{line}"));
        format!("{rule}\n{drawn}\n{rule}{left_out}")
    }

    fn whole(&self, paint: &Paint) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        let rule = LineStyle::none().fill(dashes(paint).1);
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_header(self.headings.iter().map(|heading| heading.head));
        table.add_rows(self.rows.iter().cloned());
        table
    }
}

/// What rules are drawn with: around a table, and under its heading.
pub(super) fn dashes(paint: &Paint) -> (char, char) {
    match paint.charset() {
        Charset::Unicode => ('─', '═'),
        Charset::Ascii => ('-', '='),
    }
}

/// Names columns that a narrow terminal has no room for; `None` where there are none.
pub(super) fn left_out<'h>(
    heads: impl Iterator<Item = &'h str>,
    width: Option<u16>,
) -> Option<String> {
    let heads: Vec<&str> = heads.collect();
    let line = format!("No room for: {}.", heads.join(", "));
    (!heads.is_empty()).then(|| wrapped(&line, 0, 2, width))
}

/// What a column gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// All that it needs.
    Whole,
    /// So many columns of the terminal.
    Narrow(usize),
    /// Nothing.
    LeftOut,
}

struct Layout {
    places: Vec<Place>,
}

impl Layout {
    fn of(
        headings: &[Heading],
        natural: &[usize],
        rows: &[Vec<String>],
        width: Option<u16>,
    ) -> Self {
        let width = usize::from(width.unwrap_or(ASSUMED_COLUMNS));
        let mut places = vec![Place::Whole; headings.len()];
        let least: Vec<usize> = headings
            .iter()
            .zip(natural)
            .enumerate()
            .map(|(index, (heading, &natural))| match heading.room {
                Room::Always | Room::IfWide(_) => natural,
                Room::Cut => natural.min(LEAST_COLUMNS),
                Room::Broken => natural.min(longest_word(rows, index, heading.head)),
            })
            .collect();
        let need = |places: &[Place]| -> usize {
            let shown = places.iter().zip(&least).filter(|(place, _)| **place != Place::LeftOut);
            shown.map(|(_, least)| least + PADDING_COLUMNS).sum()
        };
        let mut by_rank: Vec<(u8, usize)> = headings
            .iter()
            .enumerate()
            .filter_map(|(index, heading)| match heading.room {
                Room::IfWide(rank) => Some((rank, index)),
                Room::Always | Room::Cut | Room::Broken => None,
            })
            .collect();
        by_rank.sort_unstable();
        for (_, index) in by_rank {
            if need(&places) <= width {
                break;
            }
            if let Some(place) = places.get_mut(index) {
                *place = Place::LeftOut;
            }
        }
        let mut spare = width.saturating_sub(need(&places));
        // What is broken is still whole, what is cut is not: the first goes first.
        for wanted in [Room::Broken, Room::Cut] {
            let columns = headings.iter().zip(&mut places).zip(natural.iter().zip(&least));
            for ((heading, place), (natural, least)) in columns {
                if heading.room == wanted {
                    let more = spare.min(natural.saturating_sub(*least));
                    spare -= more;
                    *place = Place::Narrow(least + more);
                }
            }
        }
        Self { places }
    }

    /// The cells of a row as they are shown.
    fn fitted(&self, headings: &[Heading], cells: &[String]) -> Vec<String> {
        let columns = headings.iter().zip(&self.places).zip(cells);
        columns
            .map(|((heading, place), cell)| match (heading.room, place) {
                (Room::Cut, Place::Narrow(columns)) => text::cut(cell, *columns).into_owned(),
                (_, Place::Narrow(columns)) => broken(cell, *columns),
                (_, Place::Whole | Place::LeftOut) => cell.clone(),
            })
            .collect()
    }
}

/// `cell` in lines of at most `columns`, broken at spaces, and in longer words anywhere.
fn broken(cell: &str, columns: usize) -> String {
    use textwrap::{Options, WordSeparator, WordSplitter};
    let options = Options::new(columns)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(cell, options)
}

/// Columns of the longest word in a column of cells, within bounds: a path is broken anywhere.
fn longest_word(rows: &[Vec<String>], column: usize, head: &str) -> usize {
    let cells = rows.iter().filter_map(|cells| cells.get(column));
    let words = cells.flat_map(|cell| cell.split(' ')).map(UnicodeWidthStr::width);
    words.max().unwrap_or_default().min(WHOLE_WORD_COLUMNS).max(head.len())
}

/// Facts as two aligned columns, `name  value`; a value that is too long for `width` goes on under
/// its beginning, but for a command: that is one line, so that it can be copied.
#[must_use]
pub fn key_values(facts: &[(&str, String)], width: Option<u16>) -> String {
    let names = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let indent = " ".repeat(names + 4);
    let columns = usize::from(width.unwrap_or(ASSUMED_COLUMNS)).max(indent.len() + 20);
    let options = textwrap::Options::new(columns).subsequent_indent(&indent).break_words(false);
    let line = |(name, value): &(&str, String)| {
        let line = format!("  {name:<names$}  {value}");
        // Leading spaces of a value align its numbers: only what is too long is broken.
        let fits = line.width() <= columns || value.starts_with("walsmith ");
        (if fits { line } else { textwrap::fill(&line, &options) }) + "\n"
    };
    facts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Heading::text("name", Room::Broken),
            Heading::text("command", Room::Cut),
            Heading::number("size", Room::Always),
            Heading::number("more", Room::IfWide(1)),
            Heading::number("less", Room::IfWide(0)),
        ]);
        let long = "a long name of words";
        table.row([long, &"x".repeat(300), "12", "34567890", "1234567890"].map(str::to_owned));
        table
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        for width in [40, 60, 80, 120] {
            let drawn = table().draw(&Paint::new(false), Some(width));
            let widest = drawn.lines().map(UnicodeWidthStr::width).max().unwrap();
            assert!(widest <= usize::from(width), "{width}\n{drawn}");
            assert!(drawn.contains("12"), "{drawn}");
        }
        let narrow = table().draw(&Paint::new(false), Some(40));
        assert!(narrow.ends_with("No room for: more, less."), "{narrow}");
        let wider = table().draw(&Paint::new(false), Some(60));
        assert!(wider.contains("1234567890") && !wider.contains("No room"), "{wider}");
    }

    #[test]
    fn borders_are_ascii_where_nothing_else_can_be_shown() {
        let paint = Paint::new(false).with_charset(Charset::Ascii);
        assert!(table().draw(&paint, Some(60)).is_ascii());
        assert!(!table().draw(&Paint::new(false), Some(60)).is_ascii());
    }

    #[test]
    fn facts_are_aligned_and_broken_between_words() {
        let facts = [("a", "1".to_owned()), ("name", "one two three four five six".to_owned())];
        let wanted = "  a     1\n  name  one two three four\n        five six\n";
        assert_eq!(key_values(&facts, Some(28)), wanted);
        let command = "walsmith diff /a/long/path/of/a.db 1..2".to_owned();
        let whole = format!("  next  {command}\n");
        assert_eq!(key_values(&[("next", command)], Some(28)), whole);
    }
}

//! Bytes in hex, with labels on their parts.

use std::io::{self, Write};
use std::ops::Range;

use super::{Paint, Tone};

/// Bytes of a line, and of one on a narrow terminal.
const LINE_BYTES: usize = 16;
const SHORT_LINE_BYTES: usize = 8;
/// Columns that a line of 16 bytes needs.
const LINE_COLUMNS: u16 = 78;
/// Equal lines of a part that are shown before `*` stands for the rest.
const SHOWN_EQUAL_LINES: usize = 1;

/// Writes `bytes` part by part: a label, then lines of offset, 16 bytes (8 on a narrow terminal) in
/// hex and in ASCII.
///
/// `parts` is sorted by start. Bytes between parts are shown without a label; where parts overlap,
/// both are shown whole. Parts after the last byte are left out. Labels are broken at `width`
/// characters.
///
/// # Errors
/// When the destination fails.
pub fn hexdump(
    to: &mut dyn Write,
    paint: &Paint,
    bytes: &[u8],
    parts: &[(Range<usize>, String)],
    width: Option<u16>,
) -> io::Result<()> {
    let line_bytes = match width {
        Some(width) if width < LINE_COLUMNS => SHORT_LINE_BYTES,
        Some(_) | None => LINE_BYTES,
    };
    let lines = Lines { paint, bytes, line_bytes };
    let width = usize::from(width.unwrap_or(100).clamp(40, 100));
    let options = textwrap::Options::new(width).subsequent_indent("    ");
    let mut at = 0;
    for (range, label) in parts.iter().filter(|(range, _)| range.start < bytes.len()) {
        if at < range.start {
            lines.part(to, at..range.start, "")?;
        }
        lines.part(to, range.clone(), &textwrap::fill(label, &options))?;
        at = at.max(range.end);
    }
    if at < bytes.len() {
        lines.part(to, at..bytes.len(), "")?;
    }
    Ok(())
}

/// What lines are made of.
struct Lines<'a> {
    paint: &'a Paint,
    bytes: &'a [u8],
    line_bytes: usize,
}

impl Lines<'_> {
    fn part(&self, to: &mut dyn Write, range: Range<usize>, label: &str) -> io::Result<()> {
        let Self { paint, bytes, line_bytes } = *self;
        let label = if label.is_empty() { "(between)" } else { label };
        writeln!(to, "{}", paint.tone(Tone::Strong, label))?;
        let content = bytes.get(range.start..range.end.min(bytes.len())).unwrap_or_default();
        let mut before: Option<&[u8]> = None;
        let mut equal = 0;
        let mut lines = Vec::with_capacity(content.len() * 5);
        for (index, line) in content.chunks(line_bytes).enumerate() {
            equal = if before == Some(line) { equal + 1 } else { 0 };
            before = Some(line);
            if equal == SHOWN_EQUAL_LINES {
                lines.extend_from_slice(b"  *\n");
            }
            if equal < SHOWN_EQUAL_LINES {
                push_line(&mut lines, range.start + index * line_bytes, line, line_bytes);
            }
        }
        to.write_all(&lines)
    }
}

/// Offset, bytes in hex with a gap in the middle, and in ASCII.
fn push_line(to: &mut Vec<u8>, offset: usize, line: &[u8], line_bytes: usize) {
    to.extend_from_slice(b"  ");
    let digits = (usize::BITS - offset.leading_zeros()).div_ceil(4).max(5);
    (0..digits).rev().for_each(|digit| to.push(hex_digit(offset >> (4 * digit))));
    to.extend_from_slice(b"  ");
    for index in 0..line_bytes {
        if index == LINE_BYTES / 2 {
            to.push(b' ');
        }
        match line.get(index) {
            Some(&byte) => {
                to.extend_from_slice(&[hex_digit(usize::from(byte >> 4)), hex_digit(byte.into())]);
            }
            None => to.extend_from_slice(b"  "),
        }
        to.push(b' ');
    }
    to.push(b'|');
    to.extend(line.iter().map(|&byte| if (0x20..0x7f).contains(&byte) { byte } else { b'.' }));
    to.extend_from_slice(b"|\n");
}

/// The digit for the low four bits of `value`.
fn hex_digit(value: usize) -> u8 {
    b"0123456789abcdef".get(value & 15).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_on_a_narrow_terminal() {
        let mut text = Vec::new();
        let bytes: Vec<u8> = (0x41..0x55).collect();
        hexdump(&mut text, &Paint::new(false), &bytes, &[], Some(60)).unwrap();
        let expected = "\
(between)
  00000  41 42 43 44 45 46 47 48 |ABCDEFGH|
  00008  49 4a 4b 4c 4d 4e 4f 50 |IJKLMNOP|
  00010  51 52 53 54             |QRST|
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn parts_are_labelled_and_equal_lines_collapse() {
        let mut bytes = b"head".to_vec();
        bytes.extend([0; 64]);
        bytes.extend(b"tail\n");
        let parts = [(0..4, "first".to_owned()), (68..73, "last".to_owned())];
        let mut text = Vec::new();
        hexdump(&mut text, &Paint::new(false), &bytes, &parts, None).unwrap();
        let expected = "\
first
  00000  68 65 61 64                                      |head|
(between)
  00004  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00 |................|
  *
last
  00044  74 61 69 6c 0a                                   |tail.|
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}

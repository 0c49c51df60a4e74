//! Bytes in hex, with labels on their parts.

use std::io::{self, Write};
use std::ops::Range;

use super::{Paint, Tone};

const LINE_BYTES: usize = 16;
/// Equal lines of a part that are shown before `*` stands for the rest.
const SHOWN_EQUAL_LINES: usize = 1;

/// Writes `bytes` part by part: a label, then lines of offset, 16 bytes in hex and in ASCII.
///
/// `parts` is sorted by start. Bytes between parts are shown without a label; where parts overlap,
/// both are shown whole. Parts behind the last byte are left out. Labels are broken at `width` characters.
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
    let width = usize::from(width.unwrap_or(100).clamp(40, 100));
    let options = textwrap::Options::new(width).subsequent_indent("    ");
    let mut at = 0;
    for (range, label) in parts.iter().filter(|(range, _)| range.start < bytes.len()) {
        if at < range.start {
            part(to, paint, bytes, at..range.start, "")?;
        }
        part(to, paint, bytes, range.clone(), &textwrap::fill(label, &options))?;
        at = at.max(range.end);
    }
    if at < bytes.len() {
        part(to, paint, bytes, at..bytes.len(), "")?;
    }
    Ok(())
}

fn part(
    to: &mut dyn Write,
    paint: &Paint,
    bytes: &[u8],
    range: Range<usize>,
    label: &str,
) -> io::Result<()> {
    let label = if label.is_empty() { "(between)" } else { label };
    writeln!(to, "{}", paint.tone(Tone::Strong, label))?;
    let content = bytes.get(range.start..range.end.min(bytes.len())).unwrap_or_default();
    let mut before: Option<&[u8]> = None;
    let mut equal = 0;
    for (index, line) in content.chunks(LINE_BYTES).enumerate() {
        equal = if before == Some(line) { equal + 1 } else { 0 };
        before = Some(line);
        if equal == SHOWN_EQUAL_LINES {
            writeln!(to, "  *")?;
        }
        if equal < SHOWN_EQUAL_LINES {
            let offset = range.start + index * LINE_BYTES;
            writeln!(to, "  {offset:05x}  {:<48} |{}|", hex(line), ascii(line))?;
        }
    }
    Ok(())
}

fn hex(line: &[u8]) -> String {
    let mut text = String::with_capacity(3 * line.len() + 1);
    for (index, byte) in line.iter().enumerate() {
        if index == LINE_BYTES / 2 {
            text.push(' ');
        }
        text.push_str(&format!("{byte:02x} "));
    }
    text.trim_end().to_owned()
}

fn ascii(line: &[u8]) -> String {
    let shown = |&byte: &u8| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' };
    line.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

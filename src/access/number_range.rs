//! A range of numbers, as an argument.

use std::str::FromStr;

/// An inclusive range, `A..B`, open on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    /// The first number.
    pub first: u32,
    /// The last number.
    pub last: u32,
}

impl NumberRange {
    /// Whether `number` lies in the range.
    #[must_use]
    pub fn holds(&self, number: u32) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

impl FromStr for NumberRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str, open: u32| match part {
            "" => Ok(open),
            _ => part.parse().map_err(|_| format!("`{part}` is not a number")),
        };
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (number(first, 1)?, number(last, u32::MAX)?),
            None => (number(text, 1)?, number(text, u32::MAX)?),
        };
        if text.is_empty() || first > last {
            return Err("expected A..B with A not above B".to_owned());
        }
        Ok(Self { first, last })
    }
}

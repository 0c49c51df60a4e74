//! How sure it is what the right bytes of a frame are.

use serde::Serialize;

/// Why a step is believed; the surer, the greater.
///
/// | word | in JSON | what it means |
/// |---|---|---|
/// | likely | `likelihood` | the simplest explanation of the bytes; nothing excludes the others |
/// | evident | `evidence` | another image of the page, or its structure, excludes the others |
/// | proven | `checksum` | the sums leave no other explanation that any model of faults knows |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// It is the simplest explanation, and nothing witnesses it.
    Likelihood,
    /// Something besides the sums witnesses it.
    Evidence,
    /// Checksums show what the right bytes are.
    Checksum,
}

impl Proof {
    /// The word for it in tables and sentences.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Likelihood => "likely",
            Self::Evidence => "evident",
            Self::Checksum => "proven",
        }
    }
}

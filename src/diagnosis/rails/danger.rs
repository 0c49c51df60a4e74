//! What a step would make final, in the same words for every command that writes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::access::Failure;
use crate::diagnosis::rule::{Rule, Severity};

/// A loss or a corruption that is not final yet, and would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Danger {
    /// The rule that says so.
    pub rule: Rule,
    /// How bad it is to look at: a step that would make it final is refused all the same.
    pub severity: Severity,
    /// The file that it is about.
    pub file: PathBuf,
    /// What is wrong, and what it would lead to.
    pub why: String,
    /// The command to type instead, complete; `None` without one.
    pub next: Option<String>,
    /// What it does, or what to do.
    pub advice: String,
    /// The process that it is about.
    pub pid: Option<i32>,
    /// What lets a command go on; `None` where nothing does.
    pub consent: Option<Consent>,
}

/// An option by which a user takes a danger on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--accept-loss`.
    Loss,
    /// `--accept-foreign`.
    Foreign,
}

/// The options that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consents {
    /// `--accept-loss`.
    pub loss: bool,
    /// `--accept-foreign`.
    pub foreign: bool,
}

/// A danger that was taken on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong.
    pub message: String,
}

impl Danger {
    /// A danger of `rule` about `file`.
    #[must_use]
    pub fn new(rule: Rule, file: &Path, why: impl Into<String>) -> Self {
        let file = file.to_owned();
        let (next, advice, pid, consent) = (None, String::new(), None, None);
        let severity = rule.facts().severity;
        Self { rule, severity, file, why: why.into(), next, advice, pid, consent }
    }

    /// One of which it is not known whether something is lost.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// With what to do instead.
    #[must_use]
    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// With the command to type instead, and what that does.
    #[must_use]
    pub fn next(self, command: String, does: &str) -> Self {
        Self { next: Some(command), advice: does.to_owned(), ..self }
    }

    /// With the option that lets the command go on.
    #[must_use]
    pub fn unless(self, consent: Consent) -> Self {
        Self { consent: Some(consent), ..self }
    }

    fn is_accepted(&self, given: Consents) -> bool {
        match self.consent {
            Some(Consent::Loss) => given.loss,
            Some(Consent::Foreign) => given.foreign,
            None => false,
        }
    }

    fn refusal(&self) -> Failure {
        let option = match self.consent {
            Some(Consent::Loss) => Some("--accept-loss continues anyway"),
            Some(Consent::Foreign) => Some("--accept-foreign continues anyway"),
            None => None,
        };
        let hint = match &self.next {
            Some(next) => format!("this {}: {next}", self.advice),
            None => self.advice.clone(),
        };
        // A command goes to the end of its line.
        let hint = match (hint.as_str(), option) {
            ("", option) => option.unwrap_or_default().to_owned(),
            (hint, None) => hint.to_owned(),
            (hint, Some(option)) => format!("{option}; {hint}"),
        };
        Failure::refused(&self.file, self.why.clone(), hint)
    }
}

/// Refuses the first danger that was not accepted; returns those that were.
///
/// # Errors
/// The refusal.
pub fn refuse(dangers: Vec<Danger>, given: Consents) -> Result<Vec<Accepted>> {
    if let Some(danger) = dangers.iter().find(|danger| !danger.is_accepted(given)) {
        return Err(danger.refusal().into());
    }
    let accepted = |danger: Danger| Accepted { rule: danger.rule, message: danger.why };
    Ok(dangers.into_iter().map(accepted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_option_lets_a_danger_pass() {
        let danger = || Danger::new(Rule::LogDamaged, Path::new("x"), "w").unless(Consent::Loss);
        let loss = Consents { loss: true, foreign: false };
        let foreign = Consents { loss: false, foreign: true };
        assert!(refuse(vec![danger()], Consents::default()).is_err());
        assert!(refuse(vec![danger()], foreign).is_err());
        assert_eq!(refuse(vec![danger()], loss).unwrap().len(), 1);
        let never = Danger { consent: None, ..danger() };
        let all = Consents { loss: true, foreign: true };
        assert!(refuse(vec![danger(), never], all).is_err());
    }
}

//! Findings of a configuration check.
//!
//! What would fail at night is said when the configuration is written.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// A backup can be made, but may lack something.
    Warning,
    /// No backup can be made.
    Error,
}

/// One finding, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Section and key of the configuration.
    pub place: String,
    /// The fact.
    pub message: String,
    /// A way out; empty if none is needed.
    pub hint: String,
}

impl Finding {
    /// Describes a fact at a place of the configuration.
    pub fn new(severity: Severity, place: &str, message: impl Into<String>) -> Self {
        let (place, message) = (place.to_owned(), message.into());
        Self { severity, place, message, hint: String::new() }
    }

    /// Adds a way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

//! Errors of rules that can never match.

/// Why a rule can never match anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `[abc` without an end.
    #[error("a bracket is not closed (`\\[` stands for the character itself)")]
    Bracket,
    /// `[[:letter:]]`.
    #[error(
        "there is no such class of characters (there are alnum, alpha, blank, cntrl, digit, \
            graph, lower, print, punct, space, upper and xdigit)"
    )]
    Class,
    /// A backslash at the end.
    #[error("nothing follows the backslash (`\\\\` stands for the character itself)")]
    Backslash,
    /// Too many brackets.
    #[error("it is too long")]
    Long,
}

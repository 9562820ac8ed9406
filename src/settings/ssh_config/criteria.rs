//! Evaluation of `Match` lines.

use crate::store::sftp::pattern::{matches_any, matches_any_exactly};

/// The connection that a `Match` line is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct MatchTarget<'a> {
    /// The machine's name after `HostName`, as far as read.
    pub host: &'a str,
    /// The machine's name as the user wrote it.
    pub original_host: &'a str,
    /// The user of the login, as far as known.
    pub user: &'a str,
    /// The local user.
    pub local_user: &'a str,
    /// This is the second pass, which `final` requires.
    pub is_final: bool,
}

/// Result for a `Match` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MatchVerdict {
    /// The block applies.
    Applies,
    /// The block does not apply.
    Not,
    /// The block applies if this criterion holds, which cannot be evaluated here.
    Depends(String),
}

/// Evaluates the criteria of a `Match` line: all must hold; each may be negated by `!`.
///
/// `host`, `originalhost`, `user`, `localuser`, `all`, `final` and `canonical` are supported.
/// Others (`exec`, which would run a command, `tagged`, `localnetwork`) result in
/// [`MatchVerdict::Depends`], unless a supported one fails. Fails if there is no criterion, or no
/// value.
pub(super) fn decide(words: &[String], target: MatchTarget<'_>) -> Result<MatchVerdict, String> {
    if words.is_empty() {
        return Err("`Match` has no criterion; `Match all` applies always".to_owned());
    }
    let mut words = words.iter();
    let mut verdict = MatchVerdict::Applies;
    while let Some(word) = words.next() {
        let (is_negated, criterion) =
            word.strip_prefix('!').map_or((false, word.as_str()), |criterion| (true, criterion));
        let (name, joined) = criterion
            .split_once('=')
            .map_or((criterion, None), |(name, value)| (name, Some(value)));
        let name = name.to_ascii_lowercase();
        let holds = match name.as_str() {
            "all" => Some(true),
            "final" | "canonical" => Some(target.is_final),
            _ => {
                let value = joined
                    .map(|value| value.trim_matches('"'))
                    .or_else(|| words.next().map(String::as_str));
                let value = value
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| format!("`Match {name}` has no value"))?;
                holds(&name, value, target)
            }
        };
        match holds {
            Some(holds) if holds == is_negated => verdict = MatchVerdict::Not,
            None if verdict == MatchVerdict::Applies => verdict = MatchVerdict::Depends(name),
            _ => {}
        }
    }
    Ok(verdict)
}

/// Returns whether a criterion holds, if it is supported.
fn holds(name: &str, value: &str, target: MatchTarget<'_>) -> Option<bool> {
    let patterns = value.split(',');
    match name {
        "host" => Some(matches_any(patterns, target.host)),
        "originalhost" => Some(matches_any(patterns, target.original_host)),
        "user" => Some(matches_any_exactly(patterns, target.user)),
        "localuser" => Some(matches_any_exactly(patterns, target.local_user)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: MatchTarget<'_> = MatchTarget {
        host: "u1.example.com",
        original_host: "box",
        user: "u1",
        local_user: "ada",
        is_final: false,
    };

    fn verdict(line: &str) -> Result<MatchVerdict, String> {
        decide(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), TARGET)
    }

    #[test]
    fn all_criteria_must_hold() {
        for (line, applies) in [
            ("all", true),
            ("!all", false),
            ("host *.example.com", true),
            ("host box", false),
            ("originalhost Box", true),
            ("originalhost=\"box\"", true),
            ("!originalhost box", false),
            ("host a,*.example.com,!u2*", true),
            ("host *.example.com,!u1*", false),
            ("user u1 localuser ada host U1.*", true),
            ("user U1", false),
            ("user u1 localuser eve", false),
            ("!user root !localuser root", true),
            ("final", false),
            ("!final all", true),
            ("canonical all", false),
            ("FINAL host *", false),
        ] {
            assert_eq!(
                verdict(line),
                Ok(if applies { MatchVerdict::Applies } else { MatchVerdict::Not }),
                "{line}"
            );
        }
        assert_eq!(
            decide(&["final".to_owned()], MatchTarget { is_final: true, ..TARGET }),
            Ok(MatchVerdict::Applies)
        );
    }

    #[test]
    fn what_cannot_be_found_out_counts_only_if_all_else_holds() {
        assert_eq!(verdict("exec true host u1*"), Ok(MatchVerdict::Depends("exec".into())));
        assert_eq!(
            verdict("host u1* !exec false tagged x"),
            Ok(MatchVerdict::Depends("exec".into()))
        );
        assert_eq!(
            verdict("localnetwork=10.0.0.0/8"),
            Ok(MatchVerdict::Depends("localnetwork".into()))
        );
        assert_eq!(verdict("exec true host other"), Ok(MatchVerdict::Not));
        for line in ["", "host", "user u1 exec", "host="] {
            assert!(verdict(line).is_err(), "{line}");
        }
    }
}

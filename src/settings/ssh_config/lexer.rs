//! Words of configuration lines, and their tokens and variables.

use std::path::{Path, PathBuf};

use crate::settings::environment::Environment;

/// Returns the option of a line, in lower case, and the text after it; `None` for an empty line or
/// comment.
///
/// Blanks, and perhaps a `=`, separate them; the option may be quoted.
pub(super) fn option(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    let (option, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => {
            line.split_at(line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len()))
        }
    };
    let rest = rest.trim_start();
    let is_option = !option.is_empty() && !option.starts_with('#');
    is_option
        .then(|| (option.to_ascii_lowercase(), rest.strip_prefix('=').unwrap_or(rest).trim_start()))
}

/// Returns the words after an option, split as by OpenSSH; `None` if a quote is not closed.
///
/// Both kinds of quotes may begin and end within a word. A backslash escapes a quote, a backslash,
/// and outside of quotes a blank; before other characters it is literal. `#` at the beginning of a
/// word starts a comment.
pub(super) fn words(behind_option: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = behind_option.chars().peekable();
    while let Some(c) = rest.next() {
        let is_blank = matches!(c, ' ' | '\t') && quote.is_none();
        match (is_blank, &word) {
            (true, _) => words.extend(word.take()),
            (false, None) if c == '#' => break,
            _ => {}
        }
        if is_blank {
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '\\' => {
                let is_escaped = |next: &char| {
                    matches!(next, '\'' | '"' | '\\') || *next == ' ' && quote.is_none()
                };
                word.push(rest.next_if(is_escaped).unwrap_or(c));
            }
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ => word.push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Returns a command after its option unchanged: the shell interprets its quotes.
pub(super) fn command(behind_option: &str) -> &str {
    behind_option.trim_start_matches(|c: char| c.is_whitespace() || c == '=')
}

/// Expands a path: `~` is `home`, and tokens and variables (`${NAME}`) are replaced.
///
/// Returns `None` for an unknown token, an unset variable, or the home directory of another user
/// (`~name`): the unexpanded path would mean another file.
pub(super) fn expand_path(
    written: &str,
    home: &Path,
    env: &Environment,
    tokens: &[(char, &str)],
) -> Option<PathBuf> {
    let (start, rest) = match written.strip_prefix('~') {
        None => (None, written),
        Some("") => return Some(home.to_path_buf()),
        Some(rest) => (Some(home), rest.strip_prefix('/')?.trim_start_matches('/')),
    };
    let mut pieces = rest.split("${");
    let mut expanded = expand_known(pieces.next()?, tokens)?;
    for piece in pieces {
        let (name, rest) = piece.split_once('}')?;
        // The value of a variable is not expanded again.
        expanded += env.get(name)?.to_str()?;
        expanded += &expand_known(rest, tokens)?;
    }
    Some(start.map_or_else(|| PathBuf::from(&expanded), |start| start.join(&expanded)))
}

/// Replaces tokens; `None` if there are unknown ones.
fn expand_known(written: &str, tokens: &[(char, &str)]) -> Option<String> {
    let is_known = |token: char| tokens.iter().any(|(name, _)| *name == token);
    let mut parts = written.split('%').skip(1);
    while let Some(part) = parts.next() {
        match part.chars().next() {
            Some(token) if is_known(token) => {}
            // `%%` is a percent sign, and the text after it is no token.
            None => drop(parts.next()?),
            Some(_) => return None,
        }
    }
    Some(expand(written, tokens))
}

/// Replaces `%x` by the value of `x`; `%%` is a percent sign, and unknown tokens stay.
pub(super) fn expand(written: &str, tokens: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(written.len());
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        let token = if c == '%' { rest.clone().next() } else { None };
        let value = token.and_then(|token| {
            if token == '%' {
                Some("%")
            } else {
                tokens.iter().find(|(name, _)| *name == token).map(|(_, value)| *value)
            }
        });
        match value {
            Some(value) => {
                rest.next();
                out.push_str(value);
            }
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stay_as_they_are_written() {
        for (line, rest) in [
            ("ProxyCommand nc \"%h\" %p # not a comment", "nc \"%h\" %p # not a comment"),
            ("  ProxyCommand =  sh -c 'x=1' ", "sh -c 'x=1'"),
            ("ProxyCommand == a", "a"),
            ("\"ProxyCommand\" a", "a"),
            ("ProxyCommand", ""),
        ] {
            let (name, behind) = option(line).unwrap();
            assert_eq!((name.as_str(), command(behind)), ("proxycommand", rest), "{line}");
        }
        for line in ["", "  # x", "\"", "= x", "\"x"] {
            assert_eq!(option(line), None, "{line}");
        }
    }

    /// What OpenSSH 9.2 makes of the same.
    #[test]
    fn words_are_those_of_openssh() {
        for (line, wanted) in [
            ("a  b\tc", "a|b|c"),
            ("'/a b' \"c d\"", "/a b|c d"),
            ("/c\\ d", "/c d"),
            ("/e\" f\"g", "/e fg"),
            ("a'\"'b\"'\"", "a\"b'"),
            ("\\'a\\\" \\\\ \\x '\\ '", "'a\"|\\|\\x|\\ "),
            ("a #b", "a"),
            ("a#b '#' c", "a#b|#|c"),
            ("'' \"\"", "|"),
            ("", ""),
        ] {
            assert_eq!(words(line).unwrap().join("|"), wanted, "{line}");
        }
        for line in ["\"a", "it's", "a 'b\" c", "\\\"\""] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn paths_with_unknown_parts_are_none() {
        let env = Environment::of([("RUN", "/run/%h"), ("NAME", "${RUN}"), ("EMPTY", "")]);
        let expand = |written| {
            expand_path(written, Path::new("/home/ada"), &env, &[('h', "box"), ('p', "22")])
        };
        for (written, wanted) in [
            ("~", "/home/ada"),
            ("~/a", "/home/ada/a"),
            ("~//a", "/home/ada/a"),
            ("/%h-%p", "/box-22"),
            ("a%%%h%%h", "a%box%h"),
            ("%%", "%"),
            ("/a$b~", "/a$b~"),
            ("${RUN}/x-%h", "/run/%h/x-box"),
            ("~/${NAME}%%${RUN}", "/home/ada/${RUN}%/run/%h"),
        ] {
            assert_eq!(expand(written), Some(PathBuf::from(wanted)), "{written}");
        }
        for written in [
            "/%C",
            "%",
            "/a%",
            "/%%%",
            "/%h%x",
            "${HOME}/a",
            "${EMPTY}/a",
            "${RUN",
            "%${RUN}",
            "~bob/a",
            "~bob",
        ] {
            assert_eq!(expand(written), None, "{written}");
        }
    }
}

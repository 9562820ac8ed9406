//! Pipes in a command line of the shell.
//!
//! A shell without `pipefail` hides the failure of all commands of a pipe but the last, so that
//! half a dump would look complete. Such a line is refused, and that needs to know whether a `|` is
//! one.

/// Returns whether a line may have a pipe: a `|` outside quotes that is not `||` or `>|`.
///
/// Errs to the safe side: after a comment, a here-document, or an expansion in double quotes, each
/// `|` counts, quoted or not, because quotes nest there. Does not look into what other shells are
/// given in quotes, as in `sh -c 'a | b'` or `eval`.
pub(super) fn may_have_pipe(line: &str) -> bool {
    let mut scanner = Scanner { rest: line.as_bytes(), before: b' ', is_doubtful: false };
    while let Some(byte) = scanner.next() {
        let is_pipe = match byte {
            b'\\' => {
                scanner.next();
                false
            }
            b'\'' => scanner.single_quotes(),
            b'"' => scanner.double_quotes(),
            b'|' => scanner.is_pipe(),
            b'#' if scanner.before.is_ascii_whitespace() || b";&()".contains(&scanner.before) => {
                scanner.is_doubtful = true;
                false
            }
            b'<' if scanner.rest.first() == Some(&b'<') => {
                scanner.is_doubtful = true;
                false
            }
            _ => false,
        };
        if is_pipe || scanner.is_doubtful {
            return is_pipe || scanner.any_pipe();
        }
        scanner.before = byte;
    }
    false
}

struct Scanner<'a> {
    rest: &'a [u8],
    /// The character before the current one; neither is in quotes.
    before: u8,
    /// Whether it is not certain any more what is quoted.
    is_doubtful: bool,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Returns whether the `|` that was just read is a pipe. A second one is skipped.
    fn is_pipe(&mut self) -> bool {
        if self.rest.first() == Some(&b'|') {
            self.next();
            return false;
        }
        self.before != b'>'
    }

    /// Skips to the end of single quotes.
    fn single_quotes(&mut self) -> bool {
        while self.next().is_some_and(|byte| byte != b'\'') {}
        false
    }

    /// Skips to the end of double quotes, or to an expansion.
    fn double_quotes(&mut self) -> bool {
        while let Some(byte) = self.next() {
            match byte {
                b'"' => return false,
                b'\\' => {
                    self.next();
                }
                b'`' => self.is_doubtful = true,
                b'$' if matches!(self.rest.first(), Some(b'(' | b'{')) => self.is_doubtful = true,
                _ => {}
            }
            if self.is_doubtful {
                return false;
            }
        }
        false
    }

    /// Returns whether there is any pipe in the rest, quoted or not.
    fn any_pipe(&mut self) -> bool {
        self.before = b' ';
        while let Some(byte) = self.next() {
            if byte == b'|' && self.is_pipe() {
                return true;
            }
            self.before = byte;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_found() {
        for line in [
            "a | b",
            "a|b",
            "a |& b",
            "a || b | c",
            "a; b|c",
            "echo '|' | b",
            "echo \"|\" | b",
            "echo \\' | b'",
            "echo \"\\\"\" | b\"",
            "x=$(a | b)",
            "x=`a | b`",
            "echo \"$(a | b)\"",
            "echo \"`a | b`\"",
            "echo \"$(echo \"it's\" | b)\"",
            "echo \"${x:-\"a\" | b}\"",
            "a # it's\nb | c",
            "cat <<E\nit's\nE\nb | c",
            "(#'\na | b)",
            "a >'x'| b",
            "(a) | b",
            "a ||| b",
        ] {
            assert!(may_have_pipe(line), "{line}");
        }
    }

    #[test]
    fn lines_without_pipes_are_not_refused() {
        for line in [
            "",
            "pg_dump app",
            "a || b",
            "a >| file",
            "grep 'a|b' x",
            "grep \"a|b\" x",
            "grep a\\|b x",
            "grep \"a\\\"|b\" x",
            "echo $x 'a | b' \"$y | z\"",
            "echo a#b'|'",
            "sh -c 'a | b'",
            "x=$(date); grep 'a|b'",
        ] {
            assert!(!may_have_pipe(line), "{line}");
        }
    }
}

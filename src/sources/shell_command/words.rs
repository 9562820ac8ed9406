//! Words of a command that no shell reads.
//!
//! Quotes mean what they mean to a shell. Characters that would make a shell do more than split
//! words must be quoted: no one is surprised that `$HOME` or `*.txt` stays as it is.

/// Characters that mean something to a shell wherever they are.
const ACTIVE: &[char] =
    &['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '\n', '\r', '\0'];
/// Characters that mean something at the beginning of a word.
const ACTIVE_FIRST: &[char] = &['~', '#'];

/// Splits a line into words at blanks.
///
/// `'…'` is taken as it is; in `"…"`, `\` protects `"`, `\`, `$` and `` ` ``; elsewhere it protects
/// any character. Fails for a quote without its end, no word, or a character that needs quotes.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let (quoted, after) = rest.as_str().split_once('\'').ok_or_else(no_end)?;
                word.get_or_insert_default().push_str(quoted);
                rest = after.chars();
            }
            '"' => double_quotes(&mut rest, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(rest.next().ok_or_else(no_end)?),
            active if ACTIVE.contains(&active) => return Err(refused(active)),
            active if word.is_none() && ACTIVE_FIRST.contains(&active) => {
                return Err(refused(active));
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    match words.is_empty() {
        true => Err("it has no words".to_owned()),
        false => Ok(words),
    }
}

/// Takes characters to the end of double quotes.
fn double_quotes(rest: &mut std::str::Chars, word: &mut String) -> Result<(), String> {
    loop {
        match rest.next().ok_or_else(no_end)? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or_else(no_end)? {
                next @ ('"' | '\\' | '$' | '`') => word.push(next),
                next => word.extend(['\\', next]),
            },
            active @ ('$' | '`') => return Err(refused(active)),
            plain => word.push(plain),
        }
    }
}

fn no_end() -> String {
    "it ends within quotes or after a backslash".to_owned()
}

fn refused(character: char) -> String {
    let shown = crate::text::harmless(&character.to_string());
    format!(
        "`{shown}` means something to a shell, and no shell reads it: put it in single quotes, or \
         use `run`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_a_shell_would() {
        for (line, wanted) in [
            ("docker exec db pg_dump app", &["docker", "exec", "db", "pg_dump", "app"][..]),
            ("  a\t b  ", &["a", "b"]),
            ("sed 's/a b/c/' \"x y\"", &["sed", "s/a b/c/", "x y"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("a '' \"\"", &["a", "", ""]),
            ("a\\ b \\'", &["a b", "'"]),
            ("\"\\\"\\\\\\$\\`\\n\"", &["\"\\$`\\n"]),
            ("'$HOME' '*' a~b a#b é😀", &["$HOME", "*", "a~b", "a#b", "é😀"]),
            ("awk '{ print $1 | \"sort\" }'", &["awk", "{ print $1 | \"sort\" }"]),
        ] {
            assert_eq!(words(line).unwrap(), wanted, "{line}");
        }
    }

    #[test]
    fn a_shell_agrees() {
        for line in ["a 'b c' \"d\\\"e\" f\\ g", "'' \"\\a\\\\\" x'y'\"z\"", "a\\\\b '\\'"] {
            let script = format!("printf '%s\\n' {line}");
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            let shell = String::from_utf8(output.stdout).unwrap();
            assert_eq!(words(line).unwrap().join("\n") + "\n", shell);
        }
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused() {
        for line in [
            "a | b",
            "a; b",
            "a > b",
            "echo $HOME",
            "echo \"$HOME\"",
            "echo `a`",
            "ls *.txt",
            "ls ~/x",
            "a && b",
            "a #b",
            "(a)",
            "a\nb",
            "a\0",
        ] {
            assert!(words(line).unwrap_err().contains("single quotes"), "{line}");
        }
        for line in ["a 'b", "a \"b", "a \\", "\"\\"] {
            assert!(words(line).unwrap_err().contains("ends within"), "{line}");
        }
        assert!(words(" \t").unwrap_err().contains("no words"));
    }
}

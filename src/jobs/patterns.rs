//! Patterns as users type them, with `~` and the current directory, which `.gitignore` does not
//! have.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::lists;
use crate::connect::Result;
use crate::rules::{BYTE_ORDER_MARK, Case, Pattern, escape};
use crate::text::printable;

/// Context of typed patterns.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The current directory, if patterns may refer to it.
    pub here: Option<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// The directory that a leading `/` of a pattern means, if it is not the root.
    pub root: Option<PathBuf>,
}

impl Surroundings {
    /// Parses a typed pattern.
    ///
    /// Beyond the syntax of `.gitignore`: `~/` is the home directory; a path with `/` inside also
    /// begins at the current directory; `.`, `..` and empty components are removed; and bytes may
    /// be typed as they are printed (`\xe9`).
    pub fn pattern(&self, typed: &OsStr, case: Case) -> Pattern {
        let shown = printable(typed.as_bytes()).replace("\\\\", "\\");
        let text = from_printed(typed.as_bytes());
        let (keeps, text) = match text.strip_prefix(b"!") {
            Some(rest) => (&b"!"[..], rest),
            None => (&b""[..], text.as_slice()),
        };
        // Files of patterns have comments; command lines have none.
        let literal = text.starts_with(b"#").then(|| [&b"\\"[..], text].concat());
        let mut lines = self.lines_of(literal.as_deref().unwrap_or(text));
        let below_root = self.root.as_deref().map(|root| escape(root.as_os_str().as_bytes()));
        if let Some(root) = below_root.filter(|root| root.len() > 1) {
            let below = |line: &Vec<u8>| {
                line.strip_prefix(root.as_slice())
                    .filter(|rest| rest.starts_with(b"/"))
                    .map(<[u8]>::to_vec)
            };
            let below: Vec<_> = lines.iter().filter_map(below).collect();
            lines.extend(below);
        }
        let lines = lines.into_iter().map(|line| [keeps, &line].concat()).collect();
        Pattern { shown, lines, case, is_general: false }
    }

    /// Returns the patterns, then those that ignore case.
    pub fn patterns(&self, exact: &[OsString], folded: &[OsString]) -> Vec<Pattern> {
        let of = |typed: &OsString, case| self.pattern(typed, case);
        let exact = exact.iter().map(|typed| of(typed, Case::Exact));
        exact.chain(folded.iter().map(|typed| of(typed, Case::Folded))).collect()
    }

    /// Returns the patterns in a file, one a line; fails if they are too many or too long.
    pub fn patterns_in(&self, file: &Path, case: Case) -> Result<Vec<Pattern>> {
        let text = lists::rules_in(file)?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        let lines =
            text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
        Ok(lines.map(|line| self.pattern(OsStr::from_bytes(line), case)).collect())
    }

    fn lines_of(&self, text: &[u8]) -> Vec<Vec<u8>> {
        let home = self.home.as_deref().filter(|_| text == b"~" || text.starts_with(b"~/"));
        if let Some(home) = home {
            return vec![clean(&[&escape(home.as_os_str().as_bytes()), &text[1..]].concat())];
        }
        let is_path = text.strip_suffix(b"/").unwrap_or(text).contains(&b'/')
            || text == b"."
            || text == b"..";
        // `x/.` is the directory x, wherever it is.
        let is_name = text.strip_suffix(b"/.").is_some_and(|name| {
            !name.is_empty() && !name.contains(&b'/') && !name.starts_with(b".")
        });
        if text.starts_with(b"/") || !is_path || is_name {
            return vec![clean(text)];
        }
        let here = self
            .here
            .as_deref()
            .map(|here| clean(&[&escape(here.as_os_str().as_bytes()), &b"/"[..], text].concat()));
        let relative = clean(text);
        let climbs = relative == b"." || relative.starts_with(b"../") || relative == b"..";
        let relative = (!climbs || here.is_none()).then(|| [b"./", relative.as_slice()].concat());
        relative.into_iter().chain(here).collect()
    }
}

/// Puts the bytes in place of how they are printed: `\xe9`, `\n`, `\t`. A backslash before anything
/// else is the pattern's.
pub fn from_printed(typed: &[u8]) -> Vec<u8> {
    let (mut text, mut rest) = (Vec::with_capacity(typed.len()), typed);
    while let Some((first, behind)) = rest.split_first() {
        let hex = |digits: &[u8]| {
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|byte| *byte != 0)
        };
        let (bytes, taken) = match behind {
            _ if *first != b'\\' => (vec![*first], 1),
            [b'x', high, low, ..] if let Some(byte) = hex(&[*high, *low]) => (escape(&[byte]), 4),
            [b'n', ..] => (b"\n".to_vec(), 2),
            [b't', ..] => (b"\t".to_vec(), 2),
            [next, ..] => (vec![b'\\', *next], 2),
            [] => (vec![b'\\'], 1),
        };
        text.extend_from_slice(&bytes);
        rest = &rest[taken..];
    }
    text
}

/// Takes out steps that lead nowhere: empty ones, `.`, and `..` with the step before it.
fn clean(pattern: &[u8]) -> Vec<u8> {
    let is_absolute = pattern.starts_with(b"/");
    let ends_in_folder = [&b"/"[..], b"/.", b"/.."].iter().any(|end| pattern.ends_with(end));
    let mut steps: Vec<&[u8]> = Vec::new();
    for step in pattern.split(|byte| *byte == b'/') {
        match step {
            b"" | b"." => {}
            b".." if steps.last().is_some_and(|last| *last != b"..") => drop(steps.pop()),
            b".." if is_absolute => {}
            step => steps.push(step),
        }
    }
    let joined = steps.join(&b'/');
    let (begin, end) =
        (if is_absolute { &b"/"[..] } else { b"" }, if ends_in_folder { &b"/"[..] } else { b"" });
    match joined.is_empty() {
        true => {
            if is_absolute {
                b"/".to_vec()
            } else {
                b".".to_vec()
            }
        }
        false => [begin, &joined, end].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_people_type_them() {
        let typed = |text: &str| {
            let home = Some("/home/a*da".into());
            let surroundings = Surroundings { here: Some("/srv/w".into()), home, root: None };
            let pattern = surroundings.pattern(OsStr::new(text), Case::Exact);
            pattern
                .lines
                .iter()
                .map(|line| String::from_utf8(line.clone()).unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (text, lines) in [
            ("*.tmp", "*.tmp"),
            ("x/", "x/"),
            ("x/.", "x/"),
            ("//x", "/x"),
            ("/x//y/./z", "/x/y/z"),
            ("./x", "./x /srv/w/x"),
            ("./x/.", "./x/ /srv/w/x/"),
            ("dir/sub", "./dir/sub /srv/w/dir/sub"),
            ("!dir/sub", "!./dir/sub !/srv/w/dir/sub"),
            ("../x", "/srv/x"),
            ("a/../b", "./b /srv/w/b"),
            ("~/x", "/home/a\\*da/x"),
            ("~", "/home/a\\*da"),
            ("~x", "~x"),
            ("**/x", "./**/x /srv/w/**/x"),
            ("/", "/"),
            ("a\\nb", "a\nb"),
        ] {
            assert_eq!(typed(text), lines, "{text}");
        }
    }

    #[test]
    fn whole_paths_are_known_below_the_root_of_a_restore() {
        let surroundings =
            Surroundings { root: Some("/home/ada".into()), ..Surroundings::default() };
        let lines = |text: &str| surroundings.pattern(OsStr::new(text), Case::Exact).lines;
        assert_eq!(lines("/home/ada/x"), [b"/home/ada/x".to_vec(), b"/x".to_vec()]);
        assert_eq!(lines("/home/adam/x"), [b"/home/adam/x".to_vec()]);
    }

    #[test]
    fn bytes_are_typed_as_they_are_printed() {
        let surroundings = Surroundings::default();
        assert_eq!(
            surroundings.pattern(OsStr::new("caf\\xe9"), Case::Exact).lines,
            [b"caf\xe9".to_vec()]
        );
        let raw = surroundings.pattern(OsStr::from_bytes(b"caf\xe9"), Case::Exact);
        assert_eq!((raw.shown.as_str(), raw.lines), ("caf\\xe9", vec![b"caf\xe9".to_vec()]));
    }
}

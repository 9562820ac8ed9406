//! A glob pattern: a literal prefix, then a short program. Matching allocates nothing and takes at
//! most quadratic time.

use super::error::RuleError;

/// A pattern with git's meaning, on bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// The literal prefix.
    head: Box<[u8]>,
    steps: Box<[Step]>,
    sets: Box<[ByteSet]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    /// `?`: any byte but a slash.
    Any,
    /// `[…]`: a byte of a set, never a slash.
    Set(u16),
    /// `*`: anything without a slash.
    Star,
    /// `**` at the end: anything.
    Deep,
    /// `**/`: nothing, or anything that ends with a slash.
    DeepDir,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }
}

/// Returns the number of bytes before the first special one in a pattern.
pub(super) fn literal_len(pattern: &[u8]) -> usize {
    pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len())
}

impl Glob {
    /// Compiles a pattern; fails if it can never match.
    pub(super) fn new(pattern: &[u8]) -> Result<Self, RuleError> {
        let (head, rest) = pattern.split_at(literal_len(pattern));
        let (mut steps, mut sets, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some(byte) = rest.get(at) {
            at += 1;
            match byte {
                b'\\' => {
                    steps.push(Step::Byte(*rest.get(at).ok_or(RuleError::Backslash)?));
                    at += 1;
                }
                b'?' => steps.push(Step::Any),
                b'[' => {
                    let (set, len) = read_set(&rest[at..])?;
                    steps.push(Step::Set(u16::try_from(sets.len()).map_err(|_| RuleError::Long)?));
                    sets.push(set);
                    at += len;
                }
                b'*' => at = read_stars(rest, at, &mut steps),
                byte => steps.push(Step::Byte(*byte)),
            }
        }
        Ok(Self { head: head.into(), steps: steps.into(), sets: sets.into() })
    }

    /// Returns the only text that matches, if there is only one.
    pub(super) fn literal(&self) -> Option<Vec<u8>> {
        let byte = |step: &Step| if let Step::Byte(byte) = step { Some(*byte) } else { None };
        self.head.iter().copied().map(Some).chain(self.steps.iter().map(byte)).collect()
    }

    /// Returns the suffix if the pattern is a star and a literal suffix: `.o` for `*.o`.
    pub(super) fn ending(&self) -> Option<Vec<u8>> {
        let (Step::Star, rest) = self.steps.split_first().filter(|_| self.head.is_empty())? else {
            return None;
        };
        rest.iter()
            .map(|step| if let Step::Byte(byte) = step { Some(*byte) } else { None })
            .collect()
    }

    /// Returns the literal prefix of every match.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns whether the whole of `text` matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        text.strip_prefix(&*self.head).is_some_and(|rest| self.rest_matches(rest))
    }

    /// Backtracks only to the last `*`, and if that cannot grow, to the last `**`: an earlier one
    /// could not match more.
    fn rest_matches(&self, text: &[u8]) -> bool {
        let (mut at, mut step) = (0, 0);
        let (mut star, mut deep) = (None, None);
        loop {
            let byte = text.get(at);
            let fits = match (self.steps.get(step), byte) {
                (None, None) => return true,
                (Some(Step::Star), _) => {
                    star = Some((step + 1, at));
                    step += 1;
                    continue;
                }
                (Some(Step::Deep | Step::DeepDir), _) => {
                    (star, deep) = (None, Some((step, at)));
                    step += 1;
                    continue;
                }
                (Some(Step::Byte(wanted)), Some(byte)) => wanted == byte,
                (Some(Step::Any), Some(byte)) => *byte != b'/',
                (Some(Step::Set(set)), Some(byte)) => {
                    *byte != b'/' && self.sets[usize::from(*set)].contains(*byte)
                }
                _ => false,
            };
            if fits {
                (at, step) = (at + 1, step + 1);
                continue;
            }
            if let Some((after, from)) = star
                && text.get(from).is_some_and(|byte| *byte != b'/')
            {
                star = Some((after, from + 1));
                (at, step) = (from + 1, after);
                continue;
            }
            let Some((deep_step, from)) = deep else {
                return false;
            };
            let skipped = match self.steps[deep_step] {
                Step::DeepDir => text[from..].iter().position(|byte| *byte == b'/'),
                _ => (from < text.len()).then_some(0),
            };
            let Some(skipped) = skipped else {
                return false;
            };
            at = from + skipped + 1;
            (star, deep) = (None, Some((deep_step, at)));
            step = deep_step + 1;
        }
    }
}

/// Parses the stars after the first `*`; returns where the pattern continues.
fn read_stars(rest: &[u8], mut at: usize, steps: &mut Vec<Step>) -> usize {
    let first = at - 1;
    while rest.get(at) == Some(&b'*') {
        at += 1;
    }
    let is_alone = at - first > 1
        // git parses the pattern after its literal prefix: `a**/b` is `a`, then `**/b`.
        && (first == 0 || rest[first - 1] == b'/')
        && (at == rest.len() || rest[at] == b'/' || rest[at..].starts_with(b"\\/"));
    let (step, taken) = match (is_alone, rest.get(at)) {
        (false, _) => (Step::Star, 0),
        (true, Some(b'/')) => (Step::DeepDir, 1),
        (true, _) => (Step::Deep, 0),
    };
    steps.push(step);
    at + taken
}

/// Parses a set after its `[`; returns it and its length in bytes.
fn read_set(text: &[u8]) -> Result<(ByteSet, usize), RuleError> {
    let byte_at = |at: usize| text.get(at).copied().ok_or(RuleError::Bracket);
    let mut set = ByteSet::default();
    let is_negated = matches!(byte_at(0)?, b'!' | b'^');
    let first = usize::from(is_negated);
    let (mut at, mut before) = (first, None);
    loop {
        let byte = byte_at(at)?;
        if byte == b']' && at > first {
            break;
        }
        at += 1;
        let ends_range = byte == b'-' && text.get(at).is_some_and(|next| *next != b']');
        match (byte, before) {
            (b'\\', _) => {
                before = Some(byte_at(at)?);
                set.insert(byte_at(at)?);
                at += 1;
            }
            (b'-', Some(from)) if ends_range => {
                at += usize::from(text[at] == b'\\');
                (from..=byte_at(at)?).for_each(|byte| set.insert(byte));
                at += 1;
                before = None;
            }
            (b'[', _) if text.get(at) == Some(&b':') => {
                let name = at + 1;
                let end = name
                    + text[name..]
                        .iter()
                        .position(|byte| *byte == b']')
                        .ok_or(RuleError::Bracket)?;
                if end == name || text[end - 1] != b':' {
                    // Not a class after all.
                    before = Some(b'[');
                    set.insert(b'[');
                    continue;
                }
                let class = class_of(&text[name..end - 1])?;
                (0..=127).filter(class).for_each(|byte| set.insert(byte));
                at = end + 1;
                before = None;
            }
            (byte, _) => {
                before = Some(byte);
                set.insert(byte);
            }
        }
    }
    if is_negated {
        set.0 = set.0.map(|bits| !bits);
    }
    Ok((set, at + 1))
}

/// Returns which bytes belong to a class such as `digit`; all of them are ASCII.
fn class_of(name: &[u8]) -> Result<fn(&u8) -> bool, RuleError> {
    Ok(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| (b' '..=b'~').contains(byte),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return Err(RuleError::Class),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, texts: &[&str]) -> Vec<bool> {
        let glob = Glob::new(pattern.as_bytes()).unwrap();
        texts.iter().map(|text| glob.matches(text.as_bytes())).collect()
    }

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        assert_eq!(
            fits("a*c", &["ac", "abc", "abcc", "a/c", "abcd"]),
            [true, true, true, false, false]
        );
        assert_eq!(fits("a/**", &["a", "a/b", "a/b/c"]), [false, true, true]);
        assert_eq!(
            fits("**/b", &["b", "a/b", "a/a/b", "ab", "b/a"]),
            [true, true, true, false, false]
        );
        assert_eq!(fits("a/**/b", &["a/b", "a/x/b", "a/x/y/b", "a/xb"]), [true, true, true, false]);
        assert_eq!(fits("x/a**b", &["x/ab", "x/acb", "x/a/b"]), [true, true, false]);
        assert_eq!(fits("x/a**/b", &["x/ab", "x/ac/b", "x/ac/d/b"]), [true, true, true]);
        assert_eq!(fits("?/a**/b", &["x/ab", "x/ac/b", "x/ac/d/b"]), [false, true, false]);
        assert_eq!(fits("?/*", &["x/a", "x/a/b"]), [true, false]);
        assert_eq!(
            fits("*/*x*/**/z", &["a/bxc/z", "a/x/y/z", "a/b/x/z", "x/z"]),
            [true, true, false, false]
        );
    }

    #[test]
    fn every_class_has_its_bytes() {
        let bytes = ["a", "Z", "5", "-", " ", "\t", "\n", "\x01", "g"];
        for (class, expected) in [
            ("alnum", [true, true, true, false, false, false, false, false, true]),
            ("alpha", [true, true, false, false, false, false, false, false, true]),
            ("blank", [false, false, false, false, true, true, false, false, false]),
            ("cntrl", [false, false, false, false, false, true, true, true, false]),
            ("digit", [false, false, true, false, false, false, false, false, false]),
            ("graph", [true, true, true, true, false, false, false, false, true]),
            ("lower", [true, false, false, false, false, false, false, false, true]),
            ("print", [true, true, true, true, true, false, false, false, true]),
            ("punct", [false, false, false, true, false, false, false, false, false]),
            ("space", [false, false, false, false, true, true, true, false, false]),
            ("upper", [false, true, false, false, false, false, false, false, false]),
            ("xdigit", [true, false, true, false, false, false, false, false, false]),
        ] {
            assert_eq!(fits(&format!("[[:{class}:]]"), &bytes), expected, "{class}");
        }
    }

    #[test]
    fn ends_of_ranges_and_lone_brackets_are_read() {
        assert_eq!(fits("[a-\\c]", &["b", "c", "d", "\\"]), [true, true, false, false]);
        assert_eq!(fits("[[]", &["[", "]"]), [true, false]);
        assert_eq!(fits("[[x]", &["[", "x", "y"]), [true, true, false]);
    }

    #[test]
    fn sets_are_those_of_posix() {
        assert_eq!(fits("[a-c]", &["a", "c", "d", "-"]), [true, true, false, false]);
        assert_eq!(fits("[]-]", &["]", "-", "a"]), [true, true, false]);
        assert_eq!(fits("[!a]", &["a", "b", "/"]), [false, true, false]);
        assert_eq!(fits("[^]a]", &["a", "]", "b"]), [false, false, true]);
        assert_eq!(fits("[[:digit:]x]", &["7", "x", "d", ":"]), [true, true, false, false]);
        assert_eq!(fits("[[:x]]", &["[]", ":]", "x]", "x"]), [true, true, true, false]);
        assert_eq!(fits("[\\]\\-]", &["]", "-", "\\"]), [true, true, false]);
        assert_eq!(fits("[z-a]", &["a", "z", "m"]), [false, true, false]);
        for (pattern, error) in [
            ("[a", RuleError::Bracket),
            ("[[:digit:]", RuleError::Bracket),
            ("[[:x:]]", RuleError::Class),
            ("a\\", RuleError::Backslash),
        ] {
            assert_eq!(Glob::new(pattern.as_bytes()), Err(error), "{pattern}");
        }
    }

    #[test]
    fn braces_are_only_braces() {
        assert_eq!(fits("{a,b}", &["{a,b}", "a", "b"]), [true, false, false]);
        assert_eq!(fits("\\*", &["*", "a", "\\*"]), [true, false, false]);
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let glob = Glob::new(&b"*a".repeat(1000)).unwrap();
        assert!(!glob.matches(&[b'a'; 999]));
        assert!(glob.matches(&[b'a'; 1000]));
        assert!(
            !Glob::new(&[&b"**/*a".repeat(200)[..], b"b"].concat())
                .unwrap()
                .matches(&b"a/".repeat(2000))
        );
    }

    #[test]
    fn parts_that_tables_look_up_are_those_of_the_pattern() {
        let glob = |pattern: &str| Glob::new(pattern.as_bytes()).unwrap();
        let literal = |pattern| glob(pattern).literal();
        assert_eq!(literal("build"), Some(b"build".to_vec()));
        assert_eq!(literal(r"a\*b"), Some(b"a*b".to_vec()));
        assert_eq!((literal("a*"), literal("a?"), literal("[ab]")), (None, None, None));
        let ending = |pattern| glob(pattern).ending();
        assert_eq!((ending("*.o"), ending("*")), (Some(b".o".to_vec()), Some(Vec::new())));
        assert_eq!((ending("a*.o"), ending("*.[oa]"), ending("**/x")), (None, None, None));
        assert_eq!((glob("src/*.o").head(), glob("*.o").head()), (&b"src/"[..], &b""[..]));
    }
}

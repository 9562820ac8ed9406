//! Name patterns of OpenSSH, as in `known_hosts` and its configuration.

/// Returns whether one of the patterns matches the name and none with a leading `!` does. Ignores
/// case.
pub fn matches_any<'a>(patterns: impl IntoIterator<Item = &'a str>, name: &str) -> bool {
    let patterns: Vec<String> = patterns.into_iter().map(str::to_ascii_lowercase).collect();
    matches_any_exactly(patterns.iter().map(String::as_str), &name.to_ascii_lowercase())
}

/// Like [`matches_any`], but case counts, as in names of users.
pub fn matches_any_exactly<'a>(patterns: impl IntoIterator<Item = &'a str>, name: &str) -> bool {
    let mut is_matched = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(refused) if matches(refused.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => is_matched |= matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
    is_matched
}

/// `*` matches any bytes, `?` one. Takes time in proportion to the product of both lengths
/// at most.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where to continue if the text after the last star does not match.
    let mut retry = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, in_name));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => match retry {
                Some((behind_star, taken)) => {
                    (at, in_name) = (behind_star, taken + 1);
                    retry = Some((behind_star, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_openssh_does() {
        for (pattern, name, is_matched) in [
            ("box", "box", true),
            ("box", "boxes", false),
            ("BOX", "box", true),
            ("*", "", true),
            ("b?x", "box", true),
            ("b?x", "bx", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("[box]:*", "[box]:23", true),
        ] {
            assert_eq!(matches_any([pattern], name), is_matched, "{pattern} {name}");
        }
        assert!(matches_any(["a", "*", "!b"], "c"));
        assert!(!matches_any(["a", "*", "!b"], "b"));
        assert!(!matches_any(["!b"], "c"));
        assert!(matches_any_exactly(["B*"], "Box") && !matches_any_exactly(["b*"], "Box"));
    }
}

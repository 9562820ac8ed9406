//! A reader of Rust for the rules: tokens with their lines, without comments, contents of literals
//! and test code; and the paths among them.

/// A word or a punctuation mark, and the line it stands on.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// A path such as `crate::format::codec`, and how it stands there.
pub struct NamedPath<'a> {
    pub parts: Vec<&'a str>,
    pub line: usize,
    /// It is re-exported by `pub use`.
    pub exported: bool,
}

/// Returns the tokens of `text`; every string or character literal is one token `""`.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let (bytes, mut at, mut line, mut found) = (text.as_bytes(), 0, 1, Vec::new());
    while at < bytes.len() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word_len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (len, token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (block_comment_len(rest), "")
        } else if let Some(len) = literal_len(rest) {
            (len, "\"\"")
        } else if word_len > 0 {
            (word_len, &rest[..word_len])
        } else if rest.starts_with("::") {
            (2, "::")
        } else {
            let len = rest.chars().next().map_or(1, char::len_utf8);
            (len, rest[..len].trim())
        };
        if !token.is_empty() {
            found.push(Token { text: token, line });
        }
        line += rest[..len].matches('\n').count();
        at += len;
    }
    found
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        depth += step.0;
        at += step.1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of the string or character literal that `text` starts with.
fn literal_len(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|p| {
        let rest = text.strip_prefix(p).unwrap_or("x");
        rest.starts_with(['"', '\''])
            || p.contains('r') && rest.trim_start_matches('#').starts_with('"')
    })?;
    let rest = &text[prefix.len()..];
    if prefix.contains('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(prefix.len() + hashes + 1 + rest[hashes + 1..].find(&end)? + end.len());
    }
    let quote = rest.chars().next()?;
    let is_lifetime =
        quote == '\'' && !rest[1..].starts_with('\\') && rest.chars().nth(2) != Some('\'');
    if is_lifetime {
        return None;
    }
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = !escaped && *c == quote;
        escaped = !escaped && *c == '\\';
        ends
    })?;
    Some(prefix.len() + end.0 + 1)
}

/// Returns the position behind the bracket that closes the first `open` from `at` on, or behind a
/// `;` that comes before it.
pub fn end_of_item(tokens: &[Token], at: usize, open: &str, close: &str) -> usize {
    let mut depth = 0;
    for (position, token) in tokens.iter().enumerate().skip(at) {
        depth += i32::from(token.text == open) - i32::from(token.text == close);
        if depth == 0 && (token.text == close || token.text == ";") {
            return position + 1;
        }
    }
    tokens.len()
}

/// Removes the items marked `#[cfg(test)]`, and returns how many lines they take.
pub fn remove_tests(tokens: &mut Vec<Token>) -> usize {
    let mut lines = 0;
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    while let Some(start) =
        tokens.windows(mark.len()).position(|w| w.iter().map(|t| t.text).eq(mark))
    {
        let end = end_of_item(tokens, start + mark.len(), "{", "}");
        lines += tokens[end - 1].line - tokens[start].line + 1;
        tokens.drain(start..end);
    }
    lines
}

/// Returns every path with at least one `::`, and every import, with its groups spread.
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<NamedPath<'a>> {
    let (mut found, mut at, mut exported) = (Vec::new(), 0, false);
    while at < tokens.len() {
        let text = tokens[at].text;
        let starts_path = tokens.get(at + 1).is_some_and(|next| next.text == "::")
            && text.chars().all(|c| c.is_alphanumeric() || c == '_');
        if text == "use" {
            at = use_tree(tokens, at + 1, &[], exported, &mut found);
        } else if starts_path {
            let line = tokens[at].line;
            let mut parts = vec![text];
            while tokens.get(at + 1).is_some_and(|next| next.text == "::") && at + 2 < tokens.len()
            {
                parts.push(tokens[at + 2].text);
                at += 2;
            }
            found.push(NamedPath { parts, line, exported: false });
        }
        exported = text == "pub" || exported && !matches!(text, "use" | ";" | "{" | "}");
        at += 1;
    }
    found
}

/// Reads one import tree from `at` on, and returns the position of the token that ends it.
fn use_tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    before: &[&'a str],
    exported: bool,
    found: &mut Vec<NamedPath<'a>>,
) -> usize {
    let mut parts = before.to_vec();
    while at < tokens.len() {
        match tokens[at].text {
            "::" => {}
            "{" => {
                while at < tokens.len() && tokens[at].text != "}" {
                    at = use_tree(tokens, at + 1, &parts, exported, found);
                }
                return at + 1;
            }
            "as" => at += 1,
            "," | "}" | ";" => break,
            part => parts.push(part),
        }
        at += 1;
    }
    if parts.len() > before.len() {
        found.push(NamedPath { parts, line: tokens[at - 1].line, exported });
    }
    at
}

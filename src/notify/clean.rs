//! Texts of errors, made safe to send.
//!
//! An error may quote a command, a URL or the last words of a program. Nothing of that may carry a
//! secret out of the machine, or a line break into a header.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::text;

/// Most bytes that are looked at; the rest of a text is left out.
const LOOKED_AT_MAX_BYTES: usize = 64 << 10;

static URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"[A-Za-z][A-Za-z0-9+.\-]*://[^\s"'<>`]*"#).expect("the pattern is valid")
});
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    let names = r"passw(?:or)?d|passphrase|pwd|token|secret|api[_-]?key|access[_-]?key";
    Regex::new(&format!(r#"(?i)([\w-]*(?:{names})=)(?:"[^"]*"?|'[^']*'?|\S+)"#))
        .expect("the pattern is valid")
});
static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(authorization:\s*(?:(?:basic|bearer|digest)\s+)?)\S+")
        .expect("the pattern is valid")
});

// What SHOW GRANTS and SHOW CREATE USER print of a password: its hash, and how it was made.
static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(\bidentified\s+(?:by|via|with)\b).*").expect("the pattern is valid")
});

/// Returns one line without secrets and control characters, cut to a number of bytes.
pub(super) fn line(text: &str, len_max_bytes: usize) -> String {
    let text = text.trim().replace(['\n', '\t'], " ").replace('\r', "");
    let mut line = text::harmless(&without_secrets(&text));
    cut(&mut line, len_max_bytes);
    line
}

/// Returns the text without secrets, as far as they can be recognised: users and queries of URLs,
/// values assigned to passwords and tokens, authorisations, and logins of databases. At most
/// 64 KiB.
pub fn without_secrets(text: &str) -> String {
    let end = text.floor_char_boundary(LOOKED_AT_MAX_BYTES);
    let text = URL.replace_all(&text[..end], |found: &Captures| url_for_people(&found[0]));
    let text = ASSIGNMENT.replace_all(&text, "${1}***");
    let text = AUTHORIZATION.replace_all(&text, "${1}***");
    LOGIN.replace_all(&text, "${1} ***").into_owned()
}

/// Returns a URL without user, password, query and fragment.
pub fn url_for_people(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let rest = match (authority.rsplit_once('@'), rest.rsplit_once('@')) {
        (Some((user, _)), _) if has_port(&authority[user.len() + 1..]) => &rest[user.len() + 1..],
        (None, _) if has_port(authority) => rest,
        // A password with a slash or a question mark looks like a port that is no number.
        (_, Some((_, place))) => place,
        (_, None) => "***",
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

/// Returns whether what follows the last colon of an authority is a port, or there is none.
fn has_port(authority: &str) -> bool {
    let after_address = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    after_address
        .split_once(':')
        .is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Cuts a text to a number of bytes; the last characters say so.
pub(super) fn cut(text: &mut String, len_max_bytes: usize) {
    const MARK: &str = "…";
    if text.len() > len_max_bytes {
        text.truncate(text.floor_char_boundary(len_max_bytes.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_user_and_query() {
        for (url, shown) in [
            ("https://example.org/a?token=1#x", "https://example.org/a"),
            ("sftp://u1:pw@box.example:23/./a", "sftp://box.example:23/./a"),
            ("sftp://u1@box", "sftp://box"),
            ("s3://bucket/@app/x", "s3://bucket/@app/x"),
            ("smb://u:p/w@h/x", "smb://h/x"),
            ("smb://u:p?w@h/x", "smb://h/x"),
            ("smb://u:p@w@h/x", "smb://h/x"),
            ("smb://u:p/w", "smb://***"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("http://u:p@[::1]/x", "http://[::1]/x"),
            ("no url", "***"),
        ] {
            assert_eq!(url_for_people(url), shown);
        }
    }

    #[test]
    fn texts_lose_their_secrets() {
        let text = "curl 'https://u:geheim@h/p?k=geheim' failed: PGPASSWORD=geheim \
                    --password=\"geheim x\" --token='geheim' Authorization: Bearer geheim, \
                    authorization:geheim api_key=geheim (password-file=/etc/p, using \
                    password: YES)";
        let clean = without_secrets(text);
        assert!(!clean.contains("geheim"), "{clean}");
        assert!(clean.contains("https://h/p' failed"), "{clean}");
        assert!(clean.contains("password-file=/etc/p, using password: YES"), "{clean}");
    }

    #[test]
    fn rights_are_shown_without_the_hash_of_the_password() {
        for grant in [
            "GRANT SELECT ON *.* TO `b`@`h` IDENTIFIED BY PASSWORD '*0123456789ABCDEF geheim'",
            "GRANT SELECT ON *.* TO `b`@`h` IDENTIFIED VIA ed25519 USING 'geheim' OR unix_socket",
            "create user 'b' identified with 'caching_sha2_password' as '$A$005$geheim'",
        ] {
            let clean = without_secrets(&format!("{grant}\nmissing RELOAD"));
            assert!(!clean.contains("geheim") && clean.ends_with("***\nmissing RELOAD"), "{clean}");
        }
    }

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        assert_eq!(line("a\r\nBcc: x\n\u{1b}[2J\u{202e}", 99), "a Bcc: x \\x1b[2J\\xe2\\x80\\xae");
        assert_eq!(line("ééééé", 7), "éé…");
        assert_eq!(line(&"x".repeat(1 << 20), 10).len(), 10);
        // Cut inside a character of many bytes.
        assert!(without_secrets(&"日".repeat(1 << 20)).len() <= LOOKED_AT_MAX_BYTES);
    }
}

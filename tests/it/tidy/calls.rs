//! Calls that only some rooms may make: who asks for a key or a store says what for.

use super::source::{Token, paths};

/// A method, and the files (by the start of their path) that may call it.
const CALLS: &[(&str, &[&str])] = &[
    // Opens packs. `check` verifies whole packs with the keys of its reader.
    ("open_keys", &["repo/read/", "repo/audit/", "maintain/check/pack.rs"]),
    // Seals packs.
    ("seal_keys", &["repo/write/", "repo/audit/"]),
    // Signs snapshots, tombstones and protections.
    ("sign_keys", &["repo/snapshots/"]),
    // Wraps the master key.
    ("slot_keys", &["repo/open/"]),
    ("master", &["repo/open/"]),
    // Everything at once.
    ("keyring_for_tests", &[]),
];
/// Files that may name the whole keyring.
const KEYRING: &[&str] = &["repo/open/", "crypto/"];

/// Complains about calls in a file whose tests were left out.
pub fn check(file: &str, tokens: &[Token], found: &mut Vec<String>) {
    let is_in = |rooms: &[&str]| rooms.iter().any(|room| file.starts_with(room));
    for call in tokens.windows(3) {
        let [dot, method, open] = [call[0].text, call[1].text, call[2].text];
        let rooms = CALLS.iter().find(|(name, _)| dot == "." && open == "(" && method == *name);
        if rooms.is_some_and(|(_, rooms)| !is_in(rooms)) {
            found.push(format!("{file}:{}: `{method}` is not for this room", call[1].line));
        }
    }
    for path in paths(tokens) {
        if path.parts.last() == Some(&"Keyring") && path.parts.len() > 1 && !is_in(KEYRING) {
            found.push(format!("{file}:{}: takes all keys: name what for", path.line));
        }
    }
}

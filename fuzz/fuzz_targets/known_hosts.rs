//! Files of known machines: whatever they say, a key is trusted only if it stands there, for this
//! name and port, and is not revoked.
#![no_main]

use drumlin::store::sftp::host_key::{HostNames, KnownKeys};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for (port, alias) in [(22, None), (2222, None), (2222, Some("strongbox"))] {
        let names = HostNames::new("vault", port, alias);
        let known = KnownKeys::of_text(&names, text).unwrap();
        let named = match (port, alias) {
            (_, Some(alias)) => alias,
            (22, None) => "vault",
            _ => "[vault]:2222",
        };
        for key in known.trusted() {
            let can_name = |line: &&str| {
                line.contains(key)
                    && (line.to_ascii_lowercase().contains(named) || line.contains(['*', '?', '|']))
            };
            assert!(text.lines().any(|line| can_name(&line)), "{key} for {named}");
            assert!(
                !text.lines().any(|line| line.split_whitespace().eq([
                    "@revoked",
                    "*",
                    "ssh-ed25519",
                    key
                ])),
                "{key}"
            );
        }
    }
});

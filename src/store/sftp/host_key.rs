//! Whether a server is the one that it should be: its key against the `known_hosts` files of OpenSSH.
//!
//! Certificates are not understood, so they are not asked for.

use std::fs;
use std::io;

use ssh2::{CheckResult, HashType, HostKeyType, KnownHostFileKind, MethodType, Session};

use super::error::SftpError;
use super::options::SftpOptions;
use super::pattern::matches_any;

/// The digits of base64.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Stands for a key where only names matter; libssh2 passes over shorter ones.
const ANY_KEY: &str = "AAAAB3NzaC1yc2EAAAADAQABAAAAgQ";

/// What the known_hosts files say about one server.
#[derive(Default)]
pub struct KnownKeys {
    /// Keys that it may show: kind, and key in base64.
    trusted: Vec<(String, String)>,
    /// Keys that nobody may show any more.
    revoked: Vec<String>,
}

impl KnownKeys {
    /// Reads what concerns the server of `options`; files that are missing are empty.
    ///
    /// Fails if a file cannot be read: not to know a key that is there would be taken for never having known it.
    pub fn read(session: &Session, options: &SftpOptions) -> Result<Self, SftpError> {
        let mut known = Self::default();
        for file in &options.known_hosts {
            match fs::read(file) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).lines().for_each(|line| known.read_line(session, options, line)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let message = format!("{} cannot be read: {source}", file.display());
                    return Err(handshake_error(options, message));
                }
            }
        }
        Ok(known)
    }

    fn read_line(&mut self, session: &Session, options: &SftpOptions, line: &str) {
        let (marker, entry) = match line.trim().strip_prefix('@') {
            Some(rest) => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            None => ("", line.trim()),
        };
        let mut words = entry.split_whitespace();
        let (Some(names), Some(kind), Some(key)) = (words.next(), words.next(), words.next()) else { return };
        if names.starts_with('#') || !matches!(marker, "" | "revoked") || !is_about(session, options, names) {
            return;
        }
        match marker {
            "" => self.trusted.push((kind.to_owned(), key.to_owned())),
            _ => self.revoked.push(key.to_owned()),
        }
    }

    /// Asks for kinds of keys that are known first: else a server with several keys shows one that is not.
    pub fn prefer(&self, session: &Session) -> Result<(), ssh2::Error> {
        let mut algorithms = session.supported_algs(MethodType::HostKey)?;
        algorithms.retain(|algorithm| !algorithm.contains("-cert-"));
        algorithms.sort_by_key(|algorithm| !self.trusted.iter().any(|(kind, _)| kind == kind_of(algorithm)));
        session.method_pref(MethodType::HostKey, &algorithms.join(","))
    }

    /// Checks the key that the server has shown.
    pub fn check(&self, session: &Session, options: &SftpOptions) -> Result<(), SftpError> {
        let Some((key, key_type)) = session.host_key() else {
            return Err(handshake_error(options, "the server shows no key".to_owned()));
        };
        let key = base64(key);
        let is_revoked = self.revoked.contains(&key);
        if !is_revoked && self.trusted.iter().any(|(_, trusted)| *trusted == key) {
            return Ok(());
        }
        let hash = session.host_key_hash(HashType::Sha256).map(base64).unwrap_or_default();
        let fingerprint = format!("SHA256:{}", hash.trim_end_matches('='));
        let name = names(options).swap_remove(0);
        let (host, key_type) = (options.host.clone(), name_of(key_type).to_owned());
        let files: Vec<String> = options.known_hosts.iter().map(|file| file.display().to_string()).collect();
        if is_revoked || !self.trusted.is_empty() {
            return Err(SftpError::HostChanged { host, key_type, fingerprint, name, file: files.join(" and ") });
        }
        let line = format!("{name} {key_type} {key}");
        let file = files.first().cloned().unwrap_or_else(|| "~/.ssh/known_hosts".to_owned());
        Err(SftpError::HostUnknown { host, key_type, fingerprint, line, file })
    }
}

fn handshake_error(options: &SftpOptions, message: String) -> SftpError {
    SftpError::Handshake { host: options.host.clone(), port: options.port, message }
}

/// Returns the names under which files may have the server; where its port is not the usual one, entries without a port count, too.
fn names(options: &SftpOptions) -> Vec<String> {
    let host = options.host.to_ascii_lowercase();
    if options.port == 22 { vec![host] } else { vec![format!("[{host}]:{}", options.port), host] }
}

/// Returns whether a line with these names is about the server. Hashed names are left to libssh2.
fn is_about(session: &Session, options: &SftpOptions, line_names: &str) -> bool {
    if !line_names.starts_with('|') {
        return names(options).iter().any(|name| matches_any(line_names.split(','), name));
    }
    let Ok(mut alone) = session.known_hosts() else { return false };
    let is_read = alone.read_str(&format!("{line_names} ssh-rsa {ANY_KEY}"), KnownHostFileKind::OpenSSH).is_ok();
    is_read && matches!(alone.check_port(&options.host, options.port, b"any"), CheckResult::Match | CheckResult::Mismatch)
}

/// Returns the kind of key that an algorithm signs with.
fn kind_of(algorithm: &str) -> &str {
    if algorithm.starts_with("rsa-sha2-") { "ssh-rsa" } else { algorithm }
}

fn name_of(key_type: HostKeyType) -> &'static str {
    match key_type {
        HostKeyType::Rsa => "ssh-rsa",
        HostKeyType::Dss => "ssh-dss",
        HostKeyType::Ecdsa256 => "ecdsa-sha2-nistp256",
        HostKeyType::Ecdsa384 => "ecdsa-sha2-nistp384",
        HostKeyType::Ecdsa521 => "ecdsa-sha2-nistp521",
        HostKeyType::Ed25519 => "ssh-ed25519",
        HostKeyType::Unknown => "unknown",
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 63;
            out.push(if digit <= three.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    /// Plain and hashed names, other ports, patterns, revoked keys and rubbish.
    #[test]
    fn lines_are_found_by_name_and_port() {
        let session = Session::new().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            file.path(),
            "# box ssh-ed25519 AAAAnone\n\
             box,192.0.2.1 ssh-ed25519 AAAAplain\n\
             [box]:23 ssh-rsa AAAAport\n\
             |1|AAECAwQFBgcICQoLDA0ODxAREhM=|jCkOYmvfTqe3fYvQprKBa/oV1NE= ssh-rsa AAAAhash\n\
             @revoked B*x ssh-rsa AAAArevoked\n\
             *.example.com,!no.example.com ssh-rsa AAAApattern\n\
             @cert-authority box ssh-rsa AAAAauthority\n\
             box\n\
             \u{0}\n",
        )
        .unwrap();
        let known = |host: &str, port| {
            let missing = file.path().with_extension("missing");
            let options =
                SftpOptions { port, known_hosts: vec![missing, file.path().into()], ..SftpOptions::new(host, "u", "p") };
            let known = KnownKeys::read(&session, &options).unwrap();
            (known.trusted.into_iter().map(|(_, key)| key).collect::<Vec<_>>().join(" "), known.revoked.join(" "))
        };
        assert_eq!(known("box", 22), ("AAAAplain".into(), "AAAArevoked".into()));
        assert_eq!(known("box", 23), ("AAAAplain AAAAport".into(), "AAAArevoked".into()));
        assert_eq!(known("192.0.2.1", 22).0, "AAAAplain");
        assert_eq!(known("hidden", 22).0, "AAAAhash");
        assert_eq!(known("hidden", 23).0, "AAAAhash");
        assert_eq!(known("yes.Example.com", 22).0, "AAAApattern");
        assert_eq!(known("no.example.com", 22).0, "");
        assert_eq!(known("other", 22), (String::new(), String::new()));
    }
}

//! Host key check against the `known_hosts` files of OpenSSH.
//!
//! A server is known by its name and port together: another port is another server. (OpenSSH
//! accepts the plain name, too, if nothing is known of the port.) Host certificates cannot be
//! checked, so they are not requested.

use std::fs;
use std::io;

use ssh2::{CheckResult, HashType, HostKeyType, KnownHostFileKind, MethodType, Session};

use super::base64;
use super::error::SftpError;
use super::options::SftpOptions;
use super::pattern::matches_any;

/// Placeholder for a key where only names matter; libssh2 ignores shorter ones.
const ANY_KEY: &str = "AAAAB3NzaC1yc2EAAAADAQABAAAAgQ";

/// Names of a server in known_hosts lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    /// Name that a line must have: the `HostKeyAlias`, else the host, with its port if that is not
    /// 22.
    own: String,
    /// The host without its port.
    host: String,
}

impl HostNames {
    /// Returns the names of a server. A `HostKeyAlias` replaces host and port.
    pub fn new(host: &str, port: u16, alias: Option<&str>) -> Self {
        let host = host.to_ascii_lowercase();
        let own = match alias {
            Some(alias) => alias.to_ascii_lowercase(),
            None if port == 22 => host.clone(),
            None => format!("[{host}]:{port}"),
        };
        Self { own, host }
    }

    /// Returns a name of the machine in this line with another port, or without one.
    fn elsewhere<'a>(&self, line_names: &'a str) -> Option<&'a str> {
        let with_port = format!("[{}]:", self.host);
        line_names.split(',').find(|name| {
            name.eq_ignore_ascii_case(&self.host)
                || name.to_ascii_lowercase().starts_with(&with_port)
        })
    }
}

/// Entries of the known_hosts files for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownKeys {
    /// Accepted keys: kind, and key in base64.
    trusted: Vec<(String, String)>,
    /// Revoked keys.
    revoked: Vec<String>,
    /// Whether a certificate authority is listed for it.
    has_authority: bool,
    /// Names of the machine at other ports, and the keys.
    elsewhere: Vec<(String, String)>,
}

impl KnownKeys {
    /// Reads the entries for the server of `options`; a missing file counts as empty.
    ///
    /// Fails if a file cannot be read: otherwise a known server would look like an unknown one.
    pub fn read(session: &Session, options: &SftpOptions) -> Result<Self, SftpError> {
        let names = names(options);
        let mut known = Self::default();
        for file in &options.known_hosts {
            match fs::read(file) {
                Ok(bytes) => known.take_text(session, &names, &String::from_utf8_lossy(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let message = format!("{} cannot be read: {source}", file.display());
                    return Err(handshake_error(options, message));
                }
            }
        }
        Ok(known)
    }

    /// Returns the entries of this text for a server.
    pub fn of_text(names: &HostNames, text: &str) -> Result<Self, ssh2::Error> {
        let mut known = Self::default();
        known.take_text(&Session::new()?, names, text);
        Ok(known)
    }

    fn take_text(&mut self, session: &Session, names: &HostNames, text: &str) {
        text.lines().for_each(|line| self.take_line(session, names, line));
    }

    fn take_line(&mut self, session: &Session, names: &HostNames, line: &str) {
        let (marker, entry) = match line.trim().strip_prefix('@') {
            Some(rest) => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            None => ("", line.trim()),
        };
        let mut words = entry.split_whitespace();
        let (Some(line_names), Some(kind), Some(key)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        if line_names.starts_with('#') {
            return;
        }
        let is_own = names_it(session, line_names, &names.own);
        match marker {
            "" if is_own => self.trusted.push((kind.to_owned(), key.to_owned())),
            "" if line_names.starts_with('|') && names_it(session, line_names, &names.host) => {
                self.elsewhere.push((names.host.clone(), key.to_owned()));
            }
            "" => self
                .elsewhere
                .extend(names.elsewhere(line_names).map(|name| (name.to_owned(), key.to_owned()))),
            // A stolen key is revoked at every port.
            "revoked" if is_own || names_it(session, line_names, &names.host) => {
                self.revoked.push(key.to_owned())
            }
            "cert-authority" => {
                self.has_authority |= is_own || names_it(session, line_names, &names.host)
            }
            _ => {}
        }
    }

    /// Returns the accepted keys in base64.
    pub fn trusted(&self) -> impl Iterator<Item = &str> {
        self.trusted
            .iter()
            .map(|(_, key)| key.as_str())
            .filter(|key| !self.revoked.iter().any(|revoked| revoked == key))
    }

    /// Requests known kinds of keys first: otherwise a server with several keys may present an
    /// unknown one.
    pub fn prefer(&self, session: &Session) -> Result<(), ssh2::Error> {
        let mut algorithms = session.supported_algs(MethodType::HostKey)?;
        algorithms.retain(|algorithm| !algorithm.contains("-cert-"));
        algorithms.sort_by_key(|algorithm| {
            !self.trusted.iter().any(|(kind, _)| kind == kind_of(algorithm))
        });
        session.method_pref(MethodType::HostKey, &algorithms.join(","))
    }

    /// Checks the key that the server presented.
    pub fn check(&self, session: &Session, options: &SftpOptions) -> Result<(), SftpError> {
        let Some((key, key_type)) = session.host_key() else {
            return Err(handshake_error(options, "the server shows no key".to_owned()));
        };
        let key = base64::encode(key);
        if self.trusted().any(|trusted| *trusted == key) {
            return Ok(());
        }
        let hash = session.host_key_hash(HashType::Sha256).map(base64::encode).unwrap_or_default();
        let fingerprint = format!("SHA256:{}", hash.trim_end_matches('='));
        let name = names(options).own;
        let (host, key_type) = (options.host.clone(), name_of(key_type).to_owned());
        let files: Vec<String> =
            options.known_hosts.iter().map(|file| file.display().to_string()).collect();
        if self.revoked.contains(&key) || !self.trusted.is_empty() {
            return Err(SftpError::HostChanged {
                host,
                key_type,
                fingerprint,
                name,
                file: files.join(" and "),
            });
        }
        let line = format!("{name} {key_type} {key}");
        let file = files.first().cloned().unwrap_or_else(|| "~/.ssh/known_hosts".to_owned());
        let [name, key_type, fingerprint] =
            [name, key_type, fingerprint].map(String::into_boxed_str);
        let [note, line, file] = [self.note(&key), line, file].map(String::into_boxed_str);
        Err(SftpError::HostUnknown { name, key_type, fingerprint, note, line, file })
    }

    /// Returns what the files say about an unknown server all the same.
    fn note(&self, key: &str) -> String {
        if self.has_authority {
            return " by a key (a certificate authority vouches for it with @cert-authority, but \
                certificates of servers cannot be checked \
                    here, so its own key must stand there)"
                .to_owned();
        }
        match self.elsewhere.iter().find(|(_, known)| known == key).or(self.elsewhere.first()) {
            Some((name, known)) => {
                let is_same = if known == key { "with this very key" } else { "with another key" };
                format!(" (only as {name}, {is_same})")
            }
            None => String::new(),
        }
    }
}

fn handshake_error(options: &SftpOptions, message: String) -> SftpError {
    SftpError::Handshake { host: options.host.clone(), port: options.port, message }
}

fn names(options: &SftpOptions) -> HostNames {
    HostNames::new(&options.host, options.port, options.host_key_alias.as_deref())
}

/// Returns whether a line with these names includes the name. libssh2 checks hashed ones.
fn names_it(session: &Session, line_names: &str, name: &str) -> bool {
    if !line_names.starts_with('|') {
        return matches_any(line_names.split(','), name);
    }
    let Ok(mut alone) = session.known_hosts() else { return false };
    let is_read = alone
        .read_str(&format!("{line_names} ssh-rsa {ANY_KEY}"), KnownHostFileKind::OpenSSH)
        .is_ok();
    // Without a port argument, because the name may include one.
    is_read && matches!(alone.check(name, b"any"), CheckResult::Match | CheckResult::Mismatch)
}

/// Returns the key kind of a signature algorithm.
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "# box ssh-ed25519 AAAAnone\n\
        box,192.0.2.1 ssh-ed25519 AAAAplain\n\
        [box]:23 ssh-rsa AAAAport\n\
        |1|AAECAwQFBgcICQoLDA0ODxAREhM=|jCkOYmvfTqe3fYvQprKBa/oV1NE= ssh-rsa AAAAhash\n\
        @revoked B*x ssh-rsa AAAArevoked\n\
        *.example.com,!no.example.com ssh-rsa AAAApattern\n\
        @cert-authority signed,[far]:23 ssh-rsa AAAAauthority\n\
        box\n\
        \u{0}\n";

    fn known(host: &str, port: u16, alias: Option<&str>) -> KnownKeys {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), LINES).unwrap();
        let known_hosts = vec![file.path().with_extension("missing"), file.path().into()];
        let host_key_alias = alias.map(str::to_owned);
        let options =
            SftpOptions { port, known_hosts, host_key_alias, ..SftpOptions::new(host, "u", "p") };
        KnownKeys::read(&Session::new().unwrap(), &options).unwrap()
    }

    fn trusted(host: &str, port: u16, alias: Option<&str>) -> String {
        known(host, port, alias).trusted().collect::<Vec<_>>().join(" ")
    }

    /// Plain and hashed names, other ports, patterns, aliases, revoked keys and rubbish.
    #[test]
    fn lines_are_found_by_name_and_port() {
        for (host, port, key) in [
            ("box", 22, "AAAAplain"),
            ("Box", 23, "AAAAport"),
            ("box", 24, ""),
            ("192.0.2.1", 22, "AAAAplain"),
            ("192.0.2.1", 23, ""),
            ("hidden", 22, "AAAAhash"),
            ("hidden", 23, ""),
            ("yes.Example.com", 22, "AAAApattern"),
            ("yes.example.com", 23, ""),
            ("no.example.com", 22, ""),
            ("other", 22, ""),
            ("signed", 22, ""),
        ] {
            assert_eq!(trusted(host, port, None), key, "{host} {port}");
        }
        // An alias counts alone, at any port.
        assert_eq!(trusted("box", 23, Some("a.Example.com")), "AAAApattern");
        assert_eq!(trusted("other", 23, Some("hidden")), "AAAAhash");
        assert_eq!(trusted("box", 22, Some("other")), "");
        assert_eq!(trusted("x", 22, Some("[box]:23")), "AAAAport");
    }

    #[test]
    fn a_key_is_revoked_for_every_port_of_a_machine() {
        for (host, port, alias, revoked) in [
            ("box", 22, None, true),
            ("box", 23, None, true),
            ("box", 22, Some("x"), true),
            ("x", 22, Some("box"), true),
            ("x", 22, None, false),
        ] {
            assert_eq!(
                known(host, port, alias).revoked == ["AAAArevoked"],
                revoked,
                "{host} {port} {alias:?}"
            );
        }
        let text = "[box]:23 ssh-rsa A\n@revoked box ssh-rsa A\n[box]:23 ssh-rsa B\n";
        let known = KnownKeys::of_text(&HostNames::new("box", 23, None), text).unwrap();
        assert_eq!(known.trusted().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn who_is_unknown_is_told_what_is_known_all_the_same() {
        for (host, port, note) in [
            ("box", 24, " (only as box, with this very key)"),
            ("hidden", 23, " (only as hidden, with another key)"),
            ("far", 22, ""),
            ("other", 22, ""),
        ] {
            assert_eq!(known(host, port, None).note("AAAAplain"), note, "{host} {port}");
        }
        assert!(
            known("box", 24, None).note("AAAAport").contains("as [box]:23, with this very key")
        );
        for (host, port) in [("signed", 22), ("signed", 23), ("far", 23)] {
            assert!(known(host, port, None).note("A").contains("@cert-authority"), "{host} {port}");
        }
    }
}

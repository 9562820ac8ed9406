//! Options of an SFTP server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::proxy::Proxy;
use crate::store::layers::rate_limit::RateLimiter;

/// A directory of another machine and how to reach it. The caller merges configuration,
/// `~/.ssh/config` and environment.
#[derive(Clone)]
pub struct SftpOptions {
    /// Name or address of the machine.
    pub host: String,
    /// Its port, usually 22.
    pub port: u16,
    /// The user who logs in.
    pub user: String,
    /// The directory: absolute, or relative to where a login begins.
    pub path: String,
    /// Key files to try, in order: private keys, or public keys whose private half an agent holds.
    pub identity_files: Vec<PathBuf>,
    /// The key files are the default ones, not named by the user: other keys of the agent come
    /// first.
    pub identity_files_are_usual: bool,
    /// Whether to skip keys of the agent that belong to none of the files.
    pub identities_only: bool,
    /// Certificates of these keys, in addition to those at `<key file>-cert.pub`.
    pub certificate_files: Vec<PathBuf>,
    /// Passphrase of protected key files.
    pub key_passphrase: Option<Zeroizing<String>>,
    /// The socket of a running agent.
    pub agent_socket: Option<PathBuf>,
    /// The account's password, tried last.
    pub password: Option<Zeroizing<String>>,
    /// Files with the keys of known machines; a missing file counts as empty.
    pub known_hosts: Vec<PathBuf>,
    /// Name of the machine in those files, instead of its own name and port.
    pub host_key_alias: Option<String>,
    /// Program that carries connections; `None` for TCP.
    pub proxy: Option<Proxy>,
    /// Maximum number of connections.
    pub connections: usize,
    /// Time without progress after which a request fails.
    pub timeout: Duration,
    /// Idle time after which a connection is checked before its next use.
    pub keep_alive: Duration,
    /// Whether a file stays open for some seconds after a partial read, for read-only commands. If
    /// the object is removed or replaced meanwhile, its old bytes are read.
    pub keeps_files: bool,
    /// Limits of upload and download.
    pub rate_limiter: Arc<RateLimiter>,
}

impl SftpOptions {
    /// Returns options with neither keys nor password, four connections, and a time-out of a
    /// minute.
    pub fn new(host: impl Into<String>, user: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 22,
            user: user.into(),
            path: path.into(),
            identity_files: Vec::new(),
            identity_files_are_usual: false,
            identities_only: false,
            certificate_files: Vec::new(),
            key_passphrase: None,
            agent_socket: None,
            password: None,
            known_hosts: Vec::new(),
            host_key_alias: None,
            proxy: None,
            connections: 4,
            timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(30),
            keeps_files: false,
            rate_limiter: Arc::new(RateLimiter::unlimited()),
        }
    }

    /// Returns the location as a URL for people. A path relative to where a login begins follows
    /// `/./`.
    pub fn location(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = if self.port == 22 { String::new() } else { format!(":{}", self.port) };
        let path = self.path.trim_end_matches('/');
        let path = if path.starts_with('/') || self.path == "/" {
            path.to_owned()
        } else {
            format!("/./{path}")
        };
        format!("sftp://{}@{host}{port}{path}", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_urls() {
        let location = |host: &str, path: &str, port| {
            let options = SftpOptions { port, ..SftpOptions::new(host, "ada", path) };
            options.location()
        };
        assert_eq!(location("box", "/srv/drumlin/", 22), "sftp://ada@box/srv/drumlin");
        assert_eq!(location("box", "drumlin", 23), "sftp://ada@box:23/./drumlin");
        assert_eq!(location("::1", "/", 22), "sftp://ada@[::1]");
    }
}

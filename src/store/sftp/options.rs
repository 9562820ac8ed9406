//! What is to be known about a machine and how to reach it.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// A folder of another machine and how to reach it. Whoever makes it has read the configuration, `~/.ssh/config` and the environment.
#[derive(Clone)]
pub struct SftpOptions {
    /// Name or address of the machine.
    pub host: String,
    /// Its port, usually 22.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The folder: absolute, or relative to where a login begins.
    pub path: String,
    /// Key files to try, in order.
    pub identity_files: Vec<PathBuf>,
    /// What opens key files that are protected.
    pub key_passphrase: Option<Zeroizing<String>>,
    /// The socket of a running agent, whose keys are tried first.
    pub agent_socket: Option<PathBuf>,
    /// The account's password, tried last.
    pub password: Option<Zeroizing<String>>,
    /// Files with the keys of machines that are known; those that are missing are empty.
    pub known_hosts: Vec<PathBuf>,
    /// Connections at once.
    pub connections: usize,
    /// After how much time without progress a request has failed.
    pub timeout: Duration,
    /// How often an idle connection says that it is still there.
    pub keep_alive: Duration,
}

//! What is said about a machine, and who asks.

use std::path::{Path, PathBuf};

use super::proxy::ProxyRule;
use crate::settings::environment::Environment;

/// The port of SSH.
pub const PORT: u16 = 22;
/// The option that names files of known machines.
pub const KNOWN_HOSTS: &str = "UserKnownHostsFile";
/// What is said about one machine; of each option the first value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// `HostName`: the name or address to connect to.
    pub host_name: Option<String>,
    /// `Port`.
    pub port: Option<u16>,
    /// `User`.
    pub user: Option<String>,
    /// `IdentityFile`, all of them in order. `none` is left out.
    pub identity_files: Vec<PathBuf>,
    /// `IdentityFile none` and no other: not even the usual files are to be tried.
    pub has_no_identity_files: bool,
    /// `CertificateFile`, all of them in order. `none` is left out.
    pub certificate_files: Vec<PathBuf>,
    /// `IdentitiesOnly`: keys that only an agent has are not to be tried.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`: the agent's socket; `none`, `SSH_AUTH_SOCK` and `$VARIABLE` are left as
    /// they are written.
    pub identity_agent: Option<String>,
    /// `UserKnownHostsFile`, all of them in order; empty if nothing is said. `none` is `/dev/null`.
    pub known_hosts: Vec<PathBuf>,
    /// `HostKeyAlias`: the name that files of known machines have for it.
    pub host_key_alias: Option<String>,
    /// `ProxyCommand` or `ProxyJump`, whichever stands first.
    pub proxy: Option<ProxyRule>,
    /// `ProxyUseFdpass`: the command of `ProxyCommand` hands a connection over, and does not carry
    /// bytes.
    pub proxy_passes_connection: Option<bool>,
    /// `CanonicalizeHostname`: OpenSSH would look for the machine by longer names, too.
    pub canonicalizes: Option<bool>,
    /// Paths that are said and not understood, and are in none of the fields above.
    pub unexpanded: Vec<Unexpanded>,
}

/// A path with something in it that stands for something else, nobody here knows what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpanded {
    /// What it is the value of.
    pub option: &'static str,
    /// The path as it is written.
    pub written: String,
}

/// Who asks, to expand what is written.
#[derive(Clone, Copy, Debug)]
pub struct ExpansionContext<'a> {
    /// The home folder: `~` and `%d`.
    pub home: &'a Path,
    /// The environment: `${NAME}` in paths.
    pub env: &'a Environment,
    /// The name of the local user: `%u`.
    pub local_user: &'a str,
    /// The number of the local user: `%i`.
    pub uid: u32,
    /// The name of this machine: `%l`, and `%L` up to the first dot.
    pub local_host: &'a str,
    /// The user of the location, if it names one: `%r`, before `User`.
    pub user: Option<&'a str>,
    /// The port of the location, if it names one: `%p`, before `Port`.
    pub port: Option<u16>,
}

/// What was found so far, not expanded.
#[derive(Default)]
pub struct RawHostConfig {
    /// What needs no expansion, or is expanded by itself.
    pub config: HostConfig,
    /// `IdentityFile`, `none` too.
    pub identity_files: Vec<String>,
    /// Values of `CertificateFile`.
    pub certificate_files: Vec<String>,
    /// `UserKnownHostsFile`, if it was met.
    pub known_hosts: Option<Vec<String>>,
    /// `RevokedHostKeys none` was met.
    pub revokes_nothing: bool,
}

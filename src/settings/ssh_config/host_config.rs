//! Configuration of a machine, before and after expansion.

use std::path::{Path, PathBuf};

use super::proxy::ProxyRule;
use crate::settings::environment::Environment;

/// The port of SSH.
pub const PORT: u16 = 22;
/// The option that names files of known machines.
pub const KNOWN_HOSTS: &str = "UserKnownHostsFile";
/// Configuration of one machine; the first value of each option counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// `HostName`: the name or address to connect to.
    pub host_name: Option<String>,
    /// `Port`.
    pub port: Option<u16>,
    /// `User`.
    pub user: Option<String>,
    /// All `IdentityFile` values in order, without `none`.
    pub identity_files: Vec<PathBuf>,
    /// `IdentityFile none` is the only value: not even the default files are tried.
    pub has_no_identity_files: bool,
    /// All `CertificateFile` values in order, without `none`.
    pub certificate_files: Vec<PathBuf>,
    /// `IdentitiesOnly`: keys that only an agent holds are not tried.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`: the agent's socket; `none`, `SSH_AUTH_SOCK` and `$VARIABLE` are not
    /// expanded.
    pub identity_agent: Option<String>,
    /// All `UserKnownHostsFile` values in order; `none` becomes `/dev/null`.
    pub known_hosts: Vec<PathBuf>,
    /// `HostKeyAlias`: its name in the files of known machines.
    pub host_key_alias: Option<String>,
    /// `ProxyCommand` or `ProxyJump`, whichever comes first.
    pub proxy: Option<ProxyRule>,
    /// `ProxyUseFdpass`: the command of `ProxyCommand` passes a descriptor instead of bytes.
    pub proxy_passes_connection: Option<bool>,
    /// `CanonicalizeHostname`: OpenSSH would try longer names of the machine, too.
    pub canonicalizes: Option<bool>,
    /// Paths with unsupported tokens, which are in none of the fields above.
    pub unexpanded: Vec<Unexpanded>,
}

/// A path with a token or variable that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpanded {
    /// Its option.
    pub option: &'static str,
    /// The path as written.
    pub written: String,
}

/// Values for expansion.
#[derive(Clone, Copy, Debug)]
pub struct ExpansionContext<'a> {
    /// The home directory: `~` and `%d`.
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

/// Values that were read so far, not expanded.
#[derive(Default)]
pub(super) struct RawHostConfig {
    /// Options that need no expansion, or are expanded separately.
    pub config: HostConfig,
    /// `IdentityFile`, including `none`.
    pub identity_files: Vec<String>,
    /// Values of `CertificateFile`.
    pub certificate_files: Vec<String>,
    /// `UserKnownHostsFile`, if it was read.
    pub known_hosts: Option<Vec<String>>,
    /// `RevokedHostKeys none` was read.
    pub revokes_nothing: bool,
}

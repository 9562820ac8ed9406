//! What is to be known about another machine: its URL, the configuration, `~/.ssh/config`, the usual, in this order.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::cli::context::{self, Context, Purpose};
use crate::cli::failure::Failure;
use crate::cli::secret;
use crate::settings::environment::Environment;
use crate::settings::location::Remote;
use crate::settings::repository::{RepositorySettings, SftpSettings};
use crate::settings::ssh_config::{self, Asker, HostConfig};
use crate::store::lazy::OpenStore;
use crate::store::pace::Pace;
use crate::store::sftp::options::SftpOptions;
use crate::store::sftp::pattern::matches_any;
use crate::store::sftp::{SftpStore, login};

/// Connections at once: storage boxes allow ten, and somebody may want to look meanwhile.
const CONNECTIONS: usize = 4;
/// After how much time without progress a request has failed.
const TIMEOUT: Duration = Duration::from_secs(60);
/// After how much time without use a connection is asked whether it still works.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The port of SSH.
const PORT: u16 = 22;
/// Key files that are tried if nothing names any, the best first.
const IDENTITIES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Puts together what is known; reads or asks for the secrets that it takes.
pub fn options(
    ctx: &Context,
    remote: &Remote,
    settings: RepositorySettings,
    (purpose, pace): (Purpose, Arc<Pace>),
) -> Result<SftpOptions, Failure> {
    let RepositorySettings { line, sftp, .. } = settings;
    let local_user = context::user_name();
    let host = read_ssh_config(&ctx.env, remote, &local_user)?;
    let password = read_password(ctx, &sftp)?;
    let identity_files = identity_files(&ctx.env, &sftp, &host);
    let agent_socket = agent_socket(&ctx.env, &host, &identity_files);
    let key_passphrase = match password.is_some() || agent_socket.is_some() {
        true => None,
        false => ask_passphrase(&identity_files)?,
    };
    Ok(SftpOptions {
        known_hosts: known_hosts(&ctx.env, &sftp, &host),
        host: host.host_name.unwrap_or_else(|| remote.host.clone()),
        port: remote.port.or(host.port).unwrap_or(PORT),
        user: remote.user.clone().or(host.user).unwrap_or(local_user),
        path: remote.path.clone(),
        identity_files,
        key_passphrase,
        agent_socket,
        password,
        connections: ctx.global.connections.or(line.connections).unwrap_or(CONNECTIONS),
        timeout: line.timeout.unwrap_or(TIMEOUT),
        keep_alive: KEEP_ALIVE,
        keeps_files: purpose == Purpose::Look,
        pace,
    })
}

/// Returns what opens the store, and makes its folder if it is to; else that is found missing by the first request.
pub fn opener(options: SftpOptions, is_made: bool) -> OpenStore {
    Box::new(move || {
        let options = options.clone();
        Ok(Arc::new(if is_made { SftpStore::open_or_make(options)? } else { SftpStore::take_for_granted(options) }))
    })
}

/// Reads what the user's file says about a machine; no file says nothing.
fn read_ssh_config(env: &Environment, remote: &Remote, local_user: &str) -> Result<HostConfig, Failure> {
    let Some(home) = env.home() else {
        return Ok(HostConfig::default());
    };
    let file = home.join(".ssh/config");
    let asker = Asker { home: &home, local_user, user: remote.user.as_deref() };
    match fs::read_to_string(&file) {
        Ok(text) => Ok(ssh_config::host_config(&text, &remote.host, asker, &read_included)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(HostConfig::default()),
        Err(error) => Err(Failure::file("read", &file, &error)),
    }
}

/// Returns the texts of the files that match a path, whose last part may be a pattern, by name.
fn read_included(path: &Path) -> Vec<String> {
    let (Some(folder), Some(pattern)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.filter(|name| !name.starts_with('.') && matches_any([pattern], name)).collect();
    names.sort();
    names.iter().filter_map(|name| fs::read_to_string(folder.join(name)).ok()).collect()
}

fn identity_files(env: &Environment, sftp: &SftpSettings, host: &HostConfig) -> Vec<PathBuf> {
    if !sftp.identity_files.is_empty() {
        return sftp.identity_files.clone();
    }
    if !host.identity_files.is_empty() {
        return host.identity_files.clone();
    }
    let usual = IDENTITIES.iter().filter_map(|name| Some(env.home()?.join(".ssh").join(name)));
    usual.filter(|file| file.exists()).collect()
}

/// Returns the agent's socket. An agent with many keys can use up a server's patience, which `IdentitiesOnly` is for; only a key file that is
/// protected needs it then.
fn agent_socket(env: &Environment, host: &HostConfig, identity_files: &[PathBuf]) -> Option<PathBuf> {
    if host.identities_only == Some(true) && identity_files.first().is_some_and(|file| !is_protected(file)) {
        return None;
    }
    match host.identity_agent.as_deref() {
        None | Some("SSH_AUTH_SOCK") => env.path("SSH_AUTH_SOCK"),
        Some("none") => None,
        Some(written) => match written.strip_prefix('$') {
            Some(variable) => env.path(variable.trim_start_matches('{').trim_end_matches('}')),
            None => Some(PathBuf::from(written)),
        },
    }
}

fn known_hosts(env: &Environment, sftp: &SftpSettings, host: &HostConfig) -> Vec<PathBuf> {
    if !sftp.known_hosts.is_empty() {
        return sftp.known_hosts.clone();
    }
    let own = match host.known_hosts.is_empty() {
        true => env.home().map(|home| home.join(".ssh/known_hosts")).into_iter().collect(),
        false => host.known_hosts.clone(),
    };
    own.into_iter().chain(["/etc/ssh/ssh_known_hosts".into()]).collect()
}

fn read_password(ctx: &Context, sftp: &SftpSettings) -> Result<Option<Zeroizing<String>>, Failure> {
    match (ctx.env.get("DRUMLIN_SSH_PASSWORD"), &sftp.password) {
        (_, Some(origin)) => secret::read_store_password(&ctx.ui, origin).map(Some),
        (Some(password), None) => {
            let text = password.to_str().ok_or_else(|| Failure::usage("DRUMLIN_SSH_PASSWORD is not UTF-8 text"))?;
            Ok(Some(Zeroizing::new(text.to_owned())))
        }
        (None, None) => Ok(None),
    }
}

/// Asks for the passphrase of the first key file if it is protected: nothing else could open it.
fn ask_passphrase(identity_files: &[PathBuf]) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(file) = identity_files.first().filter(|file| is_protected(file)) else {
        return Ok(None);
    };
    secret::ask_passphrase(file).map(Some)
}

/// Returns whether a key file can be read and is encrypted.
fn is_protected(file: &Path) -> bool {
    fs::read_to_string(file).map(Zeroizing::new).is_ok_and(|text| login::is_protected(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let env = Environment::of([("HOME", dir.path().to_str().unwrap())]);
        (dir, env)
    }

    #[test]
    fn key_files_come_from_the_nearest_that_names_any() {
        let (dir, env) = home(&[(".ssh/id_rsa", "x"), (".ssh/id_ed25519", "x")]);
        let ssh = dir.path().join(".ssh");
        let nobody = (SftpSettings::default(), HostConfig::default());
        assert_eq!(identity_files(&env, &nobody.0, &nobody.1), [ssh.join("id_ed25519"), ssh.join("id_rsa")]);
        let host = HostConfig { identity_files: vec!["/ssh/box".into()], ..HostConfig::default() };
        assert_eq!(identity_files(&env, &nobody.0, &host), [Path::new("/ssh/box")]);
        let settings = SftpSettings { identity_files: vec!["/k".into()], ..SftpSettings::default() };
        assert_eq!(identity_files(&env, &settings, &host), [Path::new("/k")]);
        assert_eq!(identity_files(&Environment::default(), &nobody.0, &nobody.1), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn known_hosts_are_the_usual_ones_unless_named() {
        let (dir, env) = home(&[]);
        let usual = known_hosts(&env, &SftpSettings::default(), &HostConfig::default());
        assert_eq!(usual, [dir.path().join(".ssh/known_hosts"), "/etc/ssh/ssh_known_hosts".into()]);
        let host = HostConfig { known_hosts: vec!["/box".into()], ..HostConfig::default() };
        assert_eq!(known_hosts(&env, &SftpSettings::default(), &host), ["/box", "/etc/ssh/ssh_known_hosts"].map(PathBuf::from));
        let settings = SftpSettings { known_hosts: vec!["/known".into()], ..SftpSettings::default() };
        assert_eq!(known_hosts(&env, &settings, &host), [Path::new("/known")]);
    }

    #[test]
    fn the_user_s_file_names_machines_keys_and_agents() {
        let (dir, env) = home(&[
            (".ssh/config", "Include more/*.conf\nHost box\n  HostName box.example.com\n  User u1\n  Port 23\n"),
            (".ssh/more/10-key.conf", "Host box\n  IdentityFile ~/.ssh/box\n  IdentitiesOnly yes\n"),
            (".ssh/more/20-agent.conf", "Host *\n  IdentityAgent $AGENT\n"),
            (".ssh/more/ignored", "Host *\n  User nobody\n"),
            (".ssh/box", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"),
        ]);
        let remote = |host: &str| Remote { host: host.into(), path: "/x".into(), ..Remote::default() };
        let host = read_ssh_config(&env, &remote("box"), "ada").unwrap();
        assert_eq!((host.host_name.as_deref(), host.user.as_deref(), host.port), (Some("box.example.com"), Some("u1"), Some(23)));
        let files = identity_files(&env, &SftpSettings::default(), &host);
        assert_eq!(files, [dir.path().join(".ssh/box")]);
        let env = Environment::of([("HOME", dir.path().to_str().unwrap()), ("SSH_AUTH_SOCK", "/usual"), ("AGENT", "/other")]);
        assert_eq!(agent_socket(&env, &host, &files), None, "only the key that is named");
        let other = read_ssh_config(&env, &remote("else"), "ada").unwrap();
        assert_eq!((other.user.as_deref(), agent_socket(&env, &other, &[])), (None, Some("/other".into())));
        assert_eq!(agent_socket(&env, &HostConfig::default(), &[]), Some("/usual".into()));
        let none = HostConfig { identity_agent: Some("none".into()), ..HostConfig::default() };
        assert_eq!(agent_socket(&env, &none, &[]), None);
        assert_eq!(read_ssh_config(&Environment::default(), &remote("box"), "ada").unwrap(), HostConfig::default());
    }

    #[test]
    fn protected_keys_are_told_from_open_ones() {
        let openssh = |body: &str| format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
        let (dir, _env) = home(&[
            ("open", &openssh("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB")),
            ("protected", &openssh("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0")),
            ("old-open", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"),
            ("old-protected", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIE\n"),
            ("pkcs8-protected", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n"),
        ]);
        for (name, is_it) in [
            ("open", false),
            ("protected", true),
            ("old-open", false),
            ("old-protected", true),
            ("pkcs8-protected", true),
            ("none", false),
        ] {
            assert_eq!(is_protected(&dir.path().join(name)), is_it, "{name}");
        }
    }
}

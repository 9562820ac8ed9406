//! The user's SSH configuration on this machine, and its proxy programs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use globset::Glob;

use super::connector::Connector;
use super::error::{Error, Result};
use super::host;
use crate::os::owners::{home_of_user, is_private_group};
use crate::os::shell::SECRETS;
use crate::settings::environment::Environment;
use crate::settings::location::Remote;
use crate::settings::ssh_config::proxy::{self, Destination, command_line, jump_arguments};
use crate::settings::ssh_config::{ConfigFiles, ExpansionContext, HostConfig, host_config};
use crate::store::sftp::proxy::Proxy;

/// Reads the configuration of a machine, and warns about ignored options.
pub(super) fn read_config(
    connector: &Connector,
    remote: &Remote,
    local_user: &str,
    explicit: Option<&Path>,
) -> Result<HostConfig> {
    let host = read_config_in(&connector.env, remote, local_user, explicit)?;
    if host.canonicalizes == Some(true) {
        connector.operator.warn(
            "`CanonicalizeHostname` of the SSH configuration is ignored: the host name is used as \
                it is written",
        );
    }
    Ok(host)
}

/// Reads the configuration of a machine from `explicit`, else from the user's file, which may be
/// missing.
///
/// Fails if `explicit` is missing, or if a file cannot be read or parsed.
pub(super) fn read_config_in(
    env: &Environment,
    remote: &Remote,
    local_user: &str,
    explicit: Option<&Path>,
) -> Result<HostConfig> {
    // Without a home directory there is no default file; `explicit` is read all the same.
    let Some(home) =
        env.home().or_else(|| explicit.and_then(|_| home_of_user().or_else(|| Some("/".into()))))
    else {
        return Ok(HostConfig::default());
    };
    if let Some(file) = explicit {
        File::open(file).map_err(|error| Error::file("read", file, error))?;
    }
    let file = explicit.map_or_else(|| home.join(".ssh/config"), Path::to_path_buf);
    let (uid, local_host) = (rustix::process::getuid().as_raw(), host::host_name());
    let (user, port) = (remote.user.as_deref(), remote.port);
    let context =
        ExpansionContext { home: &home, env, local_user, uid, local_host: &local_host, user, port };
    Ok(host_config(&file, &remote.host, context, &Disk { named: explicit })?)
}

/// Returns the proxy program, if the configuration names one. `explicit` is the file that the user
/// named.
///
/// `ssh` finds its configuration by the home directory of the user database. If `HOME` differs, the
/// file is passed as an argument.
pub(super) fn proxy_of(
    env: &Environment,
    host: &HostConfig,
    to: Destination<'_>,
    explicit: Option<&Path>,
) -> Result<Option<Proxy>> {
    let refused = |why: String| {
        Error::usage(why)
            .hint("see the machine's lines in the SSH configuration, usually ~/.ssh/config")
    };
    match &host.proxy {
        None | Some(proxy::ProxyRule::None) => Ok(None),
        Some(proxy::ProxyRule::Command(_)) if host.proxy_passes_connection == Some(true) => {
            let why = "a ProxyCommand with `ProxyUseFdpass yes` cannot be used; use one that copies \
                data between its standard input and output";
            Err(refused(why.to_owned()))
        }
        Some(proxy::ProxyRule::Command(written)) => {
            let line = command_line(written, to).map_err(refused)?;
            let shell = env.get("SHELL").unwrap_or("/bin/sh".as_ref()).to_owned();
            let arguments = vec!["-c".into(), format!("exec {line}").into()];
            let shown = format!("the ProxyCommand `{line}`");
            Ok(Some(Proxy { program: shell, arguments, shown, without: &SECRETS }))
        }
        Some(proxy::ProxyRule::Jump(written)) => {
            let own = || {
                env.home()
                    .filter(|home| home_of_user().is_none_or(|of_user| of_user != *home))
                    .map(|home| home.join(".ssh/config"))
            };
            let config = explicit.map(Path::to_path_buf).or_else(own);
            let arguments = jump_arguments(written, to, config.as_deref()).map_err(refused)?;
            let line = arguments.join(" ".as_ref());
            let shown = format!("`ssh {}` for ProxyJump", line.display());
            Ok(Some(Proxy { program: "ssh".into(), arguments, shown, without: &SECRETS }))
        }
    }
}

/// Error text for a configuration file that other users can write.
const FOREIGN: &str = "others can change it, and it can name programs to run: it must belong to \
    you or to root, and nobody else may write to it (`chmod go-w`); OpenSSH demands that, too";

/// The files of this machine.
struct Disk<'a> {
    /// The file that the user named, which is trusted, unlike its includes.
    named: Option<&'a Path>,
}

impl Disk<'_> {
    /// Returns whether only this user and root can write an open file.
    fn is_trusted(&self, path: &Path, found: &fs::Metadata) -> bool {
        let is_own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
        let others = if is_private_group(found.gid(), found.uid()) { 0o002 } else { 0o022 };
        self.named == Some(path) || is_own && found.mode() & others == 0
    }
}

impl ConfigFiles for Disk<'_> {
    fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::new()];
        for component in pattern.components() {
            found = match component {
                Component::Normal(name)
                    if name.to_str().is_some_and(|name| name.contains(['*', '?', '['])) =>
                {
                    let name = name.to_string_lossy();
                    found.iter().flat_map(|folder| matching_in(folder, &name)).collect()
                }
                other => found.into_iter().map(|folder| folder.join(other)).collect(),
            };
        }
        found
    }

    fn read(&self, path: &Path, len_max_bytes: u64) -> io::Result<String> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        // A pattern may match directories, which OpenSSH ignores, too.
        if found.is_dir() {
            return Ok(String::new());
        }
        if !self.is_trusted(path, &found) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, FOREIGN));
        }
        let mut bytes = Vec::new();
        file.take(len_max_bytes).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Returns the entries of a directory that match a shell pattern, sorted by name.
fn matching_in(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    // Braces are literal in these patterns.
    let Ok(glob) = Glob::new(&pattern.replace('{', "[{]").replace('}', "[}]")) else {
        return Vec::new();
    };
    let matcher = glob.compile_matcher();
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_shown = |name: &str| pattern.starts_with('.') || !name.starts_with('.');
    let mut names: Vec<String> =
        entries.filter(|name| is_shown(name) && matcher.is_match(name)).collect();
    names.sort();
    names.iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &HostConfig, home: &str, explicit: Option<&str>) -> String {
        let env = Environment::of([("HOME", home), ("SHELL", "/bin/zsh")]);
        let to = Destination { host: "h", alias: "a", port: 23, user: "u" };
        let proxy = proxy_of(&env, host, to, explicit.map(Path::new))
            .map_err(|failure| format!("{failure:?}"));
        match proxy {
            Ok(None) => "none".to_owned(),
            Ok(Some(proxy)) => format!(
                "{} {}",
                proxy.program.display(),
                proxy.arguments.join(" ".as_ref()).display()
            ),
            Err(why) => why,
        }
    }

    #[test]
    fn proxies_are_programs_with_what_they_need() {
        let host = |proxy| HostConfig { proxy, ..HostConfig::default() };
        let own = home_of_user().unwrap().display().to_string();
        let command = host(Some(proxy::ProxyRule::Command("nc %h %p".into())));
        assert_eq!(shown(&command, &own, None), "/bin/zsh -c exec nc h 23");
        let jump = host(Some(proxy::ProxyRule::Jump("x@gate".into())));
        assert_eq!(shown(&jump, &own, None), "ssh -l x -W [h]:23 gate");
        assert_eq!(shown(&jump, &own, Some("/c")), "ssh -l x -F /c -W [h]:23 gate");
        assert_eq!(shown(&jump, "/other", None), "ssh -l x -F /other/.ssh/config -W [h]:23 gate");
        assert_eq!(shown(&host(None), &own, None), "none");
        assert_eq!(shown(&host(Some(proxy::ProxyRule::None)), &own, None), "none");
        let hands_over = HostConfig { proxy_passes_connection: Some(true), ..command };
        assert!(shown(&hands_over, &own, None).contains("ProxyUseFdpass"));
        assert!(
            shown(&host(Some(proxy::ProxyRule::Jump("-x".into()))), &own, None)
                .contains("no machine to jump to")
        );
    }

    #[test]
    fn included_files_are_found_by_patterns_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["a/2.conf", "a/10.conf", "a/.hidden.conf", "a/x{y}.conf", "b/1.conf", "b/1.txt"]
        {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), name).unwrap();
        }
        for (pattern, names) in [
            ("*/*.conf", "a/10.conf a/2.conf a/x{y}.conf b/1.conf"),
            ("a/.*.conf", "a/.hidden.conf"),
            ("?/[0-9].conf", "a/2.conf b/1.conf"),
            ("a/x{y}*", "a/x{y}.conf"),
            ("A/*", ""),
            ("b/1.txt", "b/1.txt"),
        ] {
            let found = Disk { named: None }.matching(&dir.path().join(pattern));
            let found: Vec<_> = found
                .iter()
                .map(|file| file.strip_prefix(dir.path()).unwrap().to_str().unwrap())
                .collect();
            assert_eq!(found.join(" "), names, "{pattern}");
        }
        let disk = Disk { named: None };
        assert_eq!(disk.read(&dir.path().join("b/1.txt"), 3).unwrap(), "b/1");
        assert_eq!(disk.read(dir.path(), 3).unwrap(), "");
    }

    /// What others can write is not read, but for the one file that was named: what it includes was
    /// not.
    #[test]
    fn files_of_others_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".ssh")).unwrap();
        let set = |name: &str, mode| {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap()
        };
        let write = |name: &str, text: &str, mode: u32| {
            fs::write(dir.path().join(name), text).unwrap();
            set(name, mode);
            dir.path().join(name)
        };
        let config = write(".ssh/config", "Include more\nProxyCommand nc %h %p\n", 0o644);
        let (more, env) = (
            write(".ssh/more", "Port 7\n", 0o640),
            Environment::of([("HOME", dir.path().to_str().unwrap())]),
        );
        let read = |explicit: Option<&Path>| {
            let remote = Remote { host: "x".into(), path: "/x".into(), ..Remote::default() };
            read_config_in(&env, &remote, "ada", explicit)
        };
        assert_eq!(read(None).unwrap().port, Some(7));
        set(".ssh/more", 0o662);
        for explicit in [None, Some(&*config)] {
            let said = format!("{:?}", read(explicit).unwrap_err());
            assert!(said.contains(more.to_str().unwrap()) && said.contains("chmod go-w"), "{said}");
        }
        // Users with a private group may let it write, as the system has it for new files
        // there; nobody's is that of others.
        set(".ssh/more", 0o664);
        assert_eq!(
            read(None).is_ok(),
            is_private_group(
                fs::metadata(&more).unwrap().gid(),
                rustix::process::geteuid().as_raw()
            )
        );
        assert!(!is_private_group(0, 1) && !is_private_group(12345, 12345));
        set(".ssh/more", 0o600);
        set(".ssh/config", 0o602);
        assert!(read(None).is_err());
        assert!(read(Some(&config)).unwrap().proxy.is_some());
        if rustix::process::geteuid().is_root() {
            set(".ssh/config", 0o600);
            std::os::unix::fs::chown(&config, Some(12345), None).unwrap();
            assert!(read(None).is_err());
        }
    }
}

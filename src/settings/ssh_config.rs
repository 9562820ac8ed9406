//! What `~/.ssh/config` says about a machine, as far as Drumlin can use it.
//!
//! Lines that mean nothing here are passed over, as are blocks of `Match` (but for `Match all`): whether they apply depends on more than the name.

use std::path::{Path, PathBuf};

use crate::store::sftp::pattern::matches_any;

/// Files that include each other, at most.
const INCLUDE_DEPTH_MAX: usize = 16;

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
    /// `IdentitiesOnly`: keys that only an agent has are not to be tried.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`: the agent's socket; `none`, `SSH_AUTH_SOCK` and `$VARIABLE` are left as they are written.
    pub identity_agent: Option<String>,
    /// `UserKnownHostsFile`, all of them in order; empty if nothing is said. `none` is `/dev/null`.
    pub known_hosts: Vec<PathBuf>,
}

/// Who asks, to expand what is written.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The home folder: `~` and `%d`.
    pub home: &'a Path,
    /// The name of the local user: `%u`.
    pub local_user: &'a str,
    /// The user of the location, if it names one: `%r`, before `User`.
    pub user: Option<&'a str>,
}

/// Returns what a configuration says about `alias`, the machine's name as the user gave it.
///
/// `read` returns the texts of the files that an `Include` names (a pattern such as `~/.ssh/config.d/*`, expanded to an absolute one), in order;
/// those that cannot be read are left out.
pub fn host_config(text: &str, alias: &str, asker: Asker<'_>, read: &dyn Fn(&Path) -> Vec<String>) -> HostConfig {
    let mut reader = Reader { alias, asker, read, found: Found::default() };
    reader.take(text, true, 0);
    let Found { mut config, identity_files, known_hosts } = reader.found;
    let host_name = config.host_name.map(|name| expand(&name, &[('h', alias)]));
    let remote_user =
        asker.user.map(str::to_owned).or_else(|| config.user.clone()).unwrap_or_else(|| asker.local_user.to_owned());
    let home = asker.home.to_string_lossy();
    let host = host_name.as_deref().unwrap_or(alias);
    let path = |written: &String| {
        expand_path(written, asker.home, &[('d', &home), ('h', host), ('n', alias), ('r', &remote_user), ('u', asker.local_user)])
    };
    config.identity_files = identity_files.iter().filter(|written| *written != "none").map(path).collect();
    let known_file = |written: &String| if written == "none" { PathBuf::from("/dev/null") } else { path(written) };
    config.known_hosts = known_hosts.unwrap_or_default().iter().map(known_file).collect();
    config.identity_agent = config.identity_agent.map(|written| match written.as_str() {
        "none" | "SSH_AUTH_SOCK" => written,
        variable if variable.starts_with('$') => written,
        _ => path(&written).to_string_lossy().into_owned(),
    });
    HostConfig { host_name, ..config }
}

/// What was found so far, not expanded.
#[derive(Default)]
struct Found {
    config: HostConfig,
    identity_files: Vec<String>,
    known_hosts: Option<Vec<String>>,
}

struct Reader<'a> {
    alias: &'a str,
    asker: Asker<'a>,
    read: &'a dyn Fn(&Path) -> Vec<String>,
    found: Found,
}

impl Reader<'_> {
    /// Takes the lines of one file, which apply from its start if `applies`.
    fn take(&mut self, text: &str, applies: bool, depth: usize) {
        let mut is_ours = applies;
        for line in text.lines() {
            let words = words(line);
            let Some((option, values)) = words.split_first() else { continue };
            let option = option.to_ascii_lowercase();
            match option.as_str() {
                "host" => is_ours = applies && matches_any(values.iter().map(String::as_str), self.alias),
                "match" => is_ours = applies && values.len() == 1 && values[0].eq_ignore_ascii_case("all"),
                "include" if is_ours && depth < INCLUDE_DEPTH_MAX => {
                    for pattern in values {
                        let path = expand_path(pattern, self.asker.home, &[]);
                        let path = if path.is_absolute() { path } else { self.asker.home.join(".ssh").join(path) };
                        for included in (self.read)(&path) {
                            self.take(&included, true, depth + 1);
                        }
                    }
                }
                option if is_ours => self.set(option, values),
                _ => {}
            }
        }
    }

    fn set(&mut self, option: &str, values: &[String]) {
        let Some(first) = values.first() else { return };
        let Found { config, identity_files, known_hosts } = &mut self.found;
        let keep = |field: &mut Option<String>| {
            field.get_or_insert_with(|| first.clone());
        };
        match option {
            "hostname" => keep(&mut config.host_name),
            "user" => keep(&mut config.user),
            "identityagent" => keep(&mut config.identity_agent),
            "port" => config.port = config.port.or_else(|| first.parse().ok()),
            "identitiesonly" => config.identities_only = config.identities_only.or(Some(first.eq_ignore_ascii_case("yes"))),
            "identityfile" if !identity_files.contains(first) => identity_files.push(first.clone()),
            "userknownhostsfile" => {
                known_hosts.get_or_insert_with(|| values.to_vec());
            }
            _ => {}
        }
    }
}

/// Returns the words of a line: an option, with `=` or blanks behind it, and its values, in quotes or not.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let is_end = |c: char| c.is_whitespace() || c == '=' && words.is_empty();
                rest.split_at(rest.find(is_end).unwrap_or(rest.len()))
            }
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
        if words.len() == 1 {
            rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        }
    }
    words
}

fn expand_path(written: &str, home: &Path, tokens: &[(char, &str)]) -> PathBuf {
    let expanded = expand(written, tokens);
    match expanded.strip_prefix("~/") {
        Some(below) => home.join(below),
        None if expanded == "~" => home.to_path_buf(),
        None => PathBuf::from(expanded),
    }
}

/// Replaces `%x` by the value of `x`; `%%` is a percent sign, and unknown tokens stay.
fn expand(written: &str, tokens: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(written.len());
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        let token = if c == '%' { rest.clone().next() } else { None };
        let value = token.and_then(|token| {
            if token == '%' { Some("%") } else { tokens.iter().find(|(name, _)| *name == token).map(|(_, value)| *value) }
        });
        match value {
            Some(value) => {
                rest.next();
                out.push_str(value);
            }
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(user: Option<&str>) -> Asker<'_> {
        Asker { home: Path::new("/home/ada"), local_user: "ada", user }
    }

    fn config(text: &str, alias: &str) -> HostConfig {
        host_config(text, alias, asker(None), &|_| Vec::new())
    }

    #[test]
    fn the_first_value_counts() {
        let text = "
            # box
            Host box other
                HostName = u1.your-storagebox.de
                Port 23
                user u1
                IdentityFile ~/.ssh/box
                IdentityFile \"/keys/with blank\"
            Host *
                User nobody
                Port 2222
                IdentityFile %d/.ssh/%u-%h-%r-%n-%%
                IdentitiesOnly yes
        ";
        let host = config(text, "box");
        assert_eq!(
            (host.host_name.as_deref(), host.port, host.user.as_deref()),
            (Some("u1.your-storagebox.de"), Some(23), Some("u1"))
        );
        let last = "/home/ada/.ssh/ada-u1.your-storagebox.de-u1-box-%";
        assert_eq!(host.identity_files, ["/home/ada/.ssh/box", "/keys/with blank", last].map(PathBuf::from));
        assert_eq!(host.identities_only, Some(true));
        let host = config(text, "unknown");
        assert_eq!((host.host_name, host.port, host.user.as_deref()), (None, Some(2222), Some("nobody")));
        assert_eq!(
            host_config("IdentityFile /k/%r", "x", asker(Some("eve")), &|_| Vec::new()).identity_files,
            [PathBuf::from("/k/eve")]
        );
    }

    #[test]
    fn patterns_and_negations_choose_blocks() {
        let text =
            "Port 1\nHost *.example.com !no.example.com\nUser yes\nMatch host x\nUser match\nMatch all\nIdentityFile /all\n";
        assert_eq!(config(text, "a.example.com").user.as_deref(), Some("yes"));
        assert_eq!(config(text, "no.example.com").user, None);
        assert_eq!(config(text, "x"), HostConfig { port: Some(1), identity_files: vec!["/all".into()], ..HostConfig::default() });
    }

    #[test]
    fn includes_are_read_where_they_stand() {
        let read = |path: &Path| match path.to_str() {
            Some("/home/ada/.ssh/config.d/*") => vec!["Host a\nUser one\nHost b\nUser two".to_owned(), "Port 5".to_owned()],
            Some("/etc/loop") => vec!["Include /etc/loop\nIdentityFile /looped".to_owned()],
            other => panic!("{other:?}"),
        };
        let text = "Include config.d/*\nUser last\nHost never\nInclude /unread\nHost b\nInclude /etc/loop";
        let host = host_config(text, "b", asker(None), &read);
        assert_eq!((host.user.as_deref(), host.port), (Some("two"), Some(5)));
        assert_eq!(host.identity_files, [PathBuf::from("/looped")]);
        assert_eq!(host_config(text, "c", asker(None), &read).user.as_deref(), Some("last"));
    }

    #[test]
    fn agents_and_known_hosts() {
        let host = config("UserKnownHostsFile ~/.ssh/known_box /etc/known\nIdentityAgent ~/agent.sock", "x");
        assert_eq!(host.known_hosts, ["/home/ada/.ssh/known_box", "/etc/known"].map(PathBuf::from));
        assert_eq!(host.identity_agent.as_deref(), Some("/home/ada/agent.sock"));
        let host = config("UserKnownHostsFile none\nIdentityAgent none\nIdentityFile none", "x");
        assert_eq!(host.known_hosts, [PathBuf::from("/dev/null")]);
        assert_eq!((host.identity_agent.as_deref(), host.identity_files.len()), (Some("none"), 0));
        assert_eq!(config("IdentityAgent $SOCK", "x").identity_agent.as_deref(), Some("$SOCK"));
    }

    #[test]
    fn rubbish_is_passed_over() {
        for text in ["Port", "Port many", "\"", "Host", "= x", "HostName=\"open", "Include", "%", "IdentityFile %"] {
            config(text, "x");
        }
        assert_eq!(config("Port many\nPort 7", "x").port, Some(7));
        assert_eq!(config("IdentityFile /a%", "x").identity_files, [PathBuf::from("/a%")]);
    }
}

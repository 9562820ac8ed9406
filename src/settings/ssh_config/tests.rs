//! Goal: the configuration says here what it says to OpenSSH, or says why it cannot. Method: files
//! in memory.

use std::sync::LazyLock;

use super::*;
use crate::settings::environment::Environment;

static NO_VARIABLES: LazyLock<Environment> = LazyLock::new(Environment::default);

fn context(user: Option<&str>) -> ExpansionContext<'_> {
    ExpansionContext {
        env: &NO_VARIABLES,
        home: Path::new("/home/ada"),
        local_user: "ada",
        uid: 1000,
        local_host: "desk.example.com",
        user,
        port: None,
    }
}

/// Files by path; a pattern with a star names those that begin with the text before it.
struct MemoryFiles<'a>(&'a [(&'a str, &'a str)]);

impl ConfigFiles for MemoryFiles<'_> {
    fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
        let pattern = pattern.to_str().unwrap();
        let is_named = |name: &str| {
            pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
        };
        self.0
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| is_named(name))
            .map(PathBuf::from)
            .collect()
    }

    fn read(&self, file: &Path, len_max_bytes: u64) -> io::Result<String> {
        let text = self
            .0
            .iter()
            .find(|(name, _)| Path::new(name) == file)
            .ok_or(io::ErrorKind::NotFound)?
            .1;
        Ok(text.chars().take(usize::try_from(len_max_bytes).unwrap()).collect())
    }
}

fn read(
    files: &[(&str, &str)],
    alias: &str,
    user: Option<&str>,
) -> Result<HostConfig, SettingsError> {
    host_config(Path::new("/c"), alias, context(user), &MemoryFiles(files))
}

fn config(text: &str, alias: &str) -> HostConfig {
    read(&[("/c", text)], alias, None).unwrap()
}

fn refused(files: &[(&str, &str)], alias: &str) -> String {
    read(files, alias, None).unwrap_err().to_string()
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
            CertificateFile ~/.ssh/box-cert.pub
            HostKeyAlias boxes
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
    assert_eq!(
        host.identity_files,
        ["/home/ada/.ssh/box", "/keys/with blank", last].map(PathBuf::from)
    );
    assert_eq!(host.certificate_files, [PathBuf::from("/home/ada/.ssh/box-cert.pub")]);
    assert_eq!((host.identities_only, host.host_key_alias.as_deref()), (Some(true), Some("boxes")));
    let host = config(text, "unknown");
    assert_eq!(
        (host.host_name, host.port, host.user.as_deref()),
        (None, Some(2222), Some("nobody"))
    );
    let files = read(&[("/c", "IdentityFile /k/%r")], "x", Some("eve")).unwrap().identity_files;
    assert_eq!(files, [PathBuf::from("/k/eve")]);
    assert_eq!(read(&[], "x", None).unwrap(), HostConfig::default());
}

#[test]
fn patterns_and_negations_choose_blocks() {
    let text = "Port 1\nHost *.example.com !no.example.com\nUser yes\nMatch host x\nUser \
        match\nMatch all\nIdentityFile /all\n";
    assert_eq!(config(text, "a.example.com").user.as_deref(), Some("yes"));
    assert_eq!(config(text, "no.example.com").user, None);
    assert_eq!(config(text, "x").user.as_deref(), Some("match"));
    let all =
        HostConfig { port: Some(1), identity_files: vec!["/all".into()], ..HostConfig::default() };
    assert_eq!(config(text, "y"), all);
}

/// `Match host` asks for the name that `HostName` has set, and `user` for the user that is known by
/// then.
#[test]
fn blocks_of_match_apply_as_openssh_has_it() {
    let text = "
        Match originalhost box
            HostName %h.example.com
            User u1
        Match host box
            Port 1
        Match host *.example.com user u1 localuser ada
            Port 23
        Match !localuser root final
            HostKeyAlias late
        Host box.example.com
            IdentityFile /second
    ";
    let host = config(text, "box");
    assert_eq!((host.host_name.as_deref(), host.port), (Some("box.example.com"), Some(23)));
    // What asks for the last pass is met by it, and so are blocks about the name that is known
    // then.
    assert_eq!(
        (host.host_key_alias.as_deref(), host.identity_files),
        (Some("late"), vec!["/second".into()])
    );
    assert_eq!(read(&[("/c", text)], "box", Some("eve")).unwrap().port, None);
}

#[test]
fn what_cannot_be_decided_is_an_error_where_it_matters() {
    let jump = "Match host vault exec \"ping -c 1 gate\"\n  ProxyJump gate\n";
    let said = refused(&[("/c", jump)], "vault");
    assert!(said.contains("/c:2: `proxyjump` holds here only if `Match exec` does"), "{said}");
    assert_eq!(config(jump, "other"), HostConfig::default());
    assert_eq!(config(&format!("ProxyJump none\n{jump}"), "vault").proxy, Some(ProxyRule::None));
    assert_eq!(
        config(
            "Match exec \"gpg-connect-agent updatestartuptty /bye\"\n  ForwardAgent yes\nHost \
            x\n  Port 7",
            "x"
        )
        .port,
        Some(7)
    );
    for option in [
        "HostName a",
        "User a",
        "Port 1",
        "IdentityFile a",
        "CertificateFile a",
        "IdentitiesOnly yes",
        "IdentityAgent a",
        "UserKnownHostsFile a",
        "HostKeyAlias a",
        "ProxyCommand a",
        "Include a",
    ] {
        assert!(
            refused(&[("/c", &format!("Match tagged x\n{option}\n"))], "x")
                .contains("`Match tagged`"),
            "{option}"
        );
    }
    for line in ["Match", "Match host", "Match user x exec"] {
        assert!(
            refused(&[("/c", &format!("\n{line}\n"))], "x").starts_with("/c:2: `Match"),
            "{line}"
        );
    }
}

#[test]
fn the_first_proxy_counts() {
    let proxy = |text: &str| config(text, "x").proxy;
    assert_eq!(
        proxy("ProxyCommand nc \"%h\" %p\nProxyJump a"),
        Some(ProxyRule::Command("nc \"%h\" %p".into()))
    );
    assert_eq!(proxy("ProxyJump a,b\nProxyCommand nc"), Some(ProxyRule::Jump("a,b".into())));
    assert_eq!(proxy("ProxyJump none\nProxyCommand nc"), Some(ProxyRule::None));
    assert_eq!(proxy("ProxyCommand NONE\nProxyJump a"), Some(ProxyRule::None));
    assert_eq!(proxy("ProxyCommand"), None);
    let host = config("ProxyUseFdpass yes\nCanonicalizeHostname always", "x");
    assert_eq!((host.proxy_passes_connection, host.canonicalizes), (Some(true), Some(true)));
}

#[test]
fn includes_are_read_where_they_stand() {
    let files = [
        (
            "/c",
            "Include config.d/*\nUser last\nHost never\nInclude /unread\nHost b\nInclude \
                /etc/more /etc/missing",
        ),
        ("/home/ada/.ssh/config.d/1", "Host a\nUser one\nHost b\nUser two"),
        ("/home/ada/.ssh/config.d/2", "Port 5"),
        ("/etc/more", "IdentityFile /more"),
        ("/unread", "Match"),
    ];
    let host = read(&files, "b", None).unwrap();
    assert_eq!((host.user.as_deref(), host.port), (Some("two"), Some(5)));
    assert_eq!(host.identity_files, [PathBuf::from("/more")]);
    assert_eq!(read(&files, "c", None).unwrap().user.as_deref(), Some("last"));
}

/// Depth, number and length have limits, and passing one is reported: what follows could matter.
#[test]
fn includes_without_end_are_refused() {
    let said = refused(&[("/c", "Include /loop"), ("/loop", "Port 1\nInclude /loop")], "x");
    assert_eq!(said, "/loop:2: files include each other more than 16 deep");
    // Each level doubles the files.
    let said = refused(&[("/c", "Include /twice"), ("/twice", "Include /c /c")], "x");
    assert_eq!(said, "/c:1: files include each other more than 16 deep");
    let many: Vec<(String, &str)> =
        (0..FILES_MAX).map(|number| (format!("/d/{number}"), "Port 7\n")).collect();
    let mut files: Vec<(&str, &str)> = vec![("/c", "Port 6\nInclude /d/*")];
    files.extend(many.iter().map(|(name, text)| (name.as_str(), *text)));
    assert_eq!(refused(&files, "x"), "/c:2: more than 256 files are included");
    files.pop();
    assert_eq!(read(&files, "x", None).unwrap().port, Some(6));
    let half = "#".repeat(1 << 19);
    let long = [("/c", "Include /d/*"), ("/d/1", &half), ("/d/2", &half)];
    assert_eq!(refused(&long, "x"), "/c:1: all files together are longer than 1048576 bytes");
    assert_eq!(read(&long[..2], "x", None).unwrap(), HostConfig::default());
}

#[test]
fn agents_and_known_hosts() {
    let host =
        config("UserKnownHostsFile ~/.ssh/known_box /etc/known\nIdentityAgent ~/agent.sock", "x");
    assert_eq!(host.known_hosts, ["/home/ada/.ssh/known_box", "/etc/known"].map(PathBuf::from));
    assert_eq!(host.identity_agent.as_deref(), Some("/home/ada/agent.sock"));
    let host = config("UserKnownHostsFile none\nIdentityAgent none\nIdentityFile none", "x");
    assert_eq!(host.known_hosts, [PathBuf::from("/dev/null")]);
    assert_eq!((host.identity_agent.as_deref(), host.identity_files.len()), (Some("none"), 0));
    assert!(host.has_no_identity_files && !config("Port 1", "x").has_no_identity_files);
    assert!(!config("IdentityFile none\nIdentityFile /a", "x").has_no_identity_files);
    assert_eq!(config("IdentityAgent $SOCK", "x").identity_agent.as_deref(), Some("$SOCK"));
}

#[test]
fn rubbish_is_passed_over() {
    for text in [
        "Port",
        "Port many",
        "\"",
        "Host",
        "= x",
        "Include",
        "%",
        "IdentityFile %",
        "ProxyJump",
        "RemoteCommand it's",
    ] {
        config(text, "x");
    }
    assert_eq!(config("Port many\nPort 7", "x").port, Some(7));
    assert_eq!(config("Host y\nUser it's\nHost x\nPort 7", "x").port, Some(7));
    for text in ["HostName=\"open", "Host 'x", "Match host \"x", "Match tagged y\nUser it's"] {
        assert!(refused(&[("/c", text)], "x").contains("a quote is not closed"), "{text}");
    }
}

/// A file that is not understood must not become one that is missing: then every key of a server
/// would be a new one.
#[test]
fn tokens_are_expanded_or_told() {
    let text = "HostName h\nPort 23\nUserKnownHostsFile ~/%k-%p-%i-%l-%L \
        /%h-%n-%r-%u%%\nIdentityAgent ~/%k.sock\n";
    let host = config(text, "box");
    assert_eq!(
        host.known_hosts,
        ["/home/ada/box-23-1000-desk.example.com-desk", "/h-box-ada-ada%"].map(PathBuf::from)
    );
    assert_eq!(
        (host.identity_agent.as_deref(), host.unexpanded.len()),
        (Some("/home/ada/box.sock"), 0)
    );
    let host = config(&format!("HostKeyAlias vault\n{text}"), "box");
    assert!(host.known_hosts[0].starts_with("/home/ada/vault-23-1000-desk.example.com-desk"));
    let given = ExpansionContext { port: Some(24), ..context(None) };
    let host = host_config(Path::new("/c"), "box", given, &MemoryFiles(&[("/c", text)])).unwrap();
    assert!(host.known_hosts[0].ends_with("box-24-1000-desk.example.com-desk"));
    let text = "UserKnownHostsFile /a%C /b\nIdentityFile ${HOME}/x\nCertificateFile \
        ~bob/x\nIdentityAgent ${HOME}/agent\n";
    let host = config(text, "box");
    let told: Vec<_> =
        host.unexpanded.iter().map(|odd| format!("{} {}", odd.option, odd.written)).collect();
    assert_eq!(
        told.join(", "),
        "IdentityFile ${HOME}/x, CertificateFile ~bob/x, UserKnownHostsFile /a%C, IdentityAgent \
            ${HOME}/agent"
    );
    assert_eq!((host.known_hosts, host.identity_agent), (vec![PathBuf::from("/b")], None));
    // What does not count is not told.
    assert_eq!(
        config("Host y\nIdentityFile %C\nHost x\nIdentityAgent ${AGENT}", "x").unexpanded,
        []
    );
    assert!(
        refused(&[("/c", "\nInclude ${HOME}/x")], "x").starts_with("/c:2: `Include ${HOME}/x`")
    );
}

/// As `ssh -G` of OpenSSH 9.2 has it.
#[test]
fn the_last_pass_has_the_name_that_was_found() {
    let host = config("Match final host box\n  Port 77\n  HostName late\n", "Box");
    assert_eq!((host.host_name.as_deref(), host.port), (Some("box"), Some(77)));
    let host = config("Match final host box\n  Port 77\nHost box\n  HostName other\n", "box");
    assert_eq!((host.host_name.as_deref(), host.port), (Some("other"), None));
    assert_eq!(
        config("HostName fe80::A%%h\nMatch final\nPort 1", "box").host_name.as_deref(),
        Some("fe80::A%h")
    );
    // Names of blocks are taken as they are written; the last pass knows small letters alone.
    let text = "Host NAS\n  Port 1\nMatch originalhost nas\n  User u\n";
    assert_eq!((config(text, "NAS").port, config(text, "nas").port), (Some(1), None));
    assert_eq!(
        (config(text, "NAS").user, config(text, "nas").user),
        (Some("u".into()), Some("u".into()))
    );
    assert_eq!(config("Host nas\n  Port 1\nMatch final\n  User u\n", "NAS").port, Some(1));
}

#[test]
fn revoked_keys_are_not_passed_over() {
    let said = refused(&[("/c", "Port 1\nRevokedHostKeys /etc/revoked")], "x");
    assert!(said.starts_with("/c:2: `RevokedHostKeys`"), "{said}");
    for text in [
        "Host y\nRevokedHostKeys /r",
        "RevokedHostKeys none\nRevokedHostKeys /r",
        "RevokedHostKeys",
    ] {
        config(text, "x");
    }
    assert!(refused(&[("/c", "Match tagged y\nRevokedHostKeys /r")], "x").contains("Match tagged"));
}

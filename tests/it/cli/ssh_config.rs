//! The SSH configuration as the program follows it: blocks, aliases, and programs that connections
//! go through, by real servers.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::home::{Home, Ran};
use crate::support::servers::openssh::{OpenSsh, RELAY};

/// A server, and a home whose repository `far` is at the machine `vault`, which only the SSH
/// configuration knows.
struct Vault {
    server: OpenSsh,
    home: Home,
}

impl Vault {
    fn start() -> Self {
        let home = Home::new().with("DRUMLIN_REPOSITORY", "far").with("DRUMLIN_KEY_FILE", "key");
        // What is asked for is another repository, but nothing is asked without a key.
        home.run(["init", "--repo", "near"]).ok();
        home.write(
            "drumlin.toml",
            "[repository.far]\nurl = \"sftp://vault/./drumlin\"\nretry = \"0s\"\n",
        );
        Self { server: OpenSsh::start(), home: home.with("DRUMLIN_CONFIG", "drumlin.toml") }
    }

    fn ssh_config(&self, lines: &str) {
        self.home.write(".ssh/config", lines);
    }

    /// The program reaches the server, which holds no repository yet.
    fn is_reached(&self) {
        self.home.run(["snapshots"]).code(10);
    }

    fn fails(&self) -> Ran {
        let began = Instant::now();
        let ran = self.home.run(["snapshots"]);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(![0, 10].contains(&ran.code), "{}", ran.err);
        ran
    }
}

/// Returns what tells OpenSSH, and Drumlin, all about a server.
fn lines(server: &OpenSsh) -> String {
    let options = server.options("");
    let (key, known) = (options.identity_files[0].display(), options.known_hosts[0].display());
    format!(
        "  HostName {}\n  Port {}\n  User {}\n  IdentityFile {key}\n  UserKnownHostsFile {known}\n",
        options.host, options.port, options.user
    )
}

#[test]
fn blocks_of_match_and_aliases_count() {
    let vault = Vault::start();
    let all = lines(&vault.server);
    let (host, user) = (vault.server.options("").host, vault.server.options("").user);
    vault.ssh_config(&format!("Match originalhost vault !localuser nobody\n{all}"));
    vault.is_reached();
    // What depends on a command matters only where something else does not decide.
    vault.ssh_config(&format!(
        "Match originalhost vault\n{all}Match host {host} user {user} exec false\n  Port 1\n  ForwardAgent yes\n"
    ));
    vault.is_reached();
    vault.ssh_config(&format!("Match host vault exec \"test -e x\"\n{all}"));
    let said = vault
        .home
        .run(["snapshots"])
        .fails(2, "`hostname` holds here only if `Match exec` does", "in a `Host` block")
        .err;
    assert!(said.contains(".ssh/config:2"), "{said}");
    vault.ssh_config(&format!("Match host\n{all}"));
    vault.home.run(["snapshots"]).fails(
        2,
        ".ssh/config:1: `Match host` has no value",
        "man ssh_config",
    );
    vault.ssh_config(&format!("Host vault\n{all}  HostKeyAlias strongbox\n"));
    let said = vault.fails().err;
    assert!(
        said.contains("strongbox is not known on this machine")
            && said.contains(" strongbox ssh-ed25519 "),
        "{said}"
    );
    let key = fs::read_to_string(vault.server.path("host.pub")).unwrap();
    fs::write(vault.server.path("known_by_alias"), format!("strongbox {key}")).unwrap();
    let known = vault.server.path("known_by_alias");
    vault.ssh_config(&format!(
        "Host vault\n  HostKeyAlias strongbox\n  UserKnownHostsFile {}\n{all}",
        known.display()
    ));
    vault.is_reached();
    vault.ssh_config(&"Include nothing more\n".repeat(300));
    vault.home.write(".ssh/nothing", "");
    vault.home.write(".ssh/more", "");
    vault.home.run(["snapshots"]).fails(
        2,
        "more than 256 files are included",
        "`ssh-config` in drumlin.toml",
    );
}

#[test]
fn a_proxy_command_carries_connections_without_the_secrets() {
    let vault = Vault::start();
    let (all, log) = (lines(&vault.server), vault.home.path("relay"));
    vault.home.write("relay.sh", RELAY);
    let command = format!(
        "bash -c \"$(cat {})\" %h %p {} '%n %r 100%%'",
        vault.home.text("relay.sh"),
        log.display()
    );
    vault.ssh_config(&format!("Host vault\n{all}  ProxyCommand {command}\n"));
    let home = Vault {
        home: vault.home.with("DRUMLIN_SSH_PASSWORD", "hush").with("SEEN", "yes"),
        ..vault
    };
    home.is_reached();
    let seen = home.home.read("relay");
    let user = home.server.options("").user;
    assert!(seen.contains(&format!("\nvault {user} 100%\n")), "{seen}");
    assert!(
        seen.contains("\nSEEN=yes\n")
            && !seen.contains("DRUMLIN_KEY_FILE")
            && !seen.contains("hush"),
        "{seen}"
    );
    home.ssh_config(&format!("Host vault\n  ProxyCommand none\n{all}  ProxyCommand false\n"));
    home.is_reached();
    home.ssh_config(&format!(
        "Host vault\n{all}  ProxyCommand echo the gate is closed to %r >&2; false %h\n"
    ));
    let said = home.fails().err;
    assert!(
        said.contains("through the ProxyCommand `echo") && said.contains("the gate is closed to"),
        "{said}"
    );
    home.ssh_config(&format!("Host vault\n{all}  ProxyCommand no-such-relay %h %p\n"));
    let said = home.fails().err;
    assert!(
        said.contains("cannot run the ProxyCommand") && said.contains("no-such-relay"),
        "{said}"
    );
    home.ssh_config(&format!("Host vault\n{all}  ProxyCommand x\n  ProxyUseFdpass yes\n"));
    home.home.run(["snapshots"]).fails(2, "ProxyUseFdpass", "~/.ssh/config");
}

/// The gate has its own address, keys and known hosts, which are the business of `ssh`; it reads
/// the same configuration.
#[test]
fn a_proxy_jump_goes_through_another_machine() {
    let vault = Vault::start();
    let mut gate = OpenSsh::start();
    let (to_vault, to_gate) = (lines(&vault.server), lines(&gate));
    let hops = format!("Host gate inner\n{to_gate}  StrictHostKeyChecking yes\n");
    let config = |jump: &str| format!("Host vault\n{to_vault}  ProxyJump {jump}\n{hops}");
    vault.ssh_config(&config("gate"));
    vault.home.make_source();
    vault.home.run(["init"]).ok();
    vault.home.run(["backup", "src"]).ok();
    vault.ssh_config(&config("gate,inner"));
    vault.home.run(["restore", "latest", "-t", "out"]).ok();
    // A file that is named counts for both.
    vault.ssh_config("Host vault\n  ProxyJump nowhere.invalid\n");
    vault.home.write("ssh.conf", config("gate"));
    let named = "[repository.far]\nurl = \"sftp://vault/./drumlin\"\nretry = \"0s\"\nssh-config = \"ssh.conf\"\n";
    let unnamed = vault.home.read("drumlin.toml");
    vault.home.write("drumlin.toml", named);
    vault.home.run(["snapshots"]).ok();
    gate.stop();
    let said = vault.fails().err;
    assert!(
        said.contains("cannot connect through `ssh -F ") && said.contains("Connection refused"),
        "{said}"
    );
    assert!(said.contains("for ProxyJump"), "{said}");
    vault.home.write("drumlin.toml", unnamed);
    vault.ssh_config(&format!(
        "Host vault\n  ProxyJump none\n{to_vault}\nHost *\n  ProxyJump gate\n"
    ));
    vault.home.run(["snapshots"]).ok();
    vault.ssh_config(&config("gate:port"));
    vault.home.run(["snapshots"]).fails(2, "`gate:port` is no machine to jump to", "~/.ssh/config");
    vault.ssh_config(&config("gate"));
    let without = Vault { home: vault.home.with("PATH", "/nowhere"), ..vault };
    let said = without.fails().err;
    assert!(said.contains("there is no program ssh on this machine"), "{said}");
}

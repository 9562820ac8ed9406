//! Commands of the user, run by the shell without the program's secrets.

use std::process::Command;

/// Environment variables with secrets of repositories and stores. Commands never get them.
pub const SECRETS: [&str; 9] = [
    "DRUMLIN_PASSWORD",
    "DRUMLIN_PASSWORD_FILE",
    "DRUMLIN_PASSWORD_COMMAND",
    "DRUMLIN_KEY_FILE",
    "DRUMLIN_SSH_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// Those of this program alone. Credential programs of AWS may need the others.
pub const OWN_SECRETS: &[&str] = SECRETS.split_at(5).0;

/// Returns a shell for one command, without the secrets in the environment.
pub fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    for name in SECRETS {
        shell.env_remove(name);
    }
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_secrets_are_all_that_are_ours() {
        let is_own = |name: &&str| name.starts_with("DRUMLIN_");
        let ours = SECRETS.iter().filter(|name| is_own(name)).count();
        assert!(OWN_SECRETS.iter().all(is_own) && OWN_SECRETS.len() == ours);
    }
}

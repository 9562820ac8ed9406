//! Environment: `DRUMLIN_*` variables and the user's directories.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Environment variables, read once; tests set their own.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Reads the process's environment.
    pub fn of_process() -> Self {
        let mut env = Self(std::env::vars_os().collect());
        if env.home().is_none()
            && let Some(home) = crate::os::owners::home_of_user()
        {
            // Timers and containers often run without HOME.
            env.0.insert("HOME".into(), home.into_os_string());
        }
        env
    }

    /// Makes an environment of the given variables.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns a variable as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Returns the user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME")
    }

    /// Returns the directory of configuration, key files and recovery kits.
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.user_dir("XDG_CONFIG_HOME", ".config")
    }

    /// Returns the default directory of repositories.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.user_dir("XDG_DATA_HOME", ".local/share")
    }

    /// Returns the directory of local copies, which may be deleted at any time.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.user_dir("XDG_CACHE_HOME", ".cache")
    }

    /// Returns the directory of this machine's records of repositories, which must outlast the
    /// local copies.
    ///
    /// systemd may name several; the first one counts.
    pub fn state_dir(&self, is_root: bool) -> Option<PathBuf> {
        let of_systemd = || {
            let first = self
                .get("STATE_DIRECTORY")?
                .as_encoded_bytes()
                .split(|byte| *byte == b':')
                .next()?;
            Some(PathBuf::from(OsStr::from_bytes(first)))
        };
        let of_user = || match is_root {
            true => Some(PathBuf::from("/var/lib/drumlin")),
            false => self.user_dir("XDG_STATE_HOME", ".local/state"),
        };
        self.path("DRUMLIN_STATE_DIR").or_else(of_systemd).or_else(of_user)
    }

    /// Returns a user directory. The XDG specification demands that a relative path in these
    /// variables is ignored.
    fn user_dir(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let base = self.path(variable).filter(|path| path.is_absolute());
        base.or_else(|| Some(self.home()?.join(below_home))).map(|base| base.join("drumlin"))
    }

    /// Replaces a leading `~/` by the home directory.
    pub fn expand_home(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => Path::new(path).to_path_buf(),
        }
    }

    /// Replaces every `${NAME}` by the variable's value, and `${NAME:-default}` by the default if
    /// the variable is not set or empty; `$${` is a literal `${`.
    ///
    /// Fails if a variable without default is not set (an empty one is fine), is not UTF-8, or a
    /// brace is missing.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &from[2..];
                continue;
            }
            out.push_str(before);
            let (named, after) = from[2..].split_once('}').ok_or("`${` without a closing brace")?;
            out.push_str(self.value_of(named)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

impl Environment {
    /// Returns the value of what is between the braces: `NAME`, or `NAME:-default`.
    fn value_of<'t>(&'t self, named: &'t str) -> Result<&'t str, String> {
        let (name, default) = match named.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (named, None),
        };
        if name.is_empty() || name.contains(':') {
            return Err(format!("`${{{named}}}` is neither ${{NAME}} nor ${{NAME:-default}}"));
        }
        match (self.0.get(OsStr::new(name)), default) {
            (None, None) => Err(format!("environment variable {name} is not set")),
            (None, Some(default)) => Ok(default),
            (Some(value), Some(default)) if value.is_empty() => Ok(default),
            (Some(value), _) => {
                value.to_str().ok_or_else(|| format!("environment variable {name} is not UTF-8"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let env = Environment::of([("BOX", "u1"), ("EMPTY", "")]);
        assert_eq!(
            env.expand("sftp://${BOX}@${BOX}.example${EMPTY}").unwrap(),
            "sftp://u1@u1.example"
        );
        assert_eq!(env.expand("echo $HOME $${BOX} $").unwrap(), "echo $HOME ${BOX} $");
        assert!(env.expand("${MISSING}").unwrap_err().contains("MISSING"));
        assert_eq!(
            env.expand("${BOX:-x} ${EMPTY:-a b} ${MISSING:-s3://x:9/${BOX:-}").unwrap(),
            "u1 a b s3://x:9/${BOX:-"
        );
        assert_eq!(env.expand("${MISSING:-}${EMPTY:-}").unwrap(), "");
        for wrong in ["${}", "${:-x}", "${A:x}", "${MISSING:=x}"] {
            assert!(env.expand(wrong).unwrap_err().contains("is neither"), "{wrong}");
        }
        assert!(env.expand("${BOX").is_err());
    }

    #[test]
    fn folders_follow_the_base_directory_rules() {
        let env = Environment::of([
            ("HOME", "/home/ada"),
            ("XDG_DATA_HOME", "/data"),
            ("XDG_CACHE_HOME", "relative"),
        ]);
        assert_eq!(env.config_dir().unwrap(), Path::new("/home/ada/.config/drumlin"));
        assert_eq!(env.data_dir().unwrap(), Path::new("/data/drumlin"));
        assert_eq!(env.cache_dir().unwrap(), Path::new("/home/ada/.cache/drumlin"));
        assert_eq!(Environment::default().config_dir(), None);
        let state = |variables: [(&str, &str); 3], is_root| {
            Environment::of(variables).state_dir(is_root).unwrap()
        };
        let home = ("HOME", "/home/ada");
        let systemd = ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b");
        assert_eq!(state([home, systemd, ("DRUMLIN_STATE_DIR", "/own")], true), Path::new("/own"));
        assert_eq!(
            state([home, systemd, ("DRUMLIN_STATE_DIR", "")], true),
            Path::new("/var/lib/a")
        );
        assert_eq!(state([home; 3], true), Path::new("/var/lib/drumlin"));
        assert_eq!(state([home; 3], false), Path::new("/home/ada/.local/state/drumlin"));
        assert_eq!(
            state([home, home, ("XDG_STATE_HOME", "/state")], false),
            Path::new("/state/drumlin")
        );
        assert_eq!(Environment::default().state_dir(false), None);
        assert_eq!(env.expand_home("~/x"), Path::new("/home/ada/x"));
    }
}

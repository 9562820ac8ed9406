//! Parser of `~/.ssh/config`, for the options that Drumlin uses.
//!
//! Other lines are ignored. A `Match` block whose criteria cannot be evaluated (`exec`) is an error
//! if it would set a used option that is not set yet: a guess could differ from OpenSSH.

mod criteria;
mod expansion;
mod host_config;
mod lexer;
pub mod proxy;

use std::io;
use std::path::{Path, PathBuf};

use self::criteria::{MatchTarget, MatchVerdict, decide};
use self::expansion::expand_config;
use self::host_config::RawHostConfig;
use self::lexer::{command, expand, expand_path, option, words};
use self::proxy::ProxyRule;
use crate::settings::error::SettingsError;
use crate::store::sftp::pattern::matches_any_exactly;

pub use self::host_config::{ExpansionContext, HostConfig, KNOWN_HOSTS, PORT, Unexpanded};

/// Options that are used, in addition to `Host` and `Match`.
const OPTIONS: [&str; 15] = [
    "canonicalizehostname",
    "certificatefile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "include",
    "port",
    "proxycommand",
    "proxyjump",
    "proxyusefdpass",
    "revokedhostkeys",
    "user",
    "userknownhostsfile",
];
/// Maximum depth of includes.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Maximum number of files, including the first one.
pub const FILES_MAX: usize = 256;
/// Maximum length of all files together.
pub const LEN_MAX_BYTES: u64 = 1 << 20;

/// Access to configuration files.
pub trait ConfigFiles {
    /// Returns the files that match an absolute pattern, such as `/home/ada/.ssh/config.d/*`, in
    /// order.
    fn matching(&self, pattern: &Path) -> Vec<PathBuf>;

    /// Returns the text of a file, or its first bytes if it is longer than `len_max_bytes`.
    fn read(&self, file: &Path, len_max_bytes: u64) -> io::Result<String>;
}

/// Returns the configuration of `alias`, the machine's name as the user wrote it. A missing file
/// counts as empty.
///
/// Fails if a file cannot be read, if there are more than [`FILES_MAX`] or longer ones than
/// [`LEN_MAX_BYTES`] together, if they include each other too deeply, and if a relevant `Match`
/// cannot be evaluated.
pub fn host_config(
    file: &Path,
    alias: &str,
    context: ExpansionContext<'_>,
    files: &dyn ConfigFiles,
) -> Result<HostConfig, SettingsError> {
    let mut reader = ConfigReader::new(alias, context, files);
    reader.read(file)?;
    if reader.wants_second_pass {
        let host = in_small_letters(reader.host());
        // The name is fixed now: `HostName` in the second pass has no effect.
        reader.found.config.host_name = Some(host.replace('%', "%%"));
        reader = ConfigReader {
            host_of_blocks: host,
            is_final: true,
            files_left: FILES_MAX,
            len_left_bytes: LEN_MAX_BYTES,
            ..reader
        };
        reader.read(file)?;
    }
    Ok(expand_config(reader.found, alias, context))
}

/// Returns a name in lower case for the second pass; addresses stay as they are.
fn in_small_letters(host: String) -> String {
    if host.contains(':') { host } else { host.to_ascii_lowercase() }
}

/// Whether the following lines apply to the machine.
enum Block {
    Ours,
    Others,
    /// They apply if this criterion of `Match` holds.
    Undecided(String),
}

struct ConfigReader<'a> {
    alias: &'a str,
    context: ExpansionContext<'a>,
    files: &'a dyn ConfigFiles,
    found: RawHostConfig,
    /// The name that `Host` patterns are compared with.
    host_of_blocks: String,
    is_final: bool,
    /// A `Match final` was read: all files are read again once the machine's name is known.
    wants_second_pass: bool,
    files_left: usize,
    len_left_bytes: u64,
}

/// Position in a file, for errors.
#[derive(Clone, Copy)]
struct Position<'a> {
    file: &'a Path,
    /// From 1.
    line: usize,
}

impl Position<'_> {
    fn refuse(self, message: impl Into<String>, hint: &str) -> SettingsError {
        let (file, hint) = (self.file.to_path_buf(), Some(hint.to_owned()));
        SettingsError::Invalid { file, line: self.line, message: message.into(), hint }
    }
}

impl<'a> ConfigReader<'a> {
    fn new(alias: &'a str, context: ExpansionContext<'a>, files: &'a dyn ConfigFiles) -> Self {
        Self {
            alias,
            context,
            files,
            found: RawHostConfig::default(),
            host_of_blocks: alias.to_owned(),
            is_final: false,
            wants_second_pass: false,
            files_left: FILES_MAX,
            len_left_bytes: LEN_MAX_BYTES,
        }
    }

    /// Reads the first file.
    fn read(&mut self, file: &Path) -> Result<(), SettingsError> {
        match self.text(file, Position { file, line: 1 })? {
            Some(text) => self.take(file, &text, 0),
            None => Ok(()),
        }
    }

    /// Returns the text of a file, or `None` if it is missing.
    fn text(&mut self, file: &Path, at: Position<'_>) -> Result<Option<String>, SettingsError> {
        if self.files_left == 0 {
            return Err(at.refuse(format!("more than {FILES_MAX} files are included"), TOO_MUCH));
        }
        self.files_left -= 1;
        let text = match self.files.read(file, self.len_left_bytes + 1) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SettingsError::Read { file: file.to_path_buf(), source }),
        };
        match self.len_left_bytes.checked_sub(text.len() as u64) {
            Some(left) => self.len_left_bytes = left,
            None => {
                return Err(at.refuse(
                    format!("all files together are longer than {LEN_MAX_BYTES} bytes"),
                    TOO_MUCH,
                ));
            }
        }
        Ok(Some(text))
    }

    /// Processes the lines of one file.
    fn take(&mut self, file: &Path, text: &str, depth: usize) -> Result<(), SettingsError> {
        let mut block = Block::Ours;
        for (number, line) in text.lines().enumerate() {
            let at = Position { file, line: number + 1 };
            let Some((option, behind)) = option(line) else { continue };
            let is_heeded = match block {
                Block::Others => false,
                Block::Ours | Block::Undecided(_) => OPTIONS.contains(&option.as_str()),
            };
            if !is_heeded && option != "host" && option != "match" {
                continue;
            }
            let Some(values) = words(behind) else {
                return Err(at.refuse(
                    "a quote is not closed",
                    "write `\\` before a quote that is meant as such",
                ));
            };
            match (option.as_str(), &block) {
                ("host", _) => block = self.host_block(&values),
                ("match", _) => block = self.match_block(&values, at)?,
                (_, Block::Others) => {}
                ("include", Block::Ours) => self.include(&values, at, depth)?,
                ("revokedhostkeys", Block::Ours) => self.refuse_revoked(&values, at)?,
                (option, Block::Ours) => self.set(option, &values, behind),
                (option, Block::Undecided(criterion)) if self.would_set(option, &values) => {
                    let message = format!(
                        "`{option}` holds here only if `Match {criterion}` does, which cannot be \
                            found out"
                    );
                    let hint = "write what shall hold for this machine above, in a `Host` block of \
                        its own";
                    return Err(at.refuse(message, hint));
                }
                (_, Block::Undecided(_)) => {}
            }
        }
        Ok(())
    }

    /// Refuses `RevokedHostKeys`: ignoring it would accept revoked keys.
    fn refuse_revoked(&mut self, values: &[String], at: Position<'_>) -> Result<(), SettingsError> {
        let Some(first) = values.first().filter(|_| !self.found.revokes_nothing) else {
            return Ok(());
        };
        if first.eq_ignore_ascii_case("none") {
            self.found.revokes_nothing = true;
            return Ok(());
        }
        let hint = "put the keys into known_hosts, in lines that begin with `@revoked`, and \
            `RevokedHostKeys none` into a `Host` block for \
                    this machine above";
        Err(at.refuse(
            "`RevokedHostKeys` is not read here: a key that it revokes would be taken",
            hint,
        ))
    }

    fn host_block(&self, patterns: &[String]) -> Block {
        let is_ours =
            matches_any_exactly(patterns.iter().map(String::as_str), &self.host_of_blocks);
        if is_ours { Block::Ours } else { Block::Others }
    }

    fn match_block(
        &mut self,
        criteria: &[String],
        at: Position<'_>,
    ) -> Result<Block, SettingsError> {
        self.wants_second_pass |=
            criteria.iter().any(|word| word.trim_start_matches('!').eq_ignore_ascii_case("final"));
        let (host, config) = (self.host(), &self.found.config);
        let user = self.context.user.or(config.user.as_deref()).unwrap_or(self.context.local_user);
        let target = MatchTarget {
            host: &host,
            original_host: self.alias,
            user,
            local_user: self.context.local_user,
            is_final: self.is_final,
        };
        match decide(criteria, target) {
            Ok(MatchVerdict::Applies) => Ok(Block::Ours),
            Ok(MatchVerdict::Not) => Ok(Block::Others),
            Ok(MatchVerdict::Depends(criterion)) => Ok(Block::Undecided(criterion)),
            Err(message) => Err(at.refuse(message, "`man ssh_config` has all that `Match` takes")),
        }
    }

    /// Returns the machine's name as far as known.
    fn host(&self) -> String {
        self.found
            .config
            .host_name
            .as_ref()
            .map_or_else(|| self.alias.to_owned(), |name| expand(name, &[('h', self.alias)]))
    }

    fn include(
        &mut self,
        patterns: &[String],
        at: Position<'_>,
        depth: usize,
    ) -> Result<(), SettingsError> {
        if depth == INCLUDE_DEPTH_MAX {
            return Err(at.refuse(
                format!("files include each other more than {INCLUDE_DEPTH_MAX} deep"),
                TOO_MUCH,
            ));
        }
        for pattern in patterns {
            let path = expand_path(pattern, self.context.home, self.context.env, &[]).ok_or_else(
                || {
                    let message = format!(
                        "`Include {pattern}` names a file by what stands for something else, \
                        which is not understood"
                    );
                    at.refuse(message, "write the path out; `~/` alone is your home folder")
                },
            )?;
            let path =
                if path.is_absolute() { path } else { self.context.home.join(".ssh").join(path) };
            for file in self.files.matching(&path) {
                if let Some(text) = self.text(&file, at)? {
                    self.take(&file, &text, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, option: &str, values: &[String], behind: &str) {
        let Some(first) = values.first() else { return };
        let RawHostConfig { config, identity_files, certificate_files, known_hosts, .. } =
            &mut self.found;
        let keep = |field: &mut Option<String>| {
            field.get_or_insert_with(|| first.clone());
        };
        let is_yes = |is: Option<bool>| {
            is.or(Some(first.eq_ignore_ascii_case("yes") || first.eq_ignore_ascii_case("always")))
        };
        let is_none = first.eq_ignore_ascii_case("none");
        match option {
            "hostname" => keep(&mut config.host_name),
            "user" => keep(&mut config.user),
            "identityagent" => keep(&mut config.identity_agent),
            "hostkeyalias" => keep(&mut config.host_key_alias),
            "port" => config.port = config.port.or_else(|| first.parse().ok()),
            "identitiesonly" => config.identities_only = is_yes(config.identities_only),
            "proxyusefdpass" => {
                config.proxy_passes_connection = is_yes(config.proxy_passes_connection)
            }
            "canonicalizehostname" => config.canonicalizes = is_yes(config.canonicalizes),
            "identityfile" if !identity_files.contains(first) => identity_files.push(first.clone()),
            "certificatefile" if !certificate_files.contains(first) => {
                certificate_files.push(first.clone())
            }
            "userknownhostsfile" => {
                known_hosts.get_or_insert_with(|| values.to_vec());
            }
            "proxycommand" | "proxyjump" if is_none => {
                config.proxy.get_or_insert(ProxyRule::None);
            }
            "proxycommand" => {
                config.proxy.get_or_insert_with(|| ProxyRule::Command(command(behind).to_owned()));
            }
            "proxyjump" => {
                config.proxy.get_or_insert_with(|| ProxyRule::Jump(first.clone()));
            }
            _ => {}
        }
    }

    /// Returns whether a line would change the result so far.
    fn would_set(&self, option: &str, values: &[String]) -> bool {
        let (config, is_given) = (&self.found.config, !values.is_empty());
        is_given
            && match option {
                "include" => true,
                "hostname" => config.host_name.is_none(),
                "user" => config.user.is_none() && self.context.user.is_none(),
                "identityagent" => config.identity_agent.is_none(),
                "hostkeyalias" => config.host_key_alias.is_none(),
                "port" => config.port.is_none(),
                "identitiesonly" => config.identities_only.is_none(),
                "identityfile" => !self.found.identity_files.contains(&values[0]),
                "certificatefile" => !self.found.certificate_files.contains(&values[0]),
                "userknownhostsfile" => self.found.known_hosts.is_none(),
                "revokedhostkeys" => {
                    !self.found.revokes_nothing && !values[0].eq_ignore_ascii_case("none")
                }
                "proxycommand" | "proxyjump" => config.proxy.is_none(),
                _ => false,
            }
    }
}

/// Hint for exceeded limits.
const TOO_MUCH: &str = "include less, or let `ssh-config` in drumlin.toml name a file with what \
    this machine needs alone";

#[cfg(test)]
mod tests;

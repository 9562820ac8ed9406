//! Passwords and keys: choice of their source, and reading. Never from the command line itself.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use zeroize::Zeroizing;

use super::error::{Error, OtherErrorKind, Result};
use super::operator::Operator;
use super::secret_source::{SecretArgs, SecretSource};
use crate::crypto::passphrase::{KDF_STANDARD, KDF_STRONG};
use crate::crypto::phrase;
use crate::crypto::slot::Secret;
use crate::format::slot::SlotKdf;
use crate::os::shell::shell;
use crate::settings::environment::Environment;
use crate::settings::repository::SecretSettings;
use crate::settings::values::parse_fingerprint;
use crate::text;

/// Longest password or key file that is read, in bytes.
const SECRET_LEN_MAX_BYTES: u64 = 64 << 10;

impl SecretSource {
    /// Chooses the command line, else the environment, else the configuration, else the terminal.
    ///
    /// Fails if the environment names more than one.
    pub fn choose(
        args: &SecretArgs,
        env: &Environment,
        settings: Option<&SecretSettings>,
    ) -> Result<Self> {
        if let Some(origin) = args.origin() {
            return Ok(origin);
        }
        let command = env
            .get("DRUMLIN_PASSWORD_COMMAND")
            .map(|text| SecretSource::PasswordCommand(text.to_string_lossy().into_owned()));
        let named = [
            ("DRUMLIN_PASSWORD", env.get("DRUMLIN_PASSWORD").map(|_| SecretSource::Environment)),
            (
                "DRUMLIN_PASSWORD_FILE",
                env.path("DRUMLIN_PASSWORD_FILE").map(SecretSource::PasswordFile),
            ),
            ("DRUMLIN_PASSWORD_COMMAND", command),
            ("DRUMLIN_KEY_FILE", env.path("DRUMLIN_KEY_FILE").map(SecretSource::KeyFile)),
        ];
        let mut set = named.into_iter().filter_map(|(name, origin)| Some((name, origin?)));
        match (set.next(), set.next()) {
            (Some((one, _)), Some((other, _))) => {
                Err(Error::usage(format!("{one} and {other} are both set"))
                    .hint("unset all but one"))
            }
            (Some((_, origin)), None) => Ok(origin),
            _ => Ok(match settings {
                Some(SecretSettings::PasswordFile(path)) => {
                    SecretSource::PasswordFile(path.clone())
                }
                Some(SecretSettings::PasswordCommand(command)) => {
                    SecretSource::PasswordCommand(command.clone())
                }
                Some(SecretSettings::KeyFile(path)) => SecretSource::KeyFile(path.clone()),
                None => SecretSource::Prompt,
            }),
        }
    }

    /// Reads the secret of an existing repository, and the fingerprints that a key file or kit
    /// names.
    pub fn read(
        &self,
        operator: &dyn Operator,
        env: &Environment,
        location: &str,
    ) -> Result<(Secret, Vec<Vec<u8>>)> {
        let password = match self {
            Self::KeyFile(path) => {
                let KeyFile { secret, fingerprints } = read_key_file(operator, path)?;
                return Ok((Secret::KeyFile(secret), fingerprints));
            }
            Self::Prompt => ask(operator, &format!("password for {location}"))?,
            other => other.read_password(operator, env)?,
        };
        Ok((Secret::Passphrase(password), Vec::new()))
    }

    /// Reads a new password; asks for it twice at the terminal.
    pub fn read_new_password(
        &self,
        operator: &dyn Operator,
        env: &Environment,
    ) -> Result<Zeroizing<String>> {
        match self {
            Self::Prompt => {
                let password = ask(operator, "new password")?;
                if *ask(operator, "the same again")? == *password {
                    return Ok(password);
                }
                Err(Error::new(OtherErrorKind::Failed, "the two passwords differ")
                    .hint("nothing was changed; try again"))
            }
            other => other.read_password(operator, env),
        }
    }

    fn read_password(
        &self,
        operator: &dyn Operator,
        env: &Environment,
    ) -> Result<Zeroizing<String>> {
        match self {
            Self::PasswordFile(path) => {
                let fail = |error| Error::file("read the password file", path, error);
                let file = File::open(path).map_err(fail)?;
                warn_if_readable_by_others(operator, path, &file);
                check_password(
                    read_all(file).map_err(fail)?,
                    &format!("the password file {}", text::path(path)),
                )
            }
            Self::PasswordCommand(command) => {
                check_password(run_password_command(command)?, "the password command's output")
            }
            Self::Environment => {
                let text = env.get("DRUMLIN_PASSWORD").unwrap_or(OsStr::new(""));
                check_password(Zeroizing::new(text.as_bytes().to_vec()), "DRUMLIN_PASSWORD")
            }
            Self::Given(password) => {
                let bytes = Zeroizing::new(password.0.as_bytes().to_vec());
                check_password(bytes, "the given password")
            }
            Self::KeyFile(_) | Self::Prompt => {
                Err(Error::usage("this needs a password, not a key file"))
            }
        }
    }
}

/// Returns the parameters of a password's key slot.
pub fn passphrase_kdf(strong: bool) -> SlotKdf {
    let (memory_kib, passes, lanes) = if strong { KDF_STRONG } else { KDF_STANDARD };
    SlotKdf::Passphrase { memory_kib, passes, lanes }
}

/// Reads the secret of a store or a database: the password of an account, or the secret of an
/// access key.
pub fn read_store_password(
    operator: &dyn Operator,
    origin: &SecretSettings,
) -> Result<Zeroizing<String>> {
    let origin = match origin {
        SecretSettings::PasswordFile(path) => SecretSource::PasswordFile(path.clone()),
        SecretSettings::PasswordCommand(command) => SecretSource::PasswordCommand(command.clone()),
        SecretSettings::KeyFile(path) => SecretSource::KeyFile(path.clone()),
    };
    origin.read_password(operator, &Environment::default())
}

/// Asks for the passphrase that protects a file with an SSH key.
#[cfg(feature = "sftp")]
pub fn ask_passphrase(operator: &dyn Operator, file: &Path) -> Result<Zeroizing<String>> {
    operator.ask_password(&format!("passphrase of {}", text::path(file))).map_err(|error| {
        match error.kind() {
            io::ErrorKind::Interrupted => Error::interrupted(),
            _ => Error::usage(format!(
                "{} is protected by a passphrase, and there is no terminal to ask for it",
                text::path(file)
            ))
            .caused_by(error)
            .hint(
                "add it to an SSH agent (ssh-add), or name a key without passphrase as \
                `identity-file`",
            ),
        }
    })
}

/// Returns the fingerprint in a line of a key file or kit.
pub fn fingerprint_in(line: &str) -> Option<Vec<u8>> {
    let named = line.trim_start_matches(['#', ' ']).strip_prefix("Fingerprint")?;
    parse_fingerprint(named.trim_start_matches(':').trim()).ok().map(|fingerprint| fingerprint.0)
}

/// Content of a key file or recovery kit.
pub struct KeyFile {
    /// The secret that opens the repository.
    pub secret: crate::crypto::kdf::Key,
    /// Starts of the fingerprints of the repositories that it names.
    pub fingerprints: Vec<Vec<u8>>,
}

/// Reads a key file or recovery kit.
pub fn read_key_file(operator: &dyn Operator, path: &Path) -> Result<KeyFile> {
    let fail = |error| Error::file("read the key file", path, error);
    let file = File::open(path).map_err(fail)?;
    warn_if_readable_by_others(operator, path, &file);
    let bytes = read_all(file).map_err(fail)?;
    let text = String::from_utf8_lossy(without_mark(&bytes));
    let fingerprints = text.lines().filter_map(fingerprint_in).collect();
    let secret = phrase::secret_of_words(&text).map_err(|error| {
        Error::new(OtherErrorKind::NoSecret, format!("{} is not a key file", text::path(path)))
            .caused_by(error)
            .hint("a key file or recovery kit holds 24 words; check each against what was printed")
    })?;
    Ok(KeyFile { secret, fingerprints })
}

fn warn_if_readable_by_others(operator: &dyn Operator, path: &Path, file: &File) {
    let Ok(metadata) = file.metadata() else {
        return;
    };
    let mode = metadata.permissions().mode();
    if metadata.is_file() && mode & 0o077 != 0 {
        operator.warn(&format!(
            "{} can be read by others (mode {:04o}): chmod 600 keeps it to you",
            text::path(path),
            mode & 0o7777
        ));
    }
}

fn read_all(reader: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Full capacity at once, so that growing leaves no partial copies in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_LEN_MAX_BYTES as usize + 1));
    reader.take(SECRET_LEN_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_LEN_MAX_BYTES {
        return Err(io::Error::other("it is longer than any password or key"));
    }
    Ok(bytes)
}

/// Returns the bytes without the byte order mark of some editors.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Returns the password, which must be one line.
fn check_password(bytes: Zeroizing<Vec<u8>>, origin: &str) -> Result<Zeroizing<String>> {
    let line = without_mark(&bytes);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| {
        let failure = Error::usage(format!("{origin} is not UTF-8 text"));
        match bytes.get(..2) {
            Some(b"\xff\xfe" | b"\xfe\xff") => {
                failure.hint("it is UTF-16, as some editors save text: save it as UTF-8")
            }
            _ => failure,
        }
    })?;
    if text.is_empty() {
        return Err(Error::usage(format!("{origin} is empty"))
            .hint("an empty password would protect nothing"));
    }
    if text.contains(['\n', '\r']) {
        return Err(
            Error::usage(format!("{origin} has more than one line")).hint("a password is one line")
        );
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn run_password_command(command: &str) -> Result<Zeroizing<Vec<u8>>> {
    let fail = |error: io::Error| {
        Error::new(OtherErrorKind::Failed, "cannot run the password command").caused_by(error)
    };
    // If standard input is no terminal, it may be data to back up.
    let stdin = if io::stdin().is_terminal() { Stdio::inherit() } else { Stdio::null() };
    let mut child = shell(command).stdin(stdin).stdout(Stdio::piped()).spawn().map_err(fail)?;
    let output = child.stdout.take().expect("standard output is piped");
    let bytes = read_all(output);
    let status = child.wait().map_err(fail)?;
    if !status.success() {
        return Err(Error::new(
            OtherErrorKind::Failed,
            format!("the password command failed ({status})"),
        ));
    }
    bytes.map_err(fail)
}

fn ask(operator: &dyn Operator, question: &str) -> Result<Zeroizing<String>> {
    let answer = operator.ask_password(question).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => Error::interrupted(),
        _ => Error::usage("no password was given, and there is no terminal to ask for it")
            .caused_by(error)
            .hint("use --password-file, --password-command, --key-file, or DRUMLIN_PASSWORD"),
    })?;
    check_password(Zeroizing::new(answer.as_bytes().to_vec()), "the password")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Operator for Nobody {
        fn ask_password(&self, _: &str) -> io::Result<Zeroizing<String>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn detail(&self, _: &str) {}

        fn warn(&self, _: &str) {}

        fn loss(&self, _: &str) {}
    }

    #[test]
    fn the_nearest_origin_wins() {
        let args = SecretArgs { password_command: Some("x".into()), ..SecretArgs::default() };
        let env = Environment::of([("DRUMLIN_PASSWORD_FILE", "/p")]);
        let settings = SecretSettings::KeyFile("/k".into());
        let choose = |args: &SecretArgs, env: &Environment, settings| {
            SecretSource::choose(args, env, settings).unwrap()
        };
        let (nothing, nowhere) = (SecretArgs::default(), Environment::default());
        assert_eq!(choose(&args, &env, Some(&settings)), SecretSource::PasswordCommand("x".into()));
        assert_eq!(
            choose(&nothing, &env, Some(&settings)),
            SecretSource::PasswordFile("/p".into())
        );
        assert_eq!(choose(&nothing, &nowhere, Some(&settings)), SecretSource::KeyFile("/k".into()));
        assert_eq!(choose(&nothing, &nowhere, None), SecretSource::Prompt);
        let both = Environment::of([("DRUMLIN_PASSWORD_FILE", "/p"), ("DRUMLIN_PASSWORD", "x")]);
        assert_eq!(
            SecretSource::choose(&nothing, &both, None).unwrap_err().kind(),
            Some(OtherErrorKind::Usage)
        );
    }

    #[test]
    fn a_password_is_one_line_of_text() {
        let check = |bytes: &[u8]| {
            check_password(Zeroizing::new(bytes.to_vec()), "it").map(|text| text.to_string()).ok()
        };
        assert_eq!(check(b"correct horse\n"), Some("correct horse".into()));
        assert_eq!(check(b" spaces stay \r\n"), Some(" spaces stay ".into()));
        assert_eq!(check(b"\xef\xbb\xbfnotepad\r\n"), Some("notepad".into()));
        for refused in [&b""[..], b"\n", b"a\nb\n", b"\xff"] {
            assert_eq!(check(refused), None);
        }
    }

    #[test]
    fn commands_and_the_environment_give_passwords() {
        let env = Environment::of([("DRUMLIN_PASSWORD", "from env")]);
        let read =
            |origin: SecretSource| origin.read_password(&Nobody, &env).map(|text| text.to_string());
        assert_eq!(read(SecretSource::PasswordCommand("echo secret".into())).unwrap(), "secret");
        assert_eq!(read(SecretSource::Environment).unwrap(), "from env");
        assert_eq!(
            read(SecretSource::PasswordCommand("echo x; exit 3".into())).unwrap_err().kind(),
            Some(OtherErrorKind::Failed)
        );
        assert_eq!(
            read(SecretSource::PasswordCommand("true".into())).unwrap_err().kind(),
            Some(OtherErrorKind::Usage)
        );
        assert_eq!(
            read(SecretSource::PasswordFile("/nonexistent".into())).unwrap_err().kind(),
            Some(OtherErrorKind::Failed)
        );
    }
}

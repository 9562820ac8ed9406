//! Repository locations: a path or URL, as on the command line or in the configuration file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A parsed location. As text it can be parsed again, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine, absolute.
    Local(PathBuf),
    /// `s3://bucket/prefix`, optionally with `?endpoint=URL&region=NAME`.
    S3(Bucket),
    /// `sftp://user@host:port/path`.
    Sftp(Remote),
}

/// A prefix of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's name.
    pub name: String,
    /// Prefix of all names, without slashes at either end; empty for the whole bucket.
    pub prefix: String,
    /// The server, if the URL names it.
    pub endpoint: Option<String>,
    /// The region, if the URL names it.
    pub region: Option<String>,
}

/// A directory of another machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// The user, if the URL names one.
    pub user: Option<String>,
    /// Name or address, an IPv6 address without its brackets; or a `Host` of `~/.ssh/config`.
    pub host: String,
    /// The port, if the URL names one.
    pub port: Option<u16>,
    /// The directory: absolute, or relative to where a login begins; never empty.
    pub path: String,
}

/// Why a location was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing was given.
    #[error("the repository's location is empty")]
    Empty,
    /// An unknown scheme.
    #[error("Drumlin does not support repositories at `{0}`")]
    UnknownScheme(String),
    /// `file://` with a host, or with a relative path.
    #[error("a file URL looks like file:///absolute/path, not `{0}`")]
    FileUrl(String),
    /// `user@host:path`, `s3:bucket`.
    #[error("`{0}` looks like a path on another machine")]
    LooksRemote(String),
    /// `rclone:remote:path`, `b2:bucket`: locations of other programs.
    #[error("`{location}` looks like a location of `{scheme}`, which Drumlin does not support")]
    OtherProgram {
        /// The location.
        location: String,
        /// The part before the colon.
        scheme: &'static str,
    },
    /// `~/folder`, which a shell replaces only without quotes.
    #[error("`{0}` is a folder named ~, since no shell has replaced the ~ by a home folder")]
    Tilde(String),
    /// An `s3://` URL that breaks a rule.
    #[error("`{url}` names no place in a bucket: {why}")]
    S3Url {
        /// The URL.
        url: String,
        /// The rule.
        why: &'static str,
    },
    /// An `sftp://` URL that breaks a rule. The URL is not shown: it may hold a password.
    #[error("an sftp URL looks like sftp://user@host:port/path: {0}")]
    SftpUrl(&'static str),
}

/// Prefixes of locations of other programs.
const OTHER_PROGRAMS: [&str; 19] = [
    "rclone",
    "b2",
    "rest",
    "azure",
    "gs",
    "gcs",
    "swift",
    "opendal",
    "opendrive",
    "webdav",
    "dav",
    "davs",
    "smb",
    "nfs",
    "ftp",
    "ftps",
    "http",
    "https",
    "onedrive",
];

/// The text of [`LocationError::SftpUrl`] about a URL with a password.
const HAS_PASSWORD: &str = "it has no place for a password, which everybody could see";

impl LocationError {
    /// Returns the hint for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => {
                "give a folder, s3://bucket/prefix or sftp://user@host/path: --repo \
                    /mnt/usb/drumlin"
            }
            Self::UnknownScheme(_) => {
                "use a path, file:///path, s3://bucket/prefix or sftp://user@host:port/path"
            }
            Self::FileUrl(_) => "use a path (./name for a folder here), or file:///path",
            Self::LooksRemote(_) => {
                "use s3://bucket/prefix, sftp://user@host/path (or sftp://user@host/./path, from \
                    where a login begins); write ./ in front if it is a local folder"
            }
            Self::OtherProgram { .. } => {
                "Drumlin keeps repositories in folders (mounted ones, too: `rclone mount`), in \
                    s3://bucket/prefix and at sftp://user@host/path; \
                 write ./ in front if it is a local folder"
            }
            Self::Tilde(_) => {
                "write $HOME/folder, or leave the quotes out; write ./~ for a folder of that name"
            }
            Self::S3Url { .. } => {
                "for example s3://bucket/drumlin; the server is `endpoint` in the configuration, \
                    or DRUMLIN_S3_ENDPOINT"
            }
            Self::SftpUrl(HAS_PASSWORD) => {
                "use a key, or `ssh-password-file` or `ssh-password-command` in the \
                    configuration, or DRUMLIN_SSH_PASSWORD"
            }
            Self::SftpUrl(_) => {
                "for example sftp://u1@u1.your-storagebox.de:23/./drumlin (`/./`: from where a \
                    login begins); %40 stands for @ in a name"
            }
        }
    }
}

impl Location {
    /// Parses a path or URL; a relative path is taken from `base`.
    pub fn parse(text: &OsStr, base: &Path) -> Result<Self, LocationError> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(LocationError::Empty);
        }
        let shown = || text.to_string_lossy().into_owned();
        if let Some(at) = bytes.windows(3).position(|three| three == b"://") {
            let rest = &bytes[at + 3..];
            return match &bytes[..at] {
                b"file" if rest.first() == Some(&b'/') => {
                    Ok(Self::Local(clean(Path::new(&OsString::from_vec(percent_decoded(rest))))))
                }
                b"file" => Err(LocationError::FileUrl(shown())),
                b"s3" => parse_s3(rest)
                    .map(Self::S3)
                    .map_err(|why| LocationError::S3Url { url: shown(), why }),
                b"sftp" => parse_sftp(rest).map(Self::Sftp).map_err(LocationError::SftpUrl),
                scheme if scheme.contains(&b'/') => Ok(Self::Local(clean(&base.join(text)))),
                scheme => Err(LocationError::UnknownScheme(format!(
                    "{}://",
                    String::from_utf8_lossy(scheme)
                ))),
            };
        }
        let head = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(end) = head.iter().position(|byte| *byte == b':') {
            // It hardly means a local folder of that name, and such a backup would be on the same
            // disk as its source.
            if &head[..end] == b"file" {
                return Err(LocationError::FileUrl(shown()));
            }
            return Err(
                match OTHER_PROGRAMS.iter().find(|scheme| scheme.as_bytes() == &head[..end]) {
                    Some(scheme) => LocationError::OtherProgram { location: shown(), scheme },
                    None => LocationError::LooksRemote(shown()),
                },
            );
        }
        if head.first() == Some(&b'~') {
            return Err(LocationError::Tilde(shown()));
        }
        Ok(Self::Local(clean(&base.join(text))))
    }

    /// Returns the directory, if it is on this machine.
    pub fn local_dir(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::S3(_) | Self::Sftp(_) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::S3(bucket) => {
                write!(f, "s3://{}", bucket.name)?;
                if !bucket.prefix.is_empty() {
                    write!(f, "/{}", percent_encoded(&bucket.prefix, b"%?"))?;
                }
                let options = [("endpoint", &bucket.endpoint), ("region", &bucket.region)];
                for (at, (name, value)) in options
                    .iter()
                    .filter_map(|(name, value)| Some((name, value.as_ref()?)))
                    .enumerate()
                {
                    write!(
                        f,
                        "{}{name}={}",
                        if at == 0 { '?' } else { '&' },
                        percent_encoded(value, b"%&")
                    )?;
                }
                Ok(())
            }
            Self::Sftp(remote) => {
                f.write_str("sftp://")?;
                if let Some(user) = &remote.user {
                    write!(f, "{}@", percent_encoded(user, b"%@:/"))?;
                }
                let host = percent_encoded(&remote.host, b"%");
                if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(&host) }?;
                if let Some(port) = remote.port {
                    write!(f, ":{port}")?;
                }
                let path = percent_encoded(&remote.path, b"%");
                if remote.path.starts_with('/') {
                    write!(f, "{path}")
                } else {
                    write!(f, "/./{path}")
                }
            }
        }
    }
}

fn parse_s3(rest: &[u8]) -> Result<Bucket, &'static str> {
    let text = std::str::from_utf8(rest).map_err(|_| "it is not UTF-8")?;
    let (place, options) = text.split_once('?').unwrap_or((text, ""));
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !(3..=63).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err("a bucket's name is 3 to 63 letters, digits, `.`, `-` and `_`");
    }
    let prefix = decoded_text(prefix.trim_matches('/'))?;
    if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a part between two slashes is empty, `.` or `..`");
    }
    let mut bucket = Bucket { name: name.to_owned(), prefix, ..Bucket::default() };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let value = Some(decoded_text(value)?)
            .filter(|value| !value.is_empty())
            .ok_or("an option behind `?` has no value")?;
        match key {
            "endpoint" => bucket.endpoint = Some(value),
            "region" => bucket.region = Some(value),
            _ => {
                return Err(
                    "the options behind `?` are endpoint=URL and region=NAME; in the prefix, %3F \
                        stands for ?",
                );
            }
        }
    }
    Ok(bucket)
}

fn parse_sftp(rest: &[u8]) -> Result<Remote, &'static str> {
    let text = std::str::from_utf8(rest).map_err(|_| "this one is not UTF-8")?;
    let (machine, path) = text.split_once('/').ok_or("the path is missing")?;
    let (user, address) = match machine.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => return Err(HAS_PASSWORD),
        Some(("", _)) => return Err("the user is empty"),
        Some((user, address)) => (Some(decoded_text(user)?), address),
        None => (None, machine),
    };
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) =
                rest.split_once(']').ok_or("the bracket behind the IPv6 address is missing")?;
            (
                host,
                behind
                    .strip_prefix(':')
                    .or(behind.is_empty().then_some(""))
                    .ok_or("something stands between `]` and `:`")?,
            )
        }
        None if address.matches(':').count() > 1 => {
            return Err("an IPv6 address stands in brackets: sftp://[::1]:22/path");
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    let host = decoded_text(host)?;
    if host.is_empty()
        || host.starts_with('-')
        || host
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '[' | ']'))
    {
        return Err("the host is missing or cannot be one");
    }
    let port = match port {
        "" => None,
        digits => Some(
            digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or("the port is not a number from 1 to 65535")?,
        ),
    };
    Ok(Remote { user, host, port, path: sftp_path(&decoded_text(path)?)? })
}

/// Returns the directory of an SFTP URL from the text after the first slash: absolute, or relative
/// if it begins with `./`.
fn sftp_path(text: &str) -> Result<String, &'static str> {
    let parts = |text: &str| {
        text.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
    };
    if text.contains('\0') {
        return Err("the path holds a zero byte");
    }
    let is_relative = text == "." || text.starts_with("./");
    match (is_relative, parts(text)) {
        (true, path) if path.is_empty() => Ok(".".to_owned()),
        (true, path) => Ok(path),
        (false, path) if path.is_empty() => Err("the path is missing"),
        (false, path) => Ok(format!("/{path}")),
    }
}

/// Removes `.` parts and doubled or trailing slashes, so that a directory has one name. `..` stays,
/// because a part before it may be a link.
fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}

fn decoded_text(text: &str) -> Result<String, &'static str> {
    String::from_utf8(percent_decoded(text.as_bytes()))
        .map_err(|_| "what %xx stands for is not UTF-8")
}

/// Decodes `%xx`; a `%` without two hex digits stays.
fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits =
            bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// Encodes the given ASCII bytes as `%xx`.
fn percent_encoded(text: &str, special: &[u8]) -> String {
    let is_special = |c: char| c.is_ascii() && special.contains(&(c as u8));
    text.chars().fold(String::with_capacity(text.len()), |out, c| match is_special(c) {
        true => format!("{out}%{:02X}", c as u32),
        false => out + c.encode_utf8(&mut [0; 4]),
    })
}

#[cfg(test)]
mod tests;

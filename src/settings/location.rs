//! Where a repository is: a path or URL, as given on the command line or in the configuration file.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A parsed location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine, absolute.
    Local(PathBuf),
}

/// Why a location was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing was given.
    #[error("the repository's location is empty")]
    Empty,
    /// A kind of location that this version does not have.
    #[error("`{0}` locations come in a later version")]
    Later(&'static str),
    /// A scheme that nobody knows.
    #[error("`{0}` is no kind of location that Drumlin knows")]
    UnknownScheme(String),
    /// `file://` with a host, or with a relative path.
    #[error("a file URL looks like file:///absolute/path, not `{0}`")]
    FileUrl(String),
    /// `user@host:path`.
    #[error("`{0}` looks like a path on another machine")]
    LooksRemote(String),
}

impl LocationError {
    /// Returns what the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "give a folder: --repo /mnt/usb/drumlin",
            Self::Later(_) => "use a path or file:///path for now, for example on a mounted disk",
            Self::UnknownScheme(_) | Self::FileUrl(_) => "use a path, or file:///path",
            Self::LooksRemote(_) => {
                "other machines will be reached by sftp://user@host/path, which comes in a later version; write ./ in front if it is a local folder"
            }
        }
    }
}

impl Location {
    /// Parses a path or URL; a relative path is taken from `base`.
    pub fn parse(text: &std::ffi::OsStr, base: &Path) -> Result<Self, LocationError> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(LocationError::Empty);
        }
        let shown = || text.to_string_lossy().into_owned();
        if let Some(at) = bytes.windows(3).position(|three| three == b"://") {
            return match &bytes[..at] {
                b"file" if bytes.get(at + 3) == Some(&b'/') => Ok(Self::Local(clean(&percent_decoded(&bytes[at + 3..])))),
                b"file" => Err(LocationError::FileUrl(shown())),
                b"s3" => Err(LocationError::Later("s3://")),
                b"sftp" => Err(LocationError::Later("sftp://")),
                scheme if scheme.contains(&b'/') => Ok(Self::Local(clean(&base.join(text)))),
                scheme => Err(LocationError::UnknownScheme(format!("{}://", String::from_utf8_lossy(scheme)))),
            };
        }
        let head = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
        let host_end = head.iter().position(|byte| *byte == b':');
        if host_end.is_some_and(|end| head[..end].contains(&b'@')) {
            return Err(LocationError::LooksRemote(shown()));
        }
        Ok(Self::Local(clean(&base.join(text))))
    }
}

/// Removes `.` parts and doubled or trailing slashes, so that one folder has one name. `..` stays: links may lie before it.
fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Decodes `%xx`; a `%` that nothing fits stays as it is.
fn percent_decoded(bytes: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
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
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, LocationError> {
        Location::parse(text.as_ref(), Path::new("/base"))
    }

    #[test]
    fn paths_and_file_urls() {
        for (text, path) in [
            ("/mnt/usb/", "/mnt/usb"),
            ("backup", "/base/backup"),
            ("./a:b", "/base/a:b"),
            ("./x/../y", "/base/x/../y"),
            ("file:///mnt/my%20disk", "/mnt/my disk"),
            ("file:///100%", "/100%"),
            ("a@b", "/base/a@b"),
            ("dir/odd://name", "/base/dir/odd:/name"),
        ] {
            assert_eq!(parse(text), Ok(Location::Local(path.into())), "{text}");
        }
    }

    #[test]
    fn the_rest_is_refused_by_name() {
        assert_eq!(parse(""), Err(LocationError::Empty));
        assert_eq!(parse("s3://bucket/x"), Err(LocationError::Later("s3://")));
        assert_eq!(parse("sftp://u@h/x"), Err(LocationError::Later("sftp://")));
        assert_eq!(parse("https://x"), Err(LocationError::UnknownScheme("https://".into())));
        assert!(matches!(parse("file://host/x"), Err(LocationError::FileUrl(_))));
        assert!(matches!(parse("u@host:backup"), Err(LocationError::LooksRemote(_))));
    }
}

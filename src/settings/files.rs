//! Files of a configuration: the first one, and those that it includes.
//!
//! Names come from a person, so they may lead anywhere: to a FIFO that nobody writes to, in a
//! circle, or to a directory with ten thousand files. All of it ends in an error that says which.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::error::SettingsError;
use super::trust::{distrust_of, is_real_root};

/// Longest file that is read.
const FILE_LEN_MAX_BYTES: u64 = 4 << 20;
/// Files that a configuration may include.
const INCLUDED_MAX: usize = 1_000;
/// Names that are looked at in a directory.
const NAMES_MAX: usize = 100_000;
/// Characters that make the last part of a path a pattern.
const SPECIAL: &[char] = &['*', '?', '[', '{'];

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Reads a file as text. `is_included`: it must be a plain file.
///
/// Fails if it cannot be read, is too long or no text, or if this is root and others may write to
/// it.
pub(super) fn read(
    file: &Path,
    env: &Environment,
    is_included: bool,
) -> Result<String, SettingsError> {
    let fail = |source| SettingsError::Read { file: file.to_path_buf(), source };
    let opened = open(file, is_included).map_err(fail)?;
    // What is no plain file, such as a pipe of the shell, has no name that others could replace.
    if opened.metadata().map_err(fail)?.is_file() && is_real_root() {
        let distrust = distrust_of(file, env).map_err(fail)?;
        if let Some(distrust) = distrust {
            return Err(SettingsError::Untrusted {
                file: file.to_path_buf(),
                why: distrust.why,
                hint: distrust.hint,
            });
        }
    }
    let mut bytes = Vec::new();
    opened.take(FILE_LEN_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_LEN_MAX_BYTES {
        let why = format!("it is longer than {} MiB", FILE_LEN_MAX_BYTES >> 20);
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|error| fail(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))?;
    // Some editors put a byte order mark before all text.
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

fn open(file: &Path, is_included: bool) -> io::Result<File> {
    if !is_included {
        return File::open(file);
    }
    // A FIFO would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    match opened.metadata()?.is_file() {
        true => Ok(opened),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
    }
}

/// Returns the files that patterns find, each once, those of a pattern sorted by name.
///
/// `patterns` are absolute; only the last part of each may have wildcards, which match no name that
/// begins with a dot. `is_default`: they may find nothing. Fails with a message that says the
/// pattern.
pub(super) fn included(patterns: &[PathBuf], is_default: bool) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut known = BTreeSet::new();
    for pattern in patterns {
        let shown = crate::text::path(pattern);
        let found = expand(pattern).map_err(|error| format!("cannot look for {shown}: {error}"))?;
        if found.is_empty() && !is_default {
            return Err(format!("no file is found by {shown}"));
        }
        files.extend(found.into_iter().filter(|file| known.insert(file.clone())));
        if files.len() > INCLUDED_MAX {
            return Err(format!("more than {INCLUDED_MAX} files are found"));
        }
    }
    Ok(files)
}

fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why.to_owned()));
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return refuse("it names no file");
    };
    if dir.to_string_lossy().contains(SPECIAL) && !dir.exists() {
        return refuse("only the last part of a path may have wildcards");
    }
    let Some(text) = name.to_str().filter(|text| text.contains(SPECIAL)) else {
        return Ok(vec![pattern.to_path_buf()]);
    };
    let matcher = matcher(text)?;
    let is_hidden = |name: &OsString| name.as_encoded_bytes().starts_with(b".");
    let mut names = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    for (count, entry) in entries.enumerate() {
        if count == NAMES_MAX {
            return refuse("the folder has too many names");
        }
        let name = entry?.file_name();
        if matcher.is_match(&name) && (!is_hidden(&name) || text.starts_with('.')) {
            names.push(name);
        }
        if names.len() > INCLUDED_MAX {
            return refuse(&format!("it finds more than {INCLUDED_MAX} files"));
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

fn matcher(text: &str) -> io::Result<GlobMatcher> {
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(patterns: &[&Path], is_default: bool) -> Result<Vec<PathBuf>, String> {
        let patterns: Vec<PathBuf> = patterns.iter().map(|path| path.to_path_buf()).collect();
        included(&patterns, is_default)
    }

    #[test]
    fn files_come_sorted_and_once() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for name in ["b.toml", "a.toml", "B.toml", ".hidden.toml", "a.toml~", "x.conf"] {
            std::fs::write(path(name), "").unwrap();
        }
        let all = find(&[&path("x.conf"), &path("*.toml"), &path("a.*")], false).unwrap();
        assert_eq!(all, ["x.conf", "B.toml", "a.toml", "b.toml", "a.toml~"].map(path));
        assert_eq!(find(&[&path(".*.toml")], false).unwrap(), [path(".hidden.toml")]);
        assert_eq!(find(&[&path("none/*.toml")], true).unwrap(), Vec::<PathBuf>::new());
        for (pattern, why) in [
            ("*.yaml", "no file is found"),
            ("*/a.toml", "only the last part"),
            ("[", "cannot look for"),
        ] {
            let message = find(&[&path("a.toml"), &path(pattern)], false).unwrap_err();
            assert!(message.contains(why), "{pattern}: {message}");
        }
    }

    #[test]
    fn what_is_no_plain_file_is_no_part_of_a_configuration() {
        let scratch = tempfile::tempdir().unwrap();
        let fifo = scratch.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
        let circle = scratch.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        for file in [&fifo, &circle, &scratch.path().to_path_buf(), &"/dev/zero".into()] {
            let error = read(file, &Environment::default(), true).unwrap_err();
            assert!(matches!(error, SettingsError::Read { .. }), "{error}");
        }
        let long = scratch.path().join("long");
        std::fs::write(&long, vec![b'#'; (4 << 20) + 1]).unwrap();
        let error = read(&long, &Environment::default(), true).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "it is longer than 4 MiB");
    }
}

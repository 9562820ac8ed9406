//! Databases that paths and patterns find.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::sources::failure::failed;

/// Characters that make a part of a path a pattern.
const SPECIAL: &[char] = &['*', '?', '[', '{'];

/// Returns the files that a path or pattern finds below `root`, which are no links.
///
/// `*`, `?`, `[a-z]` and `{a,b}` match within one name, `**` any folders. A path that exists means
/// itself, even if it looks like a pattern. Fails if nothing is found, if a folder cannot be read,
/// or if a link leads out of `root`.
pub(super) fn find(root: &Path, pattern: &str) -> io::Result<BTreeSet<PathBuf>> {
    let parts = parts_of(pattern)?;
    let literal: PathBuf = std::iter::once(root.as_os_str()).chain(parts.iter().copied()).collect();
    let is_literal = literal.symlink_metadata().is_ok() || !pattern.contains(SPECIAL);
    let found = if is_literal { vec![literal] } else { expand(root, &parts)? };
    let mut files = BTreeSet::new();
    for path in found {
        let shown = crate::text::path(&path);
        let action = || format!("cannot look at {shown}");
        // A folder or a socket that a pattern finds is no database.
        let is_file = path.metadata().map_err(failed(action))?.is_file();
        if is_file {
            files.insert(without_link(root, path).map_err(failed(action))?);
        } else if is_literal {
            let error = io::Error::other("it is not an ordinary file");
            return Err(failed(action)(error));
        }
    }
    match files.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "it finds no file")),
        false => Ok(files),
    }
}

/// Returns the parts of an absolute path or pattern.
fn parts_of(pattern: &str) -> io::Result<Vec<&OsStr>> {
    let refuse = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    let mut parts = Vec::new();
    for part in Path::new(pattern).components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => return refuse("write it without `..`"),
            _ => {}
        }
    }
    match pattern.starts_with('/') {
        true => Ok(parts),
        false => refuse("it must be absolute: begin it with `/`"),
    }
}

/// Returns the paths below `dir` that match a pattern, part by part.
fn expand(dir: &Path, parts: &[&OsStr]) -> io::Result<Vec<PathBuf>> {
    let Some((first, rest)) = parts.split_first() else { return Ok(vec![dir.to_owned()]) };
    if *first == "**" {
        return expand_below(dir, rest);
    }
    let Some(text) = first.to_str().filter(|text| text.contains(SPECIAL)) else {
        let path = dir.join(first);
        return if path.exists() { expand(&path, rest) } else { Ok(Vec::new()) };
    };
    let matcher = matcher(text)?;
    let mut found = Vec::new();
    for name in names_in(dir)? {
        let path = dir.join(&name);
        if matcher.is_match(&name) && (rest.is_empty() || path.is_dir()) && path.exists() {
            found.extend(expand(&path, rest)?);
        }
    }
    Ok(found)
}

/// Returns the paths at any depth below `dir`. Links to folders are not followed: they may go in a
/// circle.
fn expand_below(dir: &Path, rest: &[&OsStr]) -> io::Result<Vec<PathBuf>> {
    let mut found = expand(dir, rest)?;
    for name in names_in(dir)? {
        let path = dir.join(name);
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            found.extend(expand_below(&path, rest)?);
        }
    }
    Ok(found)
}

fn matcher(text: &str) -> io::Result<GlobMatcher> {
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(glob.compile_matcher())
}

/// Returns the names in a folder; none if it is gone or is no folder.
fn names_in(dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let action = || format!("cannot read the folder {}", crate::text::path(dir));
    match std::fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()
            .map_err(failed(action)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
            _ => Err(failed(action)(error)),
        },
    }
}

/// Returns the file that a link leads to. Folders on the way may be links: the backup names them as
/// the user does.
fn without_link(root: &Path, path: PathBuf) -> io::Result<PathBuf> {
    if !path.symlink_metadata()?.is_symlink() {
        return Ok(path);
    }
    let target = path.canonicalize()?;
    let below = target.strip_prefix(root.canonicalize()?).map(|rest| root.join(rest));
    below.map_err(|_| {
        let target = crate::text::path(&target);
        io::Error::other(format!("it is a link out of `root`, to {target}: name the file itself"))
    })
}

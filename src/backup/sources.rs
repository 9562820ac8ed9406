//! Tree of the sources that the user named.
//!
//! Directories above a source are visited only for the sources below them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::context::SourceContext;
use super::earlier_files::files_of;
use super::losses::Losses;
use super::options::Error;
use super::path;
use super::source_root::SourceRoot;
use crate::format::entry::EntryKind;
use crate::monitor::ProblemKind;
use crate::os::descriptors::is_descriptor;
use crate::os::stat::Stat;
use crate::repo::DirEntry;

/// The sources below a directory, by name.
pub(super) type SourceFilter = BTreeMap<Vec<u8>, SourceNode>;

/// One node in the tree of sources.
pub(super) enum SourceNode {
    /// A source: everything below it, or the file itself.
    Whole {
        /// Whether to follow a symbolic link at this path.
        follows: bool,
        /// Sources below it, which rules do not leave out.
        named: SourceFilter,
    },
    /// A directory above sources: only these names are wanted.
    Partial(SourceFilter),
    /// A file that a dump made: its content is stored already.
    Made(Box<DirEntry>),
    /// A name that is left out, though a source above has it.
    LeftOut,
}

impl SourceNode {
    /// Returns a tree without sources.
    pub(super) fn empty() -> Self {
        Self::Partial(SourceFilter::new())
    }

    /// Adds a source.
    pub(super) fn insert(&mut self, source: &SourcePath) {
        if let Some(at) = self.at(&source.path) {
            let named = match at {
                Self::Partial(named) | Self::Whole { named, .. } => std::mem::take(named),
                Self::Made(_) | Self::LeftOut => return,
            };
            *at = Self::Whole { follows: source.follows, named };
        }
    }

    /// Adds the entry of a file that a dump made, in place of what is at its path.
    pub(super) fn insert_made(&mut self, path: &[u8], entry: Box<DirEntry>) {
        if let Some(at) = self.at(path) {
            *at = Self::Made(entry);
        }
    }

    /// Leaves out exactly this name.
    pub(super) fn leave_out(&mut self, path: &[u8]) {
        if let Some(at) = self.at(path) {
            *at = Self::LeftOut;
        }
    }

    /// Removes what a dump made at this path or below.
    pub(super) fn remove_made(&mut self, path: &[u8]) {
        let mut parts = path::parts(path).peekable();
        let mut at = self;
        while let Some(part) = parts.next() {
            let (Self::Partial(named) | Self::Whole { named, .. }) = at else {
                return;
            };
            if parts.peek().is_none() {
                named.remove(part);
                return;
            }
            let Some(below) = named.get_mut(part) else {
                return;
            };
            at = below;
        }
    }

    fn at(&mut self, path: &[u8]) -> Option<&mut Self> {
        let mut at = self;
        for part in path::parts(path) {
            let (Self::Partial(named) | Self::Whole { named, .. }) = at else {
                return None;
            };
            at = named.entry(part.to_vec()).or_insert_with(Self::empty);
        }
        Some(at)
    }

    /// Returns whether this path is in a source, is one, or is above one.
    ///
    /// With `may_replace` only other dumps count: a file of this host is replaced.
    pub(super) fn is_taken(&self, parts: &[&[u8]], may_replace: bool) -> bool {
        match (self, parts) {
            (Self::Whole { named, .. }, []) => !may_replace || !named.is_empty(),
            (Self::Made(_) | Self::LeftOut, _) | (Self::Partial(_), []) => true,
            (Self::Whole { .. }, _) if !may_replace => true,
            (Self::Partial(named) | Self::Whole { named, .. }, [first, rest @ ..]) => {
                named.get(*first).is_some_and(|child| child.is_taken(rest, may_replace))
            }
        }
    }
}

/// A file or directory that the user named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SourcePath {
    /// Its absolute path, without `.` and `..`.
    pub path: Vec<u8>,
    /// Whether to follow a symbolic link at this path.
    pub follows: bool,
}

/// Returns all sources, sorted, even those that do not exist. `link/` and `link/.` follow the link;
/// `all_follow` follows all.
pub(super) fn absolute(
    root: &SourceRoot,
    paths: &[PathBuf],
    all_follow: bool,
) -> Result<Vec<SourcePath>, Error> {
    let mut found = Vec::new();
    for path in paths {
        let failed = |source| Error::Source { path: path.display().to_string(), source };
        let refuse = |why: &str| Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
        if path.as_os_str().is_empty() {
            return refuse("the name is empty");
        }
        // `..` and the current directory would be looked up outside.
        let is_plain =
            path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        if !(root.is_usual() || is_plain) {
            return refuse("below another root it must be absolute, without `..`");
        }
        let absolute = std::path::absolute(path).map_err(failed)?;
        let clean = without_parents(&absolute).into_os_string().into_encoded_bytes();
        let bytes = path.as_os_str().as_bytes();
        let follows =
            all_follow || [&b"/"[..], b"/.", b"/.."].iter().any(|end| bytes.ends_with(end));
        found.push(SourcePath { path: clean, follows });
    }
    found.sort();
    // Of two equal paths, the one that follows links comes last.
    found.dedup_by(|next, kept| {
        let is_same = next.path == kept.path;
        kept.follows |= is_same && next.follows;
        is_same
    });
    Ok(found)
}

/// Returns the sources that can be read, and notes the others. Fails if none is left.
pub(super) fn readable(
    root: &SourceRoot,
    sources: &[SourcePath],
    has_dumps: bool,
    losses: &Losses,
) -> Result<Vec<SourcePath>, Error> {
    let mut good = Vec::new();
    for source in sources {
        let looked = root.stat(&source.path, source.follows);
        match looked.and_then(|_| refuse_below_link(root, source, sources)) {
            Ok(()) => good.push(source.clone()),
            Err(error) => losses.note_unread(&source.path, error),
        }
    }
    if good.is_empty() && !has_dumps {
        losses.refuse_nothing()?;
    }
    Ok(good)
}

/// Refuses a source below a link that is stored as a link: a path of a snapshot is either a link or
/// a directory.
fn refuse_below_link(
    root: &SourceRoot,
    source: &SourcePath,
    sources: &[SourcePath],
) -> io::Result<()> {
    let place = |path: &Path| {
        sources.binary_search_by(|other| other.path.as_slice().cmp(path.as_os_str().as_bytes()))
    };
    let find = |path: &Path| place(path).ok().map(|at| &sources[at]);
    let path = Path::new(OsStr::from_bytes(&source.path));
    for above in path.ancestors().skip(1) {
        let is_stored = match find(above) {
            Some(other) => !other.follows,
            None => above.ancestors().skip(1).any(|directory| find(directory).is_some()),
        };
        let kind = || root.stat(above.as_os_str().as_bytes(), false).map(|found| found.kind);
        if is_stored && kind()? == EntryKind::Symlink {
            let link = above.display();
            let why = format!(
                "it lies behind {link}, which is stored as a symbolic link; `{link}/` as a source \
                    follows it"
            );
            return Err(io::Error::other(why));
        }
    }
    Ok(())
}

/// Notes a source that is not a directory, and reports it if the user may expect something else.
///
/// A user who names a device or fifo expects its content. One that `is_within` another source is
/// only a part of that.
pub(super) fn note_file_source(
    source: &SourceContext,
    path: &[u8],
    stat: &Stat,
    before: Option<&DirEntry>,
    is_within: bool,
) {
    source.losses.note_parent_files(path, before.map_or(0, files_of));
    source.losses.note_stored(path, u64::from(stat.kind == EntryKind::File));
    let leads_to_special = || {
        // A link to the null device is meant to be empty.
        source.root.stat(path, true).is_ok_and(|found| {
            let is_null = found.kind == EntryKind::CharDevice && found.device == Some((1, 3));
            !matches!(found.kind, EntryKind::File | EntryKind::Dir) && !is_null
        })
    };
    let (is_lost, what) = match stat.kind {
        EntryKind::Symlink if is_descriptor(Path::new(OsStr::from_bytes(path))) => (
            true,
            "this source stands for what the program was started with: the link is stored, and \
                nothing is read (--read-special reads it)",
        ),
        EntryKind::Symlink if leads_to_special() => (
            true,
            "this source is a symbolic link to a device, fifo or socket: the link is stored, and \
                nothing is read (--read-special with what it leads to)",
        ),
        EntryKind::Symlink => (
            false,
            "this source is a symbolic link: the link is stored, not what it leads to (`LINK/` or \
                --follow-sources)",
        ),
        EntryKind::Fifo => (
            true,
            "this source is a fifo: it is stored as such and not read (--read-special reads it)",
        ),
        EntryKind::Socket => {
            (true, "this source is a socket: it is stored as such, and nothing is read")
        }
        EntryKind::BlockDevice => (
            true,
            "this source is a block device: it is stored as such and not read (--read-special \
                reads it)",
        ),
        EntryKind::CharDevice => (
            true,
            "this source is a character device: it is stored as such and not read (--read-special \
                reads it)",
        ),
        _ => return,
    };
    let kind = if is_lost && !is_within { ProblemKind::Unreadable } else { ProblemKind::Notice };
    source.monitor.source_problem(kind, path, what);
}

/// Resolves `..` through the file system, so that `link/..` has the kernel's meaning.
fn without_parents(path: &Path) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path.components().collect();
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            std::fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()).join(name)
        }
        _ => std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
    }
}

//! The oracle's picture of the disk: every name below a directory, read by the system's own calls
//! and kept plainly.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};

/// Seconds since 1970 and nanoseconds.
pub type Time = (i64, i64);

/// One name, and all that is known about it.
#[derive(Clone, Debug)]
pub struct Node {
    /// As JSON calls it.
    pub kind: &'static str,
    /// Twelve bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub ctime: Time,
    /// Device and inode number.
    pub inode: (u64, u64),
    pub nlink: u64,
    /// Content of a file, target of a symbolic link.
    pub bytes: Arc<Vec<u8>>,
    /// Bytes in holes that are at least 16 KiB long, and in those that are at least 64 KiB long.
    pub holes: [u64; 2],
    /// Whether a block of zeros takes room, which a restore makes a hole.
    pub has_full_zeros: bool,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Bytes of a file system's block.
const BLOCK_LEN: usize = 4 << 10;

/// Everything below a folder by its path from there; the folder itself is the empty path.
pub type Tree = BTreeMap<Vec<u8>, Node>;

impl Node {
    /// Looks at one name.
    pub fn of(path: &Path) -> Self {
        let about = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let kind = kind_of(&about);
        let (bytes, (holes, has_full_zeros)) = match kind {
            "file" => {
                let bytes = fs::read(path).unwrap();
                let holes = holes_of(path, &bytes);
                (bytes, holes)
            }
            "symlink" => {
                (fs::read_link(path).unwrap().into_os_string().into_vec(), ([0; 2], false))
            }
            _ => (Vec::new(), ([0; 2], false)),
        };
        Self {
            kind,
            mode: about.mode() & 0o7777,
            uid: about.uid(),
            gid: about.gid(),
            mtime: (about.mtime(), about.mtime_nsec()),
            ctime: (about.ctime(), about.ctime_nsec()),
            inode: (about.dev(), about.ino()),
            nlink: about.nlink(),
            bytes: Arc::new(bytes),
            holes,
            has_full_zeros,
            xattrs: xattrs_of(path),
        }
    }

    pub fn is_dir(&self) -> bool {
        self.kind == "dir"
    }

    pub fn is_file(&self) -> bool {
        self.kind == "file"
    }

    /// Returns whether it is one of several names of something.
    pub fn is_linked(&self) -> bool {
        self.nlink > 1 && !self.is_dir()
    }

    /// Returns the bytes of its content; only files have content.
    pub fn content_len(&self) -> u64 {
        if self.is_file() { self.bytes.len() as u64 } else { 0 }
    }

    /// Returns in what it differs from another, as `diff` names it; of folders what is in them does
    /// not count.
    pub fn differs(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("kind", self.kind != other.kind),
            ("content", self.kind == other.kind && self.bytes != other.bytes),
            ("mode", self.mode != other.mode),
            ("owner", self.uid != other.uid),
            ("group", self.gid != other.gid),
            ("mtime", self.mtime != other.mtime),
            ("xattrs", self.xattrs != other.xattrs),
            ("links", self.is_linked() != other.is_linked()),
        ];
        pairs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

fn kind_of(about: &Metadata) -> &'static str {
    let kind = about.file_type();
    match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => panic!("the oracle makes no {kind:?}"),
    }
}

fn xattrs_of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let Ok(len) = llistxattr(path, &mut names[..]) else { return BTreeMap::new() };
    let named = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let len = lgetxattr(path, name, &mut value[..]).unwrap();
        value[..len].to_vec()
    };
    named.map(|name| (name.to_vec(), value(name))).collect()
}

/// Returns the sums of the holes of a file, by asking its file system, and whether a block of zeros
/// lies outside of them.
fn holes_of(path: &Path, bytes: &[u8]) -> ([u64; 2], bool) {
    let len = bytes.len() as u64;
    let Ok(file) = File::open(path) else { return ([0; 2], false) };
    let (mut at, mut sums, mut has_full_zeros) = (0, [0; 2], false);
    while at < len {
        let start = seek(&file, SeekFrom::Data(at)).unwrap_or(len).min(len);
        for (sum, least) in sums.iter_mut().zip([16 << 10, 64 << 10]) {
            *sum += if start - at >= least { start - at } else { 0 };
        }
        at = if start < len {
            seek(&file, SeekFrom::Hole(start)).unwrap_or(len).max(start + 1).min(len)
        } else {
            len
        };
        let full = &bytes[start as usize..at as usize];
        has_full_zeros |=
            full.chunks_exact(BLOCK_LEN).any(|block| block.iter().all(|byte| *byte == 0));
    }
    (sums, has_full_zeros)
}

/// Returns everything below a folder, and the folder itself.
pub fn walk(root: &Path) -> Tree {
    let mut tree = Tree::from([(Vec::new(), Node::of(root))]);
    for path in names_below(root) {
        tree.insert(
            path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(),
            Node::of(&path),
        );
    }
    tree
}

/// Returns the absolute paths of everything below a folder; links are not followed.
pub fn names_below(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Returns what puts paths into the order of a listing: folder by folder, names by their bytes.
pub fn order(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
}

/// Returns where a tree differs from what it should be, one line a difference.
pub fn differences(wanted: &Tree, found: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for path in wanted.keys().chain(found.keys().filter(|path| !wanted.contains_key(*path))) {
        let shown = path.escape_ascii();
        match (wanted.get(path), found.get(path)) {
            (Some(_), None) => lines.push(format!("{shown} is missing")),
            (None, Some(_)) => lines.push(format!("{shown} should not be there")),
            (Some(one), Some(other)) => {
                let differs: Vec<_> =
                    one.differs(other).into_iter().filter(|field| *field != "links").collect();
                if !differs.is_empty() {
                    lines.push(format!(
                        "{shown} differs in {differs:?}: {} is {}",
                        about(one),
                        about(other)
                    ));
                }
            }
            (None, None) => {}
        }
    }
    lines.extend(link_differences(wanted, found));
    lines
}

/// Describes a node in a few words.
pub fn about(node: &Node) -> String {
    let Node { kind, mode, uid, gid, mtime, bytes, nlink, xattrs, .. } = node;
    let names: Vec<_> = xattrs.keys().map(|name| name.escape_ascii().to_string()).collect();
    format!(
        "{kind} {mode:o} {uid}:{gid} {}.{:09} {} B {nlink} names {names:?}",
        mtime.0,
        mtime.1,
        bytes.len()
    )
}

/// Names of one file must be names of one file, and of no other.
fn link_differences(wanted: &Tree, found: &Tree) -> Vec<String> {
    let (mut there, mut back, mut lines) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (path, node) in wanted.iter().filter(|(_, node)| !node.is_dir()) {
        let Some(other) = found.get(path) else { continue };
        let one = *there.entry(node.inode).or_insert(other.inode);
        let two = *back.entry(other.inode).or_insert(node.inode);
        if one != other.inode || two != node.inode {
            lines.push(format!("{} is linked otherwise", path.escape_ascii()));
        }
    }
    lines
}

/// Returns the files that take more room than they should: their holes are gone.
pub fn lost_holes(wanted: &Tree, found: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in wanted.iter().filter(|(_, node)| node.is_file()) {
        let size = usize::from(node.bytes.len() > 1 << 20);
        if let Some(other) = found
            .get(path)
            .filter(|other| other.bytes == node.bytes && other.holes[size] < node.holes[size])
        {
            lines.push(format!(
                "{} has holes of {:?} bytes instead of {:?}",
                path.escape_ascii(),
                other.holes,
                node.holes
            ));
        }
    }
    lines
}

//! Trees to back up, and a description that two equal trees share.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, XattrFlags};

use crate::support::fixture::{noise, set_mtime};

/// Makes a tree with every kind of entry that an ordinary user can make, and odd values of
/// everything.
pub fn all_kinds(root: &Path) {
    let dir = root.join("dir/empty");
    fs::create_dir_all(&dir).unwrap();
    for len in [0, 1, 511, 512, 513, 5000, 70_000] {
        fs::write(root.join(format!("file-{len}")), noise(len as u64, len)).unwrap();
    }
    fs::write(root.join("text"), "the same line over and over\n".repeat(9000)).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff\n")), "x").unwrap();
    fs::hard_link(root.join("file-70000"), root.join("dir/linked")).unwrap();
    symlink("../nowhere/at all", root.join("link")).unwrap();
    symlink("twice linked", root.join("link-1")).unwrap();
    fs::hard_link(root.join("link-1"), root.join("link-2")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(CWD, root.join("fifo"), fifo, 0o640.into(), 0).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    sparse(&root.join("sparse"));
    for (name, value) in
        [("user.empty", vec![]), ("user.short", b"\0\xff".to_vec()), ("user.long", noise(1, 3000))]
    {
        rustix::fs::setxattr(root.join("text"), name, &value, XattrFlags::empty()).unwrap();
    }
    rustix::fs::setxattr(root.join("dir"), "user.of-dir", b"1", XattrFlags::empty()).unwrap();
    for (name, mode) in
        [("file-1", 0o4755), ("file-511", 0o2710), ("file-513", 0o444), ("dir", 0o1777)]
    {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    set_mtime(&root.join("file-0"), -1_000_000_000, 123_456_789);
    set_mtime(&root.join("file-5000"), 4_000_000_000, 999_999_999);
    set_mtime(&root.join("link"), 1_000_000_000, 1);
    set_mtime(&dir, 1_500_000_000, 5);
}

fn sparse(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(&noise(7, 300_000), 10 << 20).unwrap();
    file.write_all_at(b"end", (64 << 20) - 3).unwrap();
}

/// Makes files with list trees of several levels, and a directory of several nodes.
pub fn large(root: &Path) {
    fs::write(root.join("large"), noise(1, 48 << 20)).unwrap();
    fs::write(root.join("medium"), noise(2, 3_000_000)).unwrap();
    let many = root.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..3000 {
        fs::write(many.join(format!("{number}")), format!("file {number}")).unwrap();
    }
}

/// Changes a few bytes inside a large file, and one name in a large directory.
pub fn change_a_little(root: &Path) {
    File::options()
        .write(true)
        .open(root.join("large"))
        .unwrap()
        .write_all_at(b"changed", 20 << 20)
        .unwrap();
    fs::rename(root.join("many/1500"), root.join("many/1500.new")).unwrap();
}

/// Returns a line for every path below `root`: everything that a restore must bring back.
pub fn describe(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let (mut lines, mut inodes) = (BTreeMap::new(), HashMap::new());
    describe_below(root, root, &mut lines, &mut inodes);
    lines
}

type Lines = BTreeMap<Vec<u8>, String>;

fn describe_below(root: &Path, path: &Path, lines: &mut Lines, inodes: &mut HashMap<u64, Vec<u8>>) {
    let stat = fs::symlink_metadata(path).unwrap();
    let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    let kind = stat.file_type();
    let content = match () {
        () if kind.is_symlink() => format!("{:?}", fs::read_link(path).unwrap()),
        () if kind.is_file() => blake3::hash(&fs::read(path).unwrap()).to_hex().to_string(),
        () => String::new(),
    };
    let size = if kind.is_dir() { 0 } else { stat.size() };
    let is_sparse = stat.blocks() * 512 < stat.size() / 2;
    let link = if stat.nlink() > 1 && !kind.is_dir() {
        format!("{:?}", inodes.entry(stat.ino()).or_insert_with(|| name.clone()))
    } else {
        String::new()
    };
    let owner = (stat.uid(), stat.gid(), stat.rdev());
    let time = (stat.mtime(), stat.mtime_nsec());
    let xattrs = if kind.is_symlink() { Vec::new() } else { xattrs(path) };
    let flags = flags(path);
    let line = format!(
        "{:o} {owner:?} {time:?} {size} {is_sparse} {content} {link} {xattrs:?} {flags:x}",
        stat.mode()
    );
    lines.insert(name, line);
    if kind.is_dir() {
        let mut names: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names.iter().for_each(|path| describe_below(root, path, lines, inodes));
    }
}

/// Returns those of the flags of an inode that a snapshot holds, as `statx` numbers them.
fn flags(path: &Path) -> u64 {
    let stat =
        rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, rustix::fs::StatxFlags::empty())
            .unwrap();
    stat.stx_attributes.bits() & 0x70
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names) else {
        return Vec::new();
    };
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found: Vec<(String, Vec<u8>)> = names
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let mut value = vec![0; 65_536];
            let len = rustix::fs::lgetxattr(path, name.as_str(), &mut value).unwrap();
            value.truncate(len);
            (name, value)
        })
        .collect();
    found.sort();
    found
}

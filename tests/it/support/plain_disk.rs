//! A file system that can do little: no hard links, no exclusive rename, no files without names, no
//! sync. Such are mounts of rclone, davfs2 and others.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use super::fuse::{FuseMount, Numbers, names_in, prefix};

/// Mounts an empty one at `dir`, which is made; `None`, after saying so, where the machine has no
/// FUSE.
pub fn mount_plain_disk(dir: &Path) -> Option<FuseMount> {
    let root = Node { content: None, time: SystemTime::now() };
    let state = State { tree: BTreeMap::from([(String::new(), root)]), numbers: Numbers::new() };
    let options = vec![MountOption::FSName("plain".to_owned())];
    FuseMount::new(Kernel(Mutex::new(state)), dir, options)
}

/// A file, or a folder if it has no content.
struct Node {
    content: Option<Vec<u8>>,
    time: SystemTime,
}

/// All nodes by path, and the numbers of paths.
struct State {
    tree: BTreeMap<String, Node>,
    numbers: Numbers,
}

struct Kernel(Mutex<State>);

impl Kernel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn attributes(&mut self, path: &str) -> Result<FileAttr, Errno> {
        let ino = INodeNo(self.numbers.number(path));
        let node = self.tree.get(path).ok_or(Errno::ENOENT)?;
        let (kind, perm) = if node.content.is_some() {
            (FileType::RegularFile, 0o600)
        } else {
            (FileType::Directory, 0o700)
        };
        let size = node.content.as_ref().map_or(0, Vec::len) as u64;
        let (atime, mtime, ctime, crtime) = (node.time, node.time, node.time, node.time);
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let (blocks, blksize, nlink, rdev, flags) = (size.div_ceil(512), 4096, 1, 0, 0);
        Ok(FileAttr {
            ino,
            size,
            blocks,
            atime,
            mtime,
            ctime,
            crtime,
            kind,
            perm,
            nlink,
            uid,
            gid,
            rdev,
            blksize,
            flags,
        })
    }

    fn make(&mut self, path: &str, content: Option<Vec<u8>>) -> Result<FileAttr, Errno> {
        if self.tree.contains_key(path) {
            return Err(Errno::EEXIST);
        }
        self.tree.insert(path.to_owned(), Node { content, time: SystemTime::now() });
        self.attributes(path)
    }

    fn remove(&mut self, path: &str) -> Result<Node, Errno> {
        self.numbers.forget(path);
        self.tree.remove(path).ok_or(Errno::ENOENT)
    }
}

impl Filesystem for Kernel {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        let path = state.numbers.below(parent, name);
        match state.attributes(&path) {
            Ok(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        let path = state.numbers.path(number);
        match state.attributes(&path) {
            Ok(attributes) => reply.attr(&Duration::ZERO, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let mut state = self.state();
        let path = state.numbers.below(parent, name);
        match state.make(&path, None) {
            Ok(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.state();
        let path = state.numbers.below(parent, name);
        match state.make(&path, Some(Vec::new())) {
            Ok(attributes) => {
                reply.created(
                    &Duration::ZERO,
                    &attributes,
                    Generation(0),
                    FileHandle(0),
                    FopenFlags::empty(),
                );
            }
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        len: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state();
        let content = state
            .tree
            .get(&state.numbers.path(number))
            .and_then(|node| node.content.as_deref())
            .unwrap_or_default();
        let start = content.len().min(offset as usize);
        reply.data(&content[start..content.len().min(start + len as usize)]);
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let path = state.numbers.path(number);
        let Some(content) = state.tree.get_mut(&path).and_then(|node| node.content.as_mut()) else {
            return reply.error(Errno::ENOENT);
        };
        let end = offset as usize + data.len();
        content.resize(content.len().max(end), 0);
        content[offset as usize..end].copy_from_slice(data);
        reply.written(data.len() as u32);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let path = state.numbers.below(parent, name);
        match state.remove(&path) {
            Ok(_) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags != RenameFlags::empty() {
            return reply.error(Errno::EINVAL);
        }
        let mut state = self.state();
        let numbers = &mut state.numbers;
        let (from, to) = (numbers.below(parent, name), numbers.below(new_parent, new_name));
        let number = numbers.number(&from);
        match state.remove(&from) {
            Ok(node) => {
                // What was there is replaced, as everywhere; the file keeps its number.
                let _ = state.remove(&to);
                state.numbers.rename(number, &to);
                state.tree.insert(to, node);
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        place: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut state = self.state();
        let above = state.numbers.path(number);
        let listed: Vec<(String, bool)> = names_in(&state.tree, &above)
            .map(|(name, node)| (name.to_owned(), node.content.is_none()))
            .collect();
        for (at, (name, is_folder)) in listed.iter().enumerate().skip(place as usize) {
            let kind = if *is_folder { FileType::Directory } else { FileType::RegularFile };
            let ino = INodeNo(state.numbers.number(&format!("{}{name}", prefix(&above))));
            if reply.add(ino, at as u64 + 1, kind, OsStr::new(name)) {
                break;
            }
        }
        reply.ok();
    }
}

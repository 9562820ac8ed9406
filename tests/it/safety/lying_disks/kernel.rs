//! FUSE handlers of a file system that lies.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyLseek, ReplyOpen, ReplyXattr,
    Request,
};

use super::{Node, Seek, Tree};
use crate::support::fuse::{Numbers, names_in, prefix};

const SEEK_DATA: i32 = 3;
const ENXIO: i32 = 6;

/// The file system as the kernel sees it.
pub struct Kernel {
    tree: Arc<Mutex<Tree>>,
    /// The kernel's own numbers: never those that are said.
    numbers: Mutex<Numbers>,
}

impl Kernel {
    pub fn new(tree: Arc<Mutex<Tree>>) -> Self {
        Self { tree, numbers: Mutex::new(Numbers::new()) }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: INodeNo) -> String {
        self.numbers().path(number)
    }

    /// Asks the node at a path.
    fn ask<T>(
        &self,
        path: &str,
        act: impl FnOnce(&mut Node) -> Result<T, i32>,
    ) -> Result<T, Errno> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let node = tree.get_mut(path).ok_or(Errno::ENOENT)?;
        act(node).map_err(Errno::from_i32)
    }

    fn attributes(&self, number: u64, node: &Node) -> FileAttr {
        let time = UNIX_EPOCH + Duration::from_secs(node.seconds);
        let (kind, perm) = match node.content {
            Some(_) if node.is_link => (FileType::Symlink, 0o777),
            Some(_) => (FileType::RegularFile, 0o644),
            None => (FileType::Directory, 0o755),
        };
        FileAttr {
            ino: INodeNo(number),
            size: node.len,
            blocks: node.blocks,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: node.links,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Kernel {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let path = self.numbers().below(parent, name);
        // Nothing is kept, so that every question is asked here.
        match self.ask(&path, |node| if node.is_lost { Err(2) } else { Ok(node.clone()) }) {
            Ok(node) => reply.entry(
                &Duration::ZERO,
                &self.attributes(self.numbers().number(&path), &node),
                Generation(0),
            ),
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
        match self.ask(&self.path(number), |node| Ok(node.clone())) {
            Ok(node) => {
                let said = if node.inode == 0 { number.0 } else { node.inode };
                reply.attr(&Duration::ZERO, &self.attributes(said, &node));
            }
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.ask(&self.path(number), |node| Ok(node.content.clone().unwrap_or_default())) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        }
    }

    fn getxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        room: u32,
        reply: ReplyXattr,
    ) {
        let known = |node: &mut Node| match node.hides_xattrs {
            true => Err(5),
            false => Ok(node.xattrs.iter().any(|known| *known == name)),
        };
        match self.ask(&self.path(number), known) {
            Ok(true) if room == 0 => reply.size(5),
            Ok(true) => reply.data(b"value"),
            Ok(false) => reply.error(Errno::NO_XATTR),
            Err(error) => reply.error(error),
        }
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, room: u32, reply: ReplyXattr) {
        let listed = self.ask(&self.path(number), |node| {
            Ok(node.xattrs.iter().map(|name| format!("{name}\0")).collect::<String>())
        });
        match listed {
            Ok(names) if room == 0 => reply.size(names.len() as u32),
            Ok(names) => reply.data(names.as_bytes()),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Otherwise the kernel would not read behind the length that was said.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
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
        let read = self.ask(&self.path(number), |node| {
            if node.busy > 0 {
                node.busy -= 1;
                return Err(11);
            }
            let content = node.content.as_deref().unwrap_or_default();
            let start = content.len().min(offset as usize);
            let mut end = content.len().min(start + len as usize);
            if let Some((at, error)) = node.fails_at {
                if offset >= at {
                    return Err(error);
                }
                end = end.min(at as usize);
            }
            Ok(content[start..end].to_vec())
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn lseek(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let said = self.ask(&self.path(number), |node| {
            let end = node.len as i64;
            match node.seek {
                Seek::Honest if offset >= end => Err(ENXIO),
                Seek::Honest if whence == SEEK_DATA => Ok(offset),
                Seek::Honest => Ok(end),
                Seek::NoData if whence == SEEK_DATA => Err(ENXIO),
                Seek::NoData | Seek::Stuck => Ok(offset),
                Seek::Backwards => Ok(0),
                Seek::Fails(error) => Err(error),
            }
        });
        match said {
            Ok(offset) => reply.offset(offset),
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
        let above = self.path(number);
        let listed: Vec<(String, FileType)> = {
            let tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
            let times = names_in(&tree, &above)
                .flat_map(|named| std::iter::repeat_n(named, named.1.listed));
            times.map(|(name, node)| (name.to_owned(), self.attributes(1, node).kind)).collect()
        };
        for (at, (name, kind)) in listed.iter().enumerate().skip(place as usize) {
            let ino = INodeNo(self.numbers().number(&format!("{}{name}", prefix(&above))));
            if reply.add(ino, at as u64 + 1, *kind, OsStr::new(name)) {
                break;
            }
        }
        reply.ok();
    }
}

//! FUSE request handlers; each delegates to `Files`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{
    Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::dirs::OpenDir;
use super::files::{FOREVER, Files, FuseResult};
use super::handles::Handles;

/// Numbers are never reused for another file, so there is one generation.
const GENERATION: Generation = Generation(0);
/// Background requests of the kernel, mostly readahead.
const BACKGROUND_MAX: u16 = 64;
/// Longest request, in bytes.
const REQUEST_LEN_MAX_BYTES: u32 = 1 << 20;
/// Kernel features to enable if available: attributes in listings, concurrent listings of one
/// directory, cached links, and ACLs.
const WANTED: [InitFlags; 5] = [
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_POSIX_ACL,
];
/// Block size of `statfs` in bytes.
const BLOCK_LEN_BYTES: u32 = 4_096;
const NAME_LEN_MAX_BYTES: u32 = 255;
/// Whence of `lseek`.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// FUSE front end of the file system.
pub(super) struct Kernel {
    files: Arc<Files>,
    folders: Handles<OpenDir>,
}

impl Kernel {
    /// Makes the front end.
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self { files, folders: Handles::default() }
    }

    fn folder(&self, handle: FileHandle) -> FuseResult<Arc<OpenDir>> {
        self.folders.get(handle.0).ok_or(rustix::io::Errno::BADF)
    }
}

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

/// Answers a request for an extended attribute or for their names; with the length only, if the
/// buffer is empty.
fn reply_xattr(answer: FuseResult<Option<Vec<u8>>>, room: u32, reply: ReplyXattr) {
    match answer {
        Ok(Some(bytes)) if room == 0 => reply.size(bytes.len().try_into().unwrap_or(u32::MAX)),
        Ok(Some(bytes)) if bytes.len() <= room as usize => reply.data(&bytes),
        Ok(Some(_)) => reply.error(Errno::ERANGE),
        Ok(None) => reply.error(Errno::NO_XATTR),
        Err(error) => reply.error(errno(error)),
    }
}

impl Filesystem for Kernel {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            // An older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        let _ = config.set_max_write(REQUEST_LEN_MAX_BYTES);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.files.lookup(parent.0, name.as_bytes()) {
            Ok(Some((attributes, time))) => reply.entry(&time, &attributes, GENERATION),
            // Number 0 is a negative entry, which the kernel may cache.
            Ok(None) => reply.entry(&FOREVER, &nothing(), GENERATION),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn forget(&self, _request: &Request, number: INodeNo, times: u64) {
        self.files.inodes.forget(number.0, times);
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.files.attributes_of(number.0) {
            Ok((attributes, time)) => reply.attr(&time, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.files.link_target(number.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.files.open(number.0) {
            Ok(handle) => reply.opened(
                FileHandle(handle),
                FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        len: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.files.read(handle.0, offset, len) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.files.close(handle.0);
        reply.ok();
    }

    fn lseek(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let answer = match (whence, u64::try_from(offset)) {
            (SEEK_DATA, Ok(offset)) => self.files.seek(handle.0, offset, true),
            (SEEK_HOLE, Ok(offset)) => self.files.seek(handle.0, offset, false),
            _ => Err(rustix::io::Errno::INVAL),
        };
        match answer {
            Ok(offset) => reply.offset(i64::try_from(offset).unwrap_or(i64::MAX)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.files.open_dir(number.0) {
            Ok(folder) => {
                let kept = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
                let flags = if folder.is_fixed() { kept } else { FopenFlags::empty() };
                reply.opened(FileHandle(self.folders.open(folder)), flags);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        place: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.folder(handle).and_then(|folder| {
            self.files.list(&folder, place, false, &mut |line| {
                reply.add(INodeNo(line.number), line.next, line.kind, OsStr::from_bytes(line.name))
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        place: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.folder(handle).and_then(|folder| {
            let time = if folder.is_fixed() { FOREVER } else { super::files::BRIEFLY };
            self.files.list(&folder, place, true, &mut |line| {
                let Some(attributes) = &line.attributes else { return false };
                reply.add(
                    INodeNo(line.number),
                    line.next,
                    OsStr::from_bytes(line.name),
                    &time,
                    attributes,
                    GENERATION,
                )
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.folders.close(handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, number: INodeNo, reply: ReplyStatfs) {
        match self.files.totals(number.0) {
            Ok(totals) => {
                let blocks = totals.bytes.div_ceil(BLOCK_LEN_BYTES.into());
                let files = totals.files.saturating_add(totals.dirs);
                reply.statfs(
                    blocks,
                    0,
                    0,
                    files,
                    0,
                    BLOCK_LEN_BYTES,
                    NAME_LEN_MAX_BYTES,
                    BLOCK_LEN_BYTES,
                );
            }
            Err(error) => reply.error(errno(error)),
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
        let value = self.files.with_xattrs(number.0, |xattrs| {
            xattrs
                .iter()
                .find(|xattr| xattr.name == name.as_bytes())
                .map(|xattr| xattr.value.clone())
        });
        reply_xattr(value, room, reply);
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, room: u32, reply: ReplyXattr) {
        let names = self.files.with_xattrs(number.0, |xattrs| {
            Some(xattrs.iter().flat_map(|xattr| [&xattr.name[..], b"\0"].concat()).collect())
        });
        reply_xattr(names, room, reply);
    }
}

fn nothing() -> FileAttr {
    let time = std::time::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: fuser::FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

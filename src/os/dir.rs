//! An open directory; everything is done relative to it, so paths of any length work and nothing
//! can be swapped under us.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, readlinkat, statx,
};

use super::stat::Stat;

/// An open directory.
pub struct Dir {
    fd: OwnedFd,
    /// Whether it was listed, so that its position may be at the end.
    is_listed: AtomicBool,
}

const LISTING_LEN_BYTES: usize = 32 << 10;

thread_local! {
    /// Where the kernel puts a listing: one buffer per thread, because walks list a hundred
    /// thousand folders.
    static LISTING: std::cell::RefCell<Vec<MaybeUninit<u8>>> =
        const { std::cell::RefCell::new(Vec::new()) };
}

const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOATIME);

impl Dir {
    /// Opens the directory at `path`, following symbolic links.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_without_atime(CWD, path.as_os_str().as_encoded_bytes(), DIR_FLAGS)
    }

    /// Opens the directory at `path` only to reach its content, which needs no right to list
    /// it.
    pub fn open_for_lookup(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::from_fd(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the directory `name` in this one; a symbolic link is refused.
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Self> {
        open_without_atime(self.fd.as_fd(), name, DIR_FLAGS | OFlags::NOFOLLOW)
    }

    /// Opens the directory that `name` in this one is or leads to.
    pub fn open_through(&self, name: &[u8]) -> io::Result<Self> {
        open_without_atime(self.fd.as_fd(), name, DIR_FLAGS)
    }

    /// Takes over an open directory.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, is_listed: AtomicBool::new(false) }
    }

    /// Lists all names but `.` and `..`, sorted by their bytes.
    pub fn names(&self) -> io::Result<DirNames> {
        if self.is_listed.swap(true, Ordering::Relaxed) {
            rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        }
        LISTING.with_borrow_mut(|buffer| {
            buffer.resize(LISTING_LEN_BYTES, MaybeUninit::uninit());
            let mut names = DirNames::default();
            let mut raw = RawDir::new(self.fd.as_fd(), buffer);
            while let Some(entry) = raw.next() {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(name, entry.file_type());
                }
            }
            names.sort();
            Ok(names)
        })
    }

    /// Lists the directory anew until a name with its inode number is the one that is looked for,
    /// through at most `max` names. Returns whether there was one, and how many names it took.
    ///
    /// Others may list it at the same time: this has a place in it of its own.
    pub fn search(
        &self,
        max: u64,
        mut is_it: impl FnMut(&[u8], u64) -> bool,
    ) -> io::Result<(bool, u64)> {
        let again = self.open_dir(b".")?;
        LISTING.with_borrow_mut(|buffer| {
            buffer.resize(LISTING_LEN_BYTES, MaybeUninit::uninit());
            let mut raw = RawDir::new(again.fd.as_fd(), buffer);
            for count in 0..max {
                let Some(entry) = raw.next() else { return Ok((false, count)) };
                let entry = entry?;
                if is_it(entry.file_name().to_bytes(), entry.ino()) {
                    return Ok((true, count + 1));
                }
            }
            Ok((false, max))
        })
    }

    /// Describes `name` in this directory without following it; a network file system is asked, not
    /// its cache.
    pub fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Ok(Stat::from_statx(&statx(&self.fd, name, flags, STAT_MASK)?))
    }

    /// Returns the device that `name` is on. A mount that does not let this user look at it tells
    /// at least this.
    pub fn device_of(&self, name: &[u8]) -> io::Result<(u32, u32)> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = statx(&self.fd, name, flags, StatxFlags::empty())?;
        Ok((stat.stx_dev_major, stat.stx_dev_minor))
    }

    /// Returns where this directory is now, absolute; `None` where the system does not tell.
    pub fn path(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).ok()
    }

    /// Describes this directory.
    pub fn stat_self(&self) -> io::Result<Stat> {
        stat_of(&self.fd)
    }

    /// Opens the file `name` for reading without following it, waiting for a writer, or touching
    /// its access time.
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        match openat(&self.fd, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(rustix::io::Errno::PERM) => {
                Ok(File::from(openat(&self.fd, name, flags, Mode::empty())?))
            }
            opened => Ok(File::from(opened?)),
        }
    }

    /// Returns the target of the symbolic link `name`.
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Describes an open file or directory.
pub fn stat_of(fd: impl AsFd) -> io::Result<Stat> {
    Ok(Stat::from_statx(&statx(fd, c"", AtFlags::EMPTY_PATH, STAT_MASK)?))
}

const STAT_MASK: StatxFlags =
    StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// `O_NOATIME` is only for owners: others get the directory opened the usual way.
fn open_without_atime(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> io::Result<Dir> {
    match openat(at, name, flags, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => {
            Ok(Dir::from_fd(openat(at, name, flags - OFlags::NOATIME, Mode::empty())?))
        }
        opened => Ok(Dir::from_fd(opened?)),
    }
}

/// The names of one directory in one block of memory: about 8 bytes more than the names themselves.
#[derive(Default)]
pub struct DirNames {
    bytes: Vec<u8>,
    spans: Vec<NameSpan>,
}

/// Where a name is in the block.
struct NameSpan {
    start: u32,
    len: u16,
    /// The listing said that it is a directory.
    is_dir: bool,
}

impl DirNames {
    /// Appends a name; `kind` is a hint from the listing.
    pub fn push(&mut self, name: &[u8], kind: FileType) {
        let start = u32::try_from(self.bytes.len())
            .expect("the names of one directory take less than 4 GiB");
        let len = u16::try_from(name.len()).expect("names are at most 4096 bytes");
        self.bytes.extend_from_slice(name);
        self.spans.push(NameSpan { start, len, is_dir: kind == FileType::Directory });
    }

    /// Adds names that are not there yet, in their order.
    pub fn add<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        let missing: Vec<&[u8]> = names.filter(|name| !self.contains(name)).collect();
        missing.iter().for_each(|name| self.push(name, FileType::Unknown));
        if !missing.is_empty() {
            self.sort();
        }
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.spans.sort_unstable_by(|a, b| slice(bytes, a).cmp(slice(bytes, b)));
        // Unions, and folders that change meanwhile, may list a name twice; no tree can hold it
        // twice.
        self.spans.dedup_by(|a, b| slice(bytes, a) == slice(bytes, b));
    }

    /// Returns how many names there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns whether the directory is empty.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns the name at `position` in the order of bytes.
    pub fn get(&self, position: usize) -> &[u8] {
        slice(&self.bytes, &self.spans[position])
    }

    /// Returns whether the listing said that this name is a directory.
    pub fn is_dir_hint(&self, position: usize) -> bool {
        self.spans[position].is_dir
    }

    /// Returns whether `name` is there.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|span| slice(&self.bytes, span).cmp(name)).is_ok()
    }

    /// Returns all names in the order of bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|span| slice(&self.bytes, span))
    }
}

fn slice<'a>(bytes: &'a [u8], span: &NameSpan) -> &'a [u8] {
    &bytes[span.start as usize..span.start as usize + usize::from(span.len)]
}

//! Open directories. All access is relative to them, so paths may be of any length and no component
//! can be swapped.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, openat, openat2,
    readlinkat, statx,
};

use super::stat::Stat;

/// An open directory.
pub struct Dir {
    fd: OwnedFd,
    /// It was listed, so its position may be at the end.
    is_listed: AtomicBool,
}

const LISTING_LEN_BYTES: usize = 32 << 10;

thread_local! {
    /// Buffer of listings: one per thread, because walks list a hundred thousand directories.
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

    /// Opens the directory at `path` with `O_PATH`, which needs no permission to list it.
    pub fn open_for_lookup(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::from_fd(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the directory at `path`, with this directory as the root of all paths and links.
    ///
    /// Needs Linux 5.6 or later, and fails with `Unsupported` before that.
    pub fn open_in_root(&self, path: &Path) -> io::Result<Self> {
        match self.open_any_in_root(path, DIR_FLAGS) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.open_any_in_root(path, DIR_FLAGS - OFlags::NOATIME).map(Self::from_fd)
            }
            opened => opened.map(Self::from_fd),
        }
    }

    /// Like [`Self::open_in_root`], but needs no permission to list the directory.
    pub fn lookup_in_root(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.open_any_in_root(path, flags).map(Self::from_fd)
    }

    /// Returns the status of what is at `path`, with this directory as the root.
    pub fn stat_in_root(&self, path: &Path, follows: bool) -> io::Result<Stat> {
        let nofollow = if follows { OFlags::empty() } else { OFlags::NOFOLLOW };
        stat_of(self.open_any_in_root(path, OFlags::PATH | OFlags::CLOEXEC | nofollow)?)
    }

    /// Returns the absolute path of what `path` leads to, with this directory as the root.
    pub fn path_in_root(&self, path: &Path) -> io::Result<PathBuf> {
        let found = self.open_any_in_root(path, OFlags::PATH | OFlags::CLOEXEC)?;
        std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    fn open_any_in_root(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.fd, path, flags, Mode::empty(), resolve).map_err(|errno| match errno {
            rustix::io::Errno::NOSYS => {
                let why = "this kernel cannot resolve paths below another root (Linux 5.6 can)";
                io::Error::new(io::ErrorKind::Unsupported, why)
            }
            errno => errno.into(),
        })
    }

    /// Opens the directory `name` in this one; a symbolic link is refused.
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Self> {
        open_without_atime(self.fd.as_fd(), name, DIR_FLAGS | OFlags::NOFOLLOW)
    }

    /// Opens the directory `name` in this one, following a symbolic link.
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

    /// Lists the directory until `is_it` returns true for a name and its inode number, for at most
    /// `max` names. Returns whether it did, and the number of names that were read.
    ///
    /// Opens the directory again, so that concurrent listings do not disturb each other.
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

    /// Returns the status of `name` in this directory without following it; a network file system
    /// asks its server.
    pub fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Ok(Stat::from_statx(&statx(&self.fd, name, flags, STAT_MASK)?))
    }

    /// Returns the device that `name` is on. This works even for a mount whose root this user may
    /// not access.
    pub fn device_of(&self, name: &[u8]) -> io::Result<(u32, u32)> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = statx(&self.fd, name, flags, StatxFlags::empty())?;
        Ok((stat.stx_dev_major, stat.stx_dev_minor))
    }

    /// Returns the current absolute path of this directory; `None` if the system does not tell.
    pub fn path(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).ok()
    }

    /// Returns the status of this directory.
    pub fn stat_self(&self) -> io::Result<Stat> {
        stat_of(&self.fd)
    }

    /// Opens the file `name` for reading without following a link, waiting for a writer, or
    /// changing its access time.
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

/// Returns the status of what is at `path`, of a symbolic link itself unless it `follows`.
pub fn stat_path(path: &Path, follows: bool) -> io::Result<Stat> {
    let nofollow = if follows { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    Ok(Stat::from_statx(&statx(CWD, path, nofollow, STAT_MASK)?))
}

/// Returns the status of an open file or directory.
pub fn stat_of(fd: impl AsFd) -> io::Result<Stat> {
    Ok(Stat::from_statx(&statx(fd, c"", AtFlags::EMPTY_PATH, STAT_MASK)?))
}

const STAT_MASK: StatxFlags =
    StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// Opens with `O_NOATIME`, which only owners may use, else without it.
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

/// Position of a name in the block.
struct NameSpan {
    start: u32,
    len: u16,
    /// Whether the listing says that it is a directory.
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

    /// Adds missing names and sorts them in.
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
        // Union file systems, and directories that change meanwhile, may list a name twice; a tree
        // cannot hold it twice.
        self.spans.dedup_by(|a, b| slice(bytes, a) == slice(bytes, b));
    }

    /// Returns the number of names.
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

    /// Returns whether the listing says that this name is a directory.
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

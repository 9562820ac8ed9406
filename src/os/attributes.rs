//! Extended attributes (with ACLs and capabilities) and file-system flags; links are never
//! followed.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{self, IFlags, OFlags, XattrFlags};
use rustix::io::Errno;

use super::special::proc_path;
use super::stat::Stat;
use crate::format::entry::{EntryKind, Xattr, entry_flag};

/// Returns the extended attributes of `name` in `dir`, sorted by name; for a symbolic link, those
/// of the link.
///
/// Empty if the file system has none; an attribute that vanishes while it is read is left out.
/// Files that must not be opened (links, sockets, devices, unreadable files) have attributes, too,
/// so this never opens them: see [`XattrTarget`].
///
/// It needs /proc. Without it, files and directories are opened after all, and others fail with
/// `Unsupported`.
pub fn read_xattrs(dir: impl AsFd, name: &[u8], kind: EntryKind) -> io::Result<PartialXattrs> {
    match XattrTarget::named(dir.as_fd(), name).read_each() {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && !std::path::Path::new("/proc/self/fd").exists() =>
        {
            match kind {
                EntryKind::Dir | EntryKind::File => {
                    let flags =
                        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    read_xattrs_of(fs::openat(dir, name, flags, fs::Mode::empty())?)
                }
                _ => Err(io::Error::new(io::ErrorKind::Unsupported, "/proc is not mounted")),
            }
        }
        read => read,
    }
}

/// Returns the extended attributes of an open file or directory, sorted by name; empty where the
/// file system has none.
pub fn read_xattrs_of(fd: impl AsFd) -> io::Result<PartialXattrs> {
    XattrTarget::Open(fd.as_fd()).read_each()
}

/// Returns the file-system flags as [`entry_flag`] bits.
pub fn read_flags(stat: &Stat) -> u32 {
    const STATX_FLAGS: [(u64, u32); 3] = [
        (0x10, entry_flag::IMMUTABLE),
        (0x20, entry_flag::APPEND_ONLY),
        (0x40, entry_flag::NO_DUMP),
    ];
    STATX_FLAGS
        .iter()
        .filter(|(bit, _)| stat.attributes & bit != 0)
        .fold(0, |flags, (_, flag)| flags | flag)
}

/// Sets the file-system flags of an open file or directory to those in `flags` (bits of
/// [`entry_flag`]).
///
/// Does nothing, and so needs no privilege, if they are right already. Ordinary users may not
/// change "immutable" and "append only". Fails with `ENOTTY` or `EOPNOTSUPP` if the file system has
/// no flags.
pub fn write_flags(fd: impl AsFd, flags: u32) -> io::Result<()> {
    const INODE_FLAGS: [(IFlags, u32); 3] = [
        (IFlags::IMMUTABLE, entry_flag::IMMUTABLE),
        (IFlags::APPEND, entry_flag::APPEND_ONLY),
        (IFlags::NODUMP, entry_flag::NO_DUMP),
    ];
    let present = fs::ioctl_getflags(&fd)?;
    let mut wanted = present;
    for (bit, flag) in INODE_FLAGS {
        wanted.set(bit, flags & flag != 0);
    }
    if wanted != present {
        fs::ioctl_setflags(&fd, wanted)?;
    }
    Ok(())
}

/// The kernel's limit for lists of names and for values, in bytes.
const XATTR_LEN_MAX_BYTES: usize = 64 << 10;
/// Size of the stack buffer that is tried first, in bytes.
const SMALL_LEN_BYTES: usize = 512;

/// Name and error of an unreadable attribute.
pub type UnreadXattr = (Vec<u8>, io::Error);

/// The readable attributes, sorted by name, and the unreadable ones.
pub type PartialXattrs = (Vec<Xattr>, Vec<UnreadXattr>);

/// A file whose extended attributes are accessed.
pub enum XattrTarget<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A path whose last component is not followed.
    ///
    /// Always `/proc/self/fd/N/NAME`: it leads to the open directory itself, even after a rename,
    /// and to one name in it, so nothing can be swapped. (Calls relative to a directory exist only
    /// since Linux 6.13.)
    Path(Vec<u8>),
    /// The target of an `O_PATH` descriptor, by its path in /proc.
    Named(String, PhantomData<BorrowedFd<'a>>),
}

impl<'a> XattrTarget<'a> {
    /// Names `name` in the open directory `dir` without opening it; `dir` must stay open while this
    /// is used.
    pub fn named(dir: BorrowedFd<'a>, name: &[u8]) -> Self {
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        Self::Path(path)
    }

    /// Takes the `O_PATH` descriptor of a link or special file; `fd` must stay open while this is
    /// used.
    pub fn of_path(fd: BorrowedFd<'a>) -> Self {
        Self::Named(proc_path(fd), PhantomData)
    }

    /// Returns all attributes, sorted by name; fails if one cannot be read.
    pub fn read_all(&self) -> io::Result<Vec<Xattr>> {
        let (xattrs, unread) = self.read_each()?;
        unread.into_iter().next().map_or(Ok(xattrs), |(_, error)| Err(error))
    }

    /// Returns the attributes that can be read, sorted by name, and the names of those that cannot.
    pub fn read_each(&self) -> io::Result<PartialXattrs> {
        let mut small = [0; SMALL_LEN_BYTES];
        let mut large = Vec::new();
        let names: &[u8] = match self.list(&mut small) {
            Ok(len) => &small[..len],
            Err(Errno::RANGE) => {
                large.resize(XATTR_LEN_MAX_BYTES, 0);
                let len = self.list(&mut large)?;
                &large[..len]
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Default::default()),
            Err(error) => return Err(error.into()),
        };
        let (mut xattrs, mut unread) = (Vec::new(), Vec::new());
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match self.read(name) {
                Ok(Some(value)) => xattrs.push(Xattr { name: name.to_vec(), value }),
                Ok(None) => {}
                Err(error) => unread.push((name.to_vec(), error)),
            }
        }
        xattrs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        // A file system may list a name twice.
        xattrs.dedup_by(|a, b| a.name == b.name);
        Ok((xattrs, unread))
    }

    /// Returns the value of one attribute; `None` if it does not exist.
    pub fn read(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut small = [0; SMALL_LEN_BYTES];
        match self.get(name, &mut small) {
            Ok(len) => Ok(Some(small[..len].to_vec())),
            Err(Errno::RANGE) => {
                let mut large = vec![0; XATTR_LEN_MAX_BYTES];
                let len = self.get(name, &mut large)?;
                Ok(Some(large[..len].to_vec()))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets one attribute, new or not.
    pub fn write(&self, xattr: &Xattr) -> io::Result<()> {
        let (name, value) = (xattr.name.as_slice(), xattr.value.as_slice());
        Ok(match self {
            Self::Open(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Path(path) => fs::lsetxattr(path, name, value, XattrFlags::empty()),
            Self::Named(path, _) => fs::setxattr(path, name, value, XattrFlags::empty()),
        }?)
    }

    /// Removes one attribute.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(match self {
            Self::Open(fd) => fs::fremovexattr(fd, name),
            Self::Path(path) => fs::lremovexattr(path, name),
            Self::Named(path, _) => fs::removexattr(path, name),
        }?)
    }

    fn list(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => fs::flistxattr(fd, buffer),
            Self::Path(path) => fs::llistxattr(path, buffer),
            Self::Named(path, _) => fs::listxattr(path, buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => fs::fgetxattr(fd, name, buffer),
            Self::Path(path) => fs::lgetxattr(path, name, buffer),
            Self::Named(path, _) => fs::getxattr(path, name, buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::dir::Dir;

    fn xattr(name: &[u8], value: &[u8]) -> Xattr {
        Xattr { name: name.to_vec(), value: value.to_vec() }
    }

    #[test]
    fn values_of_every_size_come_back_sorted() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        assert_eq!(read_xattrs(&dir, b"f", EntryKind::File).unwrap().0, []);
        let wanted =
            [xattr(b"user.a", b""), xattr(b"user.b", &[7; 700]), xattr(b"user.c\xff", b"\0\xff")];
        for xattr in wanted.iter().rev() {
            XattrTarget::named(dir.as_fd(), b"f").write(xattr).unwrap();
        }
        assert_eq!(read_xattrs(&dir, b"f", EntryKind::File).unwrap().0, wanted);
        assert_eq!(read_xattrs_of(dir.open_file(b"f").unwrap()).unwrap().0, wanted);
        XattrTarget::named(dir.as_fd(), b"f").remove(b"user.b").unwrap();
        assert_eq!(read_xattrs_of(dir.open_file(b"f").unwrap()).unwrap().0.len(), 2);
    }

    #[test]
    fn a_link_shows_its_own_attributes() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        std::os::unix::fs::symlink("f", folder.path().join("l")).unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        XattrTarget::named(dir.as_fd(), b"f").write(&xattr(b"user.a", b"1")).unwrap();
        assert_eq!(read_xattrs(&dir, b"l", EntryKind::Symlink).unwrap().0, []);
        if rustix::process::geteuid().is_root() {
            XattrTarget::named(dir.as_fd(), b"l").write(&xattr(b"trusted.t", b"2")).unwrap();
            assert_eq!(
                read_xattrs(&dir, b"l", EntryKind::Symlink).unwrap().0,
                [xattr(b"trusted.t", b"2")]
            );
            assert_eq!(
                read_xattrs(&dir, b"f", EntryKind::File).unwrap().0,
                [xattr(b"user.a", b"1")]
            );
        }
    }

    #[test]
    fn flags_are_set_and_taken_away() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let file = dir.open_file(b"f").unwrap();
        write_flags(&file, entry_flag::NO_DUMP).unwrap();
        assert_eq!(read_flags(&dir.stat(b"f").unwrap()), entry_flag::NO_DUMP);
        write_flags(&file, 0).unwrap();
        assert_eq!(read_flags(&dir.stat(b"f").unwrap()), 0);
    }
}

//! Creation, linking, renaming and removal of names, relative to an open directory and never
//! through a symbolic link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::dir::Dir;
use super::process::own_ids;
use crate::format::entry::EntryKind;

/// Makes the directory `name`, for its owner alone until its metadata is applied.
pub fn make_dir(dir: &Dir, name: &[u8]) -> io::Result<()> {
    Ok(fs::mkdirat(dir, name, Mode::RWXU)?)
}

/// Creates and opens the file `name`, which must not exist, with these permission bits, reduced by
/// the umask.
pub fn create_file(dir: &Dir, name: &[u8], mode: u16) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(fs::openat(dir, name, flags, Mode::from_raw_mode(u32::from(mode)))?))
}

/// Opens the existing file `name` for reading and writing; never blocks on a fifo or device.
pub fn open_to_change(dir: &Dir, name: &[u8]) -> io::Result<File> {
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(fs::openat(dir, name, flags, Mode::empty())?))
}

/// Makes the symbolic link `name`.
pub fn make_symlink(dir: &Dir, name: &[u8], target: &[u8]) -> io::Result<()> {
    Ok(fs::symlinkat(target, dir, name)?)
}

/// Makes a fifo, socket or device node, for its owner alone until its metadata is applied.
///
/// Devices need privileges. Fails with `InvalidInput` for files, directories and links.
pub fn make_special(
    dir: &Dir,
    name: &[u8],
    kind: EntryKind,
    device: Option<(u32, u32)>,
) -> io::Result<()> {
    let file_type = match kind {
        EntryKind::Fifo => FileType::Fifo,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice => FileType::CharacterDevice,
        EntryKind::BlockDevice => FileType::BlockDevice,
        EntryKind::File | EntryKind::Dir | EntryKind::Symlink => {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    };
    let device = device.map_or(0, |(major, minor)| fs::makedev(major, minor));
    Ok(fs::mknodat(dir, name, file_type, Mode::RUSR | Mode::WUSR, device)?)
}

/// Opens `name` with `O_PATH`: no link is followed, and no device is opened.
pub fn open_path(dir: &Dir, name: &[u8]) -> io::Result<OwnedFd> {
    Ok(fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Returns the target of a symbolic link that was opened with [`open_path`].
pub fn read_open_link(link: &OwnedFd) -> io::Result<Vec<u8>> {
    Ok(fs::readlinkat(link, c"", Vec::new())?.into_bytes())
}

/// Sets the permission bits of the target of `fd`, which was opened with [`open_path`] and is no
/// symbolic link.
///
/// `dir` and `name` are its directory and name: they are used only if `/proc` is missing, and only
/// if no other user can change names there.
pub fn change_mode_of(fd: impl AsFd, dir: &Dir, name: &[u8], mode: u16) -> io::Result<()> {
    let mode = Mode::from_raw_mode(u32::from(mode));
    match fs::chmodat(CWD, proc_path(fd.as_fd()), mode, AtFlags::empty()) {
        Err(Errno::NOENT) => {}
        done => return Ok(done?),
    }
    let around = dir.stat_self()?;
    if around.uid != own_ids().0 || around.mode & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "/proc is not mounted"));
    }
    Ok(fs::chmodat(dir, name, mode, AtFlags::empty())?)
}

/// Sets the permission bits of `name`, which must be of this kind, without permission to open it.
pub fn change_mode(dir: &Dir, name: &[u8], kind: EntryKind, mode: u16) -> io::Result<()> {
    let fd = open_path(dir, name)?;
    if super::dir::stat_of(&fd)?.kind != kind {
        return Err(io::Error::other("it was replaced meanwhile"));
    }
    change_mode_of(&fd, dir, name, mode)
}

/// Returns a path to the target of an open descriptor, which works even after renames.
pub fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Makes `name` in `dir` a hard link to `from_name` in `from`.
pub fn make_hard_link(from: &Dir, from_name: &[u8], dir: &Dir, name: &[u8]) -> io::Result<()> {
    Ok(fs::linkat(from, from_name, dir, name, AtFlags::empty())?)
}

/// Renames `name` to `to` in the same directory; `to` must not exist.
pub fn rename_to_free(dir: &Dir, name: &[u8], to: &[u8]) -> io::Result<()> {
    match fs::renameat_with(dir, name, dir, to, RenameFlags::NOREPLACE) {
        // Some file systems (network, FUSE) cannot guarantee it: there the new name is checked
        // first.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match dir.stat(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(fs::renameat(dir, name, dir, to)?)
            }
            Err(error) => Err(error),
        },
        renamed => Ok(renamed?),
    }
}

/// Removes a name that is not a directory.
pub fn remove(dir: &Dir, name: &[u8]) -> io::Result<()> {
    Ok(fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Removes an empty directory.
pub fn remove_dir(dir: &Dir, name: &[u8]) -> io::Result<()> {
    Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_made_and_none_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir_all(folder.path().join("in")).unwrap();
        let dir = Dir::open(&folder.path().join("in")).unwrap();
        make_special(&dir, b"fifo", EntryKind::Fifo, None).unwrap();
        make_special(&dir, b"socket", EntryKind::Socket, None).unwrap();
        make_symlink(&dir, b"link", b"../outside").unwrap();
        make_hard_link(&dir, b"link", &dir, b"again").unwrap();
        assert_eq!(dir.stat(b"fifo").unwrap().kind, EntryKind::Fifo);
        assert_eq!(dir.stat(b"socket").unwrap().kind, EntryKind::Socket);
        assert_eq!(dir.read_link(b"again").unwrap(), b"../outside");
        assert!(
            create_file(&dir, b"link", 0o600).is_err() && open_to_change(&dir, b"link").is_err()
        );
        assert!(dir.open_dir(b"link").is_err() && !outside.exists());
        if rustix::process::geteuid().is_root() {
            make_special(&dir, b"null", EntryKind::CharDevice, Some((1, 3))).unwrap();
            assert_eq!(dir.stat(b"null").unwrap().device, Some((1, 3)));
        }
        assert!(rename_to_free(&dir, b"fifo", b"socket").is_err());
        rename_to_free(&dir, b"fifo", b"pipe").unwrap();
        remove(&dir, b"pipe").unwrap();
        make_dir(&dir, b"d").unwrap();
        remove_dir(&dir, b"d").unwrap();
    }
}

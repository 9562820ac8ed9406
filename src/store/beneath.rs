//! Opening files below a directory without following links.
//!
//! Another user with write access to the directory could replace anything in it by a symbolic link.
//! So no link below it is followed; only the path to the directory itself, which the user gave, may
//! contain links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Attempts while the kernel cannot be sure because names change.
const LOOKS_MAX: usize = 16;

/// The kernel has no `openat2`.
static IS_STEPWISE: AtomicBool = AtomicBool::new(false);

/// Opens a file or directory below a directory; `path` is relative, without empty parts, `.` and
/// `..`.
///
/// Fails with `ELOOP` (see [`is_link`]) if any part of the path is a symbolic link.
pub fn open(folder: impl AsFd, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let folder = folder.as_fd();
    if !IS_STEPWISE.load(Ordering::Relaxed) {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..LOOKS_MAX {
            match rustix::fs::openat2(folder, path, flags, mode, resolve) {
                Ok(file) => return Ok(file.into()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => {
                    IS_STEPWISE.store(true, Ordering::Relaxed);
                    break;
                }
                // Filters of system calls (seccomp) return the first for unknown calls; the second
                // may mean a link at the end.
                Err(Errno::PERM | Errno::NOTDIR) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    open_stepwise(folder, path, flags, mode)
}

/// Returns whether a failure of [`open`] is about a symbolic link.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Opens one directory after the other, for older kernels.
fn open_stepwise(folder: impl AsFd, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
    let (above, name) =
        path.rsplit_once('/').map_or((None, path), |(above, name)| (Some(above), name));
    let mut at: Option<OwnedFd> = None;
    for part in above.into_iter().flat_map(|above| above.split('/')) {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = at.as_ref().map_or(folder.as_fd(), AsFd::as_fd);
        at = Some(open_part(from, part, step, Mode::empty())?);
    }
    Ok(open_part(at.as_ref().map_or(folder.as_fd(), AsFd::as_fd), name, flags, mode)?.into())
}

fn open_part(folder: impl AsFd, name: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    match rustix::fs::openat(&folder, name, flags, mode) {
        // The kernel reports a link like this where a directory is expected.
        Err(Errno::NOTDIR) if is_symlink(&folder, name) => Err(Errno::LOOP.into()),
        opened => Ok(opened?),
    }
}

fn is_symlink(folder: impl AsFd, name: &str) -> bool {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Both ways agree about links at each place of a path, to directories and files, inside and
    /// outside.
    #[test]
    fn no_link_is_followed_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join("out/b")).unwrap();
        for file in ["root/a/b/f", "out/b/f", "out/f"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        for (target, link) in [
            ("../out", "up"),
            ("a", "in"),
            ("../../out/f", "a/file"),
            ("nowhere", "a/none"),
            ("b", "a/c"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(dir.path().join("out"), root.join("absolute")).unwrap();
        let folder = File::open(&root).unwrap();
        type Open = fn(&File, &str, OFlags) -> io::Result<File>;
        let ways: [Open; 2] = [
            |folder, path, flags| open(folder, path, flags, Mode::empty()),
            |folder, path, flags| {
                open_stepwise(folder, path, flags | OFlags::NOFOLLOW, Mode::empty())
            },
        ];
        for way in ways {
            way(&folder, "a/b/f", OFlags::RDONLY).unwrap();
            way(&folder, "a/b", OFlags::RDONLY | OFlags::DIRECTORY).unwrap();
            for path in ["up/b/f", "up/f", "in/b/f", "a/file", "a/none", "a/c/f", "absolute/f"] {
                let error = way(&folder, path, OFlags::RDONLY).unwrap_err();
                assert!(is_link(&error), "{path}: {error}");
            }
            for path in ["up", "in", "a/c", "absolute", "up/b"] {
                let error = way(&folder, path, OFlags::RDONLY | OFlags::DIRECTORY).unwrap_err();
                assert!(is_link(&error), "{path}: {error}");
            }
            let missing = way(&folder, "a/x/f", OFlags::RDONLY).unwrap_err();
            assert!(missing.kind() == io::ErrorKind::NotFound && !is_link(&missing));
            let no_folder = way(&folder, "a/b/f/g", OFlags::RDONLY).unwrap_err();
            assert_eq!(no_folder.kind(), io::ErrorKind::NotADirectory);
        }
    }
}

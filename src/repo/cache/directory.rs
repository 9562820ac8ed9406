//! Directory of a cache, opened beneath its root without following links, and refused if other
//! users could have written to it.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::repo::error::{Error, Result};
use crate::store::beneath;

/// Prefix of the names of files that are being written.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// A directory of local copies, with a subdirectory for each group of files.
pub(super) struct CacheDirectory {
    path: PathBuf,
    folder: File,
}

impl CacheDirectory {
    /// Opens the directory `name` in `above`; creates both, for their owner only, if they are
    /// missing.
    ///
    /// The path to `above` comes from the user and may contain links; below it, links are refused.
    /// Fails with [`Error::ForeignCache`] if either directory belongs to another user than this one
    /// and root, or other users may write to it. `above` may also be a sticky directory of root
    /// such as `/tmp`, in which users cannot replace each other's files.
    pub(super) fn open(above: &Path, name: &str) -> Result<Self> {
        let path = above.join(name);
        let failed = |source| Error::Cache { path: path.clone(), source };
        let above_folder = open_private(above, true)?;
        match rustix::fs::mkdirat(&above_folder, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => match beneath::open(&above_folder, name, DIRECTORY, Mode::empty()) {
                // On a read-only disk, an existing directory can still be used.
                Ok(_) => {}
                Err(_) => return Err(failed(errno.into())),
            },
        }
        let folder = beneath::open(&above_folder, name, DIRECTORY, Mode::empty())
            .map_err(|error| refuse_link(&path, error))?;
        refuse_foreign(&folder, &path)?;
        Ok(Self { path, folder })
    }

    /// Opens a directory of this program by its path, which comes from the user and may contain
    /// links.
    pub(super) fn at(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), folder: open_private(path, false)?.into() })
    }

    /// Returns the path of the directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory once more, because each open file has its own lock.
    pub(super) fn open_again(&self) -> io::Result<File> {
        Ok(rustix::fs::openat(&self.folder, ".", DIRECTORY | OFlags::CLOEXEC, Mode::empty())?
            .into())
    }

    /// Opens a file of a group for reading.
    pub(super) fn open_file(&self, group: &str, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = beneath::open(&self.folder, &format!("{group}/{name}"), flags, Mode::empty())?;
        if is_plain(&file)? { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }

    /// Writes a file of a group under a temporary name and renames it, so that readers never see a
    /// part of it.
    pub(super) fn write(&self, group: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = match self.open_group(group) {
            // This is the first file of its group.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&self.folder, group, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => self.open_group(group)?,
                    Err(errno) => return Err(errno.into()),
                }
            }
            opened => opened?,
        };
        let (mut file, temporary) = make_temporary(&folder)?;
        let renamed = |()| Ok(rustix::fs::renameat(&folder, &temporary, &folder, name)?);
        let written = file.write_all(bytes).and_then(renamed);
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&folder, &temporary, AtFlags::empty());
        }
        written
    }

    /// Removes a file of a group.
    pub(super) fn remove(&self, group: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self.open_group(group)?, name, AtFlags::empty())?)
    }

    /// Returns the files of a group that have names as this program gives; other files are ignored.
    pub(super) fn files(&self, group: &str) -> io::Result<Vec<(String, rustix::fs::Stat)>> {
        let folder = self.open_group(group)?;
        let mut files = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let Some(name) =
                entry.file_name().to_str().ok().filter(|name| is_own_name(group, name))
            else {
                continue;
            };
            // A file that was removed meanwhile is skipped.
            let Ok(stat) =
                rustix::fs::statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                files.push((name.to_owned(), stat));
            }
        }
        Ok(files)
    }

    fn open_group(&self, group: &str) -> io::Result<File> {
        beneath::open(&self.folder, group, DIRECTORY, Mode::empty())
    }
}

/// Flags to open directories.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Opens a directory of this program; creates it, for its owner only, if it is missing.
///
/// Fails with [`Error::ForeignCache`] if it belongs to another user, or other users may write to
/// it.
fn open_private(path: &Path, may_be_sticky: bool) -> Result<OwnedFd> {
    let failed = |source| Error::Cache { path: path.to_owned(), source };
    let flags = DIRECTORY | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
            rustix::fs::open(path, flags, Mode::empty())
        }
        opened => opened,
    };
    let folder = opened.map_err(|errno| failed(errno.into()))?;
    let is_sticky = rustix::fs::fstat(&folder)
        .is_ok_and(|stat| stat.st_mode & 0o1022 > 0o1000 && stat.st_uid == 0);
    match (is_sticky, may_be_sticky) {
        (true, true) => {}
        // Files of this user are safe there, but other users may have created files first, so it is
        // not used.
        (true, false) => return Err(failed(io::Error::other("others may write to it"))),
        (false, _) => refuse_foreign(&folder, path)?,
    }
    Ok(folder)
}

fn refuse_foreign(folder: impl AsFd, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(folder)
        .map_err(|errno| Error::Cache { path: path.to_owned(), source: errno.into() })?;
    let me = rustix::process::geteuid().as_raw();
    let refused = |why: String| Err(Error::ForeignCache { path: path.to_owned(), why });
    if stat.st_uid != me && stat.st_uid != 0 {
        return refused(format!("it belongs to user {}, and this runs as user {me}", stat.st_uid));
    }
    if stat.st_mode & 0o022 != 0 {
        return refused(format!(
            "others may write to it (its mode is {:03o})",
            stat.st_mode & 0o7777
        ));
    }
    Ok(())
}

fn refuse_link(path: &Path, error: io::Error) -> Error {
    let path = path.to_owned();
    match beneath::is_link(&error) {
        true => Error::ForeignCache {
            path,
            why: "it is a symbolic link, and none is followed there".to_owned(),
        },
        false => Error::Cache { path, source: error },
    }
}

fn is_plain(file: &File) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::RegularFile)
}

/// Creates a file with a unique name.
fn make_temporary(folder: &File) -> io::Result<(File, String)> {
    let chance = getrandom::u64().map_err(io::Error::other)?;
    let name = format!("{TEMPORARY_PREFIX}{chance:016x}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, &name, flags, Mode::RUSR | Mode::WUSR)?;
    Ok((file.into(), name))
}

/// Returns whether this program gives such names in a group: ids in hex, and a few words in some
/// groups.
fn is_own_name(group: &str, name: &str) -> bool {
    let is_hex = |len: usize| {
        name.len() == len && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match group {
        "index" | "tail" | "filter" | "meta" | "repair" | "locations" => is_hex(64),
        "snapshots" | "tombstones" | "state" => is_hex(32),
        "open" => name == "config" || is_hex(32),
        // Names such as `<number>.<word>`.
        _ => crate::store::is_valid_name(name) && name.starts_with(|c: char| c.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const NAME: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn what_is_written_is_read_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CacheDirectory::open(&dir.path().join("a/b"), "r").unwrap();
        folder.write("index", NAME, b"one").unwrap();
        folder.write("index", NAME, b"another").unwrap();
        assert_eq!(
            io::read_to_string(folder.open_file("index", NAME).unwrap()).unwrap(),
            "another"
        );
        let files = folder.files("index").unwrap();
        assert_eq!(
            files.iter().map(|(name, stat)| (&**name, stat.st_size)).collect::<Vec<_>>(),
            [(NAME, 7)]
        );
        assert_eq!(
            fs::metadata(dir.path().join("a/b/r/index")).unwrap().permissions().mode() & 0o7777,
            0o700
        );
        folder.remove("index", NAME).unwrap();
        assert!(folder.files("index").unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path().join("a/b/r/index")).unwrap().count(), 0);
    }

    /// Method: the directory itself, a group and a file are links to another user's directory.
    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join(NAME), "precious").unwrap();
        fs::create_dir(dir.path().join("cache")).unwrap();
        symlink(&victim, dir.path().join("cache/linked")).unwrap();
        let refused = CacheDirectory::open(&dir.path().join("cache"), "linked");
        assert!(matches!(refused, Err(Error::ForeignCache { .. })));
        let folder = CacheDirectory::open(&dir.path().join("cache"), "r").unwrap();
        symlink(&victim, folder.path().join("index")).unwrap();
        assert!(folder.files("index").is_err() && folder.open_file("index", NAME).is_err());
        assert!(
            folder.remove("index", NAME).is_err() && folder.write("index", NAME, b"x").is_err()
        );
        folder.write("meta", &NAME.replace('0', "1"), b"x").unwrap();
        symlink(victim.join(NAME), folder.path().join("meta").join(NAME)).unwrap();
        assert!(folder.open_file("meta", NAME).is_err());
        assert_eq!(folder.files("meta").unwrap().len(), 1);
        folder.write("meta", NAME, b"x").unwrap();
        assert_eq!(fs::read(victim.join(NAME)).unwrap(), b"precious");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
    }

    #[test]
    fn foreign_names_are_left_alone() {
        let names = |group: &str| {
            let all = [
                "passwd",
                "config",
                ".tmp-1",
                "Readme",
                "12.verdict",
                &NAME[..32],
                NAME,
                "../x",
                "hosts.bak",
            ];
            all.into_iter()
                .filter(|name| is_own_name(group, name))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("index"), [NAME]);
        assert_eq!(names("tombstones"), [&NAME[..32]]);
        assert_eq!(names("open"), ["config", &NAME[..32]]);
        assert_eq!(names("gc"), ["12.verdict", &NAME[..32], NAME]);
    }

    #[test]
    fn folders_that_others_may_fill_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, is_refused) in [
            (0o700, false),
            (0o755, false),
            (0o775, true),
            (0o777, true),
            (0o1777, true),
            (0o702, true),
        ] {
            for below in ["", "r"] {
                let above = dir.path().join(format!("{mode:o}{below}"));
                fs::create_dir_all(above.join("r")).unwrap();
                fs::set_permissions(above.join(below), fs::Permissions::from_mode(mode)).unwrap();
                let opened = CacheDirectory::open(&above, "r");
                // As in /tmp, nobody can replace our directory in there.
                let is_refused = is_refused
                    && !(mode == 0o1777
                        && below.is_empty()
                        && rustix::process::geteuid().is_root());
                assert_eq!(
                    matches!(opened, Err(Error::ForeignCache { .. })),
                    is_refused,
                    "{mode:o} {below}"
                );
            }
        }
        if rustix::process::geteuid().is_root() {
            let above = dir.path().join("theirs");
            fs::create_dir(&above).unwrap();
            std::os::unix::fs::chown(&above, Some(12_345), None).unwrap();
            let Err(error) = CacheDirectory::open(&above, "r") else {
                panic!("it is another user's")
            };
            assert!(error.to_string().contains("12345"), "{error}");
            assert!(!above.join("r").exists());
        }
    }
}

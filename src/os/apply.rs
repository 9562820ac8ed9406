//! Applies owner, attributes, mode, times and flags to a file, directory, link or special file, in
//! the only order that works.
//!
//! * The owner comes first: changing it clears setuid and setgid bits and drops capabilities.
//! * Extended attributes come next: an ACL changes the mode, and the owner of a file without write
//!   permission could not set them later.
//! * Then the mode, then the times, and last the flags: nothing can be done to an immutable file.
//!
//! Everything is accessed by descriptor, never by name: users who may change names in the directory
//! cannot redirect the change to another file.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::attributes::{XattrTarget, read_flags, write_flags};
use super::dir::{Dir, stat_of};
use super::special::{change_mode_of, proc_path};
use super::stat::Stat;
use crate::format::entry::{EntryKind, Timestamp, Xattr, entry_flag};

/// The metadata that a file shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Permission bits (12 bits).
    pub mode: u16,
    /// Bits of [`entry_flag`]; only file-system flags are used.
    pub flags: u32,
    /// Last modification.
    pub mtime: Timestamp,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Whether to keep other attributes, because not all wanted ones are known.
    pub keeps_xattrs: bool,
}

/// The known current metadata of a file; fields that are right are not set again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentMetadata {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u16,
    /// File-system flags, as bits of [`entry_flag`].
    pub flags: u32,
    /// Last modification; `None` if it is about to change or unknown.
    pub mtime: Option<Timestamp>,
    /// Whether it may have extended attributes.
    pub has_xattrs: bool,
}

impl From<&Stat> for CurrentMetadata {
    fn from(stat: &Stat) -> Self {
        let Stat { uid, gid, mode, mtime, .. } = *stat;
        Self { uid, gid, mode, flags: read_flags(stat), mtime: Some(mtime), has_xattrs: true }
    }
}

/// The file that metadata is applied to.
#[derive(Clone, Copy)]
pub enum MetadataTarget<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A symbolic link or special file, opened with `O_PATH`: it is changed even if its name now
    /// belongs to another file.
    Path {
        /// The descriptor.
        fd: BorrowedFd<'a>,
        /// Its kind.
        kind: EntryKind,
        /// The directory and the name by which it was opened.
        place: (&'a Dir, &'a [u8]),
    },
}

/// A field that could not be set.
#[derive(Debug)]
pub struct MetadataFailure {
    /// Its name for people: `owner`, `attribute user.x`.
    pub what: String,
    /// Whether it is not permitted here or to this user: then all other files are likely to fail,
    /// too.
    ///
    /// Ordinary users may not change owners; some file systems (foreign ones, or on servers that
    /// map root) and some containers refuse it to root, too.
    pub is_refused: bool,
    /// What the system said.
    pub source: io::Error,
}

/// File-system flags among the [`entry_flag`] bits.
pub const SYSTEM_FLAGS: u32 = entry_flag::IMMUTABLE | entry_flag::APPEND_ONLY | entry_flag::NO_DUMP;

/// Flags under which nothing else can be changed.
pub const LOCKING_FLAGS: u32 = entry_flag::IMMUTABLE | entry_flag::APPEND_ONLY;

/// Makes the metadata equal to `wanted`; continues after failures, which are added to `failed`.
///
/// The setuid (setgid) bit is left out if the owner (group) could not be set: it would grant
/// another user's rights.
pub fn apply(
    object: MetadataTarget<'_>,
    present: &CurrentMetadata,
    wanted: &Metadata,
    failed: &mut Vec<MetadataFailure>,
) {
    let mut present = *present;
    if let MetadataTarget::Open(fd) = object
        && present.flags & LOCKING_FLAGS != 0
        && !is_right(object, &present, wanted)
    {
        present.flags &= !LOCKING_FLAGS;
        note(failed, "flags", write_flags(fd, present.flags));
    }
    // Setting the owner clears these bits.
    let mut mode_is_known =
        !apply_owner(object, &mut present, wanted, failed) || present.mode & 0o6000 == 0;
    if (present.has_xattrs || !wanted.xattrs.is_empty()) && apply_xattrs(object, wanted, failed) {
        mode_is_known = false;
    }
    let mut mode = wanted.mode;
    if present.uid != wanted.uid {
        mode &= !0o4000;
    }
    if present.gid != wanted.gid {
        mode &= !0o2000;
    }
    if object.has_mode() && (!mode_is_known || mode != present.mode) {
        let result = object.set_mode(mode);
        // For the user's own files this is refused only if the file system has no modes.
        let is_own = [0, present.uid].contains(&rustix::process::geteuid().as_raw());
        failed.extend(
            result.err().map(|source| failure("mode", is_own && is_refusal(&source), source)),
        );
    }
    if present.mtime != Some(wanted.mtime) {
        note(failed, "time", object.set_mtime(wanted.mtime));
    }
    let flags = wanted.flags & SYSTEM_FLAGS;
    if let (MetadataTarget::Open(fd), true) = (object, flags != present.flags) {
        note(failed, "flags", write_flags(fd, flags));
    }
}

/// Checks that an open file or directory has its mode and time, on a file system that may ignore
/// them; adds lost ones to `failed`.
///
/// Some set the time only together with the access time. Times less than `COARSE_S` apart count as
/// equal.
pub fn confirm(fd: BorrowedFd<'_>, wanted: &Metadata, failed: &mut Vec<MetadataFailure>) {
    let is_off = |stat: &Stat| stat.mtime.seconds.abs_diff(wanted.mtime.seconds) >= COARSE_S;
    let lacking = |what: &str| failure(what, false, Errno::OPNOTSUPP.into());
    let Ok(mut stat) = stat_of(fd) else { return };
    if is_off(&stat) && !is_told(failed, "time") {
        let time = Timespec { tv_sec: wanted.mtime.seconds, tv_nsec: wanted.mtime.nanos.into() };
        let _ = fs::futimens(fd, &Timestamps { last_access: time, last_modification: time });
        stat = stat_of(fd).unwrap_or(stat);
        failed.extend(is_off(&stat).then(|| lacking("time")));
    }
    // Setuid and setgid bits may have been left out on purpose.
    if (stat.mode ^ wanted.mode) & 0o777 != 0 && !is_told(failed, "mode") {
        failed.push(lacking("mode"));
    }
}

/// Accepted difference of times in seconds, for file systems with a coarse resolution.
const COARSE_S: u64 = 3;

fn is_told(failed: &[MetadataFailure], what: &str) -> bool {
    failed.iter().any(|failed| failed.what == what)
}

/// Returns whether everything but the flags is as wanted.
fn is_right(object: MetadataTarget<'_>, present: &CurrentMetadata, wanted: &Metadata) -> bool {
    let known = (present.uid, present.gid, present.mode, present.mtime);
    known == (wanted.uid, wanted.gid, wanted.mode, Some(wanted.mtime))
        && object.subject().read_all().is_ok_and(|xattrs| xattrs == wanted.xattrs)
}

/// Sets the owner unless it is right; returns whether a change was tried.
fn apply_owner(
    object: MetadataTarget<'_>,
    present: &mut CurrentMetadata,
    wanted: &Metadata,
    failed: &mut Vec<MetadataFailure>,
) -> bool {
    if (present.uid, present.gid) == (wanted.uid, wanted.gid) {
        return false;
    }
    match object.set_owner(wanted.uid, wanted.gid) {
        Ok(()) => (present.uid, present.gid) = (wanted.uid, wanted.gid),
        Err(source) => {
            // A container with a user namespace may lack this user.
            let is_unknown = source.kind() == io::ErrorKind::InvalidInput
                && wanted.uid.max(wanted.gid) != u32::MAX;
            failed.push(failure("owner", is_unknown || is_refusal(&source), source));
        }
    }
    true
}

/// Makes the extended attributes equal to those wanted; returns whether that may have changed the
/// mode.
fn apply_xattrs(
    object: MetadataTarget<'_>,
    wanted: &Metadata,
    failed: &mut Vec<MetadataFailure>,
) -> bool {
    let subject = object.subject();
    let present = match subject.read_each() {
        // Unreadable attributes are neither removed nor known to be right.
        Ok((present, _)) => present,
        // Links and special files are accessed through /proc. Without it, nothing is lost if no
        // attribute was wanted.
        Err(source)
            if matches!(object, MetadataTarget::Path { .. })
                && source.kind() == io::ErrorKind::NotFound =>
        {
            let missing = || io::Error::new(io::ErrorKind::Unsupported, "/proc is not mounted");
            failed.extend(wanted.xattrs.first().map(|_| failure("attributes", false, missing())));
            return false;
        }
        Err(source) => {
            failed.push(failure("attributes", false, source));
            return false;
        }
    };
    let mut acl_changed = false;
    for extra in
        present.iter().filter(|xattr| !wanted.keeps_xattrs && is_ours_to_remove(&xattr.name))
    {
        if wanted.xattrs.binary_search_by(|xattr| xattr.name.cmp(&extra.name)).is_err() {
            acl_changed |= is_acl(&extra.name);
            note_xattr(failed, &extra.name, subject.remove(&extra.name));
        }
    }
    for xattr in wanted.xattrs.iter().filter(|xattr| !present.contains(xattr)) {
        acl_changed |= is_acl(&xattr.name);
        note_xattr(failed, &xattr.name, subject.write(xattr));
    }
    acl_changed
}

/// Returns whether an attribute may be removed: labels of security modules stay, since they follow
/// rules of this machine.
fn is_ours_to_remove(name: &[u8]) -> bool {
    [&b"user."[..], b"trusted.", b"system.posix_acl_"].iter().any(|prefix| name.starts_with(prefix))
        || name == b"security.capability"
}

fn is_acl(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_")
}

impl MetadataTarget<'_> {
    fn subject(&self) -> XattrTarget<'_> {
        match self {
            Self::Open(fd) => XattrTarget::Open(*fd),
            Self::Path { fd, .. } => XattrTarget::of_path(*fd),
        }
    }

    /// Returns whether it has a mode: that of a symbolic link has no meaning and cannot be set.
    fn has_mode(&self) -> bool {
        !matches!(self, Self::Path { kind: EntryKind::Symlink, .. })
    }

    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        // -1 means "unchanged": it cannot be an owner, and rustix refuses to build it.
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::INVAL.into());
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(match self {
            Self::Open(fd) => fs::fchown(fd, uid, gid),
            Self::Path { fd, .. } => {
                fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
            }
        }?)
    }

    /// Sets the mode; of a special file by an `O_PATH` descriptor, so that no device is opened.
    fn set_mode(&self, mode: u16) -> io::Result<()> {
        match self {
            Self::Open(fd) => fs::fchmod(fd, Mode::from_raw_mode(u32::from(mode)))?,
            Self::Path { fd, place: (dir, name), .. } => change_mode_of(fd, dir, name, mode)?,
        }
        Ok(())
    }

    /// Sets only the modification time.
    pub fn set_mtime(&self, mtime: Timestamp) -> io::Result<()> {
        let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let mtime = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() };
        let times = Timestamps { last_access: keep, last_modification: mtime };
        let fd = match self {
            Self::Open(fd) => return Ok(fs::futimens(fd, &times)?),
            Self::Path { fd, .. } => fd,
        };
        match fs::utimensat(fd, c"", &times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8.
            Err(Errno::INVAL | Errno::NOENT) => {
                Ok(fs::utimensat(CWD, proc_path(*fd), &times, AtFlags::empty())?)
            }
            done => Ok(done?),
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn failure(what: impl Into<String>, is_refused: bool, source: io::Error) -> MetadataFailure {
    MetadataFailure { what: what.into(), is_refused, source }
}

fn note(failed: &mut Vec<MetadataFailure>, what: &str, result: io::Result<()>) {
    if let Err(source) = result {
        failed.push(failure(what, what == "flags" && is_refusal(&source), source));
    }
}

fn note_xattr(failed: &mut Vec<MetadataFailure>, name: &[u8], result: io::Result<()>) {
    if let Err(source) = result {
        let is_refused = !name.starts_with(b"user.") && !is_acl(name) && is_refusal(&source);
        failed.push(failure(
            format!("attribute {}", String::from_utf8_lossy(name)),
            is_refused,
            source,
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::os::attributes::read_xattrs;

    fn wanted(mode: u16) -> Metadata {
        let mtime = Timestamp { seconds: -5, nanos: 123_456_789 };
        let xattrs = vec![Xattr { name: b"user.x".to_vec(), value: b"1".to_vec() }];
        Metadata {
            uid: 12,
            gid: 34,
            mode,
            flags: entry_flag::NO_DUMP,
            mtime,
            xattrs,
            keeps_xattrs: false,
        }
    }

    #[test]
    fn everything_is_set_and_set_again_to_no_effect() {
        let own = (rustix::process::geteuid(), rustix::process::getegid());
        // Only the superuser can give files away.
        let (uid, gid) = if own.0.is_root() { (12, 34) } else { (own.0.as_raw(), own.1.as_raw()) };
        let wanted = |mode| Metadata { uid, gid, ..wanted(mode) };
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let file = dir.open_file(b"f").unwrap();
        for _ in 0..2 {
            let present = CurrentMetadata::from(&dir.stat(b"f").unwrap());
            let mut failed = Vec::new();
            apply(MetadataTarget::Open(file.as_fd()), &present, &wanted(0o6751), &mut failed);
            assert!(failed.is_empty(), "{failed:?}");
            let stat = dir.stat(b"f").unwrap();
            let is = (stat.uid, stat.gid, stat.mode, stat.mtime, read_flags(&stat));
            assert_eq!(is, (uid, gid, 0o6751, wanted(0).mtime, entry_flag::NO_DUMP));
            assert_eq!(read_xattrs(&dir, b"f", EntryKind::File).unwrap().0, wanted(0).xattrs);
        }
    }

    #[test]
    fn a_link_gets_times_and_its_target_does_not() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::fs::write(folder.path().join("f"), b"x").unwrap();
        std::os::unix::fs::symlink("f", folder.path().join("l")).unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let before = dir.stat(b"f").unwrap();
        let present = CurrentMetadata::from(&dir.stat(b"l").unwrap());
        let metadata = Metadata {
            uid: present.uid,
            gid: present.gid,
            xattrs: Vec::new(),
            flags: 0,
            ..wanted(0o777)
        };
        let mut failed = Vec::new();
        let link = crate::os::special::open_path(&dir, b"l").unwrap();
        // Another link takes its name: it is not the one that is changed.
        std::fs::rename(folder.path().join("l"), folder.path().join("m")).unwrap();
        std::os::unix::fs::symlink("f", folder.path().join("l")).unwrap();
        let other = dir.stat(b"l").unwrap();
        let object = MetadataTarget::Path {
            fd: link.as_fd(),
            kind: EntryKind::Symlink,
            place: (&dir, b"l"),
        };
        apply(object, &present, &metadata, &mut failed);
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(dir.stat(b"m").unwrap().mtime, wanted(0).mtime);
        assert_eq!(dir.stat(b"l").unwrap(), other);
        assert_eq!(dir.stat(b"f").unwrap(), before);
    }
}

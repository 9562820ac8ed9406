//! Trust of root in a configuration file.
//!
//! The file holds commands. If another user may write to it, or to a directory on the way to it,
//! that user becomes root with the next run; `sudo` and `sshd` refuse their files for the same
//! reason. Nobody writes through a mount that is read-only, such as that of a ConfigMap.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::environment::Environment;
use crate::os::owners::{OwnerNames, is_private_group};
use crate::text;

/// Symbolic links that are followed on the way to a file, as by the kernel.
const LINKS_MAX: usize = 40;
const MAY_BE_WRITTEN_BY_GROUP: u32 = 0o020;
const MAY_BE_WRITTEN_BY_ALL: u32 = 0o002;
/// Bit of a directory whose entries only their owners may replace.
const STICKY: u32 = 0o1000;

/// A reason to refuse a file, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Distrust {
    pub why: String,
    pub hint: String,
}

/// Returns whether the process is root of this machine, and not only of a user namespace.
pub(super) fn is_real_root() -> bool {
    let first = || std::fs::read_to_string("/proc/self/uid_map").ok();
    let is_mapped = |map: String| {
        let mut numbers = map.split_whitespace();
        numbers.next() == Some("0") && numbers.next() != Some("0")
    };
    rustix::process::geteuid().is_root() && !first().is_some_and(is_mapped)
}

/// Returns why root must not trust a file: others may write to it, or to a directory on the way.
///
/// `path` must be absolute. The user who called `sudo` is trusted: that user is root already.
/// Fails if something on the way cannot be looked at.
pub(super) fn distrust_of(path: &Path, env: &Environment) -> io::Result<Option<Distrust>> {
    let caller = env.get("SUDO_UID").and_then(|uid| uid.to_str()?.parse().ok());
    let judge = Judge { trusted: [Some(0), caller] };
    let mut rest: VecDeque<OsString> = parts_of(path);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    if let Some(distrust) = judge.look(&at, &at.symlink_metadata()?) {
        return Ok(Some(distrust));
    }
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        let metadata = next.symlink_metadata()?;
        if let Some(distrust) = judge.look(&next, &metadata) {
            return Ok(Some(distrust));
        }
        if !metadata.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::other("too many symbolic links lead to it"));
        }
        let target = next.read_link()?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for part in parts_of(&target).into_iter().rev() {
            rest.push_front(part);
        }
    }
    Ok(None)
}

/// Returns the steps of a path.
fn parts_of(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter_map(|step| match step {
        Component::Normal(_) | Component::ParentDir => Some(step.as_os_str().to_owned()),
        _ => None,
    });
    steps.collect()
}

struct Judge {
    trusted: [Option<u32>; 2],
}

impl Judge {
    fn look(&self, path: &Path, metadata: &Metadata) -> Option<Distrust> {
        let distrust = self.judge(path, metadata)?;
        let is_read_only =
            || statvfs(path).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
        (metadata.is_symlink() || !is_read_only()).then_some(distrust)
    }

    fn judge(&self, path: &Path, metadata: &Metadata) -> Option<Distrust> {
        let shown = text::path(path);
        let what = if metadata.is_dir() { "the folder " } else { "" };
        if !self.trusted.contains(&Some(metadata.uid())) {
            let uid = metadata.uid();
            let name = OwnerNames::new().user(uid).map_or(uid.to_string(), |name| name.to_string());
            let why = format!("{what}{shown} belongs to {}", text::harmless(&name));
            let hint = format!("chown root {}", text::shell_word(&shown));
            return Some(Distrust { why, hint });
        }
        let mode = metadata.mode();
        // Permissions of a link mean nothing. In a sticky directory the owner of the next step
        // counts, which is looked at, too.
        if metadata.is_symlink() || metadata.is_dir() && mode & STICKY != 0 {
            return None;
        }
        let (gid, uid) = (metadata.gid(), metadata.uid());
        let has_own_group = || gid == 0 || is_private_group(gid, uid);
        let by_group = mode & MAY_BE_WRITTEN_BY_GROUP != 0 && !has_own_group();
        if !by_group && mode & MAY_BE_WRITTEN_BY_ALL == 0 {
            return None;
        }
        let why = format!("others may write to {what}{shown} (mode {:04o})", mode & 0o7777);
        Some(Distrust { why, hint: format!("chmod go-w {}", text::shell_word(&shown)) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    /// What would be said of a file to root, by a judge who trusts the user of the test.
    fn said(path: &Path) -> String {
        let own = rustix::process::geteuid().as_raw().to_string();
        let env = Environment::of([("SUDO_UID", &own)]);
        let distrust = distrust_of(path, &env).unwrap();
        distrust
            .map_or_else(String::new, |distrust| format!("{} ({})", distrust.why, distrust.hint))
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_to_is_distrusted() {
        let scratch = tempfile::tempdir().unwrap();
        let (dir, file) = (scratch.path().join("d"), scratch.path().join("d/x.toml"));
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "").unwrap();
        set_mode(&dir, 0o755);
        set_mode(&file, 0o644);
        assert_eq!(said(&file), "");
        set_mode(&file, 0o646);
        assert!(said(&file).contains("x.toml (mode 0646) (chmod go-w /"), "{}", said(&file));
        set_mode(&file, 0o600);
        set_mode(&dir, 0o777);
        assert!(said(&file).contains("the folder /") && said(&file).contains("(mode 0777)"));
        // Only owners replace what is in such a directory.
        set_mode(&dir, 0o1777);
        assert_eq!(said(&file), "");
        assert!(distrust_of(&dir.join("gone"), &Environment::default()).is_err());
    }

    #[test]
    fn the_way_of_links_counts_too() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for dir in ["open", "safe"] {
            fs::create_dir(path(dir)).unwrap();
        }
        set_mode(&path("open"), 0o777);
        set_mode(&path("safe"), 0o700);
        fs::write(path("safe/x.toml"), "").unwrap();
        set_mode(&path("safe/x.toml"), 0o600);
        symlink("../safe/x.toml", path("open/link")).unwrap();
        symlink("open/link", path("outer")).unwrap();
        symlink("round", path("round")).unwrap();
        assert!(said(&path("outer")).contains("open (mode 0777)"), "{}", said(&path("outer")));
        set_mode(&path("open"), 0o755);
        assert_eq!(said(&path("outer")), "");
        let error = distrust_of(&path("round"), &Environment::default());
        assert!(error.is_err() || error.unwrap().is_some(), "a circle ends");
    }

    #[test]
    fn another_owner_is_distrusted_unless_sudo_was_called_by_that_user() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("x.toml");
        fs::write(&file, "").unwrap();
        chown(&file, Some(65_534), None).unwrap();
        let distrust = distrust_of(&file, &Environment::default()).unwrap().unwrap();
        assert!(distrust.why.contains("belongs to nobody"), "{distrust:?}");
        assert!(distrust.hint.starts_with("chown root /"), "{distrust:?}");
        let env = Environment::of([("SUDO_UID", "65534")]);
        assert_eq!(distrust_of(&file, &env).unwrap(), None);
        // A group may write only if it is root's.
        chown(&file, Some(0), Some(65_534)).unwrap();
        set_mode(&file, 0o664);
        assert!(distrust_of(&file, &Environment::default()).unwrap().is_some());
        chown(&file, Some(0), Some(0)).unwrap();
        assert_eq!(distrust_of(&file, &Environment::default()).unwrap(), None);
    }
}

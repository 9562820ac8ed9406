//! The mark on the target's folder while a restore is under way: an extended attribute that tells the next run two things.
//!
//! Whether the folder was made by (or empty before) the restore, so that it gets the restored folder's metadata at the end;
//! and which boot of the machine wrote into it. After another boot, size and time of what is there are not trusted: the
//! machine may have gone down with a file's time on the disk and its data not. The mark reaches the disk no later than
//! any time that is set after it, because file systems with a journal keep that order. Where attributes are not supported
//! the restore works all the same, without these two.

use std::io;
use std::os::fd::AsFd;

use crate::format::entry::Xattr;
use crate::os::attributes::Subject;
use crate::os::dir::Dir;
use crate::os::process;

const NAME: &[u8] = b"user.drumlin.restoring";

/// What was found out when the mark was set.
pub struct Mark {
    /// Whether the folder is to get the metadata of the folder that is restored into it.
    pub is_ours: bool,
    /// Whether what is there may be the rest of a restore that the machine did not survive.
    pub is_doubtful: bool,
}

/// Marks the target's folder, which `is_new` if it was just made or is empty.
pub fn set(dir: &Dir, is_new: bool) -> Mark {
    let boot = process::boot_id().into_bytes();
    let subject = Subject::Open(dir.as_fd());
    let before = subject.read(NAME).ok().flatten();
    let was_ours = before.as_ref().is_some_and(|value| value.ends_with(b" new"));
    let is_doubtful = before.is_some_and(|value| boot.is_empty() || !value.starts_with(&boot));
    let is_ours = is_new || was_ours;
    let state: &[u8] = if is_ours { b" new" } else { b" old" };
    // Without the mark the restore is as safe against its own death; only the two things above are lost.
    let _ = subject.write(&Xattr { name: NAME.to_vec(), value: [&boot, state].concat() });
    Mark { is_ours, is_doubtful }
}

/// Makes the next run compare everything, because what was written may not be what is on the disk.
pub fn distrust(dir: &Dir) {
    let subject = Subject::Open(dir.as_fd());
    let before = subject.read(NAME).ok().flatten().unwrap_or_default();
    let state: &[u8] = if before.ends_with(b" new") { b"no-boot new" } else { b"no-boot old" };
    // Best effort: who is told that the disk failed does not rely on this alone.
    let _ = subject.write(&Xattr { name: NAME.to_vec(), value: state.to_vec() });
}

/// Returns whether an attribute is the mark, which is no part of what is restored.
pub fn is_mark(xattr: &Xattr) -> bool {
    xattr.name == NAME
}

/// Removes the mark.
pub fn clear(dir: &Dir) -> io::Result<()> {
    let subject = Subject::Open(dir.as_fd());
    if subject.read(NAME)?.is_some() { subject.remove(NAME) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_learns_who_made_the_folder_and_when_the_machine_was_booted() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let first = set(&dir, true);
        assert!(first.is_ours && !first.is_doubtful);
        let again = set(&dir, false);
        assert!(again.is_ours && !again.is_doubtful);
        Subject::Open(dir.as_fd()).write(&Xattr { name: NAME.to_vec(), value: b"another-boot old".to_vec() }).unwrap();
        let later = set(&dir, false);
        assert!(!later.is_ours && later.is_doubtful);
        distrust(&dir);
        let later = set(&dir, false);
        assert!(!later.is_ours && later.is_doubtful);
        clear(&dir).unwrap();
        clear(&dir).unwrap();
        assert!(!set(&dir, false).is_ours);
    }
}

//! Symbolic links, fifos, sockets and device nodes: made or found by name, and from then on changed
//! by a descriptor only.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::context::Context;
use super::delete::clear;
use super::enter_dir::{REPLACED, is_private};
use super::existing;
use super::link_group::LinkGroup;
use super::memory_load::Weight;
use crate::format::entry::EntryKind;
use crate::os::apply::{CurrentMetadata, Metadata, MetadataTarget, apply};
use crate::os::attributes::XattrTarget;
use crate::os::dir::{Dir, stat_of};
use crate::os::habits::keeps_owners;
use crate::os::process::own_ids;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::error::same_name;
use crate::restore::options::{Overwrite, add};
use crate::restore::target::dir::{Identity, TargetDir};

/// A symbolic link, fifo, socket or device node.
pub struct Other {
    /// The folder it goes into, kept pending until it is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: EntryKind,
    /// Target of a symbolic link.
    pub link_target: Vec<u8>,
    /// Numbers of a device node.
    pub device: Option<(u32, u32)>,
    /// What it gets.
    pub metadata: Metadata,
    /// Its hard-link group, if this is the group's first member.
    pub group: Option<Arc<LinkGroup>>,
    /// What it weighs while it is under way.
    pub _weight: Option<Arc<Weight>>,
}

/// Makes a link or special file, or finds the right one; `None` if something else is left alone.
pub fn make_other(context: &Context, other: &Other) -> io::Result<Option<Identity>> {
    let dir = other.dir.open(&context.host.dirs)?;
    if let Some(stat) = existing::look(context, &other.dir, &dir, &other.name)? {
        if context.options.overwrite == Overwrite::Never {
            return Ok(None);
        }
        let fd = special::open_path(&dir, &other.name)?;
        let now = stat_of(&fd)?;
        if Identity::from(&now) != Identity::from(&stat) {
            return Err(io::Error::other(REPLACED));
        }
        if other.is_like(&fd, &now) {
            add(&context.counts.files_kept, 1);
            let present = CurrentMetadata { has_xattrs: true, ..CurrentMetadata::from(&now) };
            finish(context, other, &dir, &fd, &present);
            return Ok(Some(Identity::from(&now)));
        }
        clear(context, &other.dir, &other.name, &stat)?;
    }
    make_anew(context, other, &dir).map(Some)
}

/// Makes a link or special file where there is nothing.
pub fn make_anew(context: &Context, other: &Other, dir: &Dir) -> io::Result<Identity> {
    match other.kind {
        EntryKind::Symlink => special::make_symlink(dir, &other.name, &other.link_target),
        _ => special::make_special(dir, &other.name, other.kind, other.device),
    }
    .map_err(same_name)?;
    let (fd, stat) = newborn(other, dir)?;
    let present =
        CurrentMetadata { has_xattrs: other.dir.bequeaths, ..CurrentMetadata::from(&stat) };
    finish(context, other, dir, &fd, &present);
    Ok(Identity::from(&stat))
}

/// Opens what was just made, to name it: who can change names in the folder may have put something
/// else into its place.
fn newborn(other: &Other, dir: &Dir) -> io::Result<(OwnedFd, Stat)> {
    let fd = special::open_path(dir, &other.name)?;
    let stat = stat_of(&fd)?;
    let is_own = || stat.uid == own_ids().0 || !keeps_owners(dir);
    let is_alone = || dir.stat_self().is_ok_and(|stat| is_private(&stat));
    if stat.nlink > 1 || !other.is_same(&fd, &stat) || !(is_own() || is_alone()) {
        return Err(io::Error::other(REPLACED));
    }
    Ok((fd, stat))
}

/// Gives an open link or special file, of which `present` is known, its metadata.
fn finish(context: &Context, other: &Other, dir: &Dir, fd: &OwnedFd, present: &CurrentMetadata) {
    let mut failed = Vec::new();
    let object =
        MetadataTarget::Path { fd: fd.as_fd(), kind: other.kind, place: (dir, &other.name) };
    apply(object, present, &other.metadata, &mut failed);
    context.report_metadata(failed, || other.dir.path_of(&other.name));
}

impl Other {
    /// Returns whether an open link or special file is what is wanted, and may get this one's
    /// metadata.
    pub fn is_like(&self, fd: &OwnedFd, stat: &Stat) -> bool {
        self.is_same(fd, stat)
            && existing::may_keep_linked(&XattrTarget::of_path(fd.as_fd()), stat, &self.metadata)
    }

    fn is_same(&self, fd: &OwnedFd, stat: &Stat) -> bool {
        let is_same_link = self.kind != EntryKind::Symlink
            || stat.kind == EntryKind::Symlink
                && special::read_open_link(fd).is_ok_and(|target| target == self.link_target);
        (stat.kind, stat.device) == (self.kind, self.device) && is_same_link
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::plan::coverage::Standing;

    #[test]
    fn what_took_the_place_of_a_new_link_is_not_changed() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let at = |name: &str| folder.path().join(name);
        let dir = Dir::open(folder.path()).unwrap();
        let root =
            TargetDir::root(Dir::open(folder.path()).unwrap(), b"", Standing::Below, None).unwrap();
        let other = Other {
            dir: root,
            name: (*b"link").into(),
            kind: EntryKind::Symlink,
            link_target: b"to".to_vec(),
            device: None,
            metadata: Metadata::default(),
            group: None,
            _weight: None,
        };
        // What happens between making it and opening it: another user puts something else into its
        // place.
        let meddle: [&dyn Fn(); 4] = [
            &|| std::fs::write(at("link"), b"precious").unwrap(),
            &|| std::os::unix::fs::symlink("elsewhere", at("link")).unwrap(),
            &|| {
                std::os::unix::fs::symlink("to", at("far")).unwrap();
                std::fs::hard_link(at("far"), at("link")).unwrap();
            },
            &|| {
                // Only root can play the other user.
                std::os::unix::fs::symlink("to", at("link")).unwrap();
                std::os::unix::fs::lchown(at("link"), Some(4321), None).unwrap();
                std::os::unix::fs::chown(folder.path(), Some(4321), None).unwrap();
            },
        ];
        special::make_symlink(&dir, b"link", b"to").unwrap();
        newborn(&other, &dir).unwrap();
        let count = if rustix::process::geteuid().is_root() { 4 } else { 3 };
        for (number, meddle) in meddle[..count].iter().enumerate() {
            std::fs::remove_file(at("link")).unwrap();
            meddle();
            assert!(newborn(&other, &dir).is_err(), "{number}");
        }
    }
}

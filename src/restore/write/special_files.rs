//! Symbolic links, fifos, sockets and device nodes: created or opened by name, then changed only
//! through a descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::context::RestoreContext;
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
use crate::restore::target::dir::{InodeId, TargetDir};

/// A symbolic link, fifo, socket or device node.
pub(crate) struct SpecialFile {
    /// Its directory, which is pending until it is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its kind.
    pub kind: EntryKind,
    /// Target of a symbolic link.
    pub link_target: Vec<u8>,
    /// Numbers of a device node.
    pub device: Option<(u32, u32)>,
    /// The metadata that it gets.
    pub metadata: Metadata,
    /// Its hard-link group, if this is the group's first member.
    pub group: Option<Arc<LinkGroup>>,
    /// Its memory while it is in progress.
    pub _weight: Option<Arc<Weight>>,
}

/// Creates a link or special file, or keeps a right one; `None` if an existing entry is left alone.
pub(crate) fn make_special_file(
    context: &RestoreContext,
    other: &SpecialFile,
) -> io::Result<Option<InodeId>> {
    let dir = other.dir.open(&context.host.dirs)?;
    if let Some(stat) = existing::find_existing(context, &other.dir, &dir, &other.name)? {
        if context.options.overwrite == Overwrite::Never {
            return Ok(None);
        }
        let fd = special::open_path(&dir, &other.name)?;
        let now = stat_of(&fd)?;
        if InodeId::from(&now) != InodeId::from(&stat) {
            return Err(io::Error::other(REPLACED));
        }
        if other.is_like(&fd, &now) {
            add(&context.counts.files_kept, 1);
            let present = CurrentMetadata { has_xattrs: true, ..CurrentMetadata::from(&now) };
            finish(context, other, &dir, &fd, &present);
            return Ok(Some(InodeId::from(&now)));
        }
        clear(context, &other.dir, &other.name, &stat)?;
    }
    make_anew(context, other, &dir).map(Some)
}

/// Creates a link or special file whose name is free.
pub(crate) fn make_anew(
    context: &RestoreContext,
    other: &SpecialFile,
    dir: &Dir,
) -> io::Result<InodeId> {
    match other.kind {
        EntryKind::Symlink => special::make_symlink(dir, &other.name, &other.link_target),
        _ => special::make_special(dir, &other.name, other.kind, other.device),
    }
    .map_err(same_name)?;
    let (fd, stat) = open_new(other, dir)?;
    let present =
        CurrentMetadata { has_xattrs: other.dir.has_default_acl, ..CurrentMetadata::from(&stat) };
    finish(context, other, dir, &fd, &present);
    Ok(InodeId::from(&stat))
}

/// Opens an entry that was just created; fails if it may have been replaced by another user who can
/// change names in the directory.
fn open_new(other: &SpecialFile, dir: &Dir) -> io::Result<(OwnedFd, Stat)> {
    let fd = special::open_path(dir, &other.name)?;
    let stat = stat_of(&fd)?;
    let is_own = || stat.uid == own_ids().0 || !keeps_owners(dir);
    let is_alone = || dir.stat_self().is_ok_and(|stat| is_private(&stat));
    if stat.nlink > 1 || !other.is_same(&fd, &stat) || !(is_own() || is_alone()) {
        return Err(io::Error::other(REPLACED));
    }
    Ok((fd, stat))
}

/// Sets the metadata of an open link or special file, which has the metadata `present`.
fn finish(
    context: &RestoreContext,
    other: &SpecialFile,
    dir: &Dir,
    fd: &OwnedFd,
    present: &CurrentMetadata,
) {
    let mut failed = Vec::new();
    let object =
        MetadataTarget::Path { fd: fd.as_fd(), kind: other.kind, place: (dir, &other.name) };
    apply(object, present, &other.metadata, &mut failed);
    context.report_metadata(failed, || other.dir.path_of(&other.name));
}

impl SpecialFile {
    /// Returns whether an open link or special file is the same, and may get this one's metadata.
    pub(crate) fn is_like(&self, fd: &OwnedFd, stat: &Stat) -> bool {
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
    use crate::restore::plan::coverage::SourceRelation;

    #[test]
    fn what_took_the_place_of_a_new_link_is_not_changed() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let at = |name: &str| temp.path().join(name);
        let dir = Dir::open(temp.path()).unwrap();
        let root =
            TargetDir::root(Dir::open(temp.path()).unwrap(), b"", SourceRelation::Below, None)
                .unwrap();
        let other = SpecialFile {
            dir: root,
            name: (*b"link").into(),
            kind: EntryKind::Symlink,
            link_target: b"to".to_vec(),
            device: None,
            metadata: Metadata::default(),
            group: None,
            _weight: None,
        };
        // Between creating and opening it, another user replaces it.
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
                std::os::unix::fs::chown(temp.path(), Some(4321), None).unwrap();
            },
        ];
        special::make_symlink(&dir, b"link", b"to").unwrap();
        open_new(&other, &dir).unwrap();
        let count = if rustix::process::geteuid().is_root() { 4 } else { 3 };
        for (number, meddle) in meddle[..count].iter().enumerate() {
            std::fs::remove_file(at("link")).unwrap();
            meddle();
            assert!(open_new(&other, &dir).is_err(), "{number}");
        }
    }
}

//! Rules that leave names out of a backup.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::fstatfs;

use super::ignore_file::{self, LINES_MAX};
use super::options::{Error, ExcludeOptions};
use crate::monitor::ProblemKind;
use crate::os::dir::{Dir, DirNames};
use crate::os::filesystem::is_trusted;
use crate::os::stat::Stat;
use crate::rules::{Patterns, Rules};

/// The first bytes of a valid `CACHEDIR.TAG`.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Kernel file systems that hold no files of the user, by their magic numbers: proc, sysfs, cgroup,
/// cgroup2, devpts, debugfs, tracefs, securityfs, pstore, bpf, mqueue, hugetlbfs, configfs,
/// efivarfs, binfmt_misc, fusectl, autofs, rpc_pipefs, selinux.
const KERNEL_FILE_SYSTEMS: [u64; 19] = [
    0x9fa0,
    0x6265_6572,
    0x27_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6165_676c,
    0xcafe_4a11,
    0x1980_0202,
    0x9584_58f6,
    0x6265_6570,
    0xde5e_81e4,
    0x4249_4e4d,
    0x6573_5543,
    0x0187,
    0x6759_6969,
    0xf97c_ff8c,
];

/// Device and inode number.
type FileNumber = ((u32, u32), u64);

/// The rules of one backup.
pub(super) struct Excludes {
    options: ExcludeOptions,
    patterns: Patterns,
    always_read: Patterns,
    /// Sources: relative patterns begin there, and in `/`.
    sources: HashSet<Vec<u8>>,
    own: Vec<(FileNumber, PathBuf)>,
}

/// The ignore files that apply in a directory: its own, then those above.
pub(super) struct IgnoreChain {
    rules: Rules,
    /// Length of the directory's path with its slash.
    base: usize,
    /// Number of lines in all of them.
    lines: usize,
    above: Option<Arc<IgnoreChain>>,
}

impl Drop for IgnoreChain {
    fn drop(&mut self) {
        // In a loop: a million nested directories may have one ignore file each.
        let mut above = self.above.take();
        while let Some(mut link) = above.and_then(Arc::into_inner) {
            above = link.above.take();
        }
    }
}

impl Excludes {
    /// Compiles the rules for these sources; fails for a pattern that can never match.
    pub(super) fn new(options: ExcludeOptions, sources: &[Vec<u8>]) -> Result<Self, Error> {
        let own = options.own_folders.iter().filter_map(|path| {
            let dir = Dir::open(path).ok()?;
            let stat = dir.stat_self().ok()?;
            Some(((stat.dev, stat.inode), dir.path().unwrap_or_else(|| path.clone())))
        });
        let own = own.collect();
        let (patterns, always_read) =
            (Patterns::new(&options.patterns)?, Patterns::new(&options.always_read)?);
        Ok(Self { patterns, always_read, sources: sources.iter().cloned().collect(), own, options })
    }

    /// Returns whether there is any rule for [`Self::leaves_out`].
    pub(super) fn has_rules(&self, chain: Option<&IgnoreChain>) -> bool {
        !self.patterns.is_empty() || self.options.larger_than.is_some() || chain.is_some()
    }

    /// Returns whether a rule leaves out the file or directory at the absolute `path`.
    pub(super) fn leaves_out(
        &self,
        path: &[u8],
        stat: &Stat,
        is_dir: bool,
        chain: Option<&IgnoreChain>,
    ) -> bool {
        if self.is_excluded(path, is_dir) {
            return true;
        }
        if !is_dir
            && self.options.larger_than.is_some_and(|limit| {
                stat.kind == crate::format::entry::EntryKind::File && stat.size > limit
            })
        {
            return true;
        }
        let mut chain = chain;
        while let Some(link) = chain {
            if let Some(matched) = link.rules.find(path, &[link.base], is_dir) {
                return !matched.keeps;
            }
            chain = link.above.as_deref();
        }
        false
    }

    /// Returns whether a pattern leaves out the file or directory at the absolute `path`.
    pub(super) fn is_excluded(&self, path: &[u8], is_dir: bool) -> bool {
        self.matches(&self.patterns, path, is_dir)
    }

    fn matches(&self, patterns: &Patterns, path: &[u8], is_dir: bool) -> bool {
        if patterns.is_empty() {
            return false;
        }
        let mut bases = vec![1];
        if patterns.has_relative() {
            bases.extend(
                slashes(path).filter(|at| self.sources.contains(&path[..*at])).map(|at| at + 1),
            );
        }
        patterns.find(path, &bases, is_dir).is_some_and(|matched| !matched.keeps)
    }

    /// Returns whether patterns name files to read even if they look unchanged.
    pub(super) fn reads_some_always(&self) -> bool {
        !self.always_read.is_empty()
    }

    /// Returns whether to read the file at the absolute `path` even if it looks unchanged: a
    /// pattern matches it or a directory above it.
    pub(super) fn always_reads(&self, path: &[u8]) -> bool {
        self.reads_some_always()
            && (self.matches(&self.always_read, path, false)
                || slashes(path).any(|at| self.matches(&self.always_read, &path[..at], true)))
    }

    /// Returns the patterns that matched nothing, as the user wrote them.
    pub(super) fn unmatched(&self) -> Vec<String> {
        let mut unmatched = self.patterns.unmatched();
        unmatched.append(&mut self.always_read.unmatched());
        unmatched
    }

    /// Returns the ignore files that apply in the directory `dir` with these names, at `path`.
    ///
    /// `report` gets the name of each ignore file that is not used completely, and why.
    pub(super) fn chain_for(
        &self,
        dir: &Dir,
        path: &[u8],
        names: &DirNames,
        above: Option<&Arc<IgnoreChain>>,
        report: &mut dyn FnMut(&[u8], ProblemKind, String),
    ) -> Option<Arc<IgnoreChain>> {
        let present =
            self.options.ignore_files.iter().filter(|name| names.contains(name.as_bytes()));
        let (mut rules, mut lines) = (Rules::default(), above.map_or(0, |above| above.lines));
        for name in present {
            let (name, room) = (name.as_bytes(), LINES_MAX.saturating_sub(lines));
            let (text, count) =
                ignore_file::read(dir, name, room, &mut |kind, what| report(name, kind, what));
            lines += count;
            rules.add_file(&text);
        }
        if rules.is_empty() {
            return above.cloned();
        }
        Some(Arc::new(IgnoreChain { rules, base: path.len() + 1, lines, above: above.cloned() }))
    }

    /// Returns the marker of a directory whose content is left out; the marker itself is stored.
    pub(super) fn marker_of<'a>(&'a self, dir: &Dir, names: &DirNames) -> Option<&'a [u8]> {
        let present = self.options.if_present.iter().find(|name| names.contains(name.as_bytes()));
        if let Some(name) = present {
            return Some(name.as_bytes());
        }
        let tag = b"CACHEDIR.TAG";
        (self.options.caches && names.contains(tag) && has_cache_tag(dir, tag)).then_some(tag)
    }

    /// Returns why a name without readable metadata is skipped: with `one_file_system`, mounts of
    /// other users are.
    pub(super) fn stops_at_unseen(
        &self,
        dir: &Dir,
        name: &[u8],
        from: Option<(u32, u32)>,
    ) -> Option<&'static str> {
        let device = self.options.one_file_system.then(|| dir.device_of(name).ok()).flatten()?;
        from.is_some_and(|from| from != device).then_some("not entered: it is another file system")
    }

    /// Returns whether a directory is the repository or its cache. On file systems that are not
    /// trusted, the inode number is not enough.
    fn is_own(&self, dir: &Dir, stat: &Stat) -> bool {
        let mut alike =
            self.own.iter().filter(|(number, _)| *number == (stat.dev, stat.inode)).peekable();
        alike.peek().is_some()
            && (is_trusted(dir) || alike.any(|(_, path)| dir.path().as_ref() == Some(path)))
    }

    /// Returns why the directory `dir` is stored without its content, if so; `from` is the device
    /// of the directory above.
    pub(super) fn stops_at(
        &self,
        dir: &Dir,
        stat: &Stat,
        from: Option<(u32, u32)>,
    ) -> Option<&'static str> {
        if self.is_own(dir, stat) {
            return Some("not entered: it is the repository itself or its cache");
        }
        if from.is_none_or(|from| from == stat.dev) {
            return None;
        }
        if self.options.one_file_system {
            return Some("not entered: it is another file system");
        }
        let magic = fstatfs(dir).map(|stat| stat.f_type as u64 & 0xffff_ffff);
        magic
            .is_ok_and(|magic| KERNEL_FILE_SYSTEMS.contains(&magic))
            .then_some("not entered: it is a file system of the kernel")
    }
}

/// Returns the positions of the slashes in an absolute path, without the first.
fn slashes(path: &[u8]) -> impl Iterator<Item = usize> {
    path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at)
}

fn has_cache_tag(dir: &Dir, name: &[u8]) -> bool {
    let mut head = [0; CACHE_TAG.len()];
    let read =
        dir.open_file(name).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
    read.is_ok() && head == CACHE_TAG
}

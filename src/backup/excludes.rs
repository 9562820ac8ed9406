//! What is left out of a backup.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::fstatfs;

use super::options::{Error, ExcludeOptions};
use crate::os::dir::{Dir, Names};
use crate::os::stat::Stat;

/// The first bytes of a valid `CACHEDIR.TAG`.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Kernel file systems without content of their own, by their magic numbers: proc, sysfs, cgroup, cgroup2, devpts, debugfs,
/// tracefs, securityfs, pstore, bpf, mqueue, hugetlbfs, configfs, efivarfs, binfmt_misc, fusectl, autofs, rpc_pipefs, selinux.
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

/// The rules of one backup, and those of the folders above.
pub struct Excludes {
    options: ExcludeOptions,
    patterns: Gitignore,
    own: Vec<((u32, u32), u64)>,
}

/// The ignore files that count in a folder: its own, then those above.
pub struct IgnoreChain {
    rules: Gitignore,
    above: Option<Arc<IgnoreChain>>,
}

impl Excludes {
    /// Compiles the rules; fails for a pattern that is not understood.
    pub fn new(options: ExcludeOptions) -> Result<Self, Error> {
        let mut builder = GitignoreBuilder::new("/");
        for pattern in &options.patterns {
            let added = builder.add_line(None, pattern);
            added.map_err(|source| Error::Pattern { pattern: pattern.clone(), source })?;
        }
        let built = builder.build().map_err(|source| Error::Pattern { pattern: options.patterns.join(" "), source })?;
        let own = options.own_folders.iter().filter_map(|path| Dir::open(path).and_then(|dir| dir.stat_self()).ok());
        let own = own.map(|stat| (stat.dev, stat.inode)).collect();
        Ok(Self { patterns: built, own, options })
    }

    /// Returns whether there is any rule by which [`Self::leaves_out`] could leave something out.
    pub fn has_rules(&self, chain: Option<&IgnoreChain>) -> bool {
        !self.patterns.is_empty() || self.options.larger_than.is_some() || chain.is_some()
    }

    /// Returns whether the file or folder at the absolute `path` is left out.
    pub fn leaves_out(&self, path: &[u8], stat: &Stat, is_dir: bool, chain: Option<&IgnoreChain>) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        if !self.patterns.is_empty() && self.patterns.matched(path, is_dir).is_ignore() {
            return true;
        }
        if !is_dir
            && self
                .options
                .larger_than
                .is_some_and(|limit| stat.kind == crate::format::entry::EntryKind::File && stat.size > limit)
        {
            return true;
        }
        let mut chain = chain;
        while let Some(link) = chain {
            let matched = link.rules.matched(path, is_dir);
            if !matched.is_none() {
                return matched.is_ignore();
            }
            chain = link.above.as_deref();
        }
        false
    }

    /// Returns the ignore files that count in the folder `dir` with these names.
    pub fn chain_for(&self, dir: &Dir, path: &[u8], names: &Names, above: Option<&Arc<IgnoreChain>>) -> Option<Arc<IgnoreChain>> {
        let present = self.options.ignore_files.iter().filter(|name| names.contains(name.as_bytes()));
        let mut builder = GitignoreBuilder::new(OsStr::from_bytes(path));
        let mut any = false;
        for name in present {
            let Ok(text) = dir.open_file(name.as_bytes()).and_then(std::io::read_to_string) else {
                continue;
            };
            for line in text.lines() {
                // A line that git would not understand is ignored here too.
                any |= builder.add_line(None, line).is_ok();
            }
        }
        match builder.build() {
            Ok(rules) if any => Some(Arc::new(IgnoreChain { rules, above: above.cloned() })),
            _ => above.cloned(),
        }
    }

    /// Returns the one name of a folder that is kept when its content is left out, or `None` if the content is wanted.
    pub fn marker_of<'a>(&'a self, dir: &Dir, names: &Names) -> Option<&'a [u8]> {
        let present = self.options.if_present.iter().find(|name| names.contains(name.as_bytes()));
        if let Some(name) = present {
            return Some(name.as_bytes());
        }
        let tag = b"CACHEDIR.TAG";
        (self.options.caches && names.contains(tag) && has_cache_tag(dir, tag)).then_some(tag)
    }

    /// Returns why the folder `dir` is recorded without its content, if so; `from` is the device of the folder above.
    pub fn stops_at(&self, dir: &Dir, stat: &Stat, from: Option<(u32, u32)>) -> Option<&'static str> {
        if self.own.contains(&(stat.dev, stat.inode)) {
            return Some("not entered: it is the repository itself or its cache");
        }
        if from.is_none_or(|from| from == stat.dev) {
            return None;
        }
        if self.options.one_file_system {
            return Some("not entered: it is another file system");
        }
        let magic = fstatfs(dir).map(|stat| stat.f_type as u64 & 0xffff_ffff);
        magic.is_ok_and(|magic| KERNEL_FILE_SYSTEMS.contains(&magic)).then_some("not entered: it is a file system of the kernel")
    }
}

fn has_cache_tag(dir: &Dir, name: &[u8]) -> bool {
    let mut head = [0; CACHE_TAG.len()];
    let read = dir.open_file(name).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
    read.is_ok() && head == CACHE_TAG
}

//! The source of the backups, and what happens to it: operations on a folder, chosen by dice, each
//! told in a line.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, RenameFlags, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::fs::{chownat, fallocate, lremovexattr, lsetxattr, mknodat, renameat_with, utimensat};

use super::dice::Dice;
use super::disk::{Time, names_below};
use super::names;
use crate::support::needs::is_root;

/// More names than this are not made.
const NAMES_MAX: usize = 40;
/// The longest file but for sparse ones.
const LEN_MAX: usize = 330_000;

/// Sets the time of change of a name; a link is not followed.
pub fn set_time(path: &Path, (seconds, nanos): Time) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    utimensat(
        CWD,
        path,
        &Timestamps { last_access: time, last_modification: time },
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

fn is_twin(path: &Path) -> bool {
    path.ends_with("twin1") && path.with_file_name("twin2").exists()
}

/// A folder in which things happen.
pub struct World<'a> {
    pub root: &'a Path,
    pub dice: &'a mut Dice,
}

impl World<'_> {
    /// Does one thing; returns what.
    pub fn act(&mut self) -> String {
        let all = names_below(self.root);
        let way = if all.len() < 4 { self.dice.below(30) } else { self.dice.below(100) };
        let done = match way {
            _ if all.len() > NAMES_MAX => self.remove(&all),
            _ if self.dice.chance(8) && all.iter().any(|path| is_twin(path)) => self.swap(&all),
            0..12 => self.new_file(&all),
            12..18 => self.new_folder(&all),
            18..22 => self.new_link(&all),
            22..24 => self.new_fifo(&all),
            24..27 => self.marker(&all),
            27..30 => self.twins(&all),
            30..48 => self.change_content(&all),
            48..54 => self.swap(&all),
            54..61 => self.rename(&all),
            61..68 => self.hard_link(&all),
            68..74 => self.remove(&all),
            74..80 => self.change_kind(&all),
            80..84 => self.replace_alike(&all),
            _ => self.attribute(&all),
        };
        done.unwrap_or_else(|| "nothing".to_owned())
    }

    fn show(&self, path: &Path) -> String {
        path.strip_prefix(self.root)
            .unwrap_or(path)
            .as_os_str()
            .as_encoded_bytes()
            .escape_ascii()
            .to_string()
    }

    fn any(&mut self, all: &[PathBuf]) -> Option<PathBuf> {
        if all.is_empty() { None } else { Some(self.dice.pick(all).clone()) }
    }

    fn any_where(
        &mut self,
        all: &[PathBuf],
        is_wanted: impl Fn(&fs::Metadata) -> bool,
    ) -> Option<PathBuf> {
        let is_wanted =
            |path: &&PathBuf| fs::symlink_metadata(path).is_ok_and(|about| is_wanted(&about));
        let wanted: Vec<PathBuf> = all.iter().filter(is_wanted).cloned().collect();
        self.any(&wanted)
    }

    fn any_file(&mut self, all: &[PathBuf]) -> Option<PathBuf> {
        self.any_where(all, fs::Metadata::is_file)
    }

    fn folder(&mut self, all: &[PathBuf]) -> PathBuf {
        if self.dice.chance(35) {
            return self.root.to_owned();
        }
        let depth =
            |path: &Path| path.strip_prefix(self.root).map_or(0, |rest| rest.components().count());
        let shallow: Vec<PathBuf> = all.iter().filter(|path| depth(path) < 4).cloned().collect();
        self.any_where(&shallow, fs::Metadata::is_dir).unwrap_or_else(|| self.root.to_owned())
    }

    /// Returns a path at which nothing is.
    fn free(&mut self, all: &[PathBuf]) -> Option<PathBuf> {
        let path = self.folder(all).join(names::name(self.dice));
        fs::symlink_metadata(&path).is_err().then_some(path)
    }

    fn new_file(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.free(all)?;
        let what = self.make_file(&path);
        Some(format!("new file {} {what}", self.show(&path)))
    }

    fn make_file(&mut self, path: &Path) -> String {
        if self.dice.chance(10) {
            let (len, at) = (40_000 + self.dice.below(3 << 20), self.dice.below(2 << 20));
            let file = File::create_new(path).unwrap();
            let data = self.dice.bytes(30_000);
            file.write_all_at(&data, at.min(len) as u64).unwrap();
            file.set_len(len as u64).unwrap();
            return format!("sparse, {len} B, data at {at}");
        }
        let len = names::size(self.dice);
        fs::write(path, self.dice.bytes(len)).unwrap();
        if self.dice.chance(30) {
            set_time(path, names::time(self.dice));
        }
        format!("{len} B")
    }

    fn new_folder(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.free(all)?;
        fs::create_dir(&path).unwrap();
        Some(format!("new folder {}", self.show(&path)))
    }

    fn new_link(&mut self, all: &[PathBuf]) -> Option<String> {
        let (path, target) = (self.free(all)?, names::target(self.dice));
        symlink(&target, &path).unwrap();
        Some(format!(
            "new link {} to {}",
            self.show(&path),
            target.as_encoded_bytes().escape_ascii()
        ))
    }

    fn new_fifo(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.free(all)?;
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        Some(format!("new fifo {}", self.show(&path)))
    }

    /// Marks a folder as one that exclude options speak of.
    fn marker(&mut self, all: &[PathBuf]) -> Option<String> {
        let (name, text) = *self.dice.pick(&[
            ("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# a cache"),
            ("CACHEDIR.TAG", "no signature"),
            (".nobackup", ""),
        ]);
        let folder = self.any_where(all, fs::Metadata::is_dir)?;
        let path = folder.join(name);
        fs::symlink_metadata(&path).is_err().then(|| fs::write(&path, text).unwrap())?;
        Some(format!("marker {} {text:?}", self.show(&path)))
    }

    /// Makes two folders with files that only content and inode number tell apart, as two writes in
    /// one tick of the clock can.
    fn twins(&mut self, all: &[PathBuf]) -> Option<String> {
        let folder = self.folder(all);
        let pair = [folder.join("twin1"), folder.join("twin2")];
        if pair.iter().any(|path| fs::symlink_metadata(path).is_ok()) {
            return None;
        }
        let len = 1 + names::size(self.dice);
        let bytes = pair.each_ref().map(|_| self.dice.bytes(len));
        pair.iter().for_each(|path| fs::create_dir(path).unwrap());
        pair.iter().zip(&bytes).for_each(|(path, bytes)| fs::write(path.join("x"), bytes).unwrap());
        pair.iter().for_each(|path| set_time(&path.join("x"), (1_600_000_000, 7)));
        pair.iter().for_each(|path| set_time(path, (1_600_000_000, 8)));
        Some(format!("twins in {}, {len} B", self.show(&folder)))
    }

    fn change_content(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.any_file(all)?;
        let before = fs::metadata(&path).unwrap();
        let what = self.write_into(&path, before.len() as usize);
        let keeps_time = self.dice.chance(40);
        if keeps_time {
            set_time(&path, (before.mtime(), before.mtime_nsec()));
        }
        Some(format!(
            "{what} in {}{}",
            self.show(&path),
            if keeps_time { ", time kept" } else { "" }
        ))
    }

    fn write_into(&mut self, path: &Path, len: usize) -> String {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let at = self.dice.below(len + 1);
        let part = names::size(self.dice).min(40_000);
        match self.dice.below(7) {
            0 if len + part < LEN_MAX => {
                file.write_all_at(&self.dice.bytes(part), len as u64).unwrap();
                format!("{part} B appended")
            }
            1 => {
                file.set_len(at as u64).unwrap();
                format!("cut to {at} B")
            }
            2 if len > 0 => {
                file.write_all_at(&self.dice.bytes(1), at.min(len - 1) as u64).unwrap();
                format!("one byte at {at}")
            }
            3 if len > 30_000 => {
                let (at, part) = (at as u64 & !4095, (part as u64 | 0x7fff) + 1);
                let punched = fallocate(
                    &file,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    at,
                    part,
                );
                format!("a hole of {part} B at {at}: {}", punched.is_ok())
            }
            4 if len > 0 => {
                // The last part of a file, which whoever reads too little misses.
                file.write_all_at(&self.dice.bytes(1), len as u64 - 1).unwrap();
                "the last byte".to_owned()
            }
            _ => {
                let bytes = self.dice.bytes(part.min(len - at));
                file.write_all_at(&bytes, at as u64).unwrap();
                format!("{} B at {at}", bytes.len())
            }
        }
    }

    /// Two names change places: files, folders, or one of each.
    fn swap(&mut self, all: &[PathBuf]) -> Option<String> {
        let twins: Vec<&PathBuf> = all.iter().filter(|path| is_twin(path)).collect();
        let (one, other) = match twins.first() {
            Some(twin) if self.dice.chance(80) => ((*twin).clone(), twin.with_file_name("twin2")),
            _ => (self.any(all)?, self.any(all)?),
        };
        if one.starts_with(&other) || other.starts_with(&one) {
            return None;
        }
        renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).ok()?;
        Some(format!("{} and {} changed places", self.show(&one), self.show(&other)))
    }

    /// Moves something, over what is there if the system lets it.
    fn rename(&mut self, all: &[PathBuf]) -> Option<String> {
        let from = self.any(all)?;
        let to = if self.dice.chance(50) { self.free(all)? } else { self.any(all)? };
        if to.starts_with(&from) || from.starts_with(&to) {
            return None;
        }
        fs::rename(&from, &to).ok()?;
        Some(format!("{} moved to {}", self.show(&from), self.show(&to)))
    }

    fn hard_link(&mut self, all: &[PathBuf]) -> Option<String> {
        let (from, to) = (self.any_where(all, |about| !about.is_dir())?, self.free(all)?);
        fs::hard_link(&from, &to).ok()?;
        Some(format!("{} is another name of {}", self.show(&to), self.show(&from)))
    }

    /// Gives something that is no folder another name in another folder.
    pub fn link_into(&mut self, other: &Path) -> String {
        let (all, to) = (names_below(self.root), other.join(names::name(self.dice)));
        let from = self
            .any_where(&all, |about| !about.is_dir())
            .filter(|_| fs::symlink_metadata(&to).is_err());
        let Some(from) = from.filter(|from| fs::hard_link(from, &to).is_ok()) else {
            return "nothing".to_owned();
        };
        format!(
            "{} is another name of {}",
            to.as_os_str().as_encoded_bytes().escape_ascii(),
            self.show(&from)
        )
    }

    fn remove(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.any(all)?;
        remove(&path);
        Some(format!("removed {}", self.show(&path)))
    }

    fn change_kind(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.any(all)?;
        remove(&path);
        let what = match self.dice.below(4) {
            0 => self.make_file(&path),
            1 => {
                symlink(names::target(self.dice), &path).unwrap();
                "a link".to_owned()
            }
            2 => {
                mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
                "a fifo".to_owned()
            }
            _ => {
                fs::create_dir(&path).unwrap();
                let inside = path.join(names::name(self.dice));
                format!("a folder with a file, {}", self.make_file(&inside))
            }
        };
        Some(format!("{} is now {what}", self.show(&path)))
    }

    /// Puts a new file of the same length and time in the place of another.
    fn replace_alike(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.any_file(all)?;
        let before = fs::metadata(&path).unwrap();
        let new = self.root.join(".new");
        fs::write(&new, self.dice.bytes(before.len() as usize)).unwrap();
        fs::set_permissions(&new, before.permissions()).unwrap();
        set_time(&new, (before.mtime(), before.mtime_nsec()));
        fs::rename(&new, &path).unwrap();
        Some(format!("{} replaced by one that looks alike", self.show(&path)))
    }

    fn attribute(&mut self, all: &[PathBuf]) -> Option<String> {
        let path = self.any(all)?;
        let is_link = path.is_symlink();
        let what = match self.dice.below(7) {
            0 | 1 if !is_link => {
                let modes = [0o644, 0o600, 0o755, 0o4755, 0o1777, 0o2750];
                // Without root's power nothing below could be read any more.
                let mode =
                    if is_root() && self.dice.chance(15) { 0 } else { *self.dice.pick(&modes) };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                format!("mode {mode:o}")
            }
            2 if is_root() => {
                let owners = [0, 1, 1000, 12_345, 65_534];
                let (uid, gid) = (*self.dice.pick(&owners), *self.dice.pick(&owners));
                let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
                chownat(CWD, &path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).unwrap();
                format!("owner {uid}:{gid}")
            }
            3 | 4 => self.xattr(&path),
            5 if !is_link => {
                // Only the change stamp moves, about which nobody wants to hear.
                fs::set_permissions(&path, fs::metadata(&path).unwrap().permissions()).unwrap();
                "its mode set again".to_owned()
            }
            _ => {
                let time = names::time(self.dice);
                set_time(&path, time);
                format!("time {time:?}")
            }
        };
        Some(format!("{}: {what}", self.show(&path)))
    }

    /// Sets or removes an extended attribute or an ACL; some file systems have none.
    fn xattr(&mut self, path: &Path) -> String {
        let kind = fs::symlink_metadata(path).unwrap().file_type();
        let space = if kind.is_file() || kind.is_dir() { "user" } else { "trusted" };
        if self.dice.chance(20) && !kind.is_symlink() {
            let uid = 1 + self.dice.below(3) as u32;
            let set = lsetxattr(path, "system.posix_acl_access", &acl(uid), XattrFlags::empty());
            return format!("ACL for {uid}: {}", set.is_ok());
        }
        let name = format!("{space}.{}", dice_name(self.dice));
        if self.dice.chance(25) {
            return format!("{name} removed: {}", lremovexattr(path, &name).is_ok());
        }
        let len = *self.dice.pick(&[0, 1, 20, 300]);
        let set = lsetxattr(path, &name, &self.dice.bytes(len), XattrFlags::empty());
        format!("{name} of {len} B: {}", set.is_ok())
    }
}

fn dice_name(dice: &mut Dice) -> &'static str {
    let chosen: &&'static str = dice.pick(&["zeta", "alpha", "m"]);
    chosen
}

/// Returns an ACL that lets one more user read, in the form that the kernel takes: tag, permissions
/// and number of each entry.
fn acl(uid: u32) -> Vec<u8> {
    let entries = [
        (1u16, 6u16, u32::MAX),
        (2, 4, uid),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, number) in entries {
        bytes.extend(
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &number.to_le_bytes()].concat(),
        );
    }
    bytes
}

/// Removes whatever it is.
pub fn remove(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

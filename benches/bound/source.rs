//! The data set: its files in the order of a backup, and their bytes without holes.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, SeekFrom, StatxFlags, openat, seek, statx};

use super::clock::Clock;

/// A file and its length in bytes.
pub type Sized = (PathBuf, u64);

/// Most bytes that are read at once: few enough to be in the cache when they are cut and hashed.
pub const PIECE_LEN_BYTES: usize = 1 << 20;

/// Lists all folders, and all regular files with their lengths, in name order.
pub fn walk(root: &Path, clock: &mut Clock) -> (Vec<PathBuf>, Vec<Sized>) {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    clock.time("walk", 0, || enter(root, &mut folders, &mut files));
    (folders, files)
}

fn enter(folder: &Path, folders: &mut Vec<PathBuf>, files: &mut Vec<Sized>) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(opened) = openat(CWD, folder, flags, Mode::empty()) else { return };
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let (mut listing, mut names) = (RawDir::new(&opened, &mut buffer), Vec::new());
    while let Some(Ok(entry)) = listing.next() {
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    for name in names {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
        let Ok(stat) = statx(&opened, &name, flags, StatxFlags::BASIC_STATS) else { continue };
        let path = folder.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
        match u32::from(stat.stx_mode) & 0o170000 {
            0o040000 => {
                folders.push(path.clone());
                enter(&path, folders, files);
            }
            0o100000 => files.push((path, stat.stx_size)),
            _ => {}
        }
    }
}

/// A buffer that is never zeroed again: its room outlives what it holds.
#[derive(Default)]
pub struct Buffer {
    room: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// Returns what it holds.
    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Moves all from `start` on to the front, and forgets the rest.
    pub fn keep_from(&mut self, start: usize) {
        self.room.copy_within(start..self.len, 0);
        self.len -= start;
    }

    /// Appends a file's next piece of data from `at` on, skipping holes; returns where the piece
    /// ended.
    pub fn read_piece(&mut self, file: &File, len: u64, at: u64) -> u64 {
        let (mut start, mut end) = (at, len);
        if len > PIECE_LEN_BYTES as u64 {
            let Ok(data) = seek(file, SeekFrom::Data(at)) else { return len };
            start = data;
            end = seek(file, SeekFrom::Hole(data)).unwrap_or(len);
        }
        let wanted = (end - start).min(PIECE_LEN_BYTES as u64) as usize;
        if self.room.len() < self.len + wanted {
            self.room.resize((self.len + wanted).max(2 * PIECE_LEN_BYTES), 0);
        }
        let mut got = 0;
        while got < wanted {
            match file
                .read_at(&mut self.room[self.len + got..self.len + wanted], start + got as u64)
            {
                Ok(0) | Err(_) => break,
                Ok(n) => got += n,
            }
        }
        self.len += got;
        if got < wanted { len } else { start + got as u64 }
    }
}

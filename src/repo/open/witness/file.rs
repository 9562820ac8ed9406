//! The file in which a machine remembers what it saw at one place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The folder in the state folder.
pub const PLACES: &str = "places";
/// The file in the folder of a place. Each has one of its own, so that the folder of all does not
/// change when one does: a backup that passes it over sees the same.
pub const FILE: &str = "memory.json";
/// What a damaged one is called then.
const BROKEN: &str = "memory.json.broken";
/// The file beside it that is locked while it changes.
const LOCK: &str = "lock";
/// How long to wait for another process; each holds the lock for some milliseconds.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// Longest file in bytes that is read: what is kept is bounded, and has a tenth of it.
const LEN_MAX_BYTES: u64 = 64 << 20;
/// What lies in the place of a file, such as a named pipe, is not waited for.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();
/// The form of the file.
const FORM: u32 = 1;
/// Copies of one repository that are remembered at one place; the one that was used longest ago
/// makes room.
pub const COPIES_MAX: usize = 16;
/// Most hashes that are remembered of one kind; then the oldest make room.
const HASHES_MAX: usize = 10_000;
/// Most series of which the last policy is remembered.
pub const POLICIES_MAX: usize = 5_000;

/// All that is remembered of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub form: u32,
    pub location: String,
    pub repository: String,
    pub fingerprint: String,
    /// The highest number of a config that counted.
    pub config: u64,
    /// The name of the key slot that opened it last.
    #[serde(default)]
    pub slot: String,
    /// The copies, the one that was used last at the end.
    pub copies: Vec<CopyMemory>,
}

/// What is remembered of one copy of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMemory {
    /// Tells its local copies from those of the others.
    pub number: u32,
    /// The highest generation of collectors.
    pub generation: u64,
    /// The newest snapshot of each host.
    pub heads: Vec<Head>,
    /// Hashes of snapshots whose absence was accepted, in hex.
    pub accepted: Vec<String>,
    /// Hashes of tombstones that this machine took back, in hex.
    #[serde(default)]
    pub taken_back: Vec<String>,
    /// The policies that were applied to its series, the last ones at the end.
    #[serde(default)]
    pub policies: Vec<PolicyNote>,
}

/// The newest snapshot of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub host: String,
    pub snapshot: String,
    pub sequence: u64,
}

/// The policy that was applied to a series last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyNote {
    /// A hash of what makes the series one.
    pub series: String,
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// A hash of the reason that its tombstones give.
    pub reason: String,
    /// The usual gap between its snapshots before some of them went, if there were two of any
    /// source.
    pub gap_s: Option<i64>,
}

impl Memory {
    /// Nothing is known of this place.
    pub fn of(location: &str) -> Self {
        Self { form: FORM, location: location.to_owned(), ..Self::default() }
    }
}

/// Adds a hash; the oldest makes room.
pub fn add(hashes: &mut Vec<String>, hash: String) {
    if !hashes.contains(&hash) {
        hashes.push(hash);
        hashes.drain(..hashes.len().saturating_sub(HASHES_MAX));
    }
}

/// What the file of a place holds.
pub enum Held {
    /// There is none.
    Nothing,
    /// This is remembered.
    Memory(Memory),
    /// It is damaged: nobody will ever read it again.
    Broken(io::Error),
}

/// Reads the file of a place.
///
/// Fails if it cannot be read, if others may have written it, and if another version of the program
/// did: what it holds is not known, and must not be written over.
pub fn read(file: &Path) -> io::Result<Held> {
    refuse_foreign(file.parent().expect("the file has a folder"))?;
    let text = match read_regular(file) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Held::Nothing);
        }
        text => text?,
    };
    let form =
        serde_json::from_slice(&text).map(|value: serde_json::Value| value.get("form").cloned());
    match form {
        Ok(Some(form)) if form != FORM => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it was written by another version of the program",
        )),
        _ => Ok(serde_json::from_slice(&text)
            .map_or_else(|error| Held::Broken(broken(&error)), Held::Memory)),
    }
}

/// Reads a file that is one, and of usual length: whatever else lies there is not waited for.
fn read_regular(file: &Path) -> io::Result<Vec<u8>> {
    let open = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(file)?;
    let found = open.metadata()?;
    if !found.is_file() || found.len() > LEN_MAX_BYTES {
        return Err(io::Error::other("it is too long, or not a regular file"));
    }
    let mut text = Vec::new();
    open.take(LEN_MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

fn broken(why: &serde_json::Error) -> io::Error {
    let says = format!(
        "it is damaged ({why}); it is kept as {BROKEN}, and what is seen from now on is remembered"
    );
    io::Error::new(io::ErrorKind::InvalidData, says)
}

/// Gives a damaged file another name, durably, so that its rest can be looked at.
pub fn set_aside(file: &Path) -> io::Result<()> {
    fs::rename(file, file.with_file_name(BROKEN))?;
    File::open(file.parent().expect("the file has a folder"))?.sync_all()
}

const FOREIGN: &str = "its folder belongs to somebody else, or others may write to it";

/// Makes sure that no other user can write to the directory: such a user would decide what is
/// remembered.
fn refuse_foreign(folder: &Path) -> io::Result<()> {
    [folder].into_iter().chain(folder.parent()).try_for_each(refuse_one)?;
    // The state folder itself may be a link, as service managers make it, and a group's; but not
    // everybody's.
    match folder.ancestors().nth(2).map(fs::metadata) {
        Some(Ok(found)) if found.mode() & 0o1002 == 0o002 => Err(io::Error::other(FOREIGN)),
        _ => Ok(()),
    }
}

fn refuse_one(folder: &Path) -> io::Result<()> {
    let found = match folder.symlink_metadata() {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        found => found?,
    };
    let is_own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    match is_own && found.is_dir() && found.mode() & 0o022 == 0 {
        true => Ok(()),
        false => Err(io::Error::other(FOREIGN)),
    }
}

/// Writes the memory whole, durably: one that is lost would let a rollback pass.
pub fn write(file: &Path, memory: &Memory) -> io::Result<()> {
    let folder = file.parent().expect("the file has a folder");
    make_folder(folder)?;
    let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    new.write_all(&serde_json::to_vec_pretty(memory)?)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(folder)?.sync_all()
}

/// Keeps other processes from changing the file, until what is returned is dropped.
///
/// Returns `None` where that cannot be had: the folder cannot be written, its file system knows no
/// locks, or a process that holds the lock was stopped. What is remembered then is what the last
/// writer knew.
pub fn hold(file: &Path) -> Option<File> {
    let folder = file.parent()?;
    make_folder(folder).ok()?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(NONBLOCK)
        .open(folder.join(LOCK))
        .ok()?;
    let until = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(lock),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(LOCK_PAUSE),
            Err(_) => return None,
        }
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    refuse_foreign(folder)
}

//! File with this machine's memory of one place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The directory of all places in the state directory.
pub const PLACES: &str = "places";
/// The file in the directory of a place. Each place has a directory, so that the directory of all
/// places does not change with each backup, and a backup of it finds it unchanged.
pub(super) const FILE: &str = "memory.json";
/// The name to which a damaged file is renamed.
const BROKEN: &str = "memory.json.broken";
/// The file in the same directory that is locked during changes.
const LOCK: &str = "lock";
/// Longest wait for another process, which holds the lock for some milliseconds.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// Longest file that is read, in bytes: ten times what the limits below allow.
const LEN_MAX_BYTES: u64 = 64 << 20;
/// Flag so that opening does not block, for example on a named pipe in place of the file.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();
/// Version of the file's form.
const FORM: u32 = 1;
/// Most copies of a repository that are remembered at one place; the one that was used longest ago
/// is dropped.
pub(super) const COPIES_MAX: usize = 16;
/// Most hashes of one kind that are remembered; the oldest are dropped.
const HASHES_MAX: usize = 10_000;
/// Most series whose last policy is remembered.
pub(super) const POLICIES_MAX: usize = 5_000;

/// Memory of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlaceMemory {
    pub form: u32,
    pub location: String,
    pub repository: String,
    pub fingerprint: String,
    /// The highest number of a valid config.
    pub config: u64,
    /// Name of the key slot that opened the repository last.
    #[serde(default)]
    pub slot: String,
    /// Copies of the repository, the one that was used last at the end.
    pub copies: Vec<CopyMemory>,
}

/// Memory of one copy of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopyMemory {
    /// Number that distinguishes its cache from those of the other copies.
    pub number: u32,
    /// The highest generation of collectors.
    pub generation: u64,
    /// The newest snapshot of each host.
    pub heads: Vec<HostHead>,
    /// Hashes of snapshots whose absence was accepted, in hex.
    pub accepted: Vec<String>,
    /// Hashes of tombstones that this machine took back, in hex.
    #[serde(default)]
    pub taken_back: Vec<String>,
    /// Policies that were applied to its series, the last ones at the end.
    #[serde(default)]
    pub policies: Vec<PolicyNote>,
}

/// The newest snapshot of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostHead {
    pub host: String,
    pub snapshot: String,
    pub sequence: u64,
}

/// The policy that was applied to a series last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyNote {
    /// Hash of the host, app and sources of the series.
    pub series: String,
    /// Time of the policy, in seconds since 1970.
    pub at_s: i64,
    /// Hash of the reason in its tombstones.
    pub reason: String,
    /// The usual time between its snapshots before some were forgotten, if there were two of any
    /// source.
    pub gap_s: Option<i64>,
}

impl PlaceMemory {
    /// Returns an empty memory of a place.
    pub(super) fn of(location: &str) -> Self {
        Self { form: FORM, location: location.to_owned(), ..Self::default() }
    }
}

/// Adds a hash; drops the oldest ones above the limit.
pub(super) fn add(hashes: &mut Vec<String>, hash: String) {
    if !hashes.contains(&hash) {
        hashes.push(hash);
        hashes.drain(..hashes.len().saturating_sub(HASHES_MAX));
    }
}

/// Content of the file of a place.
pub(super) enum StoredMemory {
    /// There is no file.
    Nothing,
    /// The memory in the file.
    Memory(PlaceMemory),
    /// The file is damaged.
    Broken(io::Error),
}

/// Reads the file of a place.
///
/// Fails if it cannot be read, if other users may have written it, or if another version of the
/// program wrote it. Then its content is not known, and it must not be overwritten.
pub(super) fn read(file: &Path) -> io::Result<StoredMemory> {
    refuse_foreign(file.parent().expect("the file has a folder"))?;
    let text = match read_regular(file) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(StoredMemory::Nothing);
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
            .map_or_else(|error| StoredMemory::Broken(broken(&error)), StoredMemory::Memory)),
    }
}

/// Reads a regular file of usual length; fails for anything else, without blocking.
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

/// Renames a damaged file durably, so that people can still examine it.
pub(super) fn set_aside(file: &Path) -> io::Result<()> {
    fs::rename(file, file.with_file_name(BROKEN))?;
    File::open(file.parent().expect("the file has a folder"))?.sync_all()
}

const FOREIGN: &str = "its folder belongs to somebody else, or others may write to it";

/// Fails if other users can write to the directory, who could then change what is remembered.
fn refuse_foreign(folder: &Path) -> io::Result<()> {
    [folder].into_iter().chain(folder.parent()).try_for_each(refuse_one)?;
    // The state directory itself may be a link, as service managers create it, and writable for a
    // group, but not for everyone.
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

/// Replaces the file durably, because a lost memory would let a rollback pass.
pub(super) fn write(file: &Path, memory: &PlaceMemory) -> io::Result<()> {
    let folder = file.parent().expect("the file has a folder");
    make_folder(folder)?;
    let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    new.write_all(&serde_json::to_vec_pretty(memory)?)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(folder)?.sync_all()
}

/// Prevents changes of the file by other processes until the returned value is dropped.
///
/// Returns `None` if there can be no lock: the directory is not writable, its file system has no
/// locks, or a process that holds the lock is stopped. Then the last writer's memory wins.
pub(super) fn lock_for_change(file: &Path) -> Option<File> {
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

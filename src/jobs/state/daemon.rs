//! State of the daemon: `daemon/lock`, `state.json`, `settings.json`.
//!
//! The lock is held while a daemon is there, so its death is seen. `settings.json` is a copy of the
//! configuration in force, from which runs read it: a file that was broken since does not stop
//! them.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::{StateDir, make_dir, write_whole};
use super::locks::{self, StateLock};
use crate::os::bounded_read;

/// Version of `state.json`.
const FORMAT: u32 = 1;
/// Longest state that is read.
const STATE_LEN_MAX_BYTES: u64 = 1 << 20;

/// What a daemon says of itself. All times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonState {
    /// Version of the file.
    pub format: u32,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started_s: i64,
    /// When it last looked, to some minutes.
    pub looked_s: i64,
    /// When it stopped as it was asked to; `None` if it is there, or died.
    pub stopped_s: Option<i64>,
    /// Why the configuration on the disk is not in force.
    pub reload_error: Option<ReloadError>,
}

/// A configuration that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadError {
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// Why, for people.
    pub error: String,
}

/// The directory of the daemon's state.
#[derive(Clone, Debug)]
pub struct DaemonDir {
    dir: PathBuf,
}

impl DaemonDir {
    /// Names the directory.
    pub fn new(state: &StateDir) -> Self {
        Self { dir: state.path().join("daemon") }
    }

    /// Locks it; `None` if another daemon holds the lock.
    ///
    /// Fails if the directory cannot be made or written to.
    pub fn lock(&self) -> io::Result<Option<StateLock>> {
        make_dir(&self.dir)?;
        StateLock::take(&self.dir.join("lock"))
    }

    /// Returns whether a daemon is there.
    pub fn is_locked(&self) -> io::Result<bool> {
        locks::is_held(&self.dir.join("lock"))
    }

    /// Reads the state; `None` if there never was a daemon.
    ///
    /// Fails if it cannot be read or is no state.
    pub fn read(&self) -> io::Result<Option<DaemonState>> {
        let file = self.dir.join("state.json");
        let text = match bounded_read::read(&file, STATE_LEN_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let state: DaemonState = serde_json::from_slice(&text).map_err(|error| {
            let why = format!("{} is no state of a daemon: {error}", file.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        Ok(Some(state))
    }

    /// Writes the state. The caller holds the lock.
    pub fn write(&self, state: &DaemonState) -> io::Result<()> {
        let state = DaemonState { format: FORMAT, ..state.clone() };
        let mut text = serde_json::to_vec_pretty(&state)?;
        text.push(b'\n');
        write_whole(&self.dir.join("state.json"), &text)
    }

    /// Returns the file with the copy of the configuration in force.
    pub fn settings_file(&self) -> PathBuf {
        self.dir.join("settings.json")
    }

    /// Writes that copy. The caller holds the lock.
    pub fn write_settings(&self, copy: &impl Serialize) -> io::Result<()> {
        write_whole(&self.settings_file(), &serde_json::to_vec(copy)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_outlasts_a_daemon_and_its_lock_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DaemonDir::new(&StateDir::new(folder.path()));
        assert!(dir.read().unwrap().is_none() && !dir.is_locked().unwrap());
        let lock = dir.lock().unwrap().unwrap();
        assert!(dir.is_locked().unwrap() && dir.lock().unwrap().is_none());
        let state = DaemonState { format: FORMAT, pid: 7, looked_s: 9, ..DaemonState::default() };
        dir.write(&state).unwrap();
        drop(lock);
        assert_eq!(dir.read().unwrap(), Some(state));
        assert!(!dir.is_locked().unwrap());
        std::fs::write(folder.path().join("daemon/state.json"), "{").unwrap();
        assert!(dir.read().unwrap_err().to_string().contains("state.json is no state"));
    }
}

//! Notes of containers that stand still for a run: `apps/<app>/stopped.json`.
//!
//! The note is there before a container is stopped and goes away after it was started again. A run
//! that dies in between leaves it, so that the next one starts them.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::{StateDir, write_whole};
use crate::os::bounded_read;

/// Name of the note.
const FILE_NAME: &str = "stopped.json";
/// Version of the note.
const FORMAT: u32 = 1;
/// Longest note that is read.
const NOTE_LEN_MAX_BYTES: u64 = 1 << 20;

/// Containers of one app that a run stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedContainers {
    format: u32,
    /// Socket of their engine.
    pub socket: PathBuf,
    /// The containers that ran, in the order in which they are stopped.
    pub containers: Vec<StoppedContainer>,
}

/// A container that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedContainer {
    /// Its id: another one may have its name by now.
    pub id: String,
    /// Its name, for messages.
    pub name: String,
}

impl StoppedContainers {
    /// Makes a note.
    pub fn new(socket: PathBuf, containers: Vec<StoppedContainer>) -> Self {
        Self { format: FORMAT, socket, containers }
    }
}

impl StateDir {
    /// Writes the note of an app durably. The caller holds the app's lock.
    pub fn note_stopped(&self, app: &str, stopped: &StoppedContainers) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(stopped)?;
        text.push(b'\n');
        write_whole(&self.app_dir(app).join(FILE_NAME), &text)
    }

    /// Reads the note of an app; `None` if there is none.
    ///
    /// Fails if it cannot be read, or is one of a later version.
    pub fn stopped(&self, app: &str) -> io::Result<Option<StoppedContainers>> {
        let file = self.app_dir(app).join(FILE_NAME);
        let text = match bounded_read::read(&file, NOTE_LEN_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let refuse = |why: String| {
            let why = format!("{} cannot be read: {why}", file.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let stopped: StoppedContainers =
            serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        match stopped.format {
            FORMAT => Ok(Some(stopped)),
            other => Err(refuse(format!("its format is {other}, and {FORMAT} is expected"))),
        }
    }

    /// Removes the note of an app, if there is one. The caller holds the app's lock.
    pub fn forget_stopped(&self, app: &str) -> io::Result<()> {
        let dir = self.app_dir(app);
        match std::fs::remove_file(dir.join(FILE_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| File::open(dir)?.sync_all()),
        }
    }

    /// Returns the apps that have such a note, in the order of their names.
    pub fn apps_with_stopped(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.apps_dir()) {
            // Without a state directory nothing is noted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new());
            }
            entries => entries?,
        };
        let mut apps = Vec::new();
        for entry in entries {
            let name = entry?.file_name().into_string().ok();
            let is_noted = |app: &String| self.app_dir(app).join(FILE_NAME).exists();
            apps.extend(name.filter(is_noted));
        }
        apps.sort();
        Ok(apps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_there_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path().join("state"));
        assert!(dir.apps_with_stopped().unwrap().is_empty());
        assert_eq!(dir.stopped("wiki").unwrap(), None);
        dir.forget_stopped("wiki").unwrap();
        let web = StoppedContainer { id: "0f".to_owned(), name: "web".to_owned() };
        let note = StoppedContainers::new("/x.sock".into(), vec![web]);
        dir.note_stopped("wiki", &note).unwrap();
        drop(dir.lock("shop").unwrap());
        assert_eq!(dir.apps_with_stopped().unwrap(), ["wiki"]);
        assert_eq!(dir.stopped("wiki").unwrap().unwrap(), note);
        dir.forget_stopped("wiki").unwrap();
        assert_eq!(dir.stopped("wiki").unwrap(), None);
        let file = dir.app_dir("wiki").join(FILE_NAME);
        std::fs::write(&file, "{\"format\": 9, \"socket\": \"/\", \"containers\": []}").unwrap();
        assert!(dir.stopped("wiki").unwrap_err().to_string().contains("format is 9"));
    }
}

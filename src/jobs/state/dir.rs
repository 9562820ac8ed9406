//! Directory of the state of apps: `apps/<app>/state.json`, `runs.jsonl`, `lock`.
//!
//! A file is written whole: a scratch file, fsync, rename, fsync of the directory. A death before
//! the rename leaves the old state, one after it the new; the scratch file is overwritten.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::locks::{self, StateLock};
use super::record::{AppState, FORMAT, RunRecord};
use crate::os::bounded_read;

/// Longest state that is read.
const STATE_LEN_MAX_BYTES: u64 = 16 << 20;
/// Runs that are kept in the history, and the number at which it is cut.
const RUNS_KEPT: usize = 1_000;
const RUNS_MAX: usize = 1_200;

/// The directory.
#[derive(Clone, Debug)]
pub struct StateDir {
    dir: PathBuf,
    /// The directory below it with one for each name.
    below: &'static str,
}

impl StateDir {
    /// Names the directory; nothing is made before it is needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), below: "apps" }
    }

    /// Names the directory for what is done with repositories by schedule: it has the same files
    /// for each of these names as for apps.
    pub fn of_repositories(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), below: "repositories" }
    }

    /// Returns the path of an app's directory.
    pub fn app_dir(&self, app: &str) -> PathBuf {
        self.apps_dir().join(app)
    }

    /// Returns the path of the directory with one for each app.
    pub(super) fn apps_dir(&self) -> PathBuf {
        self.dir.join(self.below)
    }

    /// Makes an empty directory for scratch files of an app: a run that died may have left some.
    /// The caller holds the app's lock.
    pub fn make_scratch_dir(&self, app: &str) -> io::Result<PathBuf> {
        let dir = self.app_dir(app).join("scratch");
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => make_dir(&dir)?,
        }
        Ok(dir)
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Locks an app for a run; `None` if another run holds the lock.
    ///
    /// Fails if the directory cannot be made or written to.
    pub fn lock(&self, app: &str) -> io::Result<Option<StateLock>> {
        let dir = self.app_dir(app);
        make_dir(&dir)?;
        StateLock::take_soon(&dir.join("lock"))
    }

    /// Locks an app for a look at its state; `None` at once if a run holds the lock.
    ///
    /// Fails if the directory cannot be made or written to.
    pub fn try_lock(&self, app: &str) -> io::Result<Option<StateLock>> {
        let dir = self.app_dir(app);
        make_dir(&dir)?;
        StateLock::take(&dir.join("lock"))
    }

    /// Returns whether a run of the app is under way.
    pub fn is_locked(&self, app: &str) -> io::Result<bool> {
        locks::is_held(&self.app_dir(app).join("lock"))
    }

    /// Reads the state of an app; an empty one if there is none.
    ///
    /// Fails if it cannot be read, is no state, or is one of a later version.
    pub fn read(&self, app: &str) -> io::Result<AppState> {
        let file = self.app_dir(app).join("state.json");
        let text = match bounded_read::read(&file, STATE_LEN_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(AppState::default()),
            text => text?,
        };
        let refuse = |why: String| {
            let why = format!("{} is no state of an app: {why}", file.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let state: AppState =
            serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        match state.format {
            FORMAT => Ok(state),
            other => Err(refuse(format!("its format is {other}, and {FORMAT} is expected"))),
        }
    }

    /// Writes the state of an app. The caller holds its lock.
    pub fn write(&self, app: &str, state: &AppState) -> io::Result<()> {
        let state = AppState { format: FORMAT, ..state.clone() };
        let mut text = serde_json::to_vec_pretty(&state)?;
        text.push(b'\n');
        write_whole(&self.app_dir(app).join("state.json"), &text)
    }

    /// Adds a run to the history of an app, which keeps the last 1,000. The caller holds its lock.
    pub fn add_run(&self, app: &str, run: &RunRecord) -> io::Result<()> {
        let file = self.app_dir(app).join("runs.jsonl");
        let mut line = serde_json::to_vec(run)?;
        line.push(b'\n');
        let mut opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&file)?;
        opened.write_all(&line)?;
        let text = bounded_read::read(&file, STATE_LEN_MAX_BYTES)?;
        let ends: Vec<usize> = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1)
            .collect();
        match ends.len() > RUNS_MAX {
            true => write_whole(&file, &text[ends[ends.len() - RUNS_KEPT - 1]..]),
            false => Ok(()),
        }
    }

    /// Returns the last runs of an app, oldest first, at most `count`. Lines that a death cut are
    /// passed over.
    pub fn runs(&self, app: &str, count: usize) -> io::Result<Vec<RunRecord>> {
        let file = self.app_dir(app).join("runs.jsonl");
        let text = match bounded_read::read(&file, STATE_LEN_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let lines = text.split(|byte| *byte == b'\n').rev();
        let mut runs: Vec<RunRecord> =
            lines.filter_map(|line| serde_json::from_slice(line).ok()).take(count).collect();
        runs.reverse();
        Ok(runs)
    }
}

/// Makes a directory and those above it, for its owner alone.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a file whole, durably.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = file.parent().expect("the file is in a directory");
    make_dir(dir)?;
    let scratch = file.with_extension("new");
    let mut opened =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&scratch)?;
    opened.write_all(bytes)?;
    opened.sync_all()?;
    std::fs::rename(&scratch, file)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn states_are_written_whole_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path().join("state"));
        assert_eq!(dir.read("wiki").unwrap(), AppState::default());
        let state = AppState { settled_s: Some(7), format: FORMAT, ..AppState::default() };
        dir.write("wiki", &state).unwrap();
        assert_eq!(dir.read("wiki").unwrap(), state);
        let file = dir.app_dir("wiki").join("state.json");
        for (text, why) in [("{", "no state"), ("{\"format\": 9}", "format is 9")] {
            std::fs::write(&file, text).unwrap();
            let error = dir.read("wiki").unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("state.json"), "{error}");
        }
    }

    #[test]
    fn an_app_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        assert!(!dir.is_locked("wiki").unwrap());
        let lock = dir.lock("wiki").unwrap().unwrap();
        assert!(dir.try_lock("wiki").unwrap().is_none() && dir.is_locked("wiki").unwrap());
        assert!(dir.try_lock("shop").unwrap().is_some());
        // A look at the app is no run of it.
        let look = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
        });
        assert!(dir.lock("wiki").unwrap().is_some());
        look.join().unwrap();
        assert!(!dir.is_locked("wiki").unwrap());
    }

    #[test]
    fn a_look_at_a_lock_makes_no_run_fail() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        drop(dir.lock("wiki").unwrap());
        let looks_on = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while looks_on.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = dir.is_locked("wiki");
                }
            });
            let runs = (0..200).filter(|_| dir.lock("wiki").unwrap().is_some()).count();
            looks_on.store(false, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(runs, 200);
        });
    }

    #[test]
    fn the_history_has_an_end_and_survives_a_cut_line() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        make_dir(&dir.app_dir("wiki")).unwrap();
        let run = |n: i64| RunRecord { started: n, ..RunRecord::default() };
        assert!(dir.runs("wiki", 5).unwrap().is_empty());
        for n in 0..1_210 {
            dir.add_run("wiki", &run(n)).unwrap();
        }
        let kept = dir.runs("wiki", 5_000).unwrap();
        assert_eq!((kept.len(), kept[0].started), (1_009, 201));
        let file = dir.app_dir("wiki").join("runs.jsonl");
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"app\":\"wi").unwrap();
        assert_eq!(dir.runs("wiki", 2).unwrap(), [run(1_208), run(1_209)]);
    }
}

//! Log of one run: everything that its programs wrote to standard error.
//!
//! Messages of failures hold the last words only, and those of a program that succeeded would be
//! lost. The file is `apps/<app>/log/<run>.log`; a run in which no program says anything has none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::dir::make_dir;
#[cfg(feature = "cli")]
use crate::notify::without_secrets;
use crate::sync::lock;
use crate::text::harmless;

/// Logs that are kept of an app.
const LOGS_KEPT: usize = 20;
/// Longest log.
const LOG_LEN_MAX_BYTES: u64 = 1 << 20;
/// Ending of its name.
const ENDING: &str = "log";

/// The log of one run. It is made when there is something to write.
pub struct RunLog {
    file: PathBuf,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    opened: Option<File>,
    len_bytes: u64,
    /// Whether nothing more is written: it is full, or the disk is.
    has_ended: bool,
}

impl RunLog {
    /// Names the log of a run in an app's directory.
    pub fn new(app_dir: &Path, run: &str) -> Self {
        let file = app_dir.join("log").join(format!("{run}.{ENDING}"));
        Self { file, written: Mutex::default() }
    }

    /// Adds a line that a program wrote. What cannot be written is left out: a log never fails a
    /// backup.
    pub fn add(&self, program: &str, line: &str) {
        let mut written = lock(&self.written);
        if written.has_ended {
            return;
        }
        let mut line = format!("{program}: {}\n", harmless(&without_secrets(line)));
        if written.len_bytes + line.len() as u64 > LOG_LEN_MAX_BYTES {
            "(the rest is left out: a log has at most 1 MiB)\n".clone_into(&mut line);
            written.has_ended = true;
        }
        match self.write(&mut written, &line) {
            Ok(()) => written.len_bytes += line.len() as u64,
            Err(_) => written.has_ended = true,
        }
    }

    fn write(&self, written: &mut Written, line: &str) -> io::Result<()> {
        if written.opened.is_none() {
            let dir = self.file.parent().expect("the file is in a directory");
            make_dir(dir)?;
            // Too many logs are no reason to have none of this run.
            let _ = remove_old(dir);
            let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.file);
            written.opened = Some(opened?);
        }
        written.opened.as_mut().expect("it was opened").write_all(line.as_bytes())
    }
}

/// Programs without the command line have no part that knows secrets.
#[cfg(not(feature = "cli"))]
fn without_secrets(line: &str) -> String {
    line.to_owned()
}

/// Leaves room for one more log. Names begin with the time, so the oldest are the first.
fn remove_old(dir: &Path) -> io::Result<()> {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| !path.as_ref().is_ok_and(|path| path.extension() != Some(ENDING.as_ref())))
        .collect::<io::Result<_>>()?;
    logs.sort();
    let excess = (logs.len() + 1).saturating_sub(LOGS_KEPT);
    logs[..excess].iter().try_for_each(std::fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_an_end_and_there_are_twenty() {
        let folder = tempfile::tempdir().unwrap();
        RunLog::new(folder.path(), "silent");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for run in 100..125 {
            RunLog::new(folder.path(), &run.to_string()).add("pg_dump", "a\u{1b}[2J");
        }
        let dir = folder.path().join("log");
        let mut names: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!((names.len(), names[0].to_str()), (20, Some("105.log")));
        assert_eq!(std::fs::read_to_string(dir.join("124.log")).unwrap(), "pg_dump: a\\x1b[2J\n");
        RunLog::new(folder.path(), "125").add("curl", "no answer of https://u:geheim@h/p?k=geheim");
        assert!(!std::fs::read_to_string(dir.join("125.log")).unwrap().contains("geheim"));
        let long = RunLog::new(folder.path(), "999");
        (0..3_000).for_each(|_| long.add("x", &"y".repeat(1_000)));
        let text = std::fs::read_to_string(dir.join("999.log")).unwrap();
        assert!(text.len() > 1_000_000 && text.len() < (1 << 20) + 100, "{}", text.len());
        assert!(text.ends_with("at most 1 MiB)\n"));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), "a file in its place").unwrap();
        let log = RunLog::new(folder.path(), "1");
        log.add("x", "y");
        log.add("x", "y");
        assert_eq!(std::fs::read(folder.path().join("log")).unwrap(), b"a file in its place");
    }
}

//! Priorities for systemd's journal.
//!
//! A line that begins with `<4>` has the importance of a warning there, so `journalctl -p warning`
//! finds it. Files and terminals must not have these prefixes, so they are written only where
//! standard error is the journal itself.

use std::fmt::Write as _;
use std::io;

use rustix::fs::fstat;

use crate::settings::environment::Environment;

/// Importance of a line, by the numbers of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// It failed.
    Error = 3,
    /// Something is missing.
    Warning = 4,
    /// Good to know.
    Info = 6,
}

/// Returns whether the journal reads standard error: systemd names the stream that it made, which
/// may have been redirected since.
pub fn is_stderr(env: &Environment) -> bool {
    let Some(named) = env.get("JOURNAL_STREAM").and_then(|name| name.to_str()) else {
        return false;
    };
    fstat(io::stderr()).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Returns a text each of whose lines begins with the priority.
pub fn with_priority(priority: Priority, text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        writeln!(all, "<{}>{line}", priority as u8).expect("strings take everything");
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_priority() {
        assert_eq!(with_priority(Priority::Error, "a\n  b\n"), "<3>a\n<3>  b\n");
        assert_eq!(with_priority(Priority::Warning, "a"), "<4>a\n");
        assert_eq!(with_priority(Priority::Info, ""), "");
    }

    #[test]
    fn only_the_stream_that_systemd_made_is_the_journal() {
        let stat = fstat(io::stderr()).unwrap();
        let own = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_stderr(&Environment::of([("JOURNAL_STREAM", &own)])));
        for other in ["1:2", "", "x"] {
            assert!(!is_stderr(&Environment::of([("JOURNAL_STREAM", other)])));
        }
        assert!(!is_stderr(&Environment::default()));
    }
}

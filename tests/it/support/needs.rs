//! Requirements of tests that not every machine meets.
//!
//! A test that cannot run here says so. With `DRUMLIN_TESTS_COMPLETE` set it fails instead: a
//! machine that is meant to run every test notices that it does not.

use std::path::Path;
use std::process::Command;

use rustix::fs::XattrFlags;

/// Returns whether a test can run here. If not, prints what it needs, or fails if every test must
/// run.
#[must_use]
pub fn can_run(is_possible: bool, needs: &str) -> bool {
    if !is_possible {
        let must_run = std::env::var_os("DRUMLIN_TESTS_COMPLETE").is_some();
        assert!(!must_run, "this test must run, and needs {needs}");
        eprintln!("left out: this test needs {needs}");
    }
    is_possible
}

/// Returns whether the long form of the tests of apps was asked for (`make apps-long`).
pub fn is_long() -> bool {
    let is_long = std::env::var_os("DRUMLIN_APPS_LONG").is_some();
    if !is_long {
        eprintln!("short form: `make apps-long` runs all of it");
    }
    is_long
}

/// Returns whether the tests run as the superuser.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns whether the system lets `strace` trace a program.
///
/// A trivial program is asked, so that no message of the program under test decides about it.
pub fn may_trace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    traced.expect("strace is there: scripts/test-deps.sh installs it").status.success()
}

/// Returns whether the file system of a directory holds attributes of users.
pub fn holds_xattrs(dir: &Path) -> bool {
    let probe = tempfile::NamedTempFile::new_in(dir).unwrap();
    rustix::fs::setxattr(probe.path(), "user.probe", b"1", XattrFlags::empty()).is_ok()
}

/// Runs `act` on threads that are nobody's: the system keeps users per thread.
pub fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    use rustix::process::{Gid, Uid};
    std::thread::scope(|scope| {
        let run = || {
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_gid(Gid::from_raw(65_534)).unwrap();
            rustix::thread::set_thread_uid(Uid::from_raw(65_534)).unwrap();
            act()
        };
        scope.spawn(run).join().unwrap()
    })
}

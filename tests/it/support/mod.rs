//! Helpers of tests: repositories in memory, scratch home directories, real servers.

pub mod archives; // archives and programs that unpack them
pub mod fixture; // a repository in memory
pub mod forger; // trees sealed by hand
pub mod full_tree; // a tree with everything
#[cfg(feature = "mount")]
pub mod fuse; // file systems of tests' own
pub mod home; // a scratch home
pub mod lying_runs; // index runs that lie
#[cfg(feature = "mount")]
pub mod mount; // mounted repositories
pub mod needs; // requirements of tests
pub mod operations; // forget, prune, repair
pub mod patient; // a damaged copy and its repair
#[cfg(feature = "mount")]
pub mod plain_disk; // a file system without links
pub mod servers; // real servers
pub mod sound; // a repository to be damaged

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the name under which the test binary runs one of its tests again: `module` is
/// `module_path!()`.
pub fn name_of_test(module: &str, test: &str) -> String {
    let (_binary, module) = module.split_once("::").unwrap();
    format!("{module}::{test}")
}

/// Returns a Python that has the reader's modules.
pub fn python_with_modules() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = std::env::var_os("DRUMLIN_TEST_PYTHON").map_or(own, PathBuf::from);
    let has_modules = Command::new(&python)
        .args(["-c", "import argon2, blake3, cryptography, zstandard"])
        .output();
    assert!(
        has_modules.is_ok_and(|output| output.status.success()),
        "{} lacks the reader's modules: run scripts/test-deps.sh, or set DRUMLIN_TEST_PYTHON",
        python.display()
    );
    python
}

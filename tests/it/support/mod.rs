//! Helpers of tests: repositories in memory, scratch home directories, real servers.

pub mod fixture; // a repository in memory
pub mod home; // a scratch home
pub mod needs; // requirements of tests
#[cfg(feature = "mount")]
pub mod plain_disk; // a file system without links
pub mod servers; // real servers

/// Returns the name under which the test binary runs one of its tests again: `module` is
/// `module_path!()`.
pub fn name_of_test(module: &str, test: &str) -> String {
    let (_binary, module) = module.split_once("::").unwrap();
    format!("{module}::{test}")
}

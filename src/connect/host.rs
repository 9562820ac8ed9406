//! Names of this machine and its user.

use std::path::PathBuf;

use super::error::{Error, Result};
use crate::os::owners::OwnerNames;

/// Returns the current directory. One that was removed meanwhile is named as the system has it, so
/// that nothing is found in it.
pub fn here() -> Result<PathBuf> {
    match std::env::current_dir() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok("/proc/self/cwd".into()),
        found => found.map_err(|error| Error::file("find", ".".as_ref(), error)),
    }
}

/// Returns the name of this machine.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Returns the name of the user who runs the program, else its number.
pub fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    OwnerNames::new().user(uid).map_or_else(|| uid.to_string(), |name| name.to_string())
}

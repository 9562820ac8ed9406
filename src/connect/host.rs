//! Names of this machine, its user, and the current directory.

use std::path::PathBuf;

use super::error::{Error, Result};
use crate::os::owners::OwnerNames;

/// Returns the current directory; `/proc/self/cwd` if it was removed, where nothing is found.
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

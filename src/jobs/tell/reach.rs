//! Way to the servers of messages and pings, as configured.

use std::io;
use std::path::Path;

use crate::notify::Reach;
use crate::settings::error::SettingsError;
use crate::settings::notify::refuse_later;
use crate::settings::{FILE_NAME, Settings};

/// Returns how servers are reached.
///
/// Fails if the file of certificates cannot be read.
pub(super) fn reach_of(settings: &Settings) -> Result<Reach, SettingsError> {
    let failed = |error: io::Error| {
        let file = settings.notify.ca_file.as_deref().unwrap_or(Path::new(""));
        refuse(settings, "ca-file", &format!("cannot read {}: {error}", crate::text::path(file)))
    };
    Reach::of(&settings.notify).map_err(failed)
}

/// Makes an error about a key of `[notify]`.
pub(super) fn refuse(settings: &Settings, key: &str, why: &str) -> SettingsError {
    let file = settings.file.as_deref().unwrap_or(Path::new(FILE_NAME));
    refuse_later(file, &["notify", key], why)
}

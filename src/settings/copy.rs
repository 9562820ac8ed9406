//! Copies of a configuration: the texts of its files, from which it can be read again.
//!
//! A daemon goes on with the configuration that it read last when the file is broken or half
//! written. What it starts must read the same, so it is given a copy.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::SettingsFile;
use crate::os::bounded_read;

/// Version of the copy.
const FORMAT: u32 = 1;
/// Longest copy that is read: texts of some thousand apps.
const COPY_LEN_MAX_BYTES: u64 = 64 << 20;

/// The files of a configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettingsCopy {
    format: u32,
    files: Vec<SettingsFile>,
}

impl SettingsCopy {
    /// Copies the files of a configuration.
    pub fn of(files: &[SettingsFile]) -> Self {
        Self { format: FORMAT, files: files.to_vec() }
    }

    /// Reads the files of a configuration from a copy.
    ///
    /// Fails if it is no copy, or one of a later version.
    pub fn read(file: &Path) -> io::Result<Vec<SettingsFile>> {
        let text = bounded_read::read(file, COPY_LEN_MAX_BYTES)?;
        let copy: Self = serde_json::from_slice(&text)?;
        match copy.format {
            FORMAT => Ok(copy.files),
            other => Err(io::Error::other(format!(
                "the format of the copy is {other}, and {FORMAT} is expected"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::environment::Environment;

    #[test]
    fn a_copy_is_the_configuration_whatever_became_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drumlin.toml");
        let text = "repository.box = { url = \"repo\" }\n[app.wiki]\npaths = \"${WHERE}/wiki\"\n";
        std::fs::write(&file, text).unwrap();
        let env = Environment::of([("WHERE", "srv")]);
        let settings = Settings::load(Some(&file), &env).unwrap();
        let copy = folder.path().join("copy");
        std::fs::write(&copy, serde_json::to_vec(&SettingsCopy::of(&settings.texts)).unwrap())
            .unwrap();
        std::fs::write(&file, "[app.wi").unwrap();
        assert!(Settings::load(Some(&file), &env).is_err());
        assert_eq!(Settings::load_copy(&copy, &env).unwrap(), settings);
        std::fs::write(&copy, "{\"format\":2,\"files\":[]}").unwrap();
        assert!(Settings::load_copy(&copy, &env).is_err());
        let nothing = SettingsCopy::of(&[]);
        std::fs::write(&copy, serde_json::to_vec(&nothing).unwrap()).unwrap();
        assert_eq!(Settings::load_copy(&copy, &env).unwrap(), Settings::default());
    }
}

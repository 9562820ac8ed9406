//! Way to servers: how long they may take, and whom to trust.

use std::io;
use std::time::Duration;

use crate::os::bounded_read;
use crate::settings::notify::NotifySettings;

/// Longest file of certificates that is read: that of a whole system has half a MiB.
const CA_FILE_MAX_BYTES: u64 = 4 << 20;
/// Time for one delivery, if nothing else is configured.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Time for one delivery, from the look-up of the name to the answer.
    pub timeout: Duration,
    /// Certificates of authorities in PEM, trusted in addition to the system's.
    pub authorities_pem: Vec<u8>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { timeout: TIMEOUT_DEFAULT, authorities_pem: Vec::new() }
    }
}

impl Reach {
    /// Reads what the settings say.
    ///
    /// Fails if the file of certificates cannot be read.
    pub fn of(settings: &NotifySettings) -> io::Result<Self> {
        let pem = settings.ca_file.as_deref();
        Ok(Self {
            timeout: settings.timeout.unwrap_or(TIMEOUT_DEFAULT),
            authorities_pem: pem
                .map(|file| bounded_read::read(file, CA_FILE_MAX_BYTES))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

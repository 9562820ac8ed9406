//! Operator that is not there, as at night: no password is typed, and warnings are kept.

use std::io;
use std::sync::Mutex;

use zeroize::Zeroizing;

use crate::connect::Operator;
use crate::sync;

/// Warnings that were given since they were last taken.
#[derive(Default)]
pub struct Heard(Mutex<Vec<String>>);

impl Heard {
    /// Returns the warnings, each once, and forgets them.
    pub fn take(&self) -> Vec<String> {
        let mut heard = std::mem::take(&mut *sync::lock(&self.0));
        heard.dedup();
        heard
    }
}

impl Operator for Heard {
    fn ask_password(&self, _: &str) -> io::Result<Zeroizing<String>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "nobody types it at night"))
    }

    fn detail(&self, _: &str) {}

    fn warn(&self, message: &str) {
        sync::lock(&self.0).push(message.to_owned());
    }

    fn loss(&self, message: &str) {
        self.warn(message);
    }
}

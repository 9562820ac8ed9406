//! Who is asked for passwords and hears warnings while a repository is opened.

use std::io;

use zeroize::Zeroizing;

/// A person at a terminal, or the log of a service.
pub trait Operator: Send + Sync {
    /// Asks for a password without showing it.
    ///
    /// Fails with [`io::ErrorKind::Interrupted`] if the person gave up, and with any other kind if
    /// there is nobody to ask.
    fn ask_password(&self, question: &str) -> io::Result<Zeroizing<String>>;

    /// Takes a detail that few want to know.
    fn detail(&self, message: &str);

    /// Takes a warning: something works, but not as well as it could.
    fn warn(&self, message: &str);

    /// Takes a warning of something that was lost or may be unsafe; it must never be dropped.
    fn loss(&self, message: &str);
}

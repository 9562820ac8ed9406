//! Receiver of password prompts and warnings while a repository is opened.

use std::io;

use zeroize::Zeroizing;

/// A user at a terminal, or the log of a service.
pub trait Operator: Send + Sync {
    /// Asks for a password without showing it.
    ///
    /// Fails with [`io::ErrorKind::Interrupted`] if the user interrupted it, and with any other
    /// kind if there is no terminal.
    fn ask_password(&self, question: &str) -> io::Result<Zeroizing<String>>;

    /// Takes a detail, shown only on request.
    fn detail(&self, message: &str);

    /// Takes a warning: something works, but not as well as it could.
    fn warn(&self, message: &str);

    /// Takes a warning of a loss or a risk, which must always be shown.
    fn loss(&self, message: &str);
}

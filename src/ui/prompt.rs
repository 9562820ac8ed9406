//! Questions at the terminal: passwords, and nothing else.

use std::io;
use std::sync::Mutex;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::sync::lock;

/// The terminal's settings from before a prompt, to restore if the program ends while one is
/// open.
static SETTINGS_BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Asks for a password without showing it.
///
/// Fails with [`io::ErrorKind::NotFound`] or the like if there is no terminal to ask.
pub fn ask_password(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
    *lock(&SETTINGS_BEFORE) = tcgetattr(&terminal).ok();
    let answer = rpassword::prompt_password(format!("{question}: "));
    *lock(&SETTINGS_BEFORE) = None;
    answer.map(Zeroizing::new)
}

/// Gives the terminal its settings back if a prompt is open; called before the program ends on a
/// signal.
pub fn restore_terminal() {
    let settings = lock(&SETTINGS_BEFORE).take();
    if let (Some(settings), Ok(terminal)) =
        (settings, std::fs::File::options().write(true).open("/dev/tty"))
    {
        let _ = tcsetattr(terminal, OptionalActions::Now, &settings);
    }
}

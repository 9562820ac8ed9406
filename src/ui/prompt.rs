//! Password prompts at the terminal.

use std::io;
use std::sync::Mutex;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::sync::lock;

/// The terminal's settings before a prompt, to restore if the program ends during it.
static SETTINGS_BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Asks for a password without showing it.
///
/// Fails with [`io::ErrorKind::NotFound`] or a similar error if there is no terminal.
pub fn ask_password(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
    *lock(&SETTINGS_BEFORE) = tcgetattr(&terminal).ok();
    let answer = rpassword::prompt_password(format!("{question}: "));
    *lock(&SETTINGS_BEFORE) = None;
    answer.map(Zeroizing::new)
}

/// Restores the terminal's settings if a prompt is open; called before the program ends on a
/// signal.
pub fn restore_terminal() {
    let settings = lock(&SETTINGS_BEFORE).take();
    if let (Some(settings), Ok(terminal)) =
        (settings, std::fs::File::options().write(true).open("/dev/tty"))
    {
        let _ = tcsetattr(terminal, OptionalActions::Now, &settings);
    }
}

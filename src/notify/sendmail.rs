//! A local program that takes e-mail, such as `sendmail`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use rustix::process::{Pid, Signal, kill_process_group};

use super::clean;
use super::outbox::SendError;
use crate::os::shell::SECRETS;

/// Interval at which a program is looked at.
const WAIT: Duration = Duration::from_millis(10);
/// Most bytes of what a program says about a failure.
const WORDS_MAX_BYTES: u64 = 4 << 10;

/// Gives a letter to a program: `PROGRAM ARGUMENTS… -i -f FROM -- TO…`.
///
/// A program that takes longer than `time` is killed with its children.
pub(super) fn send(
    program: &[String],
    envelope: &Envelope,
    letter: &[u8],
    time: Duration,
) -> Result<(), SendError> {
    let (name, arguments) =
        program.split_first().ok_or_else(|| SendError("the program has no name".to_owned()))?;
    let say = |why: &str| SendError(clean::line(&format!("{name}: {why}"), 300));
    let mut words = tempfile::tempfile().map_err(|error| say(&error.to_string()))?;
    let mut command = Command::new(name);
    command.args(arguments).arg("-i");
    if let Some(from) = envelope.from() {
        command.arg("-f").arg(AsRef::<str>::as_ref(from));
    }
    // An address may begin like an option.
    command.arg("--").args(envelope.to().iter().map(AsRef::<str>::as_ref));
    for secret in SECRETS {
        command.env_remove(secret);
    }
    let child = start(&mut command, letter, &words).map_err(|error| say(&error.to_string()))?;
    let status = wait(child, time).map_err(|error| say(&error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let _ = words
        .seek(SeekFrom::Start(0))
        .and_then(|_| words.take(WORDS_MAX_BYTES).read_to_end(&mut text));
    Err(say(&format!("{status}: {}", String::from_utf8_lossy(&text))))
}

fn start(command: &mut Command, letter: &[u8], words: &File) -> io::Result<Child> {
    // A file, not a pipe: a program that does not read must not hold this one up.
    let mut input = tempfile::tempfile()?;
    input.write_all(&unix_lines(letter))?;
    input.seek(SeekFrom::Start(0))?;
    command.stdin(input).stdout(Stdio::null()).stderr(words.try_clone()?).process_group(0).spawn()
}

/// Returns the letter with the ends of lines that local programs expect.
fn unix_lines(letter: &[u8]) -> Vec<u8> {
    let is_kept = |at: &usize| letter[*at] != b'\r' || letter.get(at + 1) != Some(&b'\n');
    (0..letter.len()).filter(is_kept).map(|at| letter[at]).collect()
}

fn wait(mut child: Child, time: Duration) -> io::Result<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begin.elapsed() >= time {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time"));
        }
        std::thread::sleep(WAIT);
    }
}

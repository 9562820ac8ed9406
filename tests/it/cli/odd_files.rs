//! Sources that are hard to read: leased files, files of the kernel, and a limit on the size of
//! files.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::fixture::noise;
use crate::support::home::Home;

/// Holds a lease on the file that it is given, says so, and gives it back half a second after it
/// was asked to.
const HOLDER: &str = r#"
import fcntl, os, signal, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.sigtimedwait([signal.SIGIO], 60)
time.sleep(0.5)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
print("given back", flush=True)
"#;

#[test]
fn a_leased_file_is_waited_for() {
    let home = Home::with_repository();
    let leased = home.write("src/leased", "what somebody works on");
    let mut holder = Command::new("python3")
        .args(["-c", HOLDER, leased.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().as_deref(), Some("held"));
    home.run(["backup", "src"]).ok();
    assert_eq!(said.next().as_deref(), Some("given back"));
    assert!(holder.wait().unwrap().success());
    assert_eq!(
        home.run(["cat", &format!("latest:{}", home.text("src/leased"))]).ok().out,
        "what somebody works on"
    );
}

#[test]
fn files_of_the_kernel_have_content_and_no_length() {
    let home = Home::with_repository();
    home.run(["backup", "/proc/sys/kernel/ostype"]).ok();
    assert_eq!(home.run(["cat", "latest:/proc/sys/kernel/ostype"]).ok().out, "Linux\n");
    // Nothing proves that it did not change.
    let again = home.json(["backup", "/proc/sys/kernel/ostype", "--always-snapshot"]);
    assert_eq!(again["stats"]["bytes_read"], 6);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_the_end() {
    let home = Home::with_repository();
    home.write("src/large", noise(1, 4 << 20));
    // In blocks of 512 bytes.
    let ran = home.script(&[], "ulimit -f 2000; exec \"$drumlin\" backup src");
    assert!(ran.code == 1 && ran.err.to_lowercase().contains("file too large"), "{ran:?}");
    home.run(["backup", "src"]).ok();
    home.run(["check", "--level", "full"]).ok();
}

/// A program that gives a password does not read the dump that comes by standard input.
#[test]
fn a_password_command_takes_nothing_from_a_dump() {
    let home = Home::with_password();
    let dump = crate::support::fixture::noise(5, 200_000);
    let arguments = [
        "backup",
        "--stdin",
        "--stdin-name",
        "dump",
        "--password-command",
        "head -c 1000 > /dev/null; echo secret",
    ];
    let home = home.with("DRUMLIN_PASSWORD", "");
    home.run_with_input(arguments, &dump).ok();
    let shown = home
        .command(["cat", "latest:/dump", "--password-command", "echo secret"])
        .output()
        .unwrap();
    assert!(shown.stdout == dump, "{}", String::from_utf8_lossy(&shown.stderr));
}

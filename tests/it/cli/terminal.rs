//! The program at a terminal: prompts, colours, progress. Method: `script` gives the program a
//! terminal of its own.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::home::{Home, Ran};

/// Runs the program at a terminal; each pair is what the program must show before something is
/// typed.
fn at_terminal(home: &Home, arguments: &str, dialogue: &[(&str, &str)]) -> Ran {
    let program = home.command([] as [&str; 0]);
    let mut command = Command::new("script");
    let line = format!("{} {arguments}", program.get_program().to_str().unwrap());
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear();
    command
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("TERM", "xterm");
    command
        .current_dir(home.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The input stays open until the end: its end would be typed as Ctrl-D.
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut shown, mut seen) = (Vec::new(), 0);
    for (question, answer) in dialogue {
        while !String::from_utf8_lossy(&shown[seen..]).contains(question) {
            let mut bytes = [0; 4096];
            let len = output.read(&mut bytes).unwrap();
            assert!(len > 0, "`{question}` was not asked:\n{}", String::from_utf8_lossy(&shown));
            shown.extend_from_slice(&bytes[..len]);
        }
        seen = shown.len();
        input.write_all(answer.as_bytes()).unwrap();
    }
    output.read_to_end(&mut shown).unwrap();
    let code = child.wait().unwrap().code().unwrap();
    drop(input);
    Ran { code, out: String::from_utf8_lossy(&shown).into_owned(), err: String::new() }
}

#[test]
fn init_asks_twice_and_does_not_show_the_password() {
    let home = Home::new().with("DRUMLIN_REPOSITORY", "repo");
    let ran =
        at_terminal(&home, "init", &[("new password", "first\n"), ("the same again", "second\n")])
            .code(1);
    assert!(ran.out.contains("the two passwords differ"), "{}", ran.out);
    let ran = at_terminal(&home, "init", &[("new password", "\n")]).code(2);
    assert!(ran.out.contains("is empty"), "{}", ran.out);
    assert!(!home.path("repo").exists());
    let ran = at_terminal(
        &home,
        "init",
        &[("new password", "horse battery\n"), ("the same again", "horse battery\n")],
    )
    .ok();
    assert!(
        ran.out.contains("new password: ") && ran.out.contains("the same again: "),
        "{}",
        ran.out
    );
    home.run(["snapshots", "--password-command", "echo horse battery"]).ok();
}

#[test]
fn a_wrong_password_may_be_typed_three_times() {
    let home = Home::with_password();
    let home = home.with("DRUMLIN_PASSWORD", "");
    let ran = at_terminal(
        &home,
        "snapshots",
        &[("password for", "wrong\n"), ("password for", "secret\n")],
    )
    .ok();
    assert!(
        ran.out.contains("wrong password, try again") && ran.out.contains("no snapshots"),
        "{}",
        ran.out
    );
    let ran = at_terminal(
        &home,
        "snapshots",
        &[("password for", "a\n"), ("password for", "b\n"), ("password for", "c\n")],
    )
    .code(12);
    assert_eq!(ran.out.matches("try again").count(), 2, "{}", ran.out);
    assert!(ran.out.contains("the password was typed"), "{}", ran.out);
    at_terminal(&home, "snapshots --repo nowhere", &[]).code(10);
}

#[test]
fn ctrl_c_at_the_prompt_ends_the_program() {
    let home = Home::with_password().with("DRUMLIN_PASSWORD", "");
    at_terminal(&home, "snapshots", &[("password for", "half a pass\x03")]).code(130);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let home = Home::with_repository();
    assert!(at_terminal(&home, "check", &[]).ok().out.contains("\x1b[32mno damage found\x1b[0m"));
    assert!(at_terminal(&home, "ls zzzz", &[]).code(1).out.contains("\x1b[1;31merror:\x1b[0m"));
    let home = home.with("NO_COLOR", "1");
    let ran = at_terminal(&home, "check", &[]).ok();
    assert!(ran.out.contains("no damage found") && !ran.out.contains('\x1b'), "{}", ran.out);
}

#[test]
fn progress_is_drawn_after_a_second_and_taken_away() {
    let home = Home::with_repository();
    let slow = "backup --command 'sleep 1.6; echo x' --command-name n";
    let ran = at_terminal(&home, slow, &[]).ok();
    assert!(ran.out.contains("\x1b[Jbacking up  "), "{}", ran.out);
    let (_, last) = ran.out.rsplit_once("\x1b[J").unwrap();
    assert!(last.starts_with("snapshot "), "the progress is still there: {}", ran.out);
    for option in ["--no-progress", "--quiet"] {
        assert!(
            !at_terminal(&home, &format!("{slow} {option}"), &[]).ok().out.contains('\x1b'),
            "{option}"
        );
    }
    assert!(
        !at_terminal(&home, "backup --command 'echo quick' --command-name n", &[])
            .ok()
            .out
            .contains("\x1b[J")
    );
}

#[test]
fn archives_are_not_written_to_a_terminal() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let ran = at_terminal(&home, "restore latest --to-tar -", &[]).code(2);
    assert!(ran.out.contains("an archive is not written to a terminal"), "{}", ran.out);
    let ran = at_terminal(&home, "restore latest --to-tar /dev/tty", &[]).code(2);
    assert!(ran.out.contains("an archive is not written to a terminal"), "{}", ran.out);
}

//! Goal: e-mail arrives, and neither a password nor a letter leaves unprotected.
//!
//! Method: a real SMTP server on this machine, with and without TLS, that refuses and hangs;
//! programs in the place of `sendmail`.

use std::path::PathBuf;

use super::super::tests::message;
use super::super::tests::servers::{SmtpRules, SmtpServer, reach};
use super::*;

/// `AUTH PLAIN` of user `ada` and password `geheim`.
const LOGIN: &str = "AGFkYQBnZWhlaW0=";
const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(300);

fn channel_by(route: MailRoute, timeout: Duration) -> MailChannel {
    let to = vec!["Ada <ada@example.org>".to_owned(), "bob@example.org".to_owned()];
    let settings = MailSettings { to, from: None, route, when: When::Changed };
    MailChannel::new(settings, "vault", &reach(timeout)).unwrap()
}

fn route(server: &SmtpServer, security: SmtpSecurity) -> SmtpRoute {
    SmtpRoute {
        security,
        host: "localhost".to_owned(),
        port: server.port,
        user: None,
        password_file: None,
    }
}

fn send(server: &SmtpServer, security: SmtpSecurity, timeout: Duration) -> Result<(), SendError> {
    channel_by(MailRoute::Smtp(route(server, security)), timeout).send(&message())
}

/// Returns a route that logs in with a password of a file.
fn with_login(server: &SmtpServer, security: SmtpSecurity, folder: &Path) -> SmtpRoute {
    let file = folder.join("password");
    std::fs::write(&file, "geheim\n").unwrap();
    SmtpRoute { user: Some("ada".to_owned()), password_file: Some(file), ..route(server, security) }
}

#[test]
fn a_letter_arrives_by_tls_with_all_that_identifies_it() {
    let server = SmtpServer::start(SmtpRules { is_wrapped: true, ..SmtpRules::default() });
    send(&server, SmtpSecurity::Tls, LONG).unwrap();
    let mailbox = server.mailbox();
    let letter = &mailbox.letters[0];
    assert_eq!(letter.to, ["ada@example.org", "bob@example.org"]);
    let message = message();
    for line in [
        &format!("Message-ID: <{}@vault>", message.id),
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "From: drumlin@vault",
        "To: Ada <ada@example.org>, bob@example.org",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(letter.content.lines().any(|have| have == line), "{line}: {}", letter.content);
    }
    assert!(letter.content.contains("Subject: [drumlin]"), "{}", letter.content);
    assert!(mailbox.commands.iter().all(|command| !command.starts_with("plain")));
}

#[test]
fn starttls_comes_before_password_and_letter() {
    let folder = tempfile::tempdir().unwrap();
    let rules = SmtpRules { has_starttls: true, login: Some(LOGIN), ..SmtpRules::default() };
    let server = SmtpServer::start(rules);
    let route = with_login(&server, SmtpSecurity::StartTls, folder.path());
    channel_by(MailRoute::Smtp(route), LONG).send(&message()).unwrap();
    let mailbox = server.mailbox();
    assert_eq!(mailbox.letters.len(), 1);
    let plain: Vec<&String> =
        mailbox.commands.iter().filter(|command| command.starts_with("plain")).collect();
    assert!(plain[0].starts_with("plain EHLO") && plain[1] == "plain STARTTLS", "{plain:?}");
    assert_eq!(plain.len(), 2);
}

#[test]
fn a_server_without_starttls_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = SmtpServer::start(SmtpRules { login: Some(LOGIN), ..SmtpRules::default() });
    let route = with_login(&server, SmtpSecurity::StartTls, folder.path());
    let error = channel_by(MailRoute::Smtp(route), LONG).send(&message()).unwrap_err();
    assert!(error.0.contains("STARTTLS"), "{error}");
    let commands = server.mailbox().commands;
    assert!(commands.iter().all(|c| !c.contains("AUTH") && !c.contains("MAIL")), "{commands:?}");
}

#[test]
fn a_certificate_of_nobody_is_refused() {
    let server = SmtpServer::start(SmtpRules { is_wrapped: true, ..SmtpRules::default() });
    let settings = MailSettings {
        to: vec!["ada@example.org".to_owned()],
        from: None,
        route: MailRoute::Smtp(route(&server, SmtpSecurity::Tls)),
        when: When::Changed,
    };
    let channel = MailChannel::new(settings, "vault", &Reach::default()).unwrap();
    let error = channel.send(&message()).unwrap_err();
    assert!(error.0.contains("certificate"), "{error}");
    assert!(server.mailbox().letters.is_empty());
}

#[test]
fn plain_text_stays_on_this_machine() {
    let server = SmtpServer::start(SmtpRules::default());
    send(&server, SmtpSecurity::PlainLoopback, LONG).unwrap();
    assert_eq!(server.mailbox().letters.len(), 1);
    // A name that leads elsewhere: an address of a network for documentation.
    let route =
        SmtpRoute { host: "192.0.2.1".to_owned(), ..route(&server, SmtpSecurity::PlainLoopback) };
    let error = channel_by(MailRoute::Smtp(route), LONG).send(&message()).unwrap_err();
    assert!(error.0.contains("plain text is refused"), "{error}");
}

#[test]
fn refusals_are_told_in_the_words_of_the_server_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = |word, reply| {
        let rules = SmtpRules {
            is_wrapped: true,
            login: Some(LOGIN),
            replies: vec![(word, reply)],
            ..SmtpRules::default()
        };
        let server = SmtpServer::start(rules);
        let route = with_login(&server, SmtpSecurity::Tls, folder.path());
        let error = channel_by(MailRoute::Smtp(route), LONG).send(&message()).unwrap_err().0;
        assert!(server.mailbox().letters.is_empty());
        assert!(!error.contains("geheim") && !error.contains(LOGIN), "{error}");
        error
    };
    for (word, reply, shown) in [
        ("AUTH", "535 wrong password", "wrong password"),
        ("MAIL", "451 try again later", "try again later"),
        ("RCPT", "550 no such mailbox", "no such mailbox"),
        ("DATA", "554 no", "554"),
        (".", "552 too large\u{1b}[2J", "too large\\x1b[2J"),
        ("EHLO", "nonsense", "localhost"),
    ] {
        let error = refusing(word, reply);
        assert!(error.contains(shown) && error.starts_with("localhost: "), "{word}: {error}");
    }
}

#[test]
fn a_server_that_hangs_or_drips_costs_no_more_than_its_time() {
    for hangs_at in ["greeting", "EHLO", "MAIL", "."] {
        let rules = SmtpRules { hangs_at: Some(hangs_at), ..SmtpRules::default() };
        let server = SmtpServer::start(rules);
        let begin = Instant::now();
        send(&server, SmtpSecurity::PlainLoopback, SHORT).unwrap_err();
        assert!(begin.elapsed() < LONG, "{hangs_at}");
    }
    let server = SmtpServer::start(SmtpRules { is_dripping: true, ..SmtpRules::default() });
    let channel = channel_by(MailRoute::Smtp(route(&server, SmtpSecurity::PlainLoopback)), SHORT);
    let begin = Instant::now();
    let error = channel.send(&message()).unwrap_err();
    assert!(begin.elapsed() < LONG && error.0.contains("no answer in time"), "{error}");
    // The first try still runs: a second one at the same time could arrive as well.
    let error = channel.send(&message()).unwrap_err();
    assert!(error.0.contains("owes an answer"), "{error}");
}

#[test]
fn a_letter_that_was_accepted_late_is_not_sent_again() {
    let mut late = Late::default();
    let (outcome, result) = channel();
    let waiting = |id: &str, result| Waiting { id: id.to_owned(), since: Instant::now(), result };
    late.waiting = Some(waiting("a", result));
    assert!(late.took("a").is_err());
    outcome.send(Ok(())).unwrap();
    assert_eq!(late.took("b"), Ok(false));
    assert_eq!(late.took("a"), Ok(true));
    let (outcome, result) = channel();
    late.waiting = Some(waiting("c", result));
    outcome.send(Err(SendError("no".to_owned()))).unwrap();
    assert_eq!(late.took("c"), Ok(false));
}

#[test]
fn nothing_listens_there() {
    let server = SmtpServer::start(SmtpRules::default());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let route = SmtpRoute { port: free, ..route(&server, SmtpSecurity::Tls) };
    channel_by(MailRoute::Smtp(route), LONG).send(&message()).unwrap_err();
}

#[test]
fn subjects_cannot_add_headers() {
    let server = SmtpServer::start(SmtpRules::default());
    let channel = channel_by(MailRoute::Smtp(route(&server, SmtpSecurity::PlainLoopback)), LONG);
    let mut message = message();
    message.subject = "x\r\nBcc: all@example.org\r\n\r\nbody".to_owned();
    message.body = "Füße\n.\nMAIL FROM:<x>\n".to_owned();
    channel.send(&message).unwrap();
    let letter = &server.mailbox().letters[0];
    assert_eq!(letter.to.len(), 2);
    let header = letter.content.split("\n\n").next().unwrap();
    assert!(header.lines().all(|line| !line.starts_with("Bcc")), "{header}");
}

#[test]
fn settings_that_cannot_work_are_refused_at_once() {
    let make = |to: &[&str], route| {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        let settings = MailSettings { to, from: None, route, when: When::Changed };
        MailChannel::new(settings, "../x\n", &Reach::default()).map(drop)
    };
    let sendmail = || MailRoute::Sendmail(vec!["true".to_owned()]);
    make(&["ada@example.org"], sendmail()).unwrap();
    make(&[], sendmail()).unwrap_err();
    make(&["no address"], sendmail()).unwrap_err();
    make(&["a@example.org\r\nBcc: b@example.org"], sendmail()).unwrap_err();
    let server = SmtpServer::start(SmtpRules::default());
    let half = SmtpRoute { user: Some("ada".to_owned()), ..route(&server, SmtpSecurity::Tls) };
    make(&["ada@example.org"], MailRoute::Smtp(half)).unwrap_err();
}

#[test]
fn a_missing_password_is_told_with_its_file() {
    let server = SmtpServer::start(SmtpRules { is_wrapped: true, ..SmtpRules::default() });
    let route = SmtpRoute {
        user: Some("ada".to_owned()),
        password_file: Some(PathBuf::from("/nowhere/password")),
        ..route(&server, SmtpSecurity::Tls)
    };
    let error = channel_by(MailRoute::Smtp(route), LONG).send(&message()).unwrap_err();
    assert!(error.0.contains("/nowhere/password"), "{error}");
}

/// Returns a channel by a script that runs in a folder.
fn program(folder: &Path, script: &str, timeout: Duration) -> MailChannel {
    let file = folder.join("sendmail");
    std::fs::write(&file, format!("cd {}\n{script}\n", folder.display())).unwrap();
    let words = vec!["/bin/sh".to_owned(), file.to_str().unwrap().to_owned()];
    channel_by(MailRoute::Sendmail(words), timeout)
}

#[test]
fn a_program_gets_the_letter_and_its_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let channel = program(folder.path(), "echo \"$*\" > args; cat > letter", LONG);
    channel.send(&message()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("args"), "-i -f drumlin@vault -- ada@example.org bob@example.org\n");
    assert!(read("letter").contains("Subject: ") && !read("letter").contains('\r'));
}

#[test]
fn a_program_that_fails_or_hangs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fails = program(folder.path(), "echo 'no queue' >&2; exit 75", LONG);
    let error = fails.send(&message()).unwrap_err();
    assert!(error.0.contains("75") && error.0.contains("no queue"), "{error}");
    let begin = Instant::now();
    let hangs = program(folder.path(), "sleep 100 & sleep 100", SHORT);
    let error = hangs.send(&message()).unwrap_err();
    assert!(error.0.contains("in time") && begin.elapsed() < LONG, "{error}");
    let missing = channel_by(MailRoute::Sendmail(vec!["/nowhere/x".to_owned()]), LONG);
    assert!(missing.send(&message()).unwrap_err().0.starts_with("/nowhere/x: "));
    let none = channel_by(MailRoute::Sendmail(Vec::new()), LONG);
    none.send(&message()).unwrap_err();
}

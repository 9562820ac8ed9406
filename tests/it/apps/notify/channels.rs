//! Channels: e-mail, certificates, servers that are away or hang, and settings that are wrong.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::sinks::{HttpSink, Manner, SmtpSink};
use super::{FAILS, configure, home, make_due, run, waiting};

#[test]
fn a_letter_arrives_by_a_server_and_by_a_program() {
    let (home, server) = (home(), SmtpSink::start());
    let to = "email = [\"ada@example.org\", \"Bob <bob@example.org>\"]";
    let smtp = format!("{to}\nsmtp = \"smtp+plain://localhost:{}\"", server.port);
    configure(&home, &smtp, FAILS);
    run(&home, 1);
    let letters = server.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    for part in [
        "RCPT TO:<ada@example.org>",
        "RCPT TO:<bob@example.org>",
        "Subject: [drumlin] wiki: backup failed",
        "Auto-Submitted: auto-generated",
        "Status:     failed",
    ] {
        assert!(letter.contains(part), "{part} in {letter}");
    }
    let script = home.write("sendmail", "#!/bin/sh\necho \"$@\" > arguments\ncat > letter\n");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    configure(&home, &format!("{to}\nsendmail = [{:?}]", script.display()), "");
    run(&home, 0);
    assert!(home.read("letter").contains("Subject: [drumlin] wiki: backup works again"));
    assert!(home.read("arguments").ends_with("-- ada@example.org bob@example.org\n"));
}

#[test]
fn a_message_waits_for_a_server_that_is_away() {
    let (home, port) = (home(), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let notify = format!("webhook = \"http://localhost:{}/token\"", port.port());
    configure(&home, &notify, FAILS);
    let ran = run(&home, 1);
    assert!(ran.err.contains("1 try to deliver a message failed"), "{ran:?}");
    let apps = home.run(["apps"]).ok().out;
    assert!(apps.contains("messages by webhook do not arrive: 1 try failed"), "{apps}");
    assert!(!apps.contains("token"), "{apps}");
    let channel = home.json(["apps"])["channels"][0].clone();
    assert_eq!((&channel["name"], &channel["failures_in_a_row"]), (&"webhook".into(), &1.into()));
    run(&home, 1);
    assert_eq!(waiting(&home).len(), 1, "nothing more happened, and its time has not come");
    make_due(&home);
    let sink = HttpSink::start_at(port.port());
    run(&home, 1);
    assert_eq!(sink.events(), ["wiki failed"]);
    assert_eq!(waiting(&home), [""; 0]);
    let channel = home.json(["apps"])["channels"][0].clone();
    assert_eq!((&channel["delivered"], &channel["failures_in_a_row"]), (&1.into(), &0.into()));
    assert!(!home.run(["apps"]).ok().out.contains("do not arrive"));
}

#[test]
fn servers_that_hang_end_no_run_and_hold_it_up_for_a_limited_time() {
    let (home, sink) = (home(), HttpSink::start(Manner::Hangs));
    let hooks =
        ["a", "b"].map(|name| format!("{{ url = \"{}\", name = {name:?} }}", sink.url("/")));
    let notify = format!("timeout = \"1s\"\nwebhook = [{}]", hooks.join(", "));
    configure(&home, &notify, "");
    let text = home.read("drumlin.toml").replace("\"source\"", "[\"source\", \"missing\"]");
    home.write("drumlin.toml", text);
    let began = Instant::now();
    let ran = run(&home, 3);
    assert!(began.elapsed() < Duration::from_secs(30) && ran.err.contains("2 tries"), "{ran:?}");
    let errors = home.json(["apps"])["channels"].to_string();
    assert!(errors.contains("no answer in time"), "{errors}");
}

#[test]
fn a_certificate_is_trusted_when_the_settings_name_it() {
    let (home, sink) = (home(), HttpSink::start_with_tls());
    home.write("ca.pem", &sink.pem);
    let hook = format!("webhook = \"{}\"", sink.url("/"));
    configure(&home, &hook, FAILS);
    run(&home, 1);
    assert_eq!(sink.events(), [""; 0]);
    configure(&home, &format!("{hook}\nca-file = \"ca.pem\""), FAILS);
    make_due(&home);
    run(&home, 1);
    assert_eq!(sink.events(), ["wiki failed"]);
    configure(&home, &format!("{hook}\nca-file = \"no.pem\""), FAILS);
    run(&home, 2);
}

#[test]
fn texts_of_the_users_and_settings_that_cannot_work() {
    let (home, sink) = (home(), HttpSink::start(Manner::Accepts));
    let url = sink.url("/secret");
    let template = r#"'{"text": "{app}: {event} of {host}, {error}"}'"#;
    let hook = |more: &str| format!("webhook = {{ url = \"{url}\", {more} }}");
    configure(&home, &hook(&format!("template = {template}")), FAILS);
    run(&home, 1);
    let text = sink.messages()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("wiki: failed of ") && text.contains("exit status: 3"), "{text}");
    for (notify, line, why) in [
        (hook("template = '{app}'"), 4, "the template is no JSON"),
        (hook("header = { Host = \"x\" }"), 4, "the header `host` is set by the program"),
        ("# \nemail = \"a b@c d@e\"\nsendmail = \"x\"".to_owned(), 5, "is not an address"),
        ("# \nemail = \"a@b@c\"\nsendmail = \"x\"".to_owned(), 5, "is no address"),
        (hook("header = { a = \"secret\\u0000\" }"), 4, "holds other characters"),
    ] {
        configure(&home, &notify, "");
        let ran = run(&home, 2);
        let place = format!("drumlin.toml:{line}: ");
        assert!(ran.err.contains(&place) && ran.err.contains(why), "{notify}: {ran:?}");
        assert!(!ran.err.contains("secret"), "{ran:?}");
    }
}

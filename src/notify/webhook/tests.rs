//! Goal: each style sends what its service reads, and no secret goes to another place.
//!
//! Method: an HTTP and HTTPS server on this machine that records, refuses, redirects and hangs.

use std::time::{Duration, Instant};

use super::super::tests::message;
use super::super::tests::servers::{HttpRules, HttpServer, reach};
use super::*;
use crate::settings::notify::{Header, Secret};

const LONG: Duration = Duration::from_secs(15);

fn settings(url: &str, style: WebhookStyle) -> WebhookSettings {
    WebhookSettings {
        name: "hook".to_owned(),
        url: Secret(url.to_owned()),
        style,
        headers: Vec::new(),
        when: When::Changed,
    }
}

fn sent(style: WebhookStyle, path: &str) -> (String, Value) {
    let server = HttpServer::start(HttpRules::default());
    let settings = settings(&server.url("http", path), style);
    WebhookChannel::new(settings, &reach(LONG)).unwrap().send(&message()).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].field("content-type"), Some("application/json"));
    assert_eq!(asked[0].field("idempotency-key"), Some(&*message().id));
    (asked[0].line.clone(), serde_json::from_str(&asked[0].body).unwrap())
}

fn answered(answer: &str) -> Result<(), SendError> {
    let server = HttpServer::start(HttpRules { answer: answer.to_owned(), ..HttpRules::default() });
    let settings = settings(&server.url("http", "/secret?token=secret"), WebhookStyle::Json);
    WebhookChannel::new(settings, &reach(LONG)).unwrap().send(&message())
}

#[test]
fn json_holds_all_fields() {
    let (line, body) = sent(WebhookStyle::Json, "/a?b=c");
    assert_eq!(line, "POST /a?b=c");
    let message = message();
    assert_eq!(body["severity"], "error");
    assert_eq!(body["event"], "failed");
    assert_eq!(body["facts"]["errors"], json!(message.facts.errors));
    assert_eq!(serde_json::from_value::<Message>(body).unwrap(), message);
}

#[test]
fn styles_of_services() {
    let message = message();
    let (line, body) = sent(WebhookStyle::Ntfy, "/topic?auth=x");
    assert_eq!((&*line, &body["topic"]), ("POST /?auth=x", &json!("topic")));
    assert_eq!((&body["priority"], &body["title"]), (&json!(5), &json!(message.subject)));
    assert_eq!(body["message"], message.body);
    let (line, body) = sent(WebhookStyle::Ntfy, "/ntfy/topic");
    assert_eq!((&*line, &body["topic"]), ("POST /ntfy/", &json!("topic")));
    let (line, body) = sent(WebhookStyle::Gotify, "/g?token=x");
    assert_eq!((&*line, &body["priority"]), ("POST /g/message?token=x", &json!(8)));
    assert_eq!(sent(WebhookStyle::Gotify, "/message").0, "POST /message");
    let (_, body) = sent(WebhookStyle::Slack, "/services/x");
    assert!(body["text"].as_str().unwrap().starts_with("*wiki: backup failed (vault)*\n```"));
    let (_, body) = sent(WebhookStyle::Discord, "/api/webhooks/x");
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let (line, body) = sent(WebhookStyle::Apprise, "/notify/key");
    assert_eq!((&*line, &body["type"]), ("POST /notify/key", &json!("failure")));
}

#[test]
fn texts_cannot_break_out_of_their_style() {
    let mut message = message();
    message.subject = "<!channel> & @everyone".to_owned();
    message.body = "```<http://x|y>".repeat(1_000);
    let content = |style| {
        let channel = WebhookChannel::new(settings("https://h/x", style), &reach(LONG)).unwrap();
        serde_json::from_str::<Value>(&channel.content(&message)).unwrap()
    };
    let slack = content(WebhookStyle::Slack)["text"].as_str().unwrap().to_owned();
    assert!(!slack.contains(['<', '>']) && slack.matches("```").count() == 2);
    let discord = content(WebhookStyle::Discord)["content"].as_str().unwrap().to_owned();
    assert!(discord.len() < 2_000 && discord.matches("```").count() == 2);
    let ntfy = content(WebhookStyle::Ntfy)["message"].as_str().unwrap().to_owned();
    assert!(ntfy.len() < 4_096);
}

#[test]
fn templates_are_filled_once_and_stay_json() {
    let template =
        r#"{"text": "{subject} on {host}: {error}", "n": {"x": "{no-such} {App}"}, "b": "{body}"}"#;
    let mut message = message();
    message.subject = "\"quoted\" \\ {host}\n".to_owned();
    let style = WebhookStyle::Template(template.to_owned());
    let channel = WebhookChannel::new(settings("https://h/x", style), &reach(LONG)).unwrap();
    let body: Value = serde_json::from_str(&channel.content(&message)).unwrap();
    assert_eq!(body["text"], "\"quoted\" \\ {host}\n on vault: cannot dump wiki: access denied");
    assert_eq!(body["n"]["x"], "{no-such} {App}");
    assert_eq!(body["b"], message.body);
    for field in ["id", "event", "severity", "app", "time", "since", "run", "slot", "seconds"] {
        assert!(!value_of(field, &message).unwrap().is_empty(), "{field}");
    }
    for (template, filled) in [("{", "{"), ("{}", "{}"), ("}{a", "}{a"), ("{é}", "{é}")] {
        assert_eq!(fill(template, &|_| None), filled);
    }
}

#[test]
fn templates_that_are_no_json_are_refused_unless_it_is_said() {
    let style = || WebhookStyle::Template("app={app}".to_owned());
    let mut settings = settings("https://h/x", style());
    let error = WebhookChannel::new(settings.clone(), &reach(LONG)).unwrap_err();
    assert!(error.contains("no JSON"), "{error}");
    settings.headers =
        vec![Header { name: "Content-Type".to_owned(), value: Secret("text/plain".to_owned()) }];
    WebhookChannel::new(settings, &reach(LONG)).unwrap();
}

#[test]
fn headers_arrive_and_bad_ones_are_refused_without_their_value() {
    let server = HttpServer::start(HttpRules::default());
    let with = |name: &str, value: &str| {
        let mut settings = settings(&server.url("http", "/"), WebhookStyle::Json);
        settings.headers = vec![Header { name: name.to_owned(), value: Secret(value.to_owned()) }];
        WebhookChannel::new(settings, &reach(LONG))
    };
    with("X-Gotify-Key", "secret").unwrap().send(&message()).unwrap();
    assert_eq!(server.asked()[0].field("x-gotify-key"), Some("secret"));
    for (name, value) in [
        ("a b", "secret"),
        ("a", "secret\r\nb: c"),
        ("Host", "secret"),
        ("Content-Length", "secret"),
    ] {
        let error = with(name, value).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_user_of_the_url_logs_in_and_is_not_told() {
    let answer = "401 Unauthorized".to_owned();
    let server = HttpServer::start(HttpRules { answer, ..HttpRules::default() });
    let url = format!("http://ada:geheim@localhost:{}/topic", server.port);
    let webhook = WebhookChannel::new(settings(&url, WebhookStyle::Ntfy), &reach(LONG)).unwrap();
    let error = webhook.send(&message()).unwrap_err();
    assert_eq!(error.0, "localhost: 401 Unauthorized");
    assert_eq!(server.asked()[0].field("authorization"), Some("Basic YWRhOmdlaGVpbQ=="));
}

#[test]
fn tls_is_used_and_checked() {
    let server = HttpServer::start(HttpRules { is_tls: true, ..HttpRules::default() });
    let settings = settings(&server.url("https", "/"), WebhookStyle::Json);
    WebhookChannel::new(settings.clone(), &reach(LONG)).unwrap().send(&message()).unwrap();
    assert_eq!(server.asked().len(), 1);
    // The system does not know who signed it.
    let error = WebhookChannel::new(settings, &Reach::default()).unwrap().send(&message());
    assert!(error.unwrap_err().0.starts_with("localhost: "));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn refusals_name_the_host_and_the_reason_and_no_secret() {
    for (answer, shown) in [
        ("400 Bad Request\n\nno such\u{1b} field", "400 Bad Request: no such\\x1b field"),
        ("404 Not Found", "404 Not Found"),
        ("429 Too Many Requests\nRetry-After: 9", "429"),
        ("503 Service Unavailable\n\nhttps://u:secret@h/?secret", "https://h/"),
    ] {
        let error = answered(answer).unwrap_err().0;
        assert!(error.starts_with("localhost: ") && error.contains(shown), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    answered("200 OK\n\nthanks").unwrap();
    answered("202 Accepted").unwrap();
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = HttpServer::start(HttpRules::default());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 X"] {
        let place = elsewhere.url("http", "/secret");
        let error = answered(&format!("{status}\nLocation: {place}")).unwrap_err().0;
        assert!(error.contains("redirects to localhost") && !error.contains("secret"), "{error}");
    }
    assert!(answered("302 Found").unwrap_err().0.contains("302"));
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn a_server_that_hangs_or_never_ends_costs_no_more_than_its_time() {
    let short = Duration::from_millis(300);
    let rules = HttpRules { is_hanging: true, ..HttpRules::default() };
    let hanging = HttpServer::start(rules);
    let settings_of = |server: &HttpServer| settings(&server.url("http", "/x"), WebhookStyle::Json);
    let begin = Instant::now();
    let error = WebhookChannel::new(settings_of(&hanging), &reach(short)).unwrap().send(&message());
    assert_eq!(error.unwrap_err().0, "localhost: no answer in time");
    assert!(begin.elapsed() < LONG);
    let answer = "500 Internal Server Error".to_owned();
    let endless = HttpServer::start(HttpRules { answer, is_endless: true, ..HttpRules::default() });
    let error = WebhookChannel::new(settings_of(&endless), &reach(LONG)).unwrap().send(&message());
    assert!(error.unwrap_err().0.len() < 300);
}

#[test]
fn urls_that_cannot_work_are_refused_at_once() {
    for url in [
        "secret",
        "ftp://h/secret",
        "https://",
        "smtp://secret",
        "https:// secret",
        "https://h:secret/",
        "https://h:99999/",
    ] {
        let error =
            WebhookChannel::new(settings(url, WebhookStyle::Json), &reach(LONG)).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
    let error = WebhookChannel::new(settings("https://h/", WebhookStyle::Ntfy), &reach(LONG));
    assert!(error.unwrap_err().contains("topic"));
    let mut reach = reach(LONG);
    reach.authorities_pem =
        b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n".to_vec();
    WebhookChannel::new(settings("https://h/", WebhookStyle::Json), &reach).unwrap_err();
}

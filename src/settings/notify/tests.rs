//! Goal: `[notify]` is read as documented, and what is wrong with it is said with its line and
//! without secrets. Method: small files.

use std::time::Duration;

use super::*;
use crate::settings::Settings;
use crate::settings::environment::Environment;

fn parse(text: &str) -> Result<Settings, SettingsError> {
    let env = Environment::of([("HOME", "/root"), ("TOKEN", "tk_secret")]);
    Settings::parse(text, "/etc/drumlin/drumlin.toml".into(), &env)
}

fn notify(lines: &str) -> NotifySettings {
    parse(&format!("[notify]\n{lines}")).unwrap().notify
}

#[test]
fn all_keys_are_read() {
    let settings = notify(
        "email = [\"ada@example.org\", \"Bob <bob@example.org>\"]\nfrom = \"d@example.org\"\n\
         smtp = \"smtps://mail.example.org\"\nsmtp-user = \"d\"\nsmtp-password-file = \"mail\"\n\
         ping = { url = \"https://up.example.org/api/push/x\", style = \"uptime-kuma\" }\n\
         when = \"failed\"\nremind = \"2d\"\ndigest = \"weekly mon 08:00\"\nca-file = \"ca.pem\"\n\
         timeout = \"5s\"\nwebhook = [\"https://a.example.org/${TOKEN}\", { url = \
         \"https://b.example.org\", name = \"phone\", style = \"ntfy\", when = \"always\", header \
         = { Authorization = \"Bearer ${TOKEN}\" } }, { url = \"https://c.example.org\", template \
         = '{\"text\": \"{subject}\"}' }]",
    );
    let mail = settings.mail.unwrap();
    let MailRoute::Smtp(route) = mail.route else { panic!("{:?}", mail.route) };
    assert_eq!((mail.to.len(), mail.when, route.port), (2, When::Failed, 465));
    assert_eq!(route.password_file.as_deref(), Some(Path::new("/etc/drumlin/mail")));
    assert_eq!(
        (settings.remind_s, settings.timeout),
        (Some(172_800), Some(Duration::from_secs(5)))
    );
    assert_eq!(settings.ca_file.as_deref(), Some(Path::new("/etc/drumlin/ca.pem")));
    assert_eq!(settings.ping.unwrap().style, PingStyle::UptimeKuma);
    let [plain, phone, text] = &settings.webhooks[..] else { panic!("{:?}", settings.webhooks) };
    assert_eq!(
        (plain.name.as_str(), plain.url.0.as_str()),
        ("webhook", "https://a.example.org/tk_secret")
    );
    assert_eq!((plain.when, phone.when), (When::Failed, When::Always));
    assert_eq!((phone.name.as_str(), &phone.style), ("phone", &WebhookStyle::Ntfy));
    assert_eq!(phone.headers[0].value.0, "Bearer tk_secret");
    assert_eq!(text.name, "webhook-3");
    assert!(matches!(&text.style, WebhookStyle::Template(text) if text.contains("{subject}")));
    assert!(!format!("{plain:?}{phone:?}").contains("secret"));
}

#[test]
fn few_keys_are_enough() {
    let settings = notify("email = \"root\\u0040localhost\"\nsendmail = \"/usr/sbin/sendmail -t\"");
    let MailRoute::Sendmail(program) = settings.mail.unwrap().route else { panic!() };
    assert_eq!(program, ["/usr/sbin/sendmail", "-t"]);
    assert_eq!(settings.remind_s, Some(REMIND_DEFAULT_S));
    assert_eq!(notify("remind = false").remind_s, None);
    let pinged = notify("ping = \"https://hc.example.org/x\"");
    assert!(pinged.mail.is_none() && pinged.webhooks.is_empty() && pinged.ping.is_some());
    let app = "[app.wiki]\npaths = \"/x\"\nnotify = false\nping = \"http://localhost:8000/x\"";
    let app = parse(app).unwrap().apps["wiki"].clone();
    assert_eq!((app.is_told, app.ping.unwrap().style), (Some(false), PingStyle::Healthchecks));
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_without_secrets() {
    for (lines, expected) in [
        ("email = \"ada@x.org\"", "`email` in [notify]: needs `smtp"),
        ("email = \"secret\"\nsmtp = \"smtps://m\"", "`email` in [notify]: `secret` is not an"),
        ("email = \"a@b\"\nsmtp = \"m\"", "`smtp` in [notify]: begin it with"),
        ("email = \"a@b\"\nsmtp = \"smtp://u:pw@m\"", "leave user and password out"),
        ("email = \"a@b\"\nsmtp = \"smtp://m\"\nsendmail = \"x\"", "`smtp` is there, too"),
        ("email = \"a@b\"\nsmtp = \"smtp://m\"\nsmtp-user = \"u\"", "needs `smtp-password-file`"),
        ("email = \"a@b\"\nsendmail = \"x\"\nsmtp-user = \"u\"", "of no use without `smtp`"),
        ("smtp = \"smtps://m\"", "`smtp` in [notify]: is of no use without `email`"),
        ("sendmail = \" \"\nemail = \"a@b\"", "names no program"),
        ("webhook = \"secret\"", "`webhook` in [notify]: must be a URL"),
        ("webhook = 5", "must be a URL or a table, or a list of them, not an integer"),
        ("webhook = { style = \"json\" }", "[notify.webhook] has no `url`"),
        ("webhook = { url = \"https://secret\", style = \"x\" }", "`x` is not one of json"),
        ("webhook = { url = \"https://h\", style = \"template\" }", "needs `template`"),
        ("webhook = { url = \"https://h\", name = \"mail\" }", "another channel with the name"),
        ("webhook = { url = \"https://h\", name = \"a b\" }", "is not made of letters"),
        ("webhook = { url = \"https://h\", urll = 1 }", "unknown key `urll` in [notify.webhook]"),
        ("ping = \"hc.example.org/secret\"", "`ping` in [notify]: must be a URL"),
        ("ping = { url = \"https://h\", style = \"x\" }", "`x` is not one of healthchecks"),
        ("when = \"never\"", "`never` is not one of changed"),
        ("remind = \"0s\"", "too short"),
        ("remind = true", "`remind` in [notify]"),
        ("digest = \"often\"", "is not a schedule"),
        ("timeout = \"0s\"", "too short"),
        ("emial = \"a@b\"", "unknown key `emial` in [notify]"),
    ] {
        let error = parse(&format!("[notify]\n# one\n{lines}")).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines}: {error}");
        let line = error.split(':').nth(1).unwrap().parse::<usize>().unwrap();
        assert!(error.starts_with("/etc/drumlin/drumlin.toml:") && line >= 3, "{error}");
        let is_address = lines.contains("email = \"secret\"");
        assert!(is_address || !error.contains("secret"), "{error}");
    }
    let two = parse("[defaults]\nping = \"https://h\"").unwrap_err().to_string();
    assert!(two.contains("unknown key `ping` in [defaults]"), "{two}");
}

#[test]
fn a_key_that_only_its_use_showed_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drumlin.toml");
    std::fs::write(&file, "# x\n[notify]\nwhen = \"always\"\nemail = \"a@b\"\n").unwrap();
    let error = refuse_later(&file, &["notify", "email"], "no").to_string();
    assert!(error.ends_with("drumlin.toml:4: `email` in [notify]: no"), "{error}");
    let gone = Path::new("gone.toml");
    let lost = refuse_later(gone, &["app", "wiki", "ping"], "no").to_string();
    assert_eq!(lost, "gone.toml:1: `ping` in [app.wiki]: no");
}

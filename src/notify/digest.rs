//! Digests: a summary of all apps at a time that the user chose.

use std::time::Duration;

use super::event::Notice;
use super::message::Message;
use super::text::{Lines, Place, Words, name, written};
use crate::text;

/// Most apps of a digest; more are counted.
const APPS_MAX: usize = 60;
/// Most bytes of an app's error.
const ERROR_MAX_BYTES: usize = 200;

/// Values of a digest.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// Beginning of the time that it covers, in seconds since 1970.
    pub since_s: i64,
    /// The apps. Those that are not well come first, whatever the order here.
    pub apps: Vec<DigestApp>,
    /// Further lines, such as of repositories and channels.
    pub lines: Vec<String>,
}

/// An app in a digest.
#[derive(Clone, Debug, Default)]
pub struct DigestApp {
    /// Name.
    pub name: String,
    /// Whether its backup is as it should be.
    pub is_well: bool,
    /// Runs that ended, of them failed.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Bytes that repositories grew by.
    pub added_bytes: u64,
    /// When the next run is due, in seconds since 1970.
    pub next_s: Option<i64>,
    /// The error of the last run.
    pub error: Option<String>,
    /// Its repositories.
    pub targets: Vec<DigestTarget>,
}

/// A repository of an app in a digest.
#[derive(Clone, Debug, Default)]
pub struct DigestTarget {
    /// Name.
    pub name: String,
    /// When the last good snapshot was confirmed there, in seconds since 1970.
    pub good_s: Option<i64>,
}

impl Digest {
    /// Returns the message of a digest that is due.
    pub fn message(&self, notice: &Notice, place: &Place) -> Message {
        written(
            notice,
            place,
            Words { subject: self.subject(place), body: self.body(notice, place) },
        )
    }

    fn subject(&self, place: &Place) -> String {
        let ill = self.apps.iter().filter(|app| !app.is_well).count();
        let state = match ill {
            0 if self.apps.len() == 1 => "1 app is well".to_owned(),
            0 => format!("all {} are well", text::counted(self.apps.len() as u64, "app")),
            ill => format!("{ill} of {} not well", text::counted(self.apps.len() as u64, "app")),
        };
        format!("drumlin: {state} ({})", name(&place.host))
    }

    fn body(&self, notice: &Notice, place: &Place) -> String {
        let mut body = Lines { text: String::new(), zone: &place.zone };
        body.line(&format!("Backups of {}.", name(&place.host)));
        body.gap();
        body.time("From", self.since_s);
        body.time("To", notice.time_s);
        let sum =
            |count: fn(&DigestApp) -> u64| self.apps.iter().map(count).fold(0, u64::saturating_add);
        body.field("Runs", &text::count(sum(|app| app.runs)));
        body.field("Failed", &text::count(sum(|app| app.failures)));
        body.field("Added", &text::size(sum(|app| app.added_bytes)));
        let mut apps: Vec<&DigestApp> = self.apps.iter().collect();
        apps.sort_by_key(|app| (app.is_well, &app.name));
        for app in apps.iter().take(APPS_MAX) {
            body.gap();
            add_app(app, notice.time_s, &mut body);
        }
        if apps.len() > APPS_MAX {
            body.gap();
            body.line(&format!("and {} more", text::count((apps.len() - APPS_MAX) as u64)));
        }
        if !self.lines.is_empty() {
            body.gap();
            for line in &self.lines {
                body.line(&super::clean::line(line, ERROR_MAX_BYTES));
            }
        }
        body.text
    }
}

fn add_app(app: &DigestApp, now_s: i64, body: &mut Lines) {
    let state = if app.is_well { "well" } else { "NOT WELL" };
    let runs = text::counted(app.runs, "run");
    let failed = match app.failures {
        0 => String::new(),
        failures => format!(", {} failed", text::count(failures)),
    };
    let added = text::size(app.added_bytes);
    body.line(&format!("{}: {state}; {runs}{failed}; {added} added", name(&app.name)));
    for target in &app.targets {
        let good = match target.good_s {
            Some(good_s) => {
                let age_s = now_s.saturating_sub(good_s).max(0).unsigned_abs();
                let age = text::duration(Duration::from_secs(age_s));
                format!("last good {}, {age} ago", super::text::time(good_s, body.zone))
            }
            None => "no good snapshot".to_owned(),
        };
        body.line(&format!("  {}: {good}", name(&target.name)));
    }
    if let Some(error) = &app.error {
        body.line(&format!("  error: {}", super::clean::line(error, ERROR_MAX_BYTES)));
    }
    if let Some(next_s) = app.next_s {
        body.line(&format!("  next run: {}", super::text::time(next_s, body.zone)));
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::event::{Happened, Happening, Rules, Told, step};
    use super::super::message::{BODY_MAX_BYTES, Facts};
    use super::*;

    fn message(digest: &Digest) -> Message {
        let rules = Rules {
            writer: "digest".to_owned(),
            app: None,
            targets: Vec::new(),
            remind_s: None,
            is_muted: false,
        };
        let happening = Happening { what: Happened::Digest(1), facts: Facts::default() };
        let notice = step(&Told::default(), &happening, &rules, 1_800_000_000).notice.unwrap();
        let place = Place { host: "vault".to_owned(), zone: TimeZone::UTC, remind_s: Some(86_400) };
        digest.message(&notice, &place)
    }

    #[test]
    fn apps_that_are_not_well_come_first() {
        let target = DigestTarget { name: "box".to_owned(), good_s: Some(1_799_996_400) };
        let well = DigestApp {
            name: "a".to_owned(),
            is_well: true,
            runs: 7,
            added_bytes: 1_536,
            targets: vec![target],
            ..DigestApp::default()
        };
        let ill = DigestApp {
            name: "b\r\nBcc: x".to_owned(),
            runs: 7,
            failures: 2,
            error: Some("cannot reach sftp://u:geheim@box".to_owned()),
            next_s: Some(1_800_003_600),
            targets: vec![DigestTarget::default()],
            ..DigestApp::default()
        };
        let digest = Digest { since_s: 1_799_395_200, apps: vec![well, ill], lines: Vec::new() };
        let message = message(&digest);
        assert_eq!(message.subject, "drumlin: 1 of 2 apps not well (vault)");
        assert_eq!(
            message.body,
            "Backups of vault.\n\
             \n\
             From:       2027-01-08 08:00:00 UTC\n\
             To:         2027-01-15 08:00:00 UTC\n\
             Runs:       14\n\
             Failed:     2\n\
             Added:      1.50 KiB\n\
             \n\
             b Bcc: x: NOT WELL; 7 runs, 2 failed; 0 B added\n  \
               : no good snapshot\n  \
               error: cannot reach sftp://box\n  \
               next run: 2027-01-15 09:00:00 UTC\n\
             \n\
             a: well; 7 runs; 1.50 KiB added\n  \
               box: last good 2027-01-15 07:00:00 UTC, 1:00:00 h ago\n"
        );
    }

    #[test]
    fn a_digest_of_many_apps_stays_short() {
        let app = |number: usize| DigestApp {
            name: format!("{number:0>300}"),
            is_well: true,
            added_bytes: u64::MAX,
            ..DigestApp::default()
        };
        let digest = Digest { apps: (0..2_000).map(app).collect(), ..Digest::default() };
        let message = message(&digest);
        assert_eq!(message.subject, "drumlin: all 2,000 apps are well (vault)");
        assert!(message.body.len() <= BODY_MAX_BYTES);
        let none = Digest { lines: vec!["box: 1 TiB".to_owned()], ..Digest::default() };
        assert!(self::message(&none).body.ends_with("\nbox: 1 TiB\n"));
    }
}

//! Subjects and texts of messages.
//!
//! Plain English, one statement a line. Whatever comes from errors and names passes [`clean`], so
//! that a message holds neither a secret nor a line break where none belongs.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::clean;
use super::event::Notice;
use super::item::id_of;
use super::message::{BODY_MAX_BYTES, Facts, Message};
use super::trouble::{Event, Moment, OpenTrouble, Trouble, TroubleKind};
use crate::settings::notify::When;
use crate::text;

/// Most bytes of a line of a message.
const LINE_MAX_BYTES: usize = 500;
/// Most bytes of a subject.
const SUBJECT_MAX_BYTES: usize = 200;
/// Most bytes of a name.
const NAME_MAX_BYTES: usize = 100;
/// Most causes, and most further lines, of a message.
const LINES_MAX: usize = 10;

/// The machine that messages come from.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub host: String,
    /// The time zone of times in messages.
    pub zone: TimeZone,
    /// Interval of reminders in seconds, if there are any.
    pub remind_s: Option<i64>,
}

/// Returns a message in words.
pub fn message_of(notice: &Notice, place: &Place) -> Message {
    let facts = clean_facts(&notice.facts);
    let app = notice.app.as_deref().map(name);
    let target = notice.target.as_deref().map(name);
    let headline = headline(notice, target.as_deref());
    let body = body(notice, &facts, place, &headline);
    written(notice, place, Words { subject: subject(app.as_deref(), &headline, place), body })
}

/// The words of a message.
pub(super) struct Words {
    /// One line.
    pub subject: String,
    /// Lines.
    pub body: String,
}

/// Returns a message with given words.
pub(super) fn written(notice: &Notice, place: &Place, words: Words) -> Message {
    let target = notice.target.as_deref().map(name);
    let saying = format!("{} {target:?} {:?}", notice.event.name(), notice.since_s);
    let mut body = words.body;
    clean::cut(&mut body, BODY_MAX_BYTES);
    Message {
        id: id_of(&notice.writer, notice.ordinal, &saying),
        when: notice.when,
        event: notice.event,
        is_reminder: notice.is_reminder,
        app: notice.app.as_deref().map(name),
        host: name(&place.host),
        target,
        time_s: notice.time_s,
        since_s: notice.since_s,
        subject: clean::line(&words.subject, SUBJECT_MAX_BYTES),
        body,
        facts: clean_facts(&notice.facts),
    }
}

/// Returns the message by which a user tries a channel. It does not go through the outbox.
pub fn test_message(place: &Place, now_s: i64) -> Message {
    let host = name(&place.host);
    Message {
        id: id_of("test", u64::try_from(now_s).unwrap_or(0), &host),
        when: When::Changed,
        event: Event::Moment(Moment::Test),
        is_reminder: false,
        app: None,
        subject: format!("drumlin: a test ({host})"),
        body: format!(
            "This is a test of the notifications of drumlin on {host}.\n\nTime: {}\n",
            time(now_s, &place.zone)
        ),
        host,
        target: None,
        time_s: now_s,
        since_s: None,
        facts: Facts::default(),
    }
}

/// Returns a time for people, with its zone.
pub(super) fn time(time_s: i64, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_second(time_s) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => format!("@{time_s}"),
    }
}

/// Returns a name that is safe in a subject.
pub(super) fn name(text: &str) -> String {
    clean::line(text, NAME_MAX_BYTES)
}

fn subject(app: Option<&str>, headline: &str, place: &Place) -> String {
    format!("{}: {headline} ({})", app.unwrap_or("drumlin"), name(&place.host))
}

fn headline(notice: &Notice, target: Option<&str>) -> String {
    match notice.event {
        Event::Trouble(kind) if notice.is_reminder => format!("still: {}", trouble(kind, target)),
        Event::Trouble(kind) => trouble(kind, target),
        Event::Moment(Moment::Missed) => match notice.facts.missed {
            Some(count) if count > 1 => format!("{} missed", text::counted(count, "backup")),
            _ => "a backup was missed".to_owned(),
        },
        Event::Moment(Moment::Recovered) => match notice.ended.first() {
            Some(open) => recovery(&open.trouble),
            None => "works again".to_owned(),
        },
        Event::Moment(Moment::Done) => "backup done".to_owned(),
        Event::Moment(Moment::Digest) => "digest".to_owned(),
        Event::Moment(Moment::Test) => "a test".to_owned(),
    }
}

/// Returns a trouble in words.
fn trouble(kind: TroubleKind, target: Option<&str>) -> String {
    let target = target.unwrap_or("the repository");
    match kind {
        TroubleKind::Damage => format!("damage in {target}"),
        TroubleKind::RolledBack => format!("{target} was set back to an older state"),
        TroubleKind::Overdue => "no good backup for too long".to_owned(),
        TroubleKind::Failed => "backup failed".to_owned(),
        TroubleKind::DrillFailed => "restore drill failed".to_owned(),
        TroubleKind::Partial => "backup lacks some files".to_owned(),
        TroubleKind::Shrunk => "much of the source is gone".to_owned(),
        TroubleKind::ChangedTooMuch => "unusually much has changed".to_owned(),
        TroubleKind::Behind => format!("{target} lacks recent backups"),
        TroubleKind::PruneFailed => format!("prune of {target} failed"),
        TroubleKind::CheckFailed => format!("check of {target} failed"),
        TroubleKind::LeftOut => format!("app {target} is not backed up any more"),
        TroubleKind::ReloadFailed => "the new configuration is refused".to_owned(),
        TroubleKind::Undelivered => format!("messages by {target} were given up"),
    }
}

/// Returns the end of a trouble in words.
fn recovery(trouble: &Trouble) -> String {
    let target = trouble.target.as_deref().map(name);
    let target = target.as_deref().unwrap_or("the repository");
    match trouble.kind {
        TroubleKind::Damage => format!("no damage seen in {target} any more"),
        TroubleKind::RolledBack => format!("{target} is accepted again"),
        TroubleKind::Overdue | TroubleKind::Failed => "backup works again".to_owned(),
        TroubleKind::DrillFailed => "restore drill works again".to_owned(),
        TroubleKind::Partial => "backup is complete again".to_owned(),
        TroubleKind::Shrunk | TroubleKind::ChangedTooMuch => "alarm ended".to_owned(),
        TroubleKind::Behind => format!("{target} is up to date again"),
        TroubleKind::PruneFailed => format!("prune of {target} works again"),
        TroubleKind::CheckFailed => format!("check of {target} works again"),
        TroubleKind::LeftOut => format!("app {target} is backed up again"),
        TroubleKind::ReloadFailed => "the configuration is accepted".to_owned(),
        TroubleKind::Undelivered => format!("messages by {target} arrive again"),
    }
}

fn body(notice: &Notice, facts: &Facts, place: &Place, headline: &str) -> String {
    let mut body = Lines { text: String::new(), zone: &place.zone };
    let app = notice.app.as_deref().map_or_else(|| "drumlin".to_owned(), name);
    body.line(&format!("{app} on {}: {headline}.", name(&place.host)));
    body.gap();
    if let (Event::Trouble(_) | Event::Moment(Moment::Recovered), Some(since_s)) =
        (notice.event, notice.since_s)
    {
        body.time("Since", since_s);
    }
    body.facts(facts);
    if let Some((first, causes)) = facts.errors.split_first() {
        body.gap();
        body.line(&format!("error: {first}"));
        causes.iter().for_each(|cause| body.line(&format!("  caused by: {cause}")));
        facts.hint.iter().for_each(|hint| body.line(&format!("  hint: {hint}")));
    }
    if !facts.lines.is_empty() {
        body.gap();
        facts.lines.iter().for_each(|line| body.line(line));
    }
    body.troubles("Ended:", &notice.ended);
    body.troubles("Still so:", &notice.open);
    body.gap();
    body.time("Written", notice.time_s);
    if let (Event::Trouble(_), Some(remind_s)) = (notice.event, place.remind_s) {
        let span = text::duration(Duration::from_secs(remind_s.max(1).unsigned_abs()));
        body.line(&format!("You are reminded every {span} while it lasts."));
    }
    body.text
}

/// The text of a message while it is written.
pub(super) struct Lines<'a> {
    /// The text so far.
    pub text: String,
    /// The zone of its times.
    pub zone: &'a TimeZone,
}

impl Lines<'_> {
    /// Adds a line.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds an empty line, unless there is one.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Adds a name and its value in columns.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{:<12}{value}", format!("{name}:")));
    }

    /// Adds a name and a time.
    pub(super) fn time(&mut self, name: &str, time_s: i64) {
        self.field(name, &time(time_s, self.zone));
    }

    fn facts(&mut self, facts: &Facts) {
        let times = [("Scheduled", facts.slot_s), ("Started", facts.started_s)];
        for (name, time_s) in times {
            time_s.into_iter().for_each(|time_s| self.time(name, time_s));
        }
        let texts = [
            ("Took", facts.seconds.map(|took_s| text::duration(Duration::from_secs(took_s)))),
            ("Status", facts.status.clone()),
            ("Snapshot", facts.snapshot.clone()),
            ("Source", facts.source_bytes.map(text::size)),
            ("Added", facts.added_bytes.map(text::size)),
            ("Problems", facts.problem_count.filter(|count| *count > 0).map(text::count)),
            ("Run", facts.run.clone()),
        ];
        for (name, value) in texts {
            value.iter().for_each(|value| self.field(name, value));
        }
        let times = [("Last good", facts.last_good_s), ("Next run", facts.next_s)];
        for (name, time_s) in times {
            time_s.into_iter().for_each(|time_s| self.time(name, time_s));
        }
    }

    fn troubles(&mut self, title: &str, troubles: &[OpenTrouble]) {
        if troubles.is_empty() {
            return;
        }
        self.gap();
        self.line(title);
        for open in troubles.iter().take(LINES_MAX) {
            let target = open.trouble.target.as_deref().map(name);
            let words = trouble(open.trouble.kind, target.as_deref());
            let since = time(open.since_s, self.zone);
            let why = open.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            self.line(&format!("  {words}, since {since}{why}"));
        }
        if let Some(more) = troubles.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
            self.line(&format!("  and {more} more"));
        }
    }
}

/// Returns facts without secrets, control characters and endless lists.
fn clean_facts(facts: &Facts) -> Facts {
    let line = |text: &String| clean::line(text, LINE_MAX_BYTES);
    let lines = |lines: &[String]| lines.iter().take(LINES_MAX).map(line).collect();
    let short = |text: &Option<String>| text.as_deref().map(name);
    Facts {
        status: short(&facts.status),
        run: short(&facts.run),
        snapshot: short(&facts.snapshot),
        errors: lines(&facts.errors),
        hint: facts.hint.as_ref().map(line),
        lines: lines(&facts.lines),
        ..facts.clone()
    }
}

#[cfg(test)]
mod tests;

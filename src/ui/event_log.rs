//! Log of events in a file, one line each.
//!
//! Runs of several processes add to one file, so a line is written by one call and nothing is kept
//! in memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;

use serde_json::{Map, Value};

use crate::notify::without_secrets;
use crate::settings::log::{LogFormat, LogLevel, LogSettings};
use crate::sync::lock;
use crate::text;

/// An event of an app, or of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent<'a> {
    /// Its importance.
    pub level: LogLevel,
    /// Its kind, for programs that read the log.
    pub event: &'a str,
    /// The app; empty for none.
    pub app: &'a str,
    /// What happened, for people.
    pub message: String,
    /// More for programs.
    pub fields: Map<String, Value>,
}

/// The log.
pub struct EventLog {
    settings: LogSettings,
    opened: Mutex<Option<File>>,
}

impl EventLog {
    /// Makes the log of a configuration; its file is opened when there is something to write.
    pub fn new(settings: &LogSettings) -> Self {
        Self { settings: settings.clone(), opened: Mutex::default() }
    }

    /// Adds a line, if a file is configured and the event is important enough.
    ///
    /// Fails if the file cannot be opened or written; the next line opens it again.
    pub fn write(&self, event: &LogEvent<'_>) -> io::Result<()> {
        let Some(file) = self.settings.file.as_ref().filter(|_| self.has(event.level)) else {
            return Ok(());
        };
        let line = line_of(event, self.settings.format);
        let mut opened = lock(&self.opened);
        let added = match opened.take() {
            Some(file) => Ok(file),
            // Its group may read it: those who collect logs seldom run as root.
            None => OpenOptions::new().create(true).append(true).mode(0o640).open(file),
        };
        let mut added = added?;
        added.write_all(line.as_bytes())?;
        *opened = Some(added);
        Ok(())
    }

    /// Opens the file again with the next line: the old one may have been renamed (rotated).
    pub fn reopen(&self) {
        *lock(&self.opened) = None;
    }

    fn has(&self, level: LogLevel) -> bool {
        level <= self.settings.level
    }
}

fn line_of(event: &LogEvent<'_>, format: LogFormat) -> String {
    let time = text::rfc3339(crate::format::entry::Timestamp { nanos: 0, ..text::now() });
    let time = time.unwrap_or_default();
    let (level, message) = (event.level.name(), clean(&event.message));
    match format {
        LogFormat::Text if event.app.is_empty() => format!("{time} {level} {message}\n"),
        LogFormat::Text => format!("{time} {level} {}: {message}\n", event.app),
        LogFormat::Json => {
            let mut fields = Map::new();
            let own = [("time", &time[..]), ("level", level), ("event", event.event)];
            fields.extend(own.map(|(name, value)| (name.to_owned(), value.into())));
            if !event.app.is_empty() {
                fields.insert("app".to_owned(), event.app.into());
            }
            fields.insert("message".to_owned(), message.into());
            for (name, value) in &event.fields {
                fields.entry(name).or_insert_with(|| cleaned(value.clone()));
            }
            format!("{}\n", Value::Object(fields))
        }
    }
}

/// Returns a text as one line without secrets.
fn clean(message: &str) -> String {
    text::harmless(&without_secrets(&message.trim().replace('\n', " ")))
}

/// Returns a value whose texts have no secrets.
fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_secrets(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(cleaned).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, cleaned(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(level: LogLevel, message: &str) -> LogEvent<'_> {
        let fields = serde_json::json!({ "notices": ["https://u:geheim@h"], "level": 7 });
        LogEvent {
            level,
            event: "notice",
            app: "wiki",
            message: message.to_owned(),
            fields: fields.as_object().unwrap().clone(),
        }
    }

    fn log(folder: &tempfile::TempDir, format: LogFormat) -> EventLog {
        let file = Some(folder.path().join("log"));
        EventLog::new(&LogSettings { file, format, level: LogLevel::Warning })
    }

    fn read(folder: &tempfile::TempDir) -> String {
        std::fs::read_to_string(folder.path().join("log")).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let text = log(&folder, LogFormat::Text);
        text.write(&event(LogLevel::Info, "not important")).unwrap();
        assert!(!folder.path().join("log").exists());
        text.write(&event(LogLevel::Warning, "a\nb\u{1b} password=geheim")).unwrap();
        text.write(&LogEvent { app: "", ..event(LogLevel::Error, "c") }).unwrap();
        let written = read(&folder);
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 2, "{written}");
        assert!(lines[0].ends_with("Z warning wiki: a b\\x1b password=***"), "{written}");
        assert!(lines[1].ends_with("Z error c"), "{written}");
    }

    #[test]
    fn a_line_of_json_has_the_fields_of_its_event() {
        let folder = tempfile::tempdir().unwrap();
        log(&folder, LogFormat::Json).write(&event(LogLevel::Error, "token=geheim\n")).unwrap();
        let line: Value = serde_json::from_str(&read(&folder)).unwrap();
        let of = |name: &str| line[name].as_str();
        assert_eq!(
            (of("level"), of("event"), of("app")),
            (Some("error"), Some("notice"), Some("wiki"))
        );
        assert_eq!(
            (of("message"), line["notices"][0].as_str()),
            (Some("token=***"), Some("https://h"))
        );
        assert!(of("time").is_some_and(|time| time.len() == "2026-12-01T03:10:00Z".len()));
    }

    #[test]
    fn a_file_that_was_renamed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(&folder, LogFormat::Text);
        let write = || log.write(&event(LogLevel::Error, "x")).unwrap();
        write();
        std::fs::rename(folder.path().join("log"), folder.path().join("log.1")).unwrap();
        write();
        assert!(!folder.path().join("log").exists());
        log.reopen();
        write();
        assert_eq!(read(&folder).lines().count(), 1);
        assert_eq!(
            std::fs::read_to_string(folder.path().join("log.1")).unwrap().lines().count(),
            2
        );
        let nowhere =
            LogSettings { file: Some("/no/such/folder/log".into()), ..log.settings.clone() };
        assert!(EventLog::new(&nowhere).write(&event(LogLevel::Error, "x")).is_err());
    }
}

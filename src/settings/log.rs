//! Table `[log]` of the configuration file.

use std::path::PathBuf;

use super::error::SettingsError;
use super::section::Section;

/// The log of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// The file to which a line is added for each event; `None` for none.
    pub file: Option<PathBuf>,
    /// Form of its lines.
    pub format: LogFormat,
    /// The least important events that it has.
    pub level: LogLevel,
}

/// Form of the lines of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, app and a sentence.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

/// Importance of an event; the most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A run failed.
    Error,
    /// A run did not do all that it should.
    Warning,
    /// A run began or ended.
    #[default]
    Info,
    /// A part of a run ended well.
    Debug,
}

impl LogLevel {
    /// All of them, the most important first.
    const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Info, Self::Debug];

    /// Returns its name in the configuration and in the lines of a log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

pub(super) fn read_log(mut section: Section<'_>) -> Result<LogSettings, SettingsError> {
    let log = LogSettings {
        file: section.path("file")?,
        format: section
            .parsed("format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err(format!("`{text}` is not one of text or json")),
            })?
            .unwrap_or_default(),
        level: section
            .parsed("level", |text| {
                let found = LogLevel::ALL.into_iter().find(|level| level.name() == text);
                found.ok_or_else(|| format!("`{text}` is not one of error, warning, info or debug"))
            })?
            .unwrap_or_default(),
    };
    section.finish()?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::environment::Environment;

    fn parse(lines: &str) -> Result<LogSettings, String> {
        let text = format!("[log]\n{lines}\n");
        let parsed = Settings::parse(&text, "/etc/drumlin.toml".into(), &Environment::default());
        parsed.map(|settings| settings.log).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_has_a_file_a_form_and_a_level() {
        assert_eq!(parse("").unwrap(), LogSettings::default());
        let log = parse("file = \"/var/log/d\"\nformat = \"json\"\nlevel = \"debug\"").unwrap();
        assert_eq!(log.file, Some("/var/log/d".into()));
        assert_eq!((log.format, log.level), (LogFormat::Json, LogLevel::Debug));
        assert!(LogLevel::Error < LogLevel::Debug);
        for (line, says) in [
            ("format = \"xml\"", "is not one of text or json"),
            ("level = \"all\"", "is not one of error"),
            ("path = \"x\"", "unknown key `path`"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.starts_with("/etc/drumlin.toml:2: ") && error.contains(says), "{error}");
        }
    }
}

//! Table `[daemon]` of the configuration file.

use std::time::Duration;

use super::error::SettingsError;
use super::run::parse_timezone;
use super::section::Section;
use super::values::{parse_duration, parse_timeout};

/// Most runs at once.
const PARALLEL_MAX: usize = 32;

/// `[daemon]`: how runs are started, by the daemon and by `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Most runs at once.
    pub parallel: usize,
    /// How long nothing is started after a start, a sleep or a change of the clock.
    pub settle: Duration,
    /// How long runs may take to stop before they are killed.
    pub stop_timeout: Duration,
    /// Time zone of apps that have none, by name.
    pub timezone: Option<String>,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            parallel: 2,
            settle: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(90),
            timezone: None,
        }
    }
}

pub(super) fn read_daemon(mut section: Section<'_>) -> Result<DaemonSettings, SettingsError> {
    let default = DaemonSettings::default();
    let parallel = section.parsed("parallel", |text| match text.parse() {
        Ok(count @ 1..=PARALLEL_MAX) => Ok(count),
        _ => Err(format!("`{text}` is not a number from 1 to {PARALLEL_MAX}")),
    })?;
    let settings = DaemonSettings {
        parallel: parallel.unwrap_or(default.parallel),
        settle: section.parsed("settle", parse_duration)?.unwrap_or(default.settle),
        stop_timeout: section
            .parsed("stop-timeout", parse_timeout)?
            .unwrap_or(default.stop_timeout),
        timezone: section.parsed("timezone", parse_timezone)?,
    };
    section.finish()?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::environment::Environment;

    fn read(text: &str) -> Result<DaemonSettings, String> {
        let text = format!("[daemon]\n{text}\n");
        Settings::parse(&text, "/etc/drumlin.toml".into(), &Environment::default())
            .map(|settings| settings.daemon)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_daemon_is_configured_or_has_defaults() {
        assert_eq!(read("").unwrap(), DaemonSettings::default());
        let all = "parallel = 4\nsettle = \"0s\"\nstop-timeout = \"5m\"\ntimezone = \"UTC\"";
        let own = DaemonSettings {
            parallel: 4,
            settle: Duration::ZERO,
            stop_timeout: Duration::from_secs(300),
            timezone: Some("UTC".to_owned()),
        };
        assert_eq!(read(all).unwrap(), own);
        for (line, why) in [
            ("parallel = 0", "from 1 to 32"),
            ("parallel = 33", "from 1 to 32"),
            ("stop-timeout = \"0s\"", "at least a second"),
            ("timezone = \"Mars\"", "not a time zone"),
            ("paralel = 2", "unknown key"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}

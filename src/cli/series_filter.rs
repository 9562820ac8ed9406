//! Options that select snapshots by host, app and tags.

use clap::Args;

use crate::format::snapshot::Snapshot;
use crate::text;

/// Heading of these options in the help.
pub(super) const HEADING: &str = "Which snapshots";

/// Which snapshots are meant, by what they say of themselves; all, if nothing is said.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SeriesFilter {
    /// Only snapshots of this app
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    app: Option<String>,

    /// Only snapshots of this host
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = HEADING)]
    host: Option<String>,

    /// Only snapshots with this tag; given several times, with all
    #[arg(long = "tag", value_name = "TAG", value_parser = name, help_heading = HEADING)]
    tags: Vec<String>,
}

/// Parses a name that must not be empty: `--host "$HOST"` without HOST names nobody.
pub(super) fn name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        name => Ok(name.to_owned()),
    }
}

impl SeriesFilter {
    /// Returns whether a snapshot passes the filter.
    pub(super) fn fits(&self, snapshot: &Snapshot) -> bool {
        self.app.as_ref().is_none_or(|app| snapshot.app == *app)
            && self.host.as_ref().is_none_or(|host| snapshot.host == *host)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
    }

    /// Returns the app, if one is given.
    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }

    /// Returns the host, if one is given.
    pub(super) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Returns whether no option is given.
    pub(super) fn is_empty(&self) -> bool {
        self.app.is_none() && self.host.is_none() && self.tags.is_empty()
    }

    /// Returns the filter for a policy; `app` is an app of the configuration.
    pub(super) fn filter(&self, app: Option<&str>) -> crate::maintain::forget::Filter {
        let app = app.map(str::to_owned).or_else(|| self.app.clone());
        crate::maintain::forget::Filter { app, host: self.host.clone(), tags: self.tags.clone() }
    }

    /// Returns the filter for people: ` of host web1`; empty if no option is given.
    pub(super) fn words(&self) -> String {
        let word = |text: &str| text::printable(text.as_bytes());
        let mut parts: Vec<String> =
            self.host.iter().map(|host| format!("host {}", word(host))).collect();
        parts.extend(self.app.iter().map(|app| {
            if app.is_empty() { "no app".to_owned() } else { format!("app {}", word(app)) }
        }));
        parts.extend(self.tags.iter().map(|tag| format!("tag {}", word(tag))));
        if parts.is_empty() { String::new() } else { format!(" of {}", parts.join(", ")) }
    }
}

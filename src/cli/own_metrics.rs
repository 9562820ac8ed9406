//! Metrics of this machine's apps: gathered, written to the textfile, pushed.

use crate::connect::host;
use crate::jobs::gather::{Gathered, Gathering};
use crate::jobs::state::StateDir;
use crate::metrics::values::Daemon;
use crate::metrics::{self, Group, textfile};
use crate::monitor::in_words;
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::settings::metrics::PushUrl;
use crate::text;

/// What the metrics of this machine are made from.
pub(crate) struct OwnMetrics<'a> {
    /// Environment variables, for schedules.
    pub env: &'a Environment,
    /// The configuration.
    pub settings: &'a Settings,
    /// The state of apps; `None` if nothing is remembered.
    pub state: Option<&'a StateDir>,
}

impl OwnMetrics<'_> {
    /// Gathers the values of all apps; `daemon` is left out by a single run.
    pub(crate) fn gather(&self, daemon: Option<Daemon>) -> Gathered {
        let notify = &self.settings.notify;
        let of_mail = notify.mail.iter().map(|_| "mail".to_owned());
        let channels: Vec<String> =
            of_mail.chain(notify.webhooks.iter().map(|one| one.name.clone())).collect();
        let gathering = Gathering {
            settings: self.settings,
            state: self.state,
            env: self.env,
            channels: &channels,
            version: env!("CARGO_PKG_VERSION"),
            now_s: text::now().seconds,
        };
        gathering.gather(daemon)
    }

    /// Replaces the textfile, if one is configured, by the values of all apps. Returns what went
    /// wrong.
    pub(crate) fn write(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(file) = &self.settings.metrics.textfile {
            let view = || {
                let gathered = self.gather(None);
                problems = gathered.problems;
                metrics::text(&gathered.values)
            };
            if let Err(error) = textfile::update(file, view) {
                problems.push(format!("cannot write metrics to {}: {error}", text::path(file)));
            }
        }
        problems
    }

    /// Pushes the values of an app, if a Pushgateway is configured. Returns what went wrong.
    ///
    /// Takes at most 15 s.
    pub(crate) fn push(&self, app: &str) -> Vec<String> {
        let Some(PushUrl(url)) = &self.settings.metrics.push else {
            return Vec::new();
        };
        let Gathered { values, mut problems } = self.gather(None);
        let host = host::host_name();
        let group = Group { url, host: &host, app };
        let pushed = metrics::push(&group, &metrics::text(&values.of_app(app)));
        problems.extend(pushed.err().map(|error| in_words(&error)));
        problems
    }
}

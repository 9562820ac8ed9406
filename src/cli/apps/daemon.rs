//! The daemon, as `drumlin apps` shows it.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::run::report::rfc3339;
use crate::format::entry::Timestamp;
use crate::jobs::state::{DaemonDir, DaemonState, StateDir};
use crate::text;

/// Seconds without a look after which a daemon that is there does not do its work. It notes looks
/// every some minutes.
const LOOK_MAX_S: i64 = 3_600;

/// The daemon that is there, or was.
pub(super) struct KnownDaemon {
    state: DaemonState,
    is_running: bool,
    now_s: i64,
}

impl KnownDaemon {
    /// Reads its state; `None` if there never was one.
    pub(super) fn read(dir: &StateDir, now_s: i64) -> Result<Option<Self>, Failure> {
        let home = DaemonDir::new(dir);
        let failed = |error| Failure::file("read", &dir.path().join("daemon"), &error);
        let Some(state) = home.read().map_err(failed)? else { return Ok(None) };
        let is_running = home.is_locked().map_err(failed)?;
        Ok(Some(Self { state, is_running, now_s }))
    }

    /// Returns whether it died, though it should be there.
    fn has_died(&self) -> bool {
        !self.is_running && self.state.stopped_s.is_none()
    }

    fn hangs(&self) -> bool {
        self.is_running && self.now_s - self.state.looked_s > LOOK_MAX_S
    }

    /// Returns whether it does not do its work.
    pub(super) fn is_ill(&self) -> bool {
        self.has_died() || self.hangs()
    }

    /// Returns what is wrong, for people.
    pub(super) fn troubles(&self) -> Vec<String> {
        let time = |seconds| text::local_time(Timestamp { seconds, nanos: 0 });
        let looked = time(self.state.looked_s);
        let reload = self.state.reload_error.as_ref().filter(|_| self.is_running);
        let found = [
            self.has_died().then(|| format!("the daemon died after {looked}: start it again")),
            self.hangs().then(|| format!("the daemon has not looked since {looked}")),
            reload.map(|reload| {
                let at = time(reload.at_s);
                format!("the configuration of {at} is not in force: {}", reload.error)
            }),
        ];
        found.into_iter().flatten().collect()
    }

    /// Returns its part of the document.
    pub(super) fn view(&self) -> DaemonView<'_> {
        let reload = self.state.reload_error.as_ref();
        DaemonView {
            running: self.is_running,
            started: rfc3339(self.state.started_s),
            looked: rfc3339(self.state.looked_s),
            reload_error: reload.map(|reload| reload.error.as_str()),
        }
    }
}

/// The daemon in the document.
#[derive(Serialize)]
pub(super) struct DaemonView<'a> {
    running: bool,
    started: Option<String>,
    looked: Option<String>,
    reload_error: Option<&'a str>,
}

//! Apps in containers. Method: a real engine, Podman, with its Docker-compatible service.

mod dumps; // databases in containers
mod engine; // the client of the engine
mod labels; // apps by labels
mod stop; // containers that stand still

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::home::Home;
use crate::support::needs::can_run;
use crate::support::servers::podman::Podman;

/// Time for what must happen soon, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// An engine, and a home whose configuration names it.
struct Site {
    podman: Podman,
    home: Home,
}

impl Site {
    /// Starts an engine, unless this machine cannot.
    fn start() -> Option<Self> {
        if !can_run(Podman::is_possible(), "podman, runc and root") {
            return None;
        }
        let home =
            Home::new().with("DRUMLIN_CONFIG", "drumlin.toml").with("DRUMLIN_STATE_DIR", "state");
        home.write("source/file", "first\n");
        let site = Self { podman: Podman::start(), home };
        site.write_secret("password", "secret");
        site.configure("[app.none]\npaths = \"source\"");
        site.home.run(["init"]).ok();
        Some(site)
    }

    /// Writes the configuration: a repository, the engine, and these lines.
    fn configure(&self, lines: &str) {
        let text = format!(
            "repository.box = {{ url = \"repo\", password-file = \"password\" }}\n\
             docker = {{ socket = {:?}, labels = true }}\n{lines}\n",
            self.podman.socket()
        );
        self.home.write("drumlin.toml", text);
    }

    fn write_secret(&self, name: &str, secret: &str) {
        let path = self.home.write(name, format!("{secret}\n"));
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Returns the report of a run of an app, which ends with this code.
    #[track_caller]
    fn run(&self, app: &str, code: i32) -> Value {
        let ran = self.home.run(["run", app, "--json"]);
        assert_eq!(ran.code, code, "{ran:?}");
        ran.json()["runs"][0].take()
    }

    /// Returns what a run of an app, which succeeds, has below a folder of its snapshot.
    #[track_caller]
    fn dumped(&self, app: &str, below: &str) -> Vec<(String, Vec<u8>)> {
        let report = self.run(app, 0);
        let id = report["snapshot"].as_str().unwrap_or_else(|| panic!("{report}"));
        let target = format!("restored-{app}");
        self.home.run(["restore", &format!("{id}:{below}"), "-t", &target]).ok();
        self.home.tree(&target)
    }

    fn is_running(&self, container: &str) -> bool {
        self.podman.engine().inspect(container).unwrap().container.is_running
    }

    fn snapshot_count(&self) -> usize {
        self.home.snapshot_ids().len()
    }

    /// Returns the state of an app.
    fn state(&self, app: &str) -> Value {
        serde_json::from_str(&self.home.read(&format!("state/apps/{app}/state.json"))).unwrap()
    }
}

fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < SOON, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

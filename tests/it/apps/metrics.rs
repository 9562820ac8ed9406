//! Goal: Prometheus reads what the program writes, value by value; alerts and dashboard ask for
//! what there is. Method: a real Prometheus scrapes values with everything and with hard names from
//! the daemon's listener; each series is compared, each query of the dashboard is asked, each rule is
//! evaluated; `promtool` checks text and rules and runs the rules' own tests.

mod gateway; // the Pushgateway
mod runs; // what runs write and push
mod textfile; // files for the node exporter

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use drumlin::metrics::values::{self, Values};
use drumlin::metrics::{Handle, Page, Shared, start, text};
use serde_json::Value;

use crate::support::servers::{Server, free_address, run};

#[path = "../../../src/metrics/tests/full.rs"]
mod full;
#[path = "../../../src/metrics/tests/read.rs"]
mod read;

use full::full;

/// How long a server may take to start or to look again, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Asks until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < WAIT_MAX {
        if let Some(found) = ask() {
            return found;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not happen in {WAIT_MAX:?}");
}

/// Answers all requests by the daemon's listener.
fn serve(values: &Values) -> Handle {
    let shared = Arc::new(Shared::default());
    shared.set(Page::new(values, None));
    start(free_address(), shared).unwrap()
}

/// Returns the document at a URL, if there is one.
fn get(url: &str, query: &str) -> Option<Value> {
    let text =
        ureq::get(url).query("query", query).call().ok()?.body_mut().read_to_string().ok()?;
    serde_json::from_str(&text).ok()
}

/// Name, labels without empty ones, and value: Prometheus takes an empty label for none.
type Sample = (BTreeMap<String, String>, f64);

fn sorted(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort_by(|one, other| one.0.cmp(&other.0));
    samples
}

/// Returns the series of a text, with more labels for each.
fn samples_of(text: &str, more: &[(&str, &str)]) -> Vec<Sample> {
    let all = read::read(text).into_iter().map(|series| {
        let mut labels: BTreeMap<String, String> = series.labels.into_iter().collect();
        labels.insert("__name__".to_owned(), series.name);
        for (label, content) in more {
            labels.insert((*label).to_owned(), (*content).to_owned());
        }
        labels.retain(|_, content| !content.is_empty());
        (labels, series.value)
    });
    sorted(all.collect())
}

/// A Prometheus that scrapes one target each second.
struct Prometheus {
    url: String,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, address) = (folder.path().join("prometheus.yml"), free_address());
        let rules = deploy("prometheus/rules.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs: [{{ job_name: drumlin, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = Server::start("prometheus", &arguments, &folder.path().join("log"));
        Self { url: format!("http://{address}/api/v1"), _server: server, _folder: folder }
    }

    /// Returns the result of a query, or `None` if it fails.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let answer = get(&format!("{}/query", self.url), expression)?;
        answer["data"]["result"].as_array().cloned()
    }

    /// Waits until each series has at least `count` values.
    fn wait_for_scrapes(&self, count: u32) {
        let expression = format!("count_over_time(drumlin_build_info[1m]) >= {count}");
        wait_for("a scrape", || self.query(&expression).filter(|found| !found.is_empty()));
    }
}

#[test]
fn prometheus_reads_every_series() {
    let now_s = now_s();
    let listener = serve(&full(now_s));
    let target = listener.address();
    let prometheus = Prometheus::start(target);
    prometheus.wait_for_scrapes(1);
    let found = prometheus.query(r#"{__name__=~"drumlin_.+"}"#).unwrap();
    let found = found.iter().map(|series| {
        let labels = serde_json::from_value(series["metric"].clone()).unwrap();
        (labels, series["value"][1].as_str().unwrap().parse().unwrap())
    });
    let labels = [("job", "drumlin"), ("instance", &target.to_string()[..])];
    let expected = samples_of(&text(&full(now_s)), &labels);
    assert!(expected.len() > 100, "{}", expected.len());
    assert_eq!(sorted(found.collect()), expected);

    let up = prometheus.query("up").unwrap();
    assert_eq!(up[0]["value"][1], "1");
}

#[test]
fn dashboard_and_rules_find_what_they_ask_for() {
    let listener = serve(&full(now_s()));
    let prometheus = Prometheus::start(listener.address());
    // A rate needs two values.
    prometheus.wait_for_scrapes(3);
    let dashboard = std::fs::read_to_string(deploy("grafana/drumlin.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 40, "{}", expressions.len());
    for expression in expressions {
        let plain = expression.replace("$app", ".*").replace("$__range", "1h");
        assert!(!plain.contains('$'), "{plain}");
        let found = prometheus.query(&plain);
        assert!(found.is_some_and(|found| !found.is_empty()), "{expression} finds nothing");
    }

    let is_evaluated = |rule: &Value| rule["health"] != "unknown";
    let rules = wait_for("the evaluation of all rules", || {
        let answer = get(&format!("{}/rules", prometheus.url), "")?;
        let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
        rules.iter().all(is_evaluated).then_some(rules)
    });
    assert!(rules.len() >= 11, "{}", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// Runs `promtool` with a text as its input; returns whether it agrees, and what it says.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is there: scripts/test-deps.sh installs it");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let says = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(says).unwrap())
}

#[test]
fn promtool_has_nothing_to_say_about_the_text() {
    for values in [full(now_s()), Values::default(), full(now_s()).of_app("wiki")] {
        assert_eq!(promtool(&["check", "metrics"], &text(&values)), (true, String::new()));
    }
    let (is_fine, says) = promtool(&["check", "metrics"], "drumlin_runs 1\ndrumlin_runs 1\n");
    assert!(!is_fine, "it finds faults: {says}");
}

#[test]
fn rules_are_right_and_their_tests_pass() {
    let rules = deploy("prometheus/rules.yml");
    let said = run("promtool", &["check", "rules", rules.to_str().unwrap()]);
    assert!(said.contains("SUCCESS"), "{said}");
    for file in ["prometheus/rules.test.yml", "prometheus/rules.months.test.yml"] {
        let said = run("promtool", &["test", "rules", deploy(file).to_str().unwrap()]);
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

//! Goal: the text says what the values are, in the format that Prometheus reads, by the names that
//! were promised. Method: a strict reader of the format, written for these tests; values with
//! everything, with nothing, and with random names; the promise repeated as a table; alerts and
//! dashboard read for the names that they use.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use regex::Regex;

use super::names::FAMILIES;
use super::values::{self, App, Cost, Repository, Status, Target, Values};
use super::{CONTENT_TYPE, Page, answer, text};
use full::{HARD, full};

mod full;
mod read;

use read::{Series, read};

const NOW_S: i64 = 1_800_000_000;

/// Names by their labels, without the prefix.
const PROMISED: &[(&str, &str)] = &[
    (
        "app",
        "app_enabled max_age_seconds next_run_timestamp_seconds last_run_timestamp_seconds \
         last_run_duration_seconds running overdue consecutive_failures missed_runs_total \
         source_bytes source_files read_bytes unread_files",
    ),
    ("app,status", "last_run_status runs_total"),
    (
        "app,repository",
        "last_success_timestamp_seconds last_snapshot_timestamp_seconds added_bytes \
         added_bytes_total snapshots behind_snapshots behind_since_timestamp_seconds \
         absent_allowed_seconds drill_last_success_timestamp_seconds drill_duration_seconds \
         drill_failed",
    ),
    ("app,source", "dump_bytes dump_duration_seconds dump_rows"),
    ("app,event", "hook_failures_total"),
    ("channel", "notification_failures_total"),
    (
        "repository",
        "repository_reachable repository_bytes last_check_timestamp_seconds damaged \
         verified_ratio last_prune_timestamp_seconds",
    ),
    ("repository,operation", "requests_total"),
    ("repository,direction", "transferred_bytes_total"),
    ("repository,currency", "monthly_cost"),
    ("version", "build_info"),
    ("", "start_timestamp_seconds metrics_timestamp_seconds config_reload_failed"),
];

fn promised() -> BTreeMap<String, &'static str> {
    let names = PROMISED.iter().flat_map(|(labels, names)| {
        names.split_whitespace().map(move |name| (format!("drumlin_{name}"), *labels))
    });
    names.collect()
}

#[test]
fn every_name_is_written_with_the_promised_labels() {
    let mut written = BTreeMap::new();
    for series in read(&text(&full(NOW_S))) {
        let labels: Vec<&str> = series.labels.iter().map(|(label, _)| label.as_str()).collect();
        written.insert(series.name.clone(), labels.join(","));
    }
    let promised: BTreeMap<_, _> =
        promised().into_iter().map(|(name, labels)| (name, labels.to_owned())).collect();
    assert_eq!(written, promised);
}

#[test]
fn the_table_has_each_name_once_and_a_help_that_needs_no_escape() {
    let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), FAMILIES.len());
    for family in FAMILIES {
        let has_escapes = family.help.contains(['\\', '\n']);
        assert!(!has_escapes && family.help.ends_with('.'), "{}", family.name);
    }
}

/// Returns the value of the series of a name with these label values.
fn value_of(all: &[Series], name: &str, labels: &[&str]) -> Option<f64> {
    let is_it = |series: &&Series| {
        series.name == format!("drumlin_{name}")
            && series.labels.iter().map(|(_, content)| content.as_str()).eq(labels.iter().copied())
    };
    all.iter().find(is_it).map(|series| series.value)
}

#[test]
fn values_are_those_of_the_structs() {
    let all = read(&text(&full(NOW_S)));
    let now = NOW_S as f64;
    let expected: &[(&str, &[&str], f64)] = &[
        ("build_info", &["1.2.3"], 1.0),
        ("metrics_timestamp_seconds", &[], now),
        ("start_timestamp_seconds", &[], now - 5_000.0),
        ("config_reload_failed", &[], 0.0),
        ("app_enabled", &["wiki"], 1.0),
        ("app_enabled", &[HARD], 0.0),
        ("app_enabled", &[""], 0.0),
        ("max_age_seconds", &["wiki"], 176_400.0),
        ("next_run_timestamp_seconds", &["wiki"], now + 3_600.0),
        ("last_run_timestamp_seconds", &["wiki"], now - 7_200.0),
        ("last_run_duration_seconds", &["wiki"], 61.25),
        ("last_run_status", &["wiki", "partial"], 1.0),
        ("last_run_status", &["wiki", "done"], 0.0),
        ("runs_total", &["wiki", "done"], u64::MAX as f64),
        ("runs_total", &["wiki", "failed"], 3.0),
        ("runs_total", &["wiki", "missed"], 0.0),
        ("running", &["wiki"], 1.0),
        ("overdue", &["wiki"], 0.0),
        ("consecutive_failures", &["wiki"], 1.0),
        ("missed_runs_total", &["wiki"], 2.0),
        ("source_bytes", &["wiki"], 5e9),
        ("source_files", &["wiki"], 12_345.0),
        ("read_bytes", &["wiki"], 1e6),
        ("unread_files", &["wiki"], 4.0),
        ("last_success_timestamp_seconds", &["wiki", "box"], now - 7_200.0),
        ("last_success_timestamp_seconds", &["wiki", "usb"], 0.0),
        ("last_snapshot_timestamp_seconds", &["wiki", "box"], now - 7_260.0),
        ("added_bytes", &["wiki", "box"], 5.5e6),
        ("added_bytes_total", &["wiki", "box"], 123_456_789_012.0),
        ("snapshots", &["wiki", "box"], 31.0),
        ("behind_snapshots", &["wiki", "box"], 2.0),
        ("behind_snapshots", &["wiki", "usb"], 0.0),
        ("behind_since_timestamp_seconds", &["wiki", "box"], now - 90_000.0),
        ("absent_allowed_seconds", &["wiki", "box"], 2_592_000.0),
        ("dump_bytes", &["wiki", "mariadb/wiki"], 3e8),
        ("dump_duration_seconds", &["wiki", "mariadb/wiki"], 12.0),
        ("dump_rows", &["wiki", "mariadb/wiki"], 1.6e6),
        ("hook_failures_total", &["wiki", "before"], 1.0),
        ("hook_failures_total", &["wiki", "after"], 0.0),
        ("notification_failures_total", &["email"], 2.0),
        ("notification_failures_total", &[HARD], 1.0),
        ("drill_last_success_timestamp_seconds", &["wiki", "box"], now - 864_000.0),
        ("drill_duration_seconds", &["wiki", "box"], 90.5),
        ("drill_failed", &["wiki", "box"], 1.0),
        ("repository_reachable", &["box"], 1.0),
        ("repository_bytes", &["box"], 8e10),
        ("requests_total", &["box", "list"], 1.0),
        ("requests_total", &["box", "stat"], 2.0),
        ("requests_total", &["box", "read"], 3.0),
        ("requests_total", &["box", "create"], 4.0),
        ("requests_total", &["box", "remove"], 5.0),
        ("transferred_bytes_total", &["box", "up"], 6.0),
        ("transferred_bytes_total", &["box", "down"], 7.0),
        ("last_check_timestamp_seconds", &["box"], now - 86_400.0),
        ("damaged", &["box"], 1.0),
        ("verified_ratio", &["box"], 0.125),
        ("last_prune_timestamp_seconds", &["box"], now - 172_800.0),
        ("monthly_cost", &["box", "EUR"], 1.84),
    ];
    for (name, labels, value) in expected {
        assert_eq!(value_of(&all, name, labels), Some(*value), "{name} {labels:?}");
    }
    let named: BTreeSet<String> =
        expected.iter().map(|(name, ..)| format!("drumlin_{name}")).collect();
    assert_eq!(named, promised().into_keys().collect(), "each name is in the list above");
}

#[test]
fn never_is_zero_and_unknown_is_left_out() {
    let mut values = Values::default();
    let targets = BTreeMap::from([("r".to_owned(), Target::default())]);
    values.apps.insert("a".to_owned(), App { targets, ..App::default() });
    let unknown = Repository {
        verified_ratio: Some(f64::NAN),
        monthly_cost: Some(Cost { currency: "EUR".to_owned(), amount: f64::INFINITY }),
        ..Repository::default()
    };
    values.repositories.insert("r".to_owned(), unknown);
    let all = read(&text(&values));
    for (name, labels) in [
        ("last_run_timestamp_seconds", &["a"][..]),
        ("last_success_timestamp_seconds", &["a", "r"]),
        ("last_snapshot_timestamp_seconds", &["a", "r"]),
        ("last_check_timestamp_seconds", &["r"]),
        ("last_prune_timestamp_seconds", &["r"]),
    ] {
        assert_eq!(value_of(&all, name, labels), Some(0.0), "{name}");
    }
    let written: BTreeSet<&str> = all.iter().map(|series| &series.name[8..]).collect();
    for name in [
        "max_age_seconds",
        "next_run_timestamp_seconds",
        "last_run_duration_seconds",
        "source_bytes",
        "unread_files",
        "behind_since_timestamp_seconds",
        "drill_last_success_timestamp_seconds",
        "drill_failed",
        "start_timestamp_seconds",
        "repository_reachable",
        "verified_ratio",
        "monthly_cost",
    ] {
        assert!(!written.contains(name), "{name}");
    }
    let is_last = |status: Status| value_of(&all, "last_run_status", &["a", status.name()]);
    assert!(Status::ALL.into_iter().all(|status| is_last(status) == Some(0.0)));
}

#[test]
fn the_bytes_are_these() {
    let mut values = Values::default();
    values.process.version = "1\"2".to_owned();
    values.process.gathered_s = -1;
    values.notification_failures.insert("b\n".to_owned(), 2);
    values.notification_failures.insert("a\\".to_owned(), 1);
    assert_eq!(
        text(&values),
        r#"# HELP drumlin_build_info The version of the program; always 1.
# TYPE drumlin_build_info gauge
drumlin_build_info{version="1\"2"} 1
# HELP drumlin_metrics_timestamp_seconds When these values were gathered.
# TYPE drumlin_metrics_timestamp_seconds gauge
drumlin_metrics_timestamp_seconds -1
# HELP drumlin_notification_failures_total Messages that could not be delivered, each try counted.
# TYPE drumlin_notification_failures_total counter
drumlin_notification_failures_total{channel="a\\"} 1
drumlin_notification_failures_total{channel="b\n"} 2
"#
    );
}

#[test]
fn a_group_of_an_app_has_what_is_its_own() {
    let mut values = full(NOW_S);
    values.apps.insert("blog".to_owned(), App::default());
    let part = values.of_app("wiki");
    assert_eq!(part.apps.keys().collect::<Vec<_>>(), ["wiki"]);
    assert_eq!(part.apps["wiki"], values.apps["wiki"]);
    assert_eq!(part.repositories.keys().collect::<Vec<_>>(), ["box"]);
    assert_eq!(part.process.version, values.process.version);
    assert_eq!(part.process.daemon, None);
    assert_eq!(part.notification_failures, values.notification_failures);
    let none = values.of_app("nobody");
    assert!(none.apps.is_empty() && none.repositories.is_empty());
}

proptest! {
    #[test]
    fn any_names_and_numbers_come_back(
        names in prop::collection::btree_map(any::<String>(), any::<u64>(), 0..5),
        gathered_s: i64,
        ratio in -1e300..1e300,
    ) {
        let mut values = Values::default();
        values.process.gathered_s = gathered_s;
        values.notification_failures = names.clone();
        for name in names.keys() {
            let repository =
                Repository { verified_ratio: Some(ratio), ..Repository::default() };
            values.repositories.insert(name.clone(), repository);
        }
        let all = read(&text(&values));
        for (name, failures) in &names {
            let found = value_of(&all, "notification_failures_total", &[name]);
            prop_assert_eq!(found, Some(*failures as f64));
            prop_assert_eq!(value_of(&all, "verified_ratio", &[name]), Some(ratio));
        }
        let found = value_of(&all, "metrics_timestamp_seconds", &[]);
        prop_assert_eq!(found, Some(gathered_s as f64));
    }
}

#[test]
fn requests_are_answered_by_path_and_method() {
    let values = full(NOW_S);
    let of = |method, target, complaint| {
        let answer = answer(method, target, &Page::new(&values, complaint));
        (answer.status, answer.content_type, answer.body.to_string())
    };
    let metrics = (200, CONTENT_TYPE, text(&values));
    for target in ["/metrics", "/metrics?", "/metrics?name[]=up"] {
        assert_eq!(of("GET", target, None), metrics);
    }
    assert_eq!(of("HEAD", "/metrics", Some("hangs")), metrics);
    assert_eq!(of("GET", "/healthz", None).0, 200);
    let (status, kind, body) = of("GET", "/healthz?x", Some("wiki is overdue"));
    assert_eq!((status, &body[..]), (503, "wiki is overdue\n"));
    assert!(kind.starts_with("text/plain"));
    for target in ["/", "", "/metrics/", "/metricsx", "//metrics", "/healthz/..", "*"] {
        let (status, _, body) = of("GET", target, None);
        assert_eq!(status, 404, "{target}");
        assert!(!body.contains("wiki"));
    }
    for method in ["POST", "PUT", "DELETE", "get", ""] {
        assert_eq!(of(method, "/metrics", None).0, 405, "{method}");
    }
}

const RULES: &str = include_str!("../../deploy/prometheus/rules.yml");
const RULES_TESTS: &str = include_str!("../../deploy/prometheus/rules.test.yml");
const RULES_MONTHS: &str = include_str!("../../deploy/prometheus/rules.months.test.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/drumlin.json");

/// Names that neither alerts nor the dashboard use. None: what nobody looks at can go.
const UNUSED: &[&str] = &[];

fn names_in(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bdrumlin_[a-z_]+").unwrap();
    name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_use_the_promised_names_and_all_of_them() {
    let promised: BTreeSet<String> = promised().into_keys().collect();
    let [rules, shown] = [RULES, DASHBOARD].map(names_in);
    let tests = names_in(&[RULES_TESTS, RULES_MONTHS].concat());
    for (file, names) in [("rules", &rules), ("tests", &tests), ("dashboard", &shown)] {
        let unknown: Vec<_> = names.difference(&promised).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let used: BTreeSet<_> = rules.union(&shown).cloned().collect();
    let unused: Vec<_> = promised.difference(&used).collect();
    assert_eq!(unused, UNUSED);
}

#[test]
fn every_alert_is_tested_and_says_what_to_do() {
    let alert = Regex::new(r"(?m)^      - alert: (\w+)$").unwrap();
    let alerts: Vec<&str> =
        alert.captures_iter(RULES).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(alerts.len() >= 11, "{alerts:?}");
    let parts: Vec<&str> = alert.split(RULES).skip(1).collect();
    for (name, part) in alerts.iter().zip(parts) {
        for key in ["expr:", "for:", "severity:", "summary:", "description:"] {
            assert_eq!(part.matches(key).count(), 1, "{name}: {key}");
        }
        // A line of its own begins an alert that must fire.
        let fires = format!("- alertname: {name}\n");
        assert!([RULES_TESTS, RULES_MONTHS].concat().contains(&fires), "{name} fires in no test");
    }
}

#[test]
fn the_dashboard_has_a_row_for_each_app_and_each_repository() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let of = |kind: &str, title: &str| {
        let is_it = |panel: &&serde_json::Value| panel["type"] == kind && panel["title"] == title;
        panels.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} `{title}`"))
    };
    for title in ["Apps", "Repositories", "Apps and their repositories"] {
        let targets = of("table", title)["targets"].as_array().unwrap();
        assert!(targets.iter().all(|target| target["format"] == "table"), "{title}");
    }
    for title in ["Added a day", "Cost a month"] {
        assert_eq!(of("timeseries", title)["targets"].as_array().unwrap().len(), 1);
    }
}

const PAGE: &str = include_str!("../../docs/monitoring.md");

#[test]
fn every_metric_is_documented() {
    for family in FAMILIES {
        let name = format!("`{}`", family.name.trim_start_matches("drumlin_"));
        assert!(PAGE.contains(&name), "docs/monitoring.md lacks {name}");
        for label in family.labels {
            assert!(PAGE.contains(&format!("`{label}`")), "docs/monitoring.md lacks {label}");
        }
    }
}

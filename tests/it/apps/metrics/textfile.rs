//! Goal: the node exporter shows what is in the file, whenever a writer dies. Method: a real node
//! exporter; a process that writes all the time and is killed at random moments.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use drumlin::metrics::text;
use drumlin::metrics::textfile::update;

use super::full::full;
use super::read::read;
use super::{now_s, wait_for};
use crate::support::name_of_test;
use crate::support::servers::{Server, free_address};

#[test]
fn the_node_exporter_shows_the_file() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = text(&full(now_s()));
    update(&files.path().join("drumlin.prom"), || text.clone()).unwrap();
    let address = free_address();
    let arguments = [
        "--collector.disable-defaults",
        "--collector.textfile",
        &format!("--collector.textfile.directory={}", files.path().display()),
        &format!("--web.listen-address={address}"),
    ];
    let log = folder.path().join("log");
    let _server = Server::start("prometheus-node-exporter", &arguments, &log);
    let shown = wait_for("the start of the node exporter", || {
        ureq::get(format!("http://{address}/metrics")).call().ok()?.body_mut().read_to_string().ok()
    });
    assert!(shown.contains("\nnode_textfile_scrape_error 0\n"), "{shown}");
    // It sorts labels and writes numbers in its own way.
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("drumlin_"));
        lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
    };
    let mut expected: Vec<String> = read(&text).into_iter().map(|series| series.name).collect();
    let mut shown = names(&shown);
    expected.sort();
    shown.sort();
    assert_eq!(shown, expected);
}

/// The file for the test that is run again as a process that writes it all the time.
const FILE: &str = "DRUMLIN_TEST_TEXTFILE";

fn number_in(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let words: Vec<&str> = text.split(' ').collect();
    assert!(words.len() == 3 && words[0] == words[2] && words[1].len() == 100_000, "half a file");
    words[0].parse().unwrap()
}

#[test]
fn a_writer_may_be_killed_at_any_moment() {
    if let Some(file) = std::env::var_os(FILE) {
        for number in 1_u64.. {
            let view = || format!("{number} {} {number}", "x".repeat(100_000));
            update(Path::new(&file), view).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drumlin.prom");
    let (mut left, mut numbers) = (0, BTreeSet::new());
    for round in 0..40_u64 {
        let _ = std::fs::remove_file(&path);
        let mut writer = Command::new(std::env::current_exe().unwrap());
        let test = name_of_test(module_path!(), "a_writer_may_be_killed_at_any_moment");
        writer.args(["--exact", &test]).env(FILE, &path);
        let mut writer = writer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the first file", || path.exists().then_some(()));
        std::thread::sleep(Duration::from_micros(731 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        numbers.insert(number_in(&path));
        let scratch = folder.path().join(".drumlin.prom.new");
        left += u64::from(scratch.exists());
        update(&path, || format!("0 {} 0", "x".repeat(100_000))).unwrap();
        assert_eq!((number_in(&path), scratch.exists()), (0, false));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    eprintln!("{left} of 40 deaths left a scratch file, after {numbers:?} updates");
    assert!(left > 0 && numbers.len() > 1, "no death was in the middle of an update");
}

//! Progress of a running operation on standard error: two lines on a terminal, or JSON lines.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::json;
use super::output::write_stderr;
use super::table::char_width;
use crate::monitor::Monitor;
use crate::text;

/// Form of progress output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressKind {
    /// Not at all.
    None,
    /// Two lines that are redrawn.
    Terminal,
    /// One JSON object per second.
    Json,
}

/// Delay of the first output: short operations need no progress.
const FIRST_AFTER: Duration = Duration::from_secs(1);
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const JSON_EVERY: Duration = Duration::from_secs(1);
/// Time over which rates are averaged.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Columns if the terminal does not report its width.
const COLUMNS_DEFAULT: usize = 80;

/// Shows a monitor's counters until it is dropped.
pub struct ProgressDisplay {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Starts to show `monitor`; `verb` names the operation: `backing up`.
    pub fn start(kind: ProgressKind, verb: &'static str, monitor: Arc<Monitor>) -> Self {
        if kind == ProgressKind::None {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = mpsc::channel();
        let show = move || {
            let mut meter = Meter::new();
            let mut wait = FIRST_AFTER;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let state = meter.measure(&monitor);
                wait = match kind {
                    ProgressKind::Json => write_json(&state, JSON_EVERY),
                    _ => draw(&state, verb, &monitor.current_path()),
                };
            }
            if kind == ProgressKind::Json {
                write_json(&meter.measure(&monitor), JSON_EVERY);
            } else if wait != FIRST_AFTER {
                write_stderr("\r\x1b[J");
            }
        };
        // Without a thread there is only no progress output.
        let thread = std::thread::Builder::new().name("progress".into()).spawn(show).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A snapshot of the counters, as in a JSON line.
#[derive(Clone, Debug, Serialize)]
struct ProgressSnapshot {
    event: &'static str,
    files_done: u64,
    files_total: Option<u64>,
    dirs_done: u64,
    bytes_done: u64,
    bytes_total: Option<u64>,
    bytes_stored: u64,
    bytes_per_second: u64,
    seconds_elapsed: f64,
    seconds_left: Option<f64>,
    problems: u64,
    current: String,
}

/// Turns counters into rates.
struct Meter {
    began: Instant,
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    fn new() -> Self {
        let began = Instant::now();
        Self { began, samples: VecDeque::from([(began, 0)]) }
    }

    fn measure(&mut self, monitor: &Monitor) -> ProgressSnapshot {
        let now = Instant::now();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let known = |total: u64| (total > 0).then_some(total);
        let (bytes_done, bytes_total) =
            (load(&monitor.bytes_done), known(load(&monitor.bytes_total)));
        self.samples.push_back((now, bytes_done));
        while self.samples.len() > 2 && now - self.samples[1].0 > RATE_WINDOW {
            self.samples.pop_front();
        }
        let (then, bytes_then) = self.samples[0];
        let rate =
            bytes_done.saturating_sub(bytes_then) as f64 / (now - then).as_secs_f64().max(1e-3);
        let left = bytes_total
            .map(|total| total.saturating_sub(bytes_done) as f64 / rate)
            .filter(|left| left.is_finite());
        ProgressSnapshot {
            event: "progress",
            files_done: load(&monitor.files_done),
            files_total: known(load(&monitor.files_total)),
            dirs_done: load(&monitor.dirs_done),
            bytes_done,
            bytes_total,
            bytes_stored: load(&monitor.bytes_stored),
            bytes_per_second: rate as u64,
            seconds_elapsed: (now - self.began).as_secs_f64(),
            seconds_left: left,
            problems: monitor.problem_count(),
            current: String::from_utf8_lossy(&monitor.current_path()).into_owned(),
        }
    }
}

fn write_json(state: &ProgressSnapshot, wait: Duration) -> Duration {
    write_stderr(&format!("{}\n", json::line(state)));
    wait
}

fn draw(state: &ProgressSnapshot, verb: &str, current: &[u8]) -> Duration {
    let columns = rustix::termios::tcgetwinsize(io::stderr())
        .map_or(COLUMNS_DEFAULT, |size| usize::from(size.ws_col));
    let columns = columns.clamp(20, 500) - 1;
    let first = fit_start(&summary(state, verb), columns);
    let second = fit_end(&text::printable(current), columns - 2);
    // Draws both lines and moves the cursor back to the start of the first.
    write_stderr(&format!("\r\x1b[J{first}\n  {second}\r\x1b[A"));
    TERMINAL_EVERY
}

fn summary(state: &ProgressSnapshot, verb: &str) -> String {
    let files = match state.files_total {
        Some(total) => format!(
            "{} of {} files",
            text::count(state.files_done),
            text::count(total.max(state.files_done))
        ),
        None => text::counted(state.files_done, "file"),
    };
    let mut line = format!("{verb}  {files}  {}", text::size(state.bytes_done));
    if let Some(total) = state.bytes_total {
        let percent = state.bytes_done as f64 * 100.0 / total as f64;
        line += &format!(" of {}  {:.0} %", text::size(total), percent.min(100.0).floor());
    }
    line += &format!("  {}/s", text::size(state.bytes_per_second));
    if let Some(left) = state.seconds_left {
        line += &format!("  {} left", clock(left));
    }
    if state.problems > 0 {
        line += &format!("  {}", text::counted(state.problems, "problem"));
    }
    line
}

/// Returns `1:05` or `2:03:59`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil().min(359_999.0) as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// Cuts the end off what is wider than `columns`.
fn fit_start(line: &str, columns: usize) -> String {
    let mut used = 0;
    line.chars()
        .take_while(|c| {
            used += char_width(*c);
            used <= columns
        })
        .collect()
}

/// Cuts the beginning off what is wider than `columns`: the end of a path says more.
fn fit_end(path: &str, columns: usize) -> String {
    let mut used = 0;
    let mut start = path.len();
    for (at, c) in path.char_indices().rev() {
        used += char_width(c);
        // One column is kept for the mark.
        if used > columns.saturating_sub(usize::from(at > 0)) {
            return format!("…{}", &path[start..]);
        }
        start = at;
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_files_bytes_rate_and_time_left() {
        let monitor = Monitor::default();
        monitor.files_done.store(1200, Ordering::Relaxed);
        monitor.bytes_done.store(512 << 20, Ordering::Relaxed);
        let mut state = Meter::new().measure(&monitor);
        state.bytes_per_second = 64 << 20;
        assert_eq!(summary(&state, "backing up"), "backing up  1,200 files  512 MiB  64 MiB/s");
        (state.files_total, state.bytes_total, state.seconds_left) =
            (Some(2000), Some(1 << 30), Some(65.0));
        assert_eq!(
            summary(&state, "restoring"),
            "restoring  1,200 of 2,000 files  512 MiB of 1 GiB  50 %  64 MiB/s  1:05 left"
        );
    }

    #[test]
    fn lines_never_wrap() {
        assert_eq!(fit_end("/a/long/path", 8), "…ng/path");
        assert_eq!(fit_end("/short", 8), "/short");
        assert_eq!(fit_end("/日本語", 7), "/日本語");
        assert_eq!(fit_end("/日本語", 6), "…本語");
        assert_eq!(fit_start("日本語", 5), "日本");
    }

    #[test]
    fn rates_look_at_the_last_seconds() {
        let monitor = Monitor::default();
        let mut meter = Meter::new();
        meter.samples[0].0 = Instant::now() - Duration::from_secs(4);
        monitor.bytes_done.store(4_000, Ordering::Relaxed);
        monitor.bytes_total.store(8_000, Ordering::Relaxed);
        let state = meter.measure(&monitor);
        assert!((900..=1000).contains(&state.bytes_per_second), "{}", state.bytes_per_second);
        assert!((3.9..4.5).contains(&state.seconds_left.unwrap()));
    }
}

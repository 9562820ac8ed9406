//! CPU seconds and bytes per stage.

use rustix::time::{ClockId, clock_gettime};

/// Adds up what each stage took.
#[derive(Default)]
pub struct Clock(Vec<(&'static str, f64, u64)>);

impl Clock {
    /// Runs `work` and books this thread's CPU time, and `bytes`, for `stage`.
    pub fn time<T>(&mut self, stage: &'static str, bytes: u64, work: impl FnOnce() -> T) -> T {
        let before = now();
        let result = work();
        self.book(stage, bytes, now() - before);
        result
    }

    /// Books bytes whose number was not known before.
    pub fn count(&mut self, stage: &'static str, bytes: u64) {
        self.book(stage, bytes, 0.0);
    }

    /// Books what another clock has counted.
    pub fn add(&mut self, other: Self) {
        for (stage, seconds, bytes) in other.0 {
            self.book(stage, bytes, seconds);
        }
    }

    fn book(&mut self, stage: &'static str, bytes: u64, seconds: f64) {
        match self.0.iter_mut().find(|(name, ..)| *name == stage) {
            Some((_, sum, len)) => (*sum, *len) = (*sum + seconds, *len + bytes),
            None => self.0.push((stage, seconds, bytes)),
        }
    }

    /// Returns the seconds of several stages.
    pub fn sum(&self, stages: &[&str]) -> f64 {
        self.0
            .iter()
            .filter(|(name, ..)| stages.contains(name))
            .map(|(_, seconds, _)| seconds)
            .sum()
    }

    /// Prints a line for each stage.
    pub fn print(&self) {
        println!("| stage | CPU s | MB | GB/s |\n|---|---|---|---|");
        for (stage, seconds, bytes) in &self.0 {
            let bytes = *bytes as f64;
            println!(
                "| {stage} | {seconds:.3} | {:.1} | {:.2} |",
                bytes / 1e6,
                bytes / seconds / 1e9
            );
        }
    }
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

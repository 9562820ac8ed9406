//! Several runs at once, each in a process of its own.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::args::RunArgs;
use super::report::tell;
use super::tasks::{task_of, words_of};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::processes::{Ended, Process, Results, Starter};
use crate::cli::schedules::DueRun;
use crate::jobs::daemon::{Task, next_turns};
use crate::jobs::state::RunRecord;
use crate::monitor::Monitor;
use crate::settings::Settings;

/// How long to wait between two looks at the children.
const WAIT: Duration = Duration::from_millis(20);

/// A run that has not ended.
struct One {
    /// Its place among all.
    at: usize,
    task: Task,
    process: Process,
}

/// What became of the runs.
pub(super) struct Outcome {
    /// The reports, in the order of the runs; those that did not begin have none.
    pub records: Vec<RunRecord>,
    /// The code of them all.
    pub exit: Exit,
}

/// Runs that are made together.
struct Batch<'a> {
    ctx: &'a Context,
    args: &'a RunArgs,
    settings: &'a Settings,
    due: &'a [DueRun],
    tasks: Vec<Task>,
    /// Places of those that have not begun.
    waiting: Vec<usize>,
    running: Vec<One>,
    records: Vec<Option<RunRecord>>,
    codes: Vec<i32>,
}

/// Runs apps, as many at once as the configuration says. A signal stops them all.
pub(super) fn run(
    ctx: &Context,
    args: &RunArgs,
    settings: &Settings,
    due: &[DueRun],
) -> Result<Outcome, Failure> {
    let starter = Starter::new(&ctx.global)?;
    let monitor = Arc::new(Monitor::default());
    let _guard = interrupt::while_running(&monitor);
    let mut batch = Batch {
        tasks: due.iter().map(|due| task_of(ctx, settings, due)).collect(),
        waiting: (0..due.len()).collect(),
        running: Vec::new(),
        records: vec![None; due.len()],
        codes: Vec::new(),
        ctx,
        args,
        settings,
        due,
    };
    let (mut told, mut is_stopping) = (Ok(()), false);
    while !(batch.running.is_empty() && batch.waiting.is_empty()) {
        if monitor.is_cancelled() && !is_stopping {
            is_stopping = true;
            batch.waiting.clear();
            batch.running.iter().for_each(|one| one.process.signal(Signal::TERM));
        }
        batch.begin(&starter);
        std::thread::sleep(WAIT);
        // What cannot be printed ends no run.
        told = told.and(batch.reap());
    }
    told?;
    let exit = if is_stopping { Exit::Interrupted } else { worst_of(&batch.codes) };
    Ok(Outcome { records: batch.records.into_iter().flatten().collect(), exit })
}

impl Batch<'_> {
    /// Begins those whose turn it is.
    fn begin(&mut self, starter: &Starter) {
        let waiting: Vec<Task> = self.waiting.iter().map(|at| self.tasks[*at].clone()).collect();
        let running: Vec<Task> = self.running.iter().map(|one| one.task.clone()).collect();
        let turns = next_turns(&waiting, &running, self.settings.daemon.parallel);
        let begin: Vec<usize> = turns.iter().map(|turn| self.waiting[*turn]).collect();
        self.waiting.retain(|at| !begin.contains(at));
        for at in begin {
            let due = &self.due[at];
            // What a prune or a check finds is no report of a run.
            let results = if due.upkeep.is_none() { Results::Kept } else { Results::Shown };
            match starter.start(&self.words_of(due), results) {
                Ok(process) => {
                    self.running.push(One { at, task: self.tasks[at].clone(), process });
                }
                Err(error) => {
                    let why = format!("cannot start the run of `{}`", due.name());
                    let failure = Failure::new(Exit::Error, why).caused_by(&error);
                    self.codes.push(failure.report(&self.ctx.ui) as i32);
                }
            }
        }
    }

    /// Notes those that ended, and says what they came to.
    fn reap(&mut self) -> Result<(), Failure> {
        let mut told = Ok(());
        for at in (0..self.running.len()).rev() {
            let ended = match self.running[at].process.ended() {
                Ok(None) => continue,
                Ok(Some(ended)) => Ok(ended),
                Err(error) => Err(error),
            };
            let One { at, task, .. } = self.running.remove(at);
            match ended {
                Ok(ended) => {
                    let (code, record) = read_end(self.ctx, &task.name, &ended);
                    if let Some(record) = record.as_ref().filter(|_| !self.ctx.ui.json) {
                        told = told.and(tell(self.ctx, record));
                    }
                    self.codes.push(code);
                    self.records[at] = record;
                }
                Err(error) => {
                    let why = format!("cannot wait for the run of `{}`", task.name);
                    let failure = Failure::new(Exit::Error, why).caused_by(&error);
                    self.codes.push(failure.report(&self.ctx.ui) as i32);
                }
            }
        }
        told
    }

    /// Returns the command line of a run whose report is kept.
    fn words_of(&self, due: &DueRun) -> Vec<OsString> {
        let mut words = words_of(self.settings, due);
        if due.upkeep.is_some() {
            return words;
        }
        let flags = [
            ("--record", true),
            ("--json", self.ctx.ui.json),
            ("--wait", self.args.wait),
            ("--dry-run", self.args.dry_run),
            ("--always-snapshot", self.args.always_snapshot),
        ];
        words.extend(
            flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag.into()),
        );
        words
    }
}

/// Returns code and report of a run that ended. One without a report has said why.
fn read_end(ctx: &Context, app: &str, ended: &Ended) -> (i32, Option<RunRecord>) {
    let Some(code) = ended.status.code() else {
        ctx.ui.loss(&format!("the run of `{app}` did not end by itself: {}", ended.status));
        return (Exit::Error as i32, None);
    };
    (code, serde_json::from_slice(&ended.results).ok())
}

/// Returns the code of several runs: one failed, another run is under way, some files are missing,
/// or all is done.
fn worst_of(codes: &[i32]) -> Exit {
    let has = |exit: Exit| codes.contains(&(exit as i32));
    let known = [Exit::Locked, Exit::Unreadable, Exit::Done];
    let is_known = |code: &i32| known.iter().any(|exit| *exit as i32 == *code);
    match codes.iter().all(is_known) {
        true => known.into_iter().find(|exit| has(*exit)).unwrap_or(Exit::Done),
        false => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_run_decides() {
        assert_eq!(worst_of(&[]), Exit::Done);
        assert_eq!(worst_of(&[0, 0]), Exit::Done);
        assert_eq!(worst_of(&[3, 0]), Exit::Unreadable);
        assert_eq!(worst_of(&[11, 3]), Exit::Locked);
        assert_eq!((worst_of(&[0, 10, 3]), worst_of(&[1, 0])), (Exit::Error, Exit::Error));
    }
}

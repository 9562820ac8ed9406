//! Run of a dump program, and its output as files.
//!
//! A dump is good only if its program says so and its last line was seen.

use std::io::{self, Read};
use std::sync::Arc;

use crate::backup::{Dump, FileSink};
use crate::sources::manifest::SharedRecord;
use crate::sources::patient::Patient;
use crate::sources::process::Output;
use crate::sources::runner::{Invocation, Runner};

use super::advice::advise;
use super::files::Files;
use super::parts::{ScanError, Stop};
use super::scanner::Scanner;

/// Bytes that are read at once.
const BLOCK_LEN_BYTES: usize = 64 << 10;

/// A dump that is planned.
pub(super) struct Job {
    pub(super) runner: Arc<dyn Runner>,
    pub(super) invocation: Invocation,
    pub(super) record: SharedRecord,
    /// Section of the configuration.
    pub(super) section: String,
    /// The action, for messages: `cannot dump the database …`.
    pub(super) action: String,
    /// Whether it is the dump of what databases share.
    pub(super) is_cluster: bool,
}

/// A dump whose program runs.
struct Running {
    job: Job,
    output: Patient<Box<dyn Output>>,
}

impl Job {
    /// Starts the program.
    pub(super) fn open(mut self) -> io::Result<Box<dyn Dump>> {
        let invocation = std::mem::take(&mut self.invocation);
        match self.runner.dump(invocation) {
            Ok(output) => Ok(Box::new(Running { job: self, output })),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, cause: io::Error) -> io::Error {
        advise(&self.section, &self.action)(cause)
    }

    /// Returns the error for an end of the scanner; the sink's own errors are passed on.
    fn stopped(&self, stop: Stop) -> io::Error {
        match stop {
            Stop::Dump(error) => self.not_whole(error),
            Stop::Receiver(error) => error,
        }
    }

    fn not_whole(&self, error: ScanError) -> io::Error {
        self.failed(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Dump for Running {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let Self { job, mut output } = *self;
        let scanner = match job.is_cluster {
            true => Scanner::of_cluster(),
            false => Scanner::of_database(),
        };
        let mut files = Files::new(sink, job.is_cluster.then_some("globals"));
        let scanner = pass_on(&job, &mut output, scanner, &mut files)?;
        // Its words say more than that the last line is missing.
        let mut program = output.into_source().map_err(|error| job.failed(error))?;
        program.finish().map_err(|error| job.failed(error))?;
        scanner.finish(&mut files).map_err(|stop| job.stopped(stop))?;
        let ended = files.finish()?;
        job.record.update(|record| record.files = ended);
        Ok(())
    }
}

/// Passes the output on up to its end.
fn pass_on(
    job: &Job,
    output: &mut impl Read,
    mut scanner: Scanner,
    files: &mut Files,
) -> io::Result<Scanner> {
    let mut buffer = vec![0; BLOCK_LEN_BYTES];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(scanner),
            Ok(len) => {
                let pushed = scanner.push(&buffer[..len], files);
                pushed.map_err(|stop| job.stopped(stop))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(job.failed(error)),
        }
    }
}

#[cfg(test)]
mod tests;

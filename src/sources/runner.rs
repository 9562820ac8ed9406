//! Places in which the program of a dump runs: this host, or the container of its database.

use std::io;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::patient::{Pace, Patient};
use super::process::{Output, Program, read_output};
use crate::monitor::Monitor;

/// A program to run, and what it needs.
#[derive(Clone, Default)]
pub struct Invocation {
    /// Its name or path.
    pub program: String,
    /// A file for its eyes only. It becomes the first argument, after this prefix, where the
    /// runner can pass files.
    pub secret_file: Option<SecretFile>,
    /// Arguments. Everybody on the host can read them.
    pub arguments: Vec<String>,
    /// Environment in addition to the runner's.
    pub environment: Vec<(String, Zeroizing<String>)>,
}

/// A secret that a program reads from a file.
#[derive(Clone)]
pub struct SecretFile {
    /// Start of the argument that names the file, for example `--defaults-extra-file=`.
    pub prefix: String,
    /// Its content, of at most 4 KiB.
    pub content: Zeroizing<Vec<u8>>,
}

/// A place where programs can run.
pub trait Runner: Send + Sync {
    /// Starts a program.
    fn start(&self, invocation: Invocation) -> io::Result<Box<dyn Output>>;

    /// Returns whether programs can be given files: else a secret must be in the environment.
    fn passes_files(&self) -> bool;

    /// Returns where programs run, for messages: `this host`, `container wiki-db`.
    fn place(&self) -> String;

    /// Runs a program to its end, and returns its output of at most `len_max` bytes.
    ///
    /// Fails if it fails, or if there is more.
    fn output(&self, invocation: Invocation, len_max: usize) -> io::Result<Vec<u8>> {
        let program = invocation.program.clone();
        read_output(self.start(invocation)?, &program, len_max)
    }

    /// Starts a program whose output is read ahead of a slow pipeline.
    fn dump(&self, invocation: Invocation) -> io::Result<Patient<Box<dyn Output>>> {
        let output = self.start(invocation)?;
        let stop = output.stop_flag();
        Patient::new(output, stop, Pace::DUMP)
    }
}

/// Runs programs on this host.
pub struct HostRunner {
    monitor: Arc<Monitor>,
}

impl HostRunner {
    /// Makes a runner whose programs stop when `monitor` is cancelled.
    pub fn new(monitor: &Arc<Monitor>) -> Self {
        Self { monitor: Arc::clone(monitor) }
    }
}

impl Runner for HostRunner {
    fn start(&self, invocation: Invocation) -> io::Result<Box<dyn Output>> {
        let mut program = Program::new(&invocation.program);
        if let Some(file) = &invocation.secret_file {
            let path = program.pass_secret(&file.content)?;
            program = program.arg(format!("{}{path}", file.prefix));
        }
        for (name, value) in &invocation.environment {
            program = program.env(name, value.as_str());
        }
        Ok(Box::new(program.args(&invocation.arguments).start(&self.monitor)?))
    }

    fn passes_files(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "this host".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_host_passes_secrets_and_reads_ahead() {
        let runner = HostRunner::new(&Arc::new(Monitor::default()));
        let invocation = Invocation {
            program: "sh".to_owned(),
            arguments: ["-c", "echo $1 $2"].map(str::to_owned).to_vec(),
            ..Invocation::default()
        };
        assert_eq!(runner.output(invocation.clone(), 10).unwrap(), b"\n");
        assert!(runner.output(invocation, 0).is_err());
        let secret = SecretFile { prefix: String::new(), content: b"read it".to_vec().into() };
        let invocation = Invocation {
            program: "cat".to_owned(),
            secret_file: Some(secret),
            ..Invocation::default()
        };
        let mut dump = runner.dump(invocation).unwrap();
        let mut text = String::new();
        dump.read_to_string(&mut text).unwrap();
        dump.into_source().unwrap().finish().unwrap();
        assert_eq!(text, "read it");
    }
}

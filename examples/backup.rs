//! Backs up directories: `backup REPOSITORY PASSWORD_FILE PATH...`.
//!
//! Makes the repository if there is none, shows progress, and ends with 3 if something could not be
//! read.

use std::env;
use std::process::ExitCode;

use drumlin::{Counts, Credentials, Error, ErrorKind, OpenOptions, Problem, Progress};

struct Terminal;

impl Progress for Terminal {
    fn update(&self, counts: &Counts) {
        eprint!("\r{} files, {} bytes read", counts.files, counts.bytes);
    }

    fn problem(&self, problem: &Problem) {
        eprintln!("\n{}: {}: {}", problem.kind, problem.path.display(), problem.message);
    }
}

fn main() -> Result<ExitCode, Error> {
    let mut arguments = env::args_os().skip(1);
    let (Some(url), Some(password_file)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: backup REPOSITORY PASSWORD_FILE PATH...");
        return Ok(ExitCode::from(2));
    };
    let options = OpenOptions::new(url, Credentials::password_file(password_file));
    let repository = match options.clone().open() {
        Err(error) if error.kind() == ErrorKind::NoRepository => options.create()?,
        opened => opened?,
    };
    let report = repository.backup(arguments).tag("example").run(&Terminal)?;
    match &report.snapshot {
        Some(snapshot) => println!("snapshot {}", snapshot.short_id()),
        None => println!("nothing changed"),
    }
    println!("{} files, {} bytes stored", report.files, report.bytes_stored);
    Ok(ExitCode::from(if report.problems > 0 { 3 } else { 0 }))
}

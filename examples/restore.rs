//! Restores the newest snapshot, or a path of it: `restore REPOSITORY PASSWORD_FILE TARGET [PATH]`.

use std::env;
use std::process::ExitCode;

use drumlin::{Credentials, Error, Repository};

fn main() -> Result<ExitCode, Error> {
    let mut arguments = env::args_os().skip(1);
    let (Some(url), Some(password_file), Some(target)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: restore REPOSITORY PASSWORD_FILE TARGET [PATH]");
        return Ok(ExitCode::from(2));
    };
    let repository = Repository::open(url, Credentials::password_file(password_file))?;
    let latest = repository.snapshot("latest")?;
    let mut restore = repository.restore(&latest, target).verify();
    if let Some(path) = arguments.next() {
        restore = restore.path(path);
    }
    let report = restore.run(&())?;
    println!("{} files, {} bytes", report.files, report.bytes);
    Ok(ExitCode::from(if report.damaged + report.failed > 0 { 1 } else { 0 }))
}

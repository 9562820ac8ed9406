//! Lists snapshots, or what is in one: `list REPOSITORY PASSWORD_FILE [SNAPSHOT [FILE]]`.
//!
//! With a FILE it prints its first bytes; only the segment that holds them is fetched.

use std::env;

use drumlin::{Credentials, Error, Repository};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, password_file, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: list REPOSITORY PASSWORD_FILE [SNAPSHOT [FILE]]");
        std::process::exit(2);
    };
    let repository = Repository::open(url, Credentials::password_file(password_file))?;
    match rest {
        [] => {
            for snapshot in repository.snapshots()? {
                println!("{} {} {:?}", snapshot.short_id(), snapshot.host(), snapshot.sources());
            }
        }
        [name] => {
            for entry in repository.snapshot(name)?.walk("/")? {
                let entry = entry?;
                println!("{:>12} {}", entry.size, entry.path.display());
            }
        }
        [name, path, ..] => {
            let file = repository.snapshot(name)?.open(path)?;
            let start = file.read_at(0, 80)?;
            println!("{} bytes: {}", file.size(), String::from_utf8_lossy(&start));
        }
    }
    Ok(())
}

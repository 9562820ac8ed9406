//! Says what a prune would remove, and removes nothing: `prune_plan REPOSITORY PASSWORD_FILE`.

use std::env;
use std::time::Duration;

use drumlin::{Credentials, Error, Repository};

fn main() -> Result<(), Error> {
    let mut arguments = env::args_os().skip(1);
    let (Some(url), Some(password_file)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: prune_plan REPOSITORY PASSWORD_FILE");
        std::process::exit(2);
    };
    let repository = Repository::open(url, Credentials::password_file(password_file))?;
    let plan = repository.prune().trash_window(Duration::ZERO).plan(&())?;
    println!("{} snapshots leave the trash", plan.dropped_snapshots.len());
    println!("{} packs go, {} bytes", plan.unused_packs, plan.unused_pack_bytes);
    println!("{} packs are stored again, {} bytes", plan.repacked_packs, plan.repacked_bytes);
    println!("{} unused bytes stay", plan.left_unused_bytes);
    Ok(())
}

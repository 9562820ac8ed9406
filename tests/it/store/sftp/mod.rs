//! Goal: a folder of a server is as good a store as a local one, and says clearly what is wrong
//! when it is not. Method: real servers, started by each test, and a proxy that breaks the line.
//! (What every store must hold is asked in `conformance`.)

mod broken_connections; // slow, broken, silent connections
mod full_disks; // no room, read-only servers
mod known_hosts; // known servers
mod login; // keys and passwords
mod not_sftp; // answers that are not SFTP
mod order_of_keys; // order of keys
mod proxy_programs; // programs that carry a connection
mod restarts_and_leftovers; // restarts, limits, leftovers
mod shared_connections; // threads that share a connection

use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::{Class, ErrorKind, Key, StoreError};

fn pack(number: u8) -> Key {
    Key::new(Class::Data, format!("{number:02x}/{}", format!("{number:02x}").repeat(32)))
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, StoreError>) -> ErrorKind {
    result.unwrap_err().kind
}

/// Opening fails; returns how, and all that is said about it.
fn refused(options: SftpOptions) -> (ErrorKind, String) {
    let error = SftpStore::open(options).err().expect("it opens");
    (error.kind, chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}\n{}", chain(source)),
        None => error.to_string(),
    }
}

/// Returns the names of what lies in the scratch folder of a repository.
fn scratch(repository: &std::path::Path) -> Vec<String> {
    let entries = repository.join("tmp").read_dir().unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

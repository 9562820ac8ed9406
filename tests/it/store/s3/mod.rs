//! Buckets: rules beyond those for every store (`conformance`).

mod answers; // answers and their kinds
mod broken_connections; // slow, broken, silent connections
mod canned_server; // a server with prepared answers
mod certificates; // certificates
mod cut_answers; // answers that end early
mod locks; // object locks
mod options; // options, credentials
mod real_servers; // differences of real servers

use std::error::Error;

use drumlin::store::{ErrorKind, StoreError};

fn kind_of<T: std::fmt::Debug>(result: Result<T, StoreError>) -> ErrorKind {
    result.unwrap_err().kind
}

/// Returns an error with all its causes.
fn text_of(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

//! What is particular to buckets, beside what every store must do (`conformance`).

mod answers;
mod broken;
mod canned;
mod certificates;
mod faults;
mod locks;
mod options;
mod real;

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

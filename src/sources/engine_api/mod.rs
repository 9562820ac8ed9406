//! Client of a container engine: Docker, or Podman's service.
//!
//! Databases in containers are dumped by their own clients in their own containers, so that
//! versions fit and passwords do not leave. The few requests that this takes are HTTP/1.1 on a Unix
//! socket. Nothing that an engine sends is trusted: lengths have limits, every wait ends, and a
//! command succeeded only if the engine says so after its end.

mod cancel; // the end of an unwanted process
mod connection; // the socket
mod engine; // questions
mod error; // errors, hints
mod exec; // commands in containers
mod frames; // frames of a stream
mod http; // requests, answers
mod list; // containers
mod mounts; // mounts with data
mod session; // a running command
mod streams; // reader, writer
mod tail; // last words
mod witness; // life of the engine

pub use engine::{Engine, EngineVersion};
pub use error::{Error, Fault, Result};
pub use exec::Exec;
pub use list::{Container, Inspected, Mount};
pub use mounts::mounts_to_read;
pub use streams::{ExecReader, ExecWriter};

#[cfg(test)]
mod fake_tests;
#[cfg(test)]
mod tests;

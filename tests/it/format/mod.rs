//! Stored bytes: vectors, the specification's tables, a second reader.

pub mod feature_flags; // repositories of later versions
pub mod reader_py; // the independent reader
pub mod spec; // tables of the specification
pub mod vectors; // frozen bytes, accepted and refused

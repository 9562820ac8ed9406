//! Stored bytes: vectors, the specification's tables, a second reader.

pub mod feature_flags;
pub mod reader_py;
pub mod spec;
pub mod vectors;

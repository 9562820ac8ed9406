//! Stored bytes: vectors, the specification's tables, a second reader.

mod feature_flags; // repositories of later versions
mod reader_py; // the independent reader
mod spec; // tables of the specification
mod vectors; // frozen bytes, accepted and refused

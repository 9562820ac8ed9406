//! Sources of a backup beside files: standard input, special files, the output of commands.

pub mod command;

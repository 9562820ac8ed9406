//! Sources of a backup other than files: standard input, special files, the output of commands.

pub mod command;

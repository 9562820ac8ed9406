//! Goal: every command, option, exit code, JSON field and main error text of the contract. Method: the real program in a scratch home.

mod backup;
mod check;
mod config;
mod init;
mod key;
mod look;
mod output;
mod quickstart;
mod restore;
mod signals;
mod terminal;

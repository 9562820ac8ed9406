//! Dumps of MariaDB, made and loaded by real servers and clients.

mod access; // logins, rights, findings
mod deaths; // dumps that die
mod hostile; // content that imitates a dump
mod load; // writers during a dump
mod patience; // pipelines that wait
pub mod server; // a server, and where dumps go
mod sizes; // many tables, long rows

//! Shares of a secret by SLIP-39: any `k` of `n` give it back, fewer do not.
//!
//! Everybody can write a scheme like this one; what has to last is its text. So shares have the
//! words, the checksum and the arithmetic of a standard that other programs know, too.
//!
//! Spec: `format-spec/10-keys.md`, section 6.

mod checksum;
mod cipher;
pub mod combine;
mod field;
pub mod share;
pub mod split;
#[cfg(test)]
mod tests;
pub mod text;
mod words;

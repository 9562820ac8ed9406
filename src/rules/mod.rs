//! Ignore rules with the syntax and meaning of `.gitignore`, on bytes.
//!
//! Most rules are literal names, suffixes or paths: these are looked up in tables, however many
//! there are. A rule takes about a hundred bytes.

mod error;
mod glob;
mod lines;
mod pattern;
mod table;

pub use self::error::RuleError;
pub use self::lines::{BYTE_ORDER_MARK, Case, Matched, Rules, escape, literal_steps};
pub use self::pattern::{BadPattern, Pattern, Patterns};

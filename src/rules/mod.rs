//! Rules that leave files out or keep them, line by line, as `.gitignore` has them and as git
//! itself reads them: on bytes.
//!
//! Most rules are names, endings or paths without anything special: these are looked up, however
//! many there are. A rule takes about a hundred bytes.

mod error;
mod glob;
mod lines;
mod pattern;
mod table;

pub use self::error::RuleError;
pub use self::lines::{BYTE_ORDER_MARK, Case, Matched, Rules, escape, literal_steps};
pub use self::pattern::{BadPattern, Pattern, Patterns};

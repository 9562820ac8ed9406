//! The key file that combined shares make.
//!
//! It says what the pages say about the backup, so that it serves as a recovery kit.

use zeroize::Zeroizing;

use super::input::About;
use super::page::{PLACE_BEGIN, PLACE_END};
use crate::cli::global::PROGRAM;
use crate::crypto::kdf::Key;
use crate::crypto::phrase::{WORDS_BEGIN, WORDS_END, words_of};
use crate::text;

/// Returns the text of the key file; `origin` names the shares.
pub(super) fn kit_text(secret: &Key, about: &About, origin: &str, file: &str) -> Zeroizing<String> {
    let place = match about.location() {
        Some(location) => text::shell_word(&text::harmless(&location)),
        None => "FOLDER-or-URL".to_owned(),
    };
    let open = format!("drumlin --repo {place} --key-file {file}");
    let lines = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let mut about_place = String::new();
    if !about.facts.is_empty() {
        about_place.push_str(&format!("{}\n", lines(&about.facts)));
    }
    if !about.place.is_empty() {
        about_place.push_str(&format!("{PLACE_BEGIN}\n{}{PLACE_END}\n\n", lines(&about.place)));
    }
    Zeroizing::new(format!(
        "DRUMLIN RECOVERY KIT\n\
         ====================\n\
         \n\
         Put together on {made} from {origin}, by {PROGRAM}.\n\
         Anybody who has it can read everything in the backup. Delete it when the files are back.\n\
         \n\
         {about_place}\
         {WORDS_BEGIN}\n\
         {words}\n\
         {WORDS_END}\n\
         \n\
         To see which backups there are:\n\
         \n\
         {open} snapshots\n\
         \n\
         To copy everything of the newest one into a new folder named \"restored\":\n\
         \n\
         {open} restore latest --target restored\n",
        made = text::local_time(text::now()),
        words = *words_of(secret),
    ))
}

//! The user's SSH configuration: whatever it says, and whatever it includes, it is read to its end.
#![no_main]

use std::path::Path;

use drumlin::settings::ssh_config::{Asker, host_config};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let asker = Asker { home: Path::new("/home/ada"), local_user: "ada", user: None };
    let (first, included) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let read = |_: &Path| vec![included.replace("nclude", "")];
    host_config(first, "vault", asker, &read);
});

//! The user's SSH configuration: whatever it says, and whatever it includes, it is read to its end
//! or refused.
#![no_main]

use std::io;
use std::path::{Path, PathBuf};

use drumlin::settings::environment::Environment;
use drumlin::settings::ssh_config::proxy::{Destination, ProxyRule, command_line, jump_arguments};
use drumlin::settings::ssh_config::{ConfigFiles, ExpansionContext, host_config};
use libfuzzer_sys::fuzz_target;

/// The first half of the bytes is the user's file, and the second half is every other one.
struct Halves<'a>(&'a str, &'a str);

impl ConfigFiles for Halves<'_> {
    fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
        vec![pattern.to_path_buf(); 2]
    }

    fn read(&self, file: &Path, len_max_bytes: u64) -> io::Result<String> {
        let text = if file == Path::new("/c") { self.0 } else { self.1 };
        Ok(text[..text.floor_char_boundary(len_max_bytes as usize)].to_owned())
    }
}

fuzz_target!(|text: &str| {
    let env = Environment::of([("HOME", "/home/ada")]);
    let context = ExpansionContext {
        home: Path::new("/home/ada"),
        env: &env,
        local_user: "ada",
        uid: 1000,
        local_host: "here",
        user: None,
        port: None,
    };
    let (first, included) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let Ok(config) = host_config(Path::new("/c"), "vault", context, &Halves(first, included)) else {
        return;
    };
    let to = Destination {
        host: config.host_name.as_deref().unwrap_or("vault"),
        alias: "vault",
        port: 22,
        user: "ada",
    };
    match &config.proxy {
        Some(ProxyRule::Command(written)) => drop(command_line(written, to)),
        Some(ProxyRule::Jump(written)) => {
            if let Ok(arguments) = jump_arguments(written, to, None) {
                assert!(
                    arguments.last().is_some_and(|host| !host.to_string_lossy().starts_with('-'))
                );
            }
        }
        Some(ProxyRule::None) | None => {}
    }
});

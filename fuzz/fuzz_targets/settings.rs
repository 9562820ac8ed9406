//! The configuration file: understood, or refused with the line at which it is wrong.
#![no_main]

use std::path::PathBuf;

use drumlin::settings::Settings;
use drumlin::settings::environment::Environment;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let environment = Environment::of([("HOME", "/home/ada"), ("NAME", "a")]);
    if let Err(error) = Settings::parse(text, PathBuf::from("/drumlin.toml"), &environment) {
        assert!(error.to_string().starts_with("/drumlin.toml:"), "{error}");
    }
});

//! Key files and recovery kits: whatever is accepted is a secret whose words are accepted too.
#![no_main]

use drumlin::crypto::phrase::{secret_of_words, words_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(secret) = secret_of_words(text) {
        assert!(secret_of_words(&words_of(&secret)).is_ok_and(|again| again == secret));
    }
});

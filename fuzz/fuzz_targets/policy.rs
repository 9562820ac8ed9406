//! What to keep, as people write it: what is shown of it can be typed, and means the same.
#![no_main]

use drumlin::retention::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut policy = Policy::default();
    if policy.add(text).is_ok() {
        let mut again = Policy::default();
        assert_eq!(again.add(&policy.to_string()), Ok(()));
        assert_eq!(again, policy);
    }
});

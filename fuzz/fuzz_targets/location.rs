//! Locations of repositories: what is shown of one that is not on this machine can be typed, and
//! means the same.
#![no_main]

use std::path::Path;

use drumlin::settings::location::Location;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parse = |text: &str| Location::parse(text.as_ref(), Path::new("/base"));
    if let Ok(location) = parse(text)
        && location.local_dir().is_none()
    {
        assert_eq!(parse(&location.to_string()), Ok(location));
    }
});

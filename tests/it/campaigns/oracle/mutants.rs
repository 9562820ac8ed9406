//! The list of faults that the oracle must find fits the source: each text stands there exactly
//! once, so that `make mutants` plants it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn each_mutant_can_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list: toml::Table =
        fs::read_to_string(root.join("scripts/mutants.toml")).unwrap().parse().unwrap();
    let mutants = list["mutant"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for mutant in mutants {
        let field = |name: &str| {
            mutant
                .get(name)
                .and_then(toml::Value::as_str)
                .unwrap_or_else(|| panic!("no {name} in {mutant}"))
        };
        let source = fs::read_to_string(root.join(field("file"))).unwrap();
        let times = source.matches(field("old")).count();
        assert_eq!(
            times,
            1,
            "`{}` stands in {} {times} times: mend {:?} in scripts/mutants.toml",
            field("old"),
            field("file"),
            field("name")
        );
        assert_ne!(field("old"), field("new"));
        assert!(names.insert(field("name")), "{:?} is there twice", field("name"));
    }
    assert!(names.len() >= 12, "{} mutants say little", names.len());
}

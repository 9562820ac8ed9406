//! Limits, choices, numbers of the registry, purposes of keys, profiles and classes.

use std::collections::BTreeSet;

use drumlin::chunker::{Cutting, chunk_lens};
use drumlin::crypto::seal::Part;
use drumlin::format::config::Profile;
use drumlin::format::container::{ContainerKind, KNOWN_FLAGS, SegmentCodec};
use drumlin::format::entry::entry_flag;
use drumlin::format::limits;
use drumlin::format::run::{RECORD_LEN_BYTES, RECORDS_PER_BLOCK};
use drumlin::store::{Class, OBJECT_LEN_MAX_BYTES};

use super::{root, source_below, table};

/// Returns number and name of each row.
fn named(marker: &str) -> Vec<(u64, String)> {
    let table = table(marker);
    let number = |row: &[String]| row[0].parse::<u64>().unwrap();
    table.rows.iter().map(|row| (number(row), table.cell(row, "name").to_string())).collect()
}

#[test]
fn limits_are_the_programs() {
    let source = std::fs::read_to_string(root().join("src/format/limits.rs")).unwrap();
    let names: BTreeSet<&str> = source
        .split("pub const ")
        .skip(1)
        .map(|rest| rest.split(':').next().unwrap())
        .collect::<BTreeSet<_>>();
    macro_rules! values {
        ($($name:ident),*) => { vec![$((stringify!($name), limits::$name as u64)),*] };
    }
    let values = values!(
        STRUCTURE_LEN_MAX_BYTES,
        CONTAINER_LEN_MAX_BYTES,
        SEGMENT_RAW_LEN_MAX_BYTES,
        CHUNKS_PER_SEGMENT_MAX,
        NAME_LEN_MAX_BYTES,
        PATH_LEN_MAX_BYTES,
        INLINE_LEN_MAX_BYTES,
        INLINE_REFS_MAX,
        ENTRY_BULK_MAX_BYTES,
        NODE_ENTRIES_MAX,
        NODE_ENTRIES_MIN,
        NODE_BULK_BYTES,
        TREE_SPLIT_BELOW,
        LIST_NODE_MAX,
        LIST_NODE_MIN,
        LIST_SPLIT_BELOW,
        TREE_LEVELS_MAX,
        SNAPSHOT_PROBLEMS_MAX,
        SNAPSHOT_PROBLEMS_LEN_MAX_BYTES,
        TOMBSTONE_LEN_MAX_BYTES,
        SEQUENCE_MAX,
        GENERATION_MAX,
        CONTROL_LEN_MAX_BYTES,
        SLOTS_MAX,
        SLOT_LEN_MAX_BYTES,
        RECORD_PACKS_MAX,
        RECORD_SNAPSHOTS_MAX
    );
    assert_eq!(
        values.iter().map(|value| value.0).collect::<BTreeSet<_>>(),
        names,
        "all limits of the program are listed here"
    );
    let table = table("limits");
    let stated: Vec<(&str, u64)> =
        table.rows.iter().map(|row| (row[0].as_str(), row[1].parse().unwrap())).collect();
    assert_eq!(stated, values);
    assert_eq!(OBJECT_LEN_MAX_BYTES, limits::CONTAINER_LEN_MAX_BYTES);
}

/// Returns the numbers in the value that a source gives to a constant, or to a field of that name.
fn numbers_in(source: &str, name: &str) -> Vec<u64> {
    let product = |text: &str| {
        text.split('*').map(|factor| factor.trim().parse::<u64>().ok()).product::<Option<u64>>()
    };
    let number = |text: &str| match text.split_once("<<") {
        Some((left, right)) => Some(product(left)? << product(right)?),
        None => product(text),
    };
    let numbers =
        |value: &str| value.split(['(', ')', '[', ']', ',']).filter_map(number).collect::<Vec<_>>();
    if let Some((_, rest)) = source.split_once(&format!("const {name}: ")) {
        let (_, rest) = rest.split_once(" = ").unwrap();
        return numbers(rest.split(";\n").next().unwrap());
    }
    let field = format!("{name}: ");
    let mut values =
        source.split(&field).skip(1).map(|rest| numbers(rest.split([',', '}']).next().unwrap()));
    values.find(|numbers| !numbers.is_empty()).unwrap_or_default()
}

#[test]
fn choices_are_the_programs() {
    let table = table("choices");
    assert!(table.rows.len() >= 20);
    for row in &table.rows {
        let (name, file) = (table.cell(row, "name"), table.cell(row, "source"));
        let source = std::fs::read_to_string(root().join(file)).unwrap();
        let found: Vec<String> = numbers_in(&source, name).iter().map(u64::to_string).collect();
        assert_eq!(found.join(", "), table.cell(row, "value"), "{name} in {file}");
    }
}

#[test]
fn numbers_are_the_programs() {
    let kinds = (0..=255).filter_map(|byte| {
        Some((u64::from(byte), format!("{:?}", ContainerKind::from_byte(byte)?)))
    });
    assert_eq!(named("registry: container kinds"), kinds.collect::<Vec<_>>());
    let parts = [
        Part::Frame,
        Part::Segment,
        Part::Toc,
        Part::Trailer,
        Part::Bundle,
        Part::SlotInfo,
        Part::State,
    ]
    .map(|part| (part as u64, format!("{part:?}")));
    assert_eq!(named("registry: parts"), parts);
    let codecs =
        [SegmentCodec::Raw, SegmentCodec::Zstd].map(|codec| (codec as u64, format!("{codec:?}")));
    assert_eq!(named("registry: segment codecs"), codecs);
    let flags = table("registry: entry flags");
    let bits: u32 = flags.rows.iter().map(|row| row[0].parse::<u32>().unwrap()).sum();
    assert_eq!(
        (bits, flags.rows.len() as u32),
        (entry_flag::KNOWN, entry_flag::KNOWN.count_ones())
    );
    assert_eq!(KNOWN_FLAGS, 0, "chapter 04 says that no flag is known");
}

#[test]
fn purposes_are_the_programs() {
    let table = table("purposes");
    let stated: BTreeSet<String> = table.rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(stated.len(), table.rows.len(), "no purpose stands twice");
    // Keys of a configuration are other keys.
    let source = source_below("").replace("has_key(\"", "");
    let calls = ["derive(\"", "derive_into(\"", "key(\""].into_iter().flat_map(|call| {
        let rests = source.split(call).skip(1);
        rests.map(|rest| rest.split('"').next().unwrap().to_string()).collect::<Vec<_>>()
    });
    let used: BTreeSet<String> = calls
        .filter(|purpose| purpose.chars().all(|c| c.is_ascii_lowercase() || c == ' '))
        .collect();
    assert_eq!(stated, used);
}

#[test]
fn profiles_and_classes_are_the_programs() {
    let table_of_profiles = table("profiles");
    let profiles = Profile::ALL.map(|(_, profile)| (profile as u8, Cutting::Profile(profile)));
    let expected: Vec<Vec<String>> = profiles
        .into_iter()
        .chain([(5, Cutting::Rows)])
        .map(|(number, cutting)| {
            let name = match cutting {
                Cutting::Profile(profile) => format!("{profile:?}"),
                Cutting::Rows => format!("{cutting:?}"),
            };
            let (least, average, most) = chunk_lens(cutting);
            let lens = [least, average, most].map(|len| len.to_string());
            [vec![number.to_string(), name], lens.to_vec()].concat()
        })
        .collect();
    let stated = table_of_profiles.rows.iter().map(|row| row[..5].to_vec()).collect::<Vec<_>>();
    assert_eq!(stated, expected);
    let classes = table("classes");
    let folders: Vec<&str> = classes.rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(folders, Class::ALL.map(Class::dir_name));
    assert!(classes.rows.iter().all(|row| row[1].starts_with(&format!("{}/", row[0]))));
    let index = std::fs::read_to_string(root().join("format-spec/06-index.md")).unwrap();
    let stride = RECORDS_PER_BLOCK * RECORD_LEN_BYTES + 64;
    assert!(
        index.contains(&format!("block of {RECORDS_PER_BLOCK} records"))
            && stride == 16_432
            && index.contains("· 16,432")
    );
}

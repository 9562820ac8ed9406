//! Fixed layouts: without gaps, of the stated length, and where the program looks.

use drumlin::format::container::{
    FRAME_PLAIN_LEN_BYTES, HEADER_LEN_BYTES, MAGIC, MAJOR, MINOR, SUITE, TRAILER_PLAIN_LEN_BYTES,
    frame_at, header_at, trailer_at,
};
use drumlin::format::run::{RECORD_LEN_BYTES, record_at};
use drumlin::format::slot::SLOT_MAGIC;

use super::{chapters, marked, table, tables};

/// A layout as the program knows it: name, length, and the offset of each field.
type Layout = (&'static str, usize, Vec<(&'static str, usize)>);

fn known() -> Vec<Layout> {
    macro_rules! fields {
        ($module:ident: $($field:ident),*) => { vec![$((stringify!($field), $module::$field)),*] };
    }
    vec![
        (
            "header",
            HEADER_LEN_BYTES,
            fields!(header_at: MAGIC, MAJOR, MINOR, KIND, SUITE, FLAGS, REPOSITORY_ID, SALT, COMMITMENT, RESERVED),
        ),
        (
            "frame",
            FRAME_PLAIN_LEN_BYTES,
            fields!(frame_at: BODY_LEN, RAW_LEN, CHUNK_COUNT, CODEC, RESERVED),
        ),
        (
            "trailer",
            TRAILER_PLAIN_LEN_BYTES,
            fields!(trailer_at: TOC_OFFSET, TOC_LEN, PADDING_LEN, SEGMENT_COUNT, RESERVED, RAW_TOTAL, RESERVED_2),
        ),
        ("record", RECORD_LEN_BYTES, fields!(record_at: ID, PACK, OFFSET, STORED_LEN, CHUNK)),
        (
            "slot head",
            SLOT_MAGIC.len() + 2,
            vec![("MAGIC", 0), ("MAJOR", SLOT_MAGIC.len()), ("MINOR", SLOT_MAGIC.len() + 1)],
        ),
        ("nonce", 12, vec![("PART", 0), ("ZERO", 1), ("ORDINAL", 4)]),
    ]
}

#[test]
fn layouts_are_whole_and_where_the_program_looks() {
    let layouts = marked("layout");
    let all = chapters()
        .into_iter()
        .flat_map(|(_, text)| tables(&text))
        .filter(|table| table.columns.starts_with(&offsets()));
    assert_eq!(all.count(), layouts.len(), "every layout is marked");
    let known = known();
    assert_eq!(layouts.len(), known.len());
    for (name, layout) in layouts {
        let (name, total) = name.split_once(", ").unwrap();
        let total: usize = total.trim_end_matches(" bytes").parse().unwrap();
        let (_, len, fields) = known
            .iter()
            .find(|known| known.0 == name)
            .unwrap_or_else(|| panic!("an unknown layout: {name}"));
        assert_eq!(total, *len, "length of {name}");
        let mut at = 0;
        for (row, (field, offset)) in layout.rows.iter().zip(fields) {
            assert_eq!(layout.cell(row, "field"), *field, "in {name}");
            assert_eq!(
                layout.cell(row, "offset").parse::<usize>().unwrap(),
                at,
                "{name} has a gap before {field}"
            );
            assert_eq!(at, *offset, "the program looks for {field} of {name} elsewhere");
            at += layout.cell(row, "length").parse::<usize>().unwrap();
        }
        assert_eq!((layout.rows.len(), at), (fields.len(), total), "fields of {name}");
    }
}

fn offsets() -> Vec<String> {
    ["offset", "length", "field"].map(str::to_string).to_vec()
}

#[test]
fn fixed_values_are_the_programs() {
    let hex =
        |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let header = table("layout: header, 128 bytes");
    let slot = table("layout: slot head, 10 bytes");
    let value =
        |table: &super::Table, row: usize| table.cell(&table.rows[row], "value").to_string();
    assert_eq!((value(&header, 0), value(&slot, 0)), (hex(&MAGIC), hex(&SLOT_MAGIC)));
    assert_eq!((value(&header, 1), value(&header, 2)), (MAJOR.to_string(), MINOR.to_string()));
    assert_eq!((value(&slot, 1), value(&slot, 2)), (MAJOR.to_string(), MINOR.to_string()));
    assert_eq!(value(&header, 4), SUITE.to_string());
    let readme = std::fs::read_to_string(super::root().join("format-spec/README.md")).unwrap();
    assert!(readme.contains(&format!("Version {MAJOR}.{MINOR} ")));
}

//! Goal: the limits are those of the specification. Method: its numbers, written out.

use crate::format::limits;

#[test]
fn limits_are_those_of_the_specification() {
    assert_eq!(limits::STRUCTURE_LEN_MAX_BYTES, 67_108_864);
    assert_eq!(limits::CONTAINER_LEN_MAX_BYTES, 268_435_456);
    assert_eq!(limits::SEGMENT_RAW_LEN_MAX_BYTES, 8_388_608);
    assert_eq!(limits::PATH_LEN_MAX_BYTES, 16_777_216);
    assert_eq!(limits::ENTRY_BULK_MAX_BYTES, 1_048_576);
    assert_eq!(limits::NODE_BULK_BYTES, 2_097_152);
    assert_eq!((limits::TREE_SPLIT_BELOW, limits::LIST_SPLIT_BELOW), (33_554_432, 16_777_216));
    assert_eq!(limits::SNAPSHOT_PROBLEMS_LEN_MAX_BYTES, 1_048_576);
    assert_eq!((limits::TOMBSTONE_LEN_MAX_BYTES, limits::SLOT_LEN_MAX_BYTES), (65_536, 65_536));
    assert_eq!(limits::SEQUENCE_MAX, 9_223_372_036_854_775_807);
    assert_eq!(limits::GENERATION_MAX, 4_611_686_018_427_387_904);
    assert_eq!(limits::CONTROL_LEN_MAX_BYTES, 8_519_680);
}

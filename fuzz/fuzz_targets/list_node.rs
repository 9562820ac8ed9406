//! Nodes of chunk lists: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::node::ListNode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = ListNode::decode(data) {
        assert_eq!(value.encode(), data);
    }
});

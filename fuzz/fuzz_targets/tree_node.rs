//! Nodes of directories: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::node::TreeNode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = TreeNode::decode(data) {
        assert_eq!(value.encode(), data);
    }
});

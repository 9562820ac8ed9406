//! Goal: limits of nodes of directories and lists.

use super::entries::{entry, file, id};
use crate::format::entry::{Content, Entry, EntryKind, Ref};
use crate::format::limits;
use crate::format::node::{ListChild, ListNode, Totals, TreeChild, TreeNode};

fn names(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| format!("{number:06}").into_bytes())
}

fn is_tree(node: &TreeNode) -> bool {
    TreeNode::decode(&node.encode()).is_ok()
}

fn is_list(node: &ListNode) -> bool {
    ListNode::decode(&node.encode()).is_ok()
}

#[test]
fn sums_add_up_and_saturate() {
    let mut sum = Totals { files: 1, dirs: 2, bytes: 3 };
    sum.add(Totals { files: 10, dirs: 20, bytes: u64::MAX });
    assert_eq!(sum, Totals { files: 11, dirs: 22, bytes: u64::MAX });
}

#[test]
fn leaves_of_directories() {
    let leaf = |entries: Vec<Entry>, dirs: usize| TreeNode::Leaf {
        strings: Vec::new(),
        dir_totals: vec![Totals::default(); dirs],
        entries,
    };
    let files =
        |count| -> Vec<Entry> { names(count).map(|name| Entry { name, ..file(b"x") }).collect() };
    assert!(is_tree(&leaf(files(0), 0)) && is_tree(&leaf(files(limits::NODE_ENTRIES_MAX), 0)));
    assert!(!is_tree(&leaf(files(limits::NODE_ENTRIES_MAX + 1), 0)));
    let twice = vec![file(b"x"), file(b"y")];
    assert!(!is_tree(&leaf(twice, 0)), "a name twice");
    let dir = || vec![entry(EntryKind::Dir, Content::Tree(id()), 0)];
    assert!(is_tree(&leaf(dir(), 1)) && !is_tree(&leaf(dir(), 0)) && !is_tree(&leaf(dir(), 2)));
    let strings = |list: &[&str]| TreeNode::Leaf {
        strings: list.iter().map(|text| (*text).to_owned()).collect(),
        entries: Vec::new(),
        dir_totals: Vec::new(),
    };
    assert!(is_tree(&strings(&["a", "b"])) && !is_tree(&strings(&["a", "a"])));
}

#[test]
fn inner_nodes_of_directories() {
    let inner = |level, count| TreeNode::Inner {
        level,
        children: names(count)
            .map(|first_name| TreeChild { first_name, id: id(), totals: Totals::default() })
            .collect(),
    };
    assert!(is_tree(&inner(1, 1)) && is_tree(&inner(8, limits::NODE_ENTRIES_MAX)));
    assert!(!is_tree(&inner(0, 1)) && !is_tree(&inner(9, 1)));
    assert!(!is_tree(&inner(1, 0)) && !is_tree(&inner(1, limits::NODE_ENTRIES_MAX + 1)));
    let child =
        |name: &[u8]| TreeChild { first_name: name.to_vec(), id: id(), totals: Totals::default() };
    let pair = |one, other| TreeNode::Inner { level: 1, children: vec![child(one), child(other)] };
    assert!(is_tree(&pair(b"a", b"b")) && !is_tree(&pair(b"a", b"a")));
}

#[test]
fn nodes_of_lists() {
    let leaf = |count| ListNode::Leaf { refs: vec![Ref::Data { id: id(), len: 5 }; count] };
    assert!(is_list(&leaf(1)) && is_list(&leaf(limits::LIST_NODE_MAX)));
    assert!(!is_list(&leaf(0)) && !is_list(&leaf(limits::LIST_NODE_MAX + 1)));
    let inner = |level, count, bytes| ListNode::Inner {
        level,
        children: vec![ListChild { id: id(), bytes }; count],
    };
    assert!(is_list(&inner(1, 2, 1)) && is_list(&inner(8, limits::LIST_NODE_MAX, 1)));
    assert!(!is_list(&inner(0, 2, 1)) && !is_list(&inner(9, 2, 1)));
    assert!(!is_list(&inner(1, 2, 0)) && !is_list(&inner(1, 2, u64::MAX)));
    assert_eq!((leaf(3).bytes(), inner(1, 4, 10).bytes()), (Some(15), Some(40)));
}

#!/usr/bin/env python3
"""Writes the test vectors as starting points of the fuzz targets, into fuzz/corpus/TARGET/."""

import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "format-spec" / "vectors"
# What a vector is called, and the target that takes such bytes.
TARGETS = {
    "key slot": "slot",
    "segment": "segment",
    "tree node": "tree_node",
    "list node": "list_node",
    "snapshot structure": "snapshot",
    "tombstone structure": "tombstone",
    "config structure": "config",
    "intent structure": "intent",
    "collector record structure": "collector_record",
    "index run table": "run_toc",
    "words": "words",
    "data pack": "header",
    "TreeNode": "tree_node",
    "ListNode": "list_node",
    "Snapshot": "snapshot",
    "CommitSlot": "commit_slot",
    "Tombstone": "tombstone",
    "TombstoneSlot": "tombstone",
    "Intent": "intent",
    "CollectorRecord": "collector_record",
    "Config": "config",
    "PackToc": "pack_toc",
    "RunToc": "run_toc",
    "SlotInfo": "slot_info",
}


def put(what, name, content):
    if target := TARGETS.get(what):
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


for number, row in enumerate(json.loads((VECTORS / "codec.json").read_text())):
    put(row["type"], f"codec_{number}", bytes.fromhex(row["bytes"]))
for number, row in enumerate(json.loads((VECTORS / "words.json").read_text())):
    put("words", f"words_{number}", row["text"].encode())
for path in VECTORS.glob("*/*.txt"):
    head, _, body = path.read_text().partition("\n\n")
    what = next(line[6:] for line in head.splitlines() if line.startswith("what: "))
    put(what, path.stem, bytes.fromhex(body))

#!/usr/bin/env python3
"""Writes the test vectors, and what the documentation shows, as starting points of the fuzz targets, into fuzz/corpus/TARGET/."""

import json
import pathlib
import re

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
# What people type, by target.
TYPED = {
    "location": [
        "s3://bucket/a/prefix?endpoint=https://fsn1.your-objectstorage.com:8443&region=fsn1",
        "sftp://u%40v@[fe80::1%25eth0]:23/./a b",
        "sftp://host/srv//drumlin/.",
        "file:///mnt/a%20disk",
        "../backup",
    ],
    "policy": ["decay 2y 16, daily 14, tag a", "last 3,hourly 24,weekly 8,monthly 12,yearly 5,within 1y6m2w3d4h"],
}


def write(target, name, content):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def put(what, name, content):
    if target := TARGETS.get(what):
        write(target, name, content)


for number, row in enumerate(json.loads((VECTORS / "codec.json").read_text())):
    put(row["type"], f"codec_{number}", bytes.fromhex(row["bytes"]))
for number, row in enumerate(json.loads((VECTORS / "words.json").read_text())):
    put("words", f"words_{number}", row["text"].encode())
for path in VECTORS.glob("*/*.txt"):
    head, _, body = path.read_text().partition("\n\n")
    what = next(line[6:] for line in head.splitlines() if line.startswith("what: "))
    put(what, path.stem, bytes.fromhex(body))
for target, texts in TYPED.items():
    for number, text in enumerate(texts):
        write(target, f"typed_{number}", text.encode())
for page in [HERE.parent / "README.md", *(HERE.parent / "docs").glob("*.md")]:
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)):
        write("settings", f"{page.stem}_{number}", block.encode())

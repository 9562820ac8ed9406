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
    "ssh_config": [
        "Host *.example.com !no.example.com\n Port=23\n IdentityFile \"~/.ssh/%r-%h\"\nMatch originalhost vault user ada !localuser root\n"
        " HostName %h.example.com\n ProxyJump a@b:1,ssh://c@[::1]:2/\nMatch final all\n Include ~/.ssh/*.conf\nMatch exec true\n Port 1\n",
        "Match all\n ProxyCommand nc -x '%n' %h %p %r %%\n HostKeyAlias x\n CertificateFile %d/%u-cert.pub\n",
    ],
    "known_hosts": [
        "# x\nvault,192.0.2.1 ssh-ed25519 AAAAa\n[vault]:2222 ssh-rsa AAAAb c\n@revoked * ssh-ed25519 AAAAa\n*ult,!v* ssh-rsa AAAAd\n",
        "|1|AAECAwQFBgcICQoLDA0ODxAREhM=|jCkOYmvfTqe3fYvQprKBa/oV1NE= ssh-rsa AAAAe\n@cert-authority strongbox ssh-rsa AAAAf\n",
    ],
    "policy": ["decay 2y 16, daily 14, tag a", "last 3,hourly 24,weekly 8,monthly 12,yearly 5,within 1y6m2w3d4h"],
}
# What a server may send, without the lengths: a greeting, a status, a handle, data, names, attributes, what an extension answers.
ATTRIBUTES = "8000000f 0000000000000100 0000000000000000 000081a4 00000005 00000006 00000001 000000016b 0000000176"
PACKETS = [
    "02 00000003",
    "65 00000007 00000002",
    "66 00000007 00000001 68",
    "67 00000007 00000002 6162",
    f"68 00000007 00000001 00000001 6e 00000002 6c6c {ATTRIBUTES}",
    f"69 00000007 {ATTRIBUTES}",
    "c9 00000007" + "".join(f"{field:016x}" for field in range(1, 12)),
]


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
for number, packet in enumerate(PACKETS):
    write("sftp_packet", f"typed_{number}", bytes.fromhex(packet))
for page in [HERE.parent / "README.md", *(HERE.parent / "docs").glob("*.md")]:
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)):
        write("settings", f"{page.stem}_{number}", block.encode())

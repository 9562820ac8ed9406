#!/usr/bin/env python3
"""Checks format-spec/vectors/ with the code of reader.py and the Python blocks of the chapters: a second opinion on both."""

import json
import pathlib
import re
import struct
import sys

import reader
import shares
from reader import Refused, blake3, decode, derive, need

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE / "vectors"
MASTER, REPOSITORY = bytes(range(32)), b"\xd1" * 16
KEYS = reader.Keys(MASTER, REPOSITORY)
PASSPHRASE = b"correct horse battery staple"


def block(chapter, name):
    """Returns the function that a Python block of a chapter defines."""
    text = (HERE / chapter).read_text()
    scope = {"blake3": blake3}
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(code, scope)
    return scope[name]


def table(name):
    return json.loads((VECTORS / name).read_text())


# --- tables --------------------------------------------------------------------------------------------------------------

SHAPES = {
    "u8": reader.u8, "u16": reader.u16, "u32": reader.u32, "u64": reader.u64, "i64": reader.i64,
    "Option<u64>": reader.option(reader.u64), "Option<(u32, u32)>": reader.option(reader.pair(reader.u32, reader.u32)),
    "bytes": reader.bytes_, "string": reader.text, "list of strings": reader.list_of(reader.text), "16 bytes": reader.raw(16),
    "Timestamp": reader.timestamp, "Extension": reader.record(tag=reader.u16, bytes=reader.bytes_),
    "SegmentTable": reader.segment_table, "PackToc": reader.pack_toc, "Entry": reader.entry, "TreeNode": reader.tree_node,
    "ListNode": reader.list_node, "Snapshot": reader.snapshot, "CommitSlot": reader.commit_slot, "Config": reader.config,
    "Tombstone": reader.tombstone, "TombstoneSlot": reader.tombstone_slot,
    "SlotKdf": reader.slot_kdf, "SlotInfo": reader.slot_info,
}  # fmt: skip
PACK_REF = reader.record(pack_class=reader.unit(2), name=reader.raw(32), len=reader.u32, salt=reader.raw(32))
SHAPES["RunToc"] = reader.record(
    data_records=reader.u64, meta_records=reader.u64, generation=reader.u64, session=reader.option(reader.raw(16)), replaces=reader.list_of(reader.raw(32)), packs=reader.list_of(PACK_REF), fences=reader.list_of(reader.u64)
)  # fmt: skip

SHAPES["Intent"] = reader.record(
    session=reader.raw(16), number=reader.u64, created=reader.timestamp, host=reader.text, generation=reader.u64,
    root=reader.option(reader.raw(32)), parent=reader.option(reader.raw(16)), packs=reader.list_of(reader.raw(32)),
    extensions=reader.extensions,
)  # fmt: skip
REMOVAL = reader.record(
    packs=reader.list_of(reader.pair(reader.unit(2), reader.raw(32))), snapshots=reader.list_of(reader.raw(16))
)  # fmt: skip
CONTENT = reader.variants(
    reader.record(oldest=reader.u64, removal=REMOVAL), REMOVAL, None, reader.record(runs=reader.list_of(reader.raw(32)))
)  # fmt: skip
SHAPES["CollectorRecord"] = reader.record(number=reader.u64, created=reader.timestamp, content=CONTENT)


def check_codec():
    for row in table("codec.json"):
        value = decode(SHAPES[row["type"]], bytes.fromhex(row["bytes"]))
        if row["type"] in ("u8", "u16", "u32", "u64", "i64"):
            need(str(value) == row["value"], f"{row}: decoded as {value}")


def check_keys():
    key = lambda purpose: derive(purpose, MASTER, REPOSITORY)
    named = {
        "signing public key": lambda: KEYS.writer,
        "fingerprint": lambda writer, repository: derive("fingerprint", writer, repository),
        "container key of a snapshot": lambda salt: derive("container key", key("pack root"), salt, b"\x04"),
        "commitment": lambda secret: derive("commitment", secret),
        "salt of random and digest": lambda random, digest: blake3(random + digest, key=key("salt hedge")).digest(),
        "id of a data chunk": lambda data: KEYS.chunk_id(reader.CHUNK_DATA, data),
        "id of a tree chunk": lambda data: KEYS.chunk_id(reader.CHUNK_TREE, data),
        "id of a list chunk": lambda data: KEYS.chunk_id(reader.CHUNK_LIST, data),
        "split hash": lambda name: blake3(name, key=key("tree split")).digest()[:4],
        "Argon2id of 256 KiB, 2 passes, 2 lanes": lambda text, salt: reader.argon2.low_level.hash_secret_raw(
            text, salt, 2, 256, 2, 32, reader.argon2.low_level.Type.ID, 19
        ),
        "snapshot signature": lambda text: reader.Ed25519PrivateKey.from_private_bytes(key("signing")).sign(
            b"drumlin snapshot" + text
        ),
        "tombstone signature": lambda text: reader.Ed25519PrivateKey.from_private_bytes(key("signing")).sign(
            b"drumlin tombstone" + text
        ),
        "protection signature": lambda text: reader.Ed25519PrivateKey.from_private_bytes(key("signing")).sign(
            b"drumlin protection" + text
        ),
    }  # fmt: skip
    in_text = block("03-primitives.md", "derive")
    for row in table("keys.json"):
        inputs, output = [bytes.fromhex(text) for text in row["inputs"]], bytes.fromhex(row["output"])
        if row["what"].startswith("derive "):
            found = in_text(row["what"][7:], *inputs, length=len(output))
        else:
            found = named[row["what"]](*inputs)
        need(found == output, f"{row['what']} is {found.hex()}")


def input_of(name, length):
    if name == "xof":
        return blake3(b"drumlin cuts").digest(length=length) if length else b""
    if name == "xof-inserted":
        plain = blake3(b"drumlin cuts").digest(length=1 << 20)
        return plain[:100_000] + b"!" + plain[100_000:]
    if name == "lines":
        return b"".join(b"%d drumlin\n" % line for line in range(90_000))
    return {"zeros": bytes(length), "cycle-251": bytes(at % 251 for at in range(length))}[name]


def check_cuts():
    cut = block("05-ids.md", "cut")
    rows = [line.strip("|").split("|") for line in (HERE / "05-ids.md").read_text().splitlines() if re.match(r"\| \d \|", line)]
    profiles = {row[1].strip().lower(): [int(cell.strip() or "0", 0) for cell in row[2:]] for row in rows}
    gear = struct.unpack("<256Q", derive("chunker gear", MASTER, REPOSITORY, length=2048))
    for row in table("cuts.json"):
        data = memoryview(input_of(row["input"], row["len"]))
        need(len(data) == row["len"], "an input of another length")
        # The plain algorithm is slow in Python: the cuts of the first 600,000 bytes say enough, and all lengths must sum up.
        need(sum(row["chunk_lens"]) == row["len"], "chunk lengths do not sum up")
        at = 0
        for length in row["chunk_lens"]:
            if at + length > 600_000:
                break
            found = cut(data[at:], *profiles[row["profile"]], gear)
            need(found == length, f"{row['input']} of {row['len']} bytes, {row['profile']}: cut at {found}, not {length}")
            at += length


def check_padding():
    padded_len = block("04-container.md", "padded_len")
    for length, padded in table("padding.json"):
        need(padded_len(length) == padded, f"{length} is padded to {padded_len(length)}")


def check_words():
    for row in table("words.json"):
        try:
            found = reader.read_words(row["text"]).hex()
        except Refused:
            found = "refused"
        need(found == row["result"][: len(found)], f"{row['text']}: {found}")


def check_shares():
    for row in table("shares.json"):
        try:
            found = shares.combine([shares.parse(words) for words in shares.sections(row["text"])]).hex()
        except shares.Refused:
            found = "refused"
        need(found == row["result"][: len(found)], f"{row['text']}: {found}")
    for row in table("slip-39.json"):
        try:
            found = shares.combine([shares.parse(text.split()) for text in row["shares"]], b"TREZOR").hex()
        except shares.Refused:
            found = ""
        need(found == row["secret"], f"{row['what']}: {found}")


# --- files ---------------------------------------------------------------------------------------------------------------


def judge_pack(folder, data):
    pack = reader.Container(KEYS, folder, data)
    for offset, line in pack.listed_segments(folder):
        plain, chunk_count, stored_len = pack.segment(offset)
        need((chunk_count, stored_len) == (len(line["chunks"]), line["stored_len"]), "frame and table of contents differ")
        chunks = reader.split_segment(plain)
        need([kind for kind, _ in chunks] == [chunk["kind"] for chunk in line["chunks"]], "kinds differ")
        for (kind, plaintext), chunk in zip(chunks, line["chunks"]):
            need(len(plaintext) == chunk["len"] and KEYS.chunk_id(kind, plaintext) == chunk["id"], "a chunk without its id")


def judge_run_toc(data):
    toc = decode(SHAPES["RunToc"], data)
    fences, first = toc["fences"], -(-toc["data_records"] // 372)
    need(len(fences) == first + -(-toc["meta_records"] // 372), "fences")
    need(toc["generation"] <= 1 << 62, "a generation above the limit")
    need(all(reader.ascends(part) for part in (fences[:first], fences[first:])), "fences")
    need(len({pack["name"] for pack in toc["packs"]}) == len(toc["packs"]), "a pack stands there twice")
    return toc


def judge_run(data):
    reader.KIND["index"] = 3
    run = reader.Container(KEYS, "index", data)
    toc_bytes, toc_offset, segments, raw_total = run.toc()
    toc = judge_run_toc(toc_bytes)
    need((segments, raw_total) == (len(toc["fences"]), 44 * (toc["data_records"] + toc["meta_records"])), "sums")
    offset, fences = reader.HEADER_LEN, iter(toc["fences"])
    for pack_class, count in enumerate((toc["data_records"], toc["meta_records"])):
        ids = []
        while len(ids) < count:
            need(run.frame(offset)[2:4] == (0, 0), "a block that is compressed, or with chunks")
            block_bytes, _, stored_len = run.segment(offset)
            offset += stored_len
            need(len(block_bytes) == 44 * min(372, count - len(ids)), "a block")
            records = [block_bytes[at : at + 44] for at in range(0, len(block_bytes), 44)]
            need(int.from_bytes(records[0][:8], "big") == next(fences), "a fence")
            packs = [int.from_bytes(line[32:35], "little") for line in records]
            need(all(pack < len(toc["packs"]) and toc["packs"][pack]["pack_class"] == pack_class for pack in packs), "a pack")
            ids += [line[:32] for line in records]
        need(reader.ascends(ids), "records")
    need(offset == toc_offset, "blocks")


def judge_intent(data):
    found = decode(SHAPES["Intent"], data)
    need(reader.ascends(found["packs"]) and len(found["packs"]) <= 200_000, "packs")
    reader.check_times(found["created"])
    reader.check_extensions(found)


def judge_record(data):
    found = decode(SHAPES["CollectorRecord"], data)
    number, content = found["content"]
    need(0 < found["number"] <= 1 << 62, "a generation 0, or above the limit")
    reader.check_times(found["created"])
    need(number != 0 or content["oldest"] <= found["number"], "older than itself")
    if number < 2:
        removal = content["removal"] if number == 0 else content
        packs, snapshots = removal["packs"], removal["snapshots"]
        need(reader.ascends(packs) and len(packs) <= 200_000, "packs")
        need(reader.ascends(snapshots) and len(snapshots) <= 100_000, "snapshots")


class Held(reader.Repository):
    """What is needed to walk a directory whose chunks are at hand."""

    def __init__(self, chunks):
        self.held = {(kind, KEYS.chunk_id(kind, plaintext)): plaintext for kind, plaintext in chunks}

    def chunk(self, kind, chunk_id):
        need((kind, chunk_id) in self.held, "a chunk is missing")
        return self.held[kind, chunk_id]

    def walk(self, chunk_id):
        for found, _ in self.entries(chunk_id):
            if found["kind"] == reader.DIR:
                self.walk(found["content"][1])
            elif found["kind"] == reader.FILE:
                for _ in self.pieces(found):
                    pass


def judge_directory(data):
    chunks = reader.split_segment(data)
    Held(chunks).walk(KEYS.chunk_id(*chunks[-1]))


def judge(what, data):
    if what in ("data pack", "meta pack"):
        return judge_pack(what[:4], data)
    if what == "key slot":
        opened = reader.open_slot(data, PASSPHRASE, MASTER)
        need(opened, "the secret does not open it")
        need(opened is None or opened[1] == REPOSITORY, "a slot of another repository")
        return None
    judges = {
        "index run": judge_run,
        "index run table": judge_run_toc,
        "intent": lambda data: judge_intent(reader.Container(KEYS, "intents", data).single()),
        "intent structure": judge_intent,
        "collector record": lambda data: judge_record(reader.Container(KEYS, "gc", data).single()),
        "collector record structure": judge_record,
        "snapshot": lambda data: reader.open_snapshot(KEYS, data),
        "config": lambda data: reader.parse_config(reader.Container(KEYS, "config", data).single()),
        "segment": reader.split_segment,
        "directory": judge_directory,
        "tree node": reader.parse_tree_node,
        "list node": reader.parse_list_node,
        "tombstone": lambda data: reader.open_tombstone(KEYS, data),
        "protection": lambda data: reader.open_tombstone(KEYS, data, "protection"),
        "tombstone structure": reader.parse_tombstone,
        "snapshot structure": reader.parse_snapshot,
        "config structure": reader.parse_config,
        "words": lambda data: reader.read_words(data.decode()),
    }
    return judges.get(what, lambda data: decode(SHAPES[what], data))(data)


def check_files():
    counts = {"accept": 0, "refuse": 0}
    for path in sorted(VECTORS.glob("*/*.txt")):
        head, _, body = path.read_text().partition("\n\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:])
        data = bytes.fromhex(body)
        try:
            judge(fields["what"], data)
            found = "accept"
        except Refused:
            found = "refuse"
        need(found == fields["expect"], f"{path.name}: {found}")
        need("blake3" not in fields or blake3(data).hexdigest() == fields["blake3"], f"{path.name}: another hash")
        counts[found] += 1
    return counts


# --- whole repositories --------------------------------------------------------------------------------------------------


def grouped(items, ends):
    """Cuts a list behind each item where `ends` says so of the group so far."""
    groups, group = [], []
    for item in items:
        group.append(item)
        if ends(group):
            groups.append(group)
            group = []
    return groups + [group] * bool(group)


def bulk(found):
    number, held = found["content"]
    xattrs = sum(len(xattr["name"]) + len(xattr["value"]) for xattr in found["xattrs"])
    extensions = sum(len(extension["bytes"]) for extension in found["extensions"])
    return len(found["name"]) + xattrs + extensions + (len(held) if number == reader.INLINE else 0)


def split_directory(entries, split):
    """Chapter 07, section 2: returns the names that begin the nodes of each level, leaves first."""
    ends = lambda hashed, count: count == 512 or (count >= 32 and int.from_bytes(split(hashed)[:4], "little") < 33_554_432)
    whole = len(entries) <= 512 and sum(map(bulk, entries)) < 2 << 20
    ends_leaf = lambda leaf: not whole and (sum(map(bulk, leaf)) >= 2 << 20 or ends(leaf[-1]["name"], len(leaf)))
    levels = [[leaf[0]["name"] for leaf in grouped(entries, ends_leaf)]]
    while len(levels[-1]) > 512:
        level = bytes([len(levels)])
        levels.append([node[0] for node in grouped(levels[-1], lambda node: ends(level + node[-1], len(node)))])
    return levels + [levels[-1][:1]] * (len(levels[-1]) > 1)


def split_list(refs, ids):
    """Chapter 07, section 5: returns the number of nodes of each level, leaves first; `ids` are those of the nodes below."""
    small = lambda chunk_id: int.from_bytes(chunk_id[:4], "little") < 16_777_216
    ends = lambda node, last: len(node) == 1024 or (len(node) >= 64 and last is not None and small(last))
    counts = [len(grouped(refs, lambda leaf: ends(leaf, leaf[-1][1].get("id"))))]
    while counts[-1] > 1:
        need(len(ids[len(counts) - 1]) == counts[-1], "a list is split otherwise")
        counts.append(len(grouped(ids[len(counts) - 1], lambda node: ends(node, node[-1]))))
    return counts


def nodes_of(repository, parse, kind, chunk_id, name_of, levels):
    """Collects what `name_of` says of each node of a tree or list, by level."""
    number, node = parse(repository.chunk(kind, chunk_id))
    level = node["level"] if number == reader.INNER else 0
    while len(levels) <= level:
        levels.append([])
    levels[level].append(name_of(chunk_id, node))
    for child in node.get("children", []):
        nodes_of(repository, parse, kind, child["id"], name_of, levels)
    return levels


def check_tree(repository, split, chunk_id):
    entries = [found for found, _ in repository.entries(chunk_id)]
    first_name = lambda _, node: (node["entries"] or [{"name": b""}])[0]["name"] if "entries" in node else node["children"][0]["first_name"]
    levels = nodes_of(repository, reader.parse_tree_node, reader.CHUNK_TREE, chunk_id, first_name, [])
    need(not entries or levels == split_directory(entries, split), "a directory is split otherwise")
    for found in entries:
        number, held = found["content"]
        if number == reader.TREE:
            check_tree(repository, split, held)
        elif number == reader.LIST:
            parse = lambda data: reader.parse_list_node(data)[0]
            ids = nodes_of(repository, parse, reader.CHUNK_LIST, held, lambda chunk_id, _: chunk_id, [])
            need(split_list(list(repository.list_refs(held)), ids) == [len(level) for level in ids], "a list is split otherwise")


def check_repositories():
    for folder in sorted((VECTORS / "repositories").iterdir()):
        words = folder / "words.txt"
        key_file = reader.read_words(words.read_text()) if words.exists() else None
        password = None if key_file else PASSPHRASE
        repository = reader.Repository(folder / "repository", password, key_file)
        slot = repository.objects("keys")[0].read_bytes()
        split_key = derive("tree split", *reader.open_slot(slot, password, key_file))
        repository.scan(walk=True)
        for shot in repository.snapshots():
            check_tree(repository, lambda data: blake3(data, key=split_key).digest(), shot["root"])


def rows_of_example(name):
    """Returns the cells of a table of chapter 16."""
    text = (HERE / "16-example.md").read_text().split(f"<!-- example: {name} -->", 1)[1].strip().split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def check_example():
    """Compares each byte of chapter 16 with the object that it takes apart."""
    text = (VECTORS / "containers/config.txt").read_text()
    stored = bytes.fromhex(text.split("\n\n", 1)[1].replace("\n", ""))
    pack_root = derive("pack root", MASTER, REPOSITORY)
    key = derive("container key", pack_root, stored[32:64], b"\x07")
    keys = [pack_root, key, derive("commitment", key)]
    need([bytes.fromhex(row[1].strip("`")) for row in rows_of_example("keys")] == keys, "other keys")

    def opened(part, ordinal, sealed):
        return reader.open_seal(key, part, ordinal, sealed, stored[:128])

    trailer, frame = opened(4, 0, stored[-64:]), opened(1, 128, stored[128:176])
    structure = opened(2, 128, stored[176:234])
    need(opened(3, 0, stored[234:256]) == bytes(6), "another table of contents")
    for name, data in {"stored": stored[:128], "trailer": trailer, "frame": frame, "structure": structure}.items():
        at = 0
        for offset, digits, _ in rows_of_example(name):
            piece = bytes.fromhex(digits.strip("`"))
            need(int(offset) == at and data[at : at + len(piece)] == piece, f"{name}: other bytes at {offset}")
            at += len(piece)
        need(at == len(data), f"{name}: {len(data)} bytes, not {at}")


def main():
    for check in (check_codec, check_keys, check_cuts, check_padding, check_words, check_shares, check_example, check_repositories):
        check()
    counts = check_files()
    print(f"all vectors hold: {counts['accept']} files accepted, {counts['refuse']} refused")


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"vectors do not hold: {refused}")

#!/usr/bin/env python3
"""An independent reader of Drumlin repositories, written from format-spec/ alone: slow, small, and without the index.

It finds every chunk by scanning the packs themselves (their tables of contents, or with --walk their segments from the
front), checks names, commitments, ids and signatures, and restores a snapshot.

    reader.py [--password-file F | --key-file F] [--walk] [--forgotten] REPOSITORY list
    reader.py [--password-file F | --key-file F] [--walk] [--forgotten] REPOSITORY restore SNAPSHOT TARGET

It exits with 1 if it refuses, with 3 if something could not be put on the disk, and with 4 if it passed over something damaged.

Needs Python 3.9 and: pip install blake3 cryptography zstandard argon2-cffi
"""

import argparse
import fcntl
import getpass
import hashlib
import hmac
import os
import pathlib
import re
import stat
import struct
import sys
import time

import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HEADER_LEN, FRAME_LEN, TRAILER_LEN, TAG_LEN = 128, 48, 64, 16
SEGMENT_MAX = 8 << 20
KIND = {"data": 1, "meta": 2, "snapshots": 4, "intents": 5, "gc": 6, "config": 7, "tombstones": 8, "protections": 9}
PART_FRAME, PART_SEGMENT, PART_TOC, PART_TRAILER, PART_BUNDLE, PART_INFO = 1, 2, 3, 4, 6, 7
CHUNK_DATA, CHUNK_TREE, CHUNK_LIST = 0, 1, 2
FILE, DIR, SYMLINK, FIFO, SOCKET, CHAR_DEVICE, BLOCK_DEVICE = range(7)


class Refused(Exception):
    """The bytes break a rule of the format, or were changed."""


def need(condition, what):
    if not condition:
        raise Refused(what)


# --- 02: the codec -----------------------------------------------------------------------------------------------------


class Input:
    """Encoded bytes, read from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(count <= len(self.data) - self.at, "encoding ends too early")
        self.at += count
        return self.data[self.at - count : self.at]


def varint(bits):
    def read(source):
        first = source.take(1)[0]
        if first < 251:
            return first
        size = {251: 2, 252: 4, 253: 8}.get(first)
        need(size is not None and size * 8 <= bits, "integer too wide")
        value = int.from_bytes(source.take(size), "little")
        need(value >= {2: 251, 4: 1 << 16, 8: 1 << 32}[size], "integer not in its shortest form")
        return value

    return read


u8 = lambda source: source.take(1)[0]
u16, u32, u64 = varint(16), varint(32), varint(64)
raw = lambda count: lambda source: source.take(count)
pair = lambda first, second: lambda source: (first(source), second(source))


def i64(source):
    value = u64(source)
    return (value >> 1) ^ -(value & 1)


def bytes_(source):
    return source.take(u64(source))


def text(source):
    try:
        return bytes_(source).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("a string is not UTF-8") from None


def option(item):
    def read(source):
        tag = u8(source)
        need(tag < 2, "option tag")
        return item(source) if tag else None

    return read


def list_of(item):
    def read(source):
        count = u64(source)
        need(count <= len(source.data) - source.at, "more items than bytes")
        return [item(source) for _ in range(count)]

    return read


def record(**fields):
    return lambda source: {name: read(source) for name, read in fields.items()}


def variants(*readers):
    """An enumeration: its number and, where a reader is given, its content."""

    def read(source):
        number = u32(source)
        need(number < len(readers), "unknown variant")
        return number, (readers[number](source) if readers[number] else None)

    return read


def decode(shape, data):
    source = Input(data)
    value = shape(source)
    need(source.at == len(data), "bytes behind the end of a structure")
    return value


unit = lambda count: lambda source: variants(*[None] * count)(source)[0]
chunk_kind = unit(3)
timestamp = record(seconds=i64, nanos=u32)
extensions = list_of(record(tag=u16, bytes=bytes_))
totals = record(files=u64, dirs=u64, bytes=u64)
REF_DATA, REF_HOLE = 0, 1
ref = variants(record(id=raw(32), len=u32), record(len=u64))
NONE, INLINE, REFS, LIST, TREE = range(5)
content = variants(None, bytes_, list_of(ref), raw(32), raw(32))
entry = record(
    name=bytes_, kind=unit(7), mode=u16, uid=u32, gid=u32, user=u32, group=u32, mtime=timestamp, ctime=timestamp,
    btime=option(timestamp), size=u64, device=option(pair(u32, u32)), hard_link=option(u64), content=content,
    xattrs=list_of(record(name=bytes_, value=bytes_)), flags=u32, extensions=extensions,
)  # fmt: skip
LEAF, INNER = 0, 1
tree_node = variants(
    record(strings=list_of(text), entries=list_of(entry), dir_totals=list_of(totals)),
    record(level=u8, children=list_of(record(first_name=bytes_, id=raw(32), totals=totals))),
)
list_node = variants(
    record(refs=list_of(ref)),
    record(level=u8, children=list_of(record(id=raw(32), bytes=u64))),
)
pack_toc = list_of(record(stored_len=u32, chunks=list_of(record(kind=chunk_kind, id=raw(32), len=u32))))
segment_table = list_of(pair(chunk_kind, u32))
commit_slot = variants(record(signed=bytes_, signature=raw(64)), None)
snapshot = record(
    id=raw(16), repository=raw(16), host=text, user=text, app=text, sequence=u64, previous=option(raw(32)),
    parent=option(raw(16)), started=timestamp, ended=timestamp, program=text, sources=list_of(bytes_),
    tags=list_of(text), root=raw(32), consistency=unit(3),
    stats=record(totals=totals, files_new=u64, files_changed=u64, files_unchanged=u64, bytes_read=u64,
                 chunks_new=u64, bytes_new_raw=u64, bytes_stored=u64),
    problem_count=u64, problems=list_of(record(path=bytes_, kind=u8, message=text)), extensions=extensions,
    writer=raw(32),
)  # fmt: skip
tombstone_slot = record(signed=bytes_, signature=raw(64))
tombstone = record(
    snapshot=raw(16), repository=raw(16), hash=option(raw(32)), host=text, user=text, program=text, forgotten=timestamp,
    reason=text, extensions=extensions, writer=raw(32),
)  # fmt: skip
config = record(
    repository=raw(16), number=u64, created=timestamp, program=text, profile=unit(4), read_critical=u64,
    write_critical=u64, collect_critical=u64, extensions=extensions,
)  # fmt: skip
slot_kdf = variants(record(memory_kib=u32, passes=u32, lanes=u32), None)
slot = record(repository=raw(16), kdf=slot_kdf, salt=raw(32), commitment=raw(32), bundle=bytes_, info=bytes_)
bundle = variants(record(master=raw(32)))
slot_info = record(label=text, created=timestamp)


# --- 03: keys and seals ------------------------------------------------------------------------------------------------


def derive(purpose, *parts, length=32):
    hasher = blake3(derive_key_context="drumlin v1 " + purpose)
    for part in parts:
        hasher.update(struct.pack("<Q", len(part)) + part)
    return hasher.digest(length=length)


def open_seal(key, part, ordinal, sealed, associated_data):
    nonce = bytes([part, 0, 0, 0]) + struct.pack("<Q", ordinal)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, bytes(sealed), associated_data)
    except InvalidTag:
        raise Refused("a seal does not hold: the bytes are damaged or forged") from None


class Keys:
    def __init__(self, master, repository):
        self.repository = repository
        self.pack_root = derive("pack root", master, repository)
        self.ids = [derive("chunk id " + kind, master, repository) for kind in ("data", "tree", "list")]
        signing = Ed25519PrivateKey.from_private_bytes(derive("signing", master, repository))
        self.writer = signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def chunk_id(self, kind, plaintext):
        return blake3(plaintext, key=self.ids[kind]).digest()


# --- 04: containers ----------------------------------------------------------------------------------------------------


class Container:
    """A container that is wholly in memory."""

    def __init__(self, keys, folder, data):
        self.data, self.header, kind = data, data[:HEADER_LEN], KIND[folder]
        need(len(self.header) == HEADER_LEN, "a container shorter than its header")
        need(self.header[:8] == b"\x93DRML\r\n\x1a", "not a container")
        need(self.header[8:10] == b"\x00\x03", "another version of the format")
        need(self.header[10:16] == bytes([kind, 1, 0, 0, 0, 0]), "unknown or misplaced kind, suite or flags")
        need(self.header[16:32] == keys.repository, "a container of another repository")
        need(self.header[96:] == bytes(32), "reserved bytes are not zero")
        self.key = derive("container key", keys.pack_root, self.header[32:64], bytes([kind]))
        commitment = derive("commitment", self.key)
        need(hmac.compare_digest(commitment, self.header[64:96]), "a container sealed with another key")

    def open(self, part, ordinal, start, length):
        return open_seal(self.key, part, ordinal, self.data[start : start + length], self.header)

    def frame(self, offset):
        plain = self.open(PART_FRAME, offset, offset, FRAME_LEN)
        body_len, raw_len, chunk_count, codec = struct.unpack_from("<IIIB", plain)
        need(plain[13:] == bytes(19) and codec < 2 and 0 < raw_len <= SEGMENT_MAX, "a frame breaks its limits")
        need(body_len == raw_len if codec == 0 else body_len < raw_len, "a body of impossible length")
        need(chunk_count < 1 << 16, "too many chunks")
        return body_len, raw_len, chunk_count, codec, FRAME_LEN + body_len + TAG_LEN

    def segment(self, offset):
        """Returns the raw segment whose frame is at `offset`, its number of chunks, and its length in the container."""
        body_len, raw_len, chunk_count, codec, stored_len = self.frame(offset)
        body = self.open(PART_SEGMENT, offset, offset + FRAME_LEN, body_len + TAG_LEN)
        if codec == 1:
            try:
                need(zstandard.frame_content_size(body) in (-1, raw_len), "a zstd frame of another length")
                # Bits 0 and 1 of the byte behind the magic tell whether there is a field with a dictionary's id.
                need(body[:4] == b"\x28\xb5\x2f\xfd" and body[4] & 3 == 0, "no plain zstd frame, or one with a dictionary")
                need(zstandard.get_frame_parameters(body).window_size <= SEGMENT_MAX, "a zstd window over the limit")
                body = zstandard.ZstdDecompressor().decompress(body, max_output_size=raw_len, allow_extra_data=False)
            except zstandard.ZstdError:
                raise Refused("a segment does not decompress") from None
        need(len(body) == raw_len, "a segment of another length than stated")
        return body, chunk_count, stored_len

    def toc(self):
        """Returns the table of contents after checking the trailer, and the offset where segments end."""
        need(len(self.data) >= HEADER_LEN + TRAILER_LEN, "a container that is cut short")
        trailer = self.open(PART_TRAILER, 0, len(self.data) - TRAILER_LEN, TRAILER_LEN)
        toc_offset, toc_len, padding_len, segments, reserved, raw_total, reserved_2 = struct.unpack("<QIIIIQ16s", trailer)
        sealed_len = toc_len + padding_len + TAG_LEN
        need(reserved == 0 and reserved_2 == bytes(16), "reserved bytes are not zero")
        need(toc_offset >= HEADER_LEN and toc_offset + sealed_len + TRAILER_LEN == len(self.data), "lengths do not add up")
        plain = self.open(PART_TOC, 0, toc_offset, sealed_len)
        need(plain[toc_len:] == bytes(padding_len), "padding is not zero")
        return plain[:toc_len], toc_offset, segments, raw_total

    def listed_segments(self, folder):
        """Returns offset and table line of a pack's segments, which must fill it."""
        toc, toc_offset, segments, raw_total = self.toc()
        offset, found = HEADER_LEN, []
        for line in decode(pack_toc, toc):
            chunks = line["chunks"]
            need(0 < len(chunks) < 1 << 16 and all(chunk["len"] for chunk in chunks), "no chunks, too many, or an empty one")
            need(all((chunk["kind"] == CHUNK_DATA) == (folder == "data") for chunk in chunks), "a chunk of another class")
            size = lambda number: 1 if number < 251 else 3 if number < 1 << 16 else 5
            raw_len = 4 + size(len(chunks)) + sum(chunk["len"] + 1 + size(chunk["len"]) for chunk in chunks)
            need(raw_len <= SEGMENT_MAX and 0 < line["stored_len"] - FRAME_LEN - TAG_LEN <= raw_len, "an impossible length")
            found.append((offset, line))
            offset, raw_total = offset + line["stored_len"], raw_total - raw_len
        need((offset, len(found), raw_total) == (toc_offset, segments, 0), "segments do not fill the pack")
        return found

    def single(self):
        """Returns the one structure of a container that is neither a pack nor an index run."""
        toc, toc_offset, segments, raw_total = self.toc()
        plain, chunk_count, stored_len = self.segment(HEADER_LEN)
        need((toc, segments, chunk_count) == (b"", 1, 0), "more than one structure")
        need(HEADER_LEN + stored_len == toc_offset and raw_total == len(plain), "lengths do not add up")
        return plain


def split_segment(plain):
    """Returns the kinds and bytes of a raw segment's chunks."""
    need(len(plain) >= 4, "a segment without a table")
    table_at = len(plain) - 4 - int.from_bytes(plain[-4:], "little")
    need(table_at >= 0, "a table longer than its segment")
    chunks, at = [], 0
    for kind, length in decode(segment_table, plain[table_at:-4]):
        need(0 < length <= table_at - at, "a chunk is empty or overruns its segment")
        chunks.append((kind, plain[at : at + length]))
        at += length
    need(chunks and at == table_at, "chunks do not fill their segment")
    return chunks


# --- 01, 10: the repository and its keys -------------------------------------------------------------------------------


def read_words(text_of_file):
    """Returns the 32 bytes of a key file: 24 words of 11 bits, the last 8 bits a checksum."""
    text_of_file = text_of_file.removeprefix("\ufeff")
    _, begin, inside = text_of_file.partition("--- words ---")
    inside = inside.partition("--- end of words ---")[0] if begin else text_of_file
    space = " \t\n\f\r"
    lines = [line.strip(space) for line in inside.split("\n")]
    pieces = [piece for line in lines if not line.startswith("#") for piece in re.split(f"[{space}]+", line)]
    words = ["".join(c.lower() if c.isascii() else c for c in piece.rstrip(".,")) for piece in pieces]
    words = [word for word in words if word.strip("0123456789")]
    known = (pathlib.Path(__file__).resolve().parent / "words-english.txt").read_text().split()
    need(len(words) == 24 and all(word in known for word in words), "a key file has 24 words of the list")
    number = 0
    for word in words:
        number = number << 11 | known.index(word)
    secret = (number >> 8).to_bytes(32, "big")
    need(hashlib.sha256(secret).digest()[0] == number & 255, "the words' checksum does not fit")
    return secret


def open_slot(data, password, key_file):
    """Returns master key and repository id, or None if the secret is not this slot's."""
    need(len(data) <= 64 << 10, "a key slot longer than the limit")
    need(data[:10] == b"\x93DKEY\r\n\x1a\x00\x03", "not a key slot of this version")
    found = decode(slot, data[10:])
    number, cost = found["kdf"]
    if number == 0 and password is not None:
        memory, passes, lanes = cost["memory_kib"], cost["passes"], cost["lanes"]
        need(1 <= lanes <= 16 and 1 <= passes <= 64 and 8 * lanes <= memory <= 4 << 20, "Argon2 parameters out of range")
        key = argon2.low_level.hash_secret_raw(
            password, found["salt"], passes, memory, lanes, 32, argon2.low_level.Type.ID, 19
        )  # fmt: skip
    elif number == 1 and key_file is not None:
        key = derive("key file", key_file, found["salt"], found["repository"])
    else:
        return None
    if not hmac.compare_digest(derive("commitment", key), found["commitment"]):
        return None
    source = Input(data[10:])
    for shape in (raw(16), slot_kdf, raw(32), raw(32)):
        shape(source)
    sealed_with = data[10 : 10 + source.at]
    master = decode(bundle, open_seal(key, PART_BUNDLE, 0, found["bundle"], sealed_with))[1]["master"]
    info_key = derive("slot info key", derive("slot info", master, found["repository"]), found["salt"])
    decode(slot_info, open_seal(info_key, PART_INFO, 0, found["info"], sealed_with + found["bundle"]))
    return master, found["repository"]


# The forms of names; what has another one is no object of its class.
PACK_NAME = "([0-9a-f]{2})/\\1[0-9a-f]{62}"
NAMES = {
    "config": "[1-9][0-9]{0,19}",
    "keys": "[0-9a-f]{32}",
    "data": PACK_NAME,
    "meta": PACK_NAME,
    "snapshots": "[0-9a-f]{32}(\\.forgotten|\\.protected)?",
}


class Repository:
    def __init__(self, path, password, key_file):
        self.path, self.damaged = pathlib.Path(path), 0
        for file in self.objects("keys"):
            try:
                opened = open_slot(file.read_bytes(), password, key_file)
                if not opened:
                    continue
                # It may be another repository's: then no config here opens with its keys.
                self.keys = Keys(*opened)
                self.config = self.valid_config()
                break
            except Refused as refused:
                print(f"keys/{file.name} is passed over: {refused}", file=sys.stderr)
        else:
            sys.exit("no key slot opens the repository with this secret")
        self.chunks, self.segments = {}, {}

    def valid_config(self):
        """Returns the config that counts: the highest that opens and is in its own place. What lies above it is void."""
        void, numbered = [], [file for file in self.objects("config") if int(file.name) < 1 << 64]
        for file in sorted(numbered, key=lambda file: int(file.name), reverse=True):
            try:
                plain = Container(self.keys, "config", file.read_bytes()).single()
            except Refused as refused:
                void.append(f"config/{file.name} is void: {refused}")
                continue
            # Whoever made it has the keys: what is wrong with it is not passed over.
            found = parse_config(plain)
            if (found["repository"], str(found["number"])) == (self.keys.repository, file.name):
                print("".join(line + "\n" for line in void), end="", file=sys.stderr)
                return found
            void.append(f"config/{file.name} is void: it stands in another's place")
        raise Refused("; ".join(["no config opens with the repository's keys"] + void[-1:]))

    def objects(self, folder):
        """Returns the objects of a class: what has no name of it is none."""
        place = self.path / folder
        is_one = lambda file: re.fullmatch(NAMES[folder], file.relative_to(place).as_posix()) and file.is_file()
        return sorted(file for file in place.glob("**/*") if is_one(file))

    def pass_over(self, file, refused):
        """Says that a damaged object is done without; anybody may have added it."""
        self.damaged += 1
        print(f"{file.relative_to(self.path)} is damaged, and passed over: {refused}", file=sys.stderr)

    def snapshots(self, forgotten=False):
        """Returns the snapshots, oldest first: those that are not forgotten, or those that are."""
        found = []
        for file in self.objects("snapshots"):
            if file.suffix:
                continue
            in_trash = self.is_forgotten(file)
            try:
                shot = open_snapshot(self.keys, file.read_bytes())
                need(not shot or shot["id"].hex() == file.name, "a snapshot in another's place")
            except Refused as refused:
                if in_trash == forgotten:
                    self.pass_over(file, refused)
                continue
            if shot:
                shot["stored"], shot["forgotten"] = file.stat().st_mtime, in_trash
                found.append(shot)
        # Along a chain each is newer than the one that it follows, whatever its clock said; else no date counts further than the disk bears it out.
        ordered = sorted(found, key=lambda shot: (shot["sequence"], shot["started"]["seconds"], shot["started"]["nanos"]))
        for at, shot in enumerate(ordered):
            shot["known"], shot["before"] = shot["stored"], self.place_before(ordered[:at], shot)
        # A snapshot was there when the store got it, or any that comes after it.
        for shot in reversed(ordered):
            if shot["before"]:
                shot["before"]["known"] = min(shot["before"]["known"], shot["known"])
        for shot in ordered:
            believed = (shot["started"]["seconds"], shot["started"]["nanos"])
            if believed[0] > shot["known"] + 3600:
                believed = (int(shot["known"]), 0)
            newest = shot["before"] and shot["before"]["newest"]
            if any(extension["tag"] == 1 for extension in shot["extensions"]):
                shot["moment"], shot["newest"] = believed, newest
            else:
                shot["moment"] = shot["newest"] = max(believed, newest or believed)
        wanted = [shot for shot in found if shot["forgotten"] == forgotten]
        return sorted(wanted, key=lambda shot: (shot["moment"], shot["sequence"]))

    def place_before(self, earlier, shot):
        """Returns the snapshot that this one follows, or the one that stands for it; None for the first."""
        chain = [one for one in earlier if one["host"] == shot["host"]]
        if shot["previous"] is None:
            return None
        own = (shot["started"]["seconds"], shot["started"]["nanos"])
        for one in chain:
            if one["hash"] == shot["previous"]:
                return one
        for one in reversed(chain):
            date = (one["started"]["seconds"], one["started"]["nanos"])
            is_later = own < date and date[0] <= time.time() + 3600 and int(one["stored"]) > int(shot["stored"])
            if one["sequence"] < shot["sequence"] and not is_later:
                return one
        return None

    def is_forgotten(self, file):
        mark = file.with_name(file.name + ".forgotten")
        try:
            return mark.exists() and open_tombstone(self.keys, mark.read_bytes())["snapshot"].hex() == file.name
        except Refused as refused:
            print(f"{mark.name} does not count: {refused}", file=sys.stderr)
            return False

    def scan(self, walk):
        """Learns where every chunk is, from the packs alone: a chunk of one that is damaged may be in another."""
        for folder in ("data", "meta"):
            for file in self.objects(folder):
                try:
                    pack = Container(self.keys, folder, file.read_bytes())
                    (self.walk_pack if walk else self.list_pack)(folder, file, pack)
                except Refused as refused:
                    self.pass_over(file, refused)

    def list_pack(self, folder, file, pack):
        need(blake3(pack.data).hexdigest() == file.name, "its bytes do not have its name")
        for offset, segment in pack.listed_segments(folder):
            for position, chunk in enumerate(segment["chunks"]):
                self.chunks[chunk["id"]] = (folder, file, offset, position)

    def walk_pack(self, folder, file, pack):
        """Like `list_pack`, for a pack without its end: the ids are hashed again."""
        offset = HEADER_LEN
        while True:
            try:
                plain, chunk_count, stored_len = pack.segment(offset)
            except (Refused, struct.error):
                return
            chunks = split_segment(plain)
            need(len(chunks) == chunk_count, "frame and segment differ")
            for position, (kind, plaintext) in enumerate(chunks):
                self.chunks[self.keys.chunk_id(kind, plaintext)] = (folder, file, offset, position)
            offset += stored_len

    def chunk(self, kind, chunk_id):
        """Returns a chunk's bytes, whose id is always checked."""
        need(chunk_id in self.chunks, f"chunk {chunk_id.hex()[:8]} is in no pack")
        folder, file, offset, position = self.chunks[chunk_id]
        if (file, offset) not in self.segments:
            if len(self.segments) >= 16:
                del self.segments[next(iter(self.segments))]
            pack = Container(self.keys, folder, file.read_bytes())
            self.segments[file, offset] = split_segment(pack.segment(offset)[0])
        found_kind, plaintext = self.segments[file, offset][position]
        need(found_kind == kind and self.keys.chunk_id(kind, plaintext) == chunk_id, "a chunk does not have its id")
        return plaintext

    # --- 07: trees and lists ---

    def entries(self, chunk_id, level=None, first=None, before=None):
        """Yields the entries of a directory with the names of their owners, in order.

        What the node above says of this one: its level, its first name, and a name that is greater than all of its names.
        """
        number, node = parse_tree_node(self.chunk(CHUNK_TREE, chunk_id))
        need(level in (None, node["level"] if number == INNER else 0), "levels out of order")
        names = [child["first_name"] for child in node["children"]] if number == INNER else [found["name"] for found in node["entries"]]
        need(first is None or names[:1] == [first], "a node without entries, or with another first name than the node above says")
        need(before is None or not names or names[-1] < before, "names reach into the next node")
        if number == INNER:
            for child, behind in zip(node["children"], names[1:] + [before]):
                yield from self.entries(child["id"], node["level"] - 1, child["first_name"], behind)
            return
        for found in node["entries"]:
            owners = [node["strings"][found[of] - 1] if found[of] else None for of in ("user", "group")]
            yield found, owners

    def pieces(self, found):
        """Yields the pieces of a file: bytes, or the length of a hole."""
        number, held = found["content"]
        if number == INLINE:
            yield held
            return
        refs = held if number == REFS else self.list_refs(held, length=found["size"])
        for number, piece in refs:
            if number == REF_HOLE:
                yield piece["len"]
                continue
            plaintext = self.chunk(CHUNK_DATA, piece["id"])
            need(len(plaintext) == piece["len"], "a chunk of another length than its reference")
            yield plaintext

    def list_refs(self, chunk_id, level=None, length=None):
        (number, node), found_length = parse_list_node(self.chunk(CHUNK_LIST, chunk_id))
        need(length in (None, found_length), "a list of another length than stated")
        if number == LEAF:
            need(level in (None, 0), "levels out of order")
            yield from node["refs"]
            return
        need(level in (None, node["level"]), "levels out of order")
        for child in node["children"]:
            yield from self.list_refs(child["id"], node["level"] - 1, child["bytes"])


# --- 07, 08, 09: what the types leave open ----------------------------------------------------------------------------


def ascends(items):
    return all(first < second for first, second in zip(items, items[1:]))


def check_extensions(holder):
    tags = [extension["tag"] for extension in holder["extensions"]]
    need(ascends(tags) and all(tag < 0x8000 for tag in tags), "extensions unsorted, or critical and unknown")


def check_times(*times):
    need(all(time is None or time["nanos"] < 10**9 for time in times), "nanoseconds out of range")


def length_of(lengths):
    need(all(lengths) and sum(lengths) < 1 << 64, "impossible lengths")
    return sum(lengths)


def check_entry(found, strings):
    name, size, (number, held) = found["name"], found["size"], found["content"]
    need(name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name and len(name) <= 4096, "an impossible name")
    need(found["mode"] < 0o10000 and found["flags"] < 16, "an unknown mode or flag")
    need(found["user"] <= strings and found["group"] <= strings, "an owner that is not in the node's strings")
    check_times(found["mtime"], found["ctime"], found["btime"])
    check_extensions(found)
    xattrs = [xattr["name"] for xattr in found["xattrs"]]
    need(ascends(xattrs) and all(name and b"\0" not in name for name in xattrs), "attributes unsorted or impossible")
    bulk = [name, held if number == INLINE else b"", *xattrs, *(xattr["value"] for xattr in found["xattrs"])]
    bulk += [extension["bytes"] for extension in found["extensions"]]
    need(sum(map(len, bulk)) <= 1 << 20, "an entry longer than the limit")
    need((found["device"] is not None) == (found["kind"] in (CHAR_DEVICE, BLOCK_DEVICE)), "device numbers")
    need(size == 0 if found["kind"] not in (FILE, SYMLINK) else size < 1 << 63, "a size that does not fit its kind")
    need(found["hard_link"] is None or found["kind"] != DIR, "a hard link to a directory")
    kinds = {FILE: (INLINE, REFS, LIST), DIR: (TREE,), SYMLINK: (INLINE,)}.get(found["kind"], (NONE,))
    need(number in kinds, "content that does not fit its kind")
    if number == INLINE:
        need(len(held) == size, "content of another size than stated")
        need(len(held) <= 512 if found["kind"] == FILE else held and b"\0" not in held, "impossible inline content")
    if number == REFS:
        need(0 < len(held) <= 16 and length_of([piece["len"] for _, piece in held]) == size, "impossible references")


def parse_tree_node(data):
    number, node = decode(tree_node, data)
    if number == INNER:
        need(1 <= node["level"] <= 8 and 1 <= len(node["children"]) <= 512, "impossible level or number of children")
        need(ascends([child["first_name"] for child in node["children"]]), "names are not sorted")
        return number, node
    entries, strings = node["entries"], node["strings"]
    need(len(entries) <= 512, "too many entries")
    need(ascends([found["name"] for found in entries]), "names are not sorted")
    need(ascends([string.encode() for string in strings]), "strings are not sorted")
    need(len(node["dir_totals"]) == sum(found["kind"] == DIR for found in entries), "sums do not fit the directories")
    for found in entries:
        check_entry(found, len(strings))
    return number, node


def parse_list_node(data):
    """Returns the node, and the bytes of the file that it covers."""
    number, node = decode(list_node, data)
    below = node["refs" if number == LEAF else "children"]
    need(1 <= len(below) <= 1024 and (number == LEAF or 1 <= node["level"] <= 8), "impossible level or number of children")
    return (number, node), length_of([piece["len"] for _, piece in below] if number == LEAF else [child["bytes"] for child in below])


def parse_config(data):
    found = decode(config, data)
    need(found["read_critical"] == 0, "the repository needs a feature that this reader does not have")
    need(found["number"] > 0, "a config without a number")
    check_times(found["created"])
    check_extensions(found)
    return found


def parse_snapshot(data):
    shot = decode(snapshot, data)
    problems = shot["problems"]
    need(len(problems) <= 1000 and len(problems) <= shot["problem_count"], "more problems than it may list")
    need(sum(len(problem["path"]) + len(problem["message"].encode()) for problem in problems) <= 1 << 20, "problems too long")
    need(all(1 <= problem["kind"] <= 3 for problem in problems), "a problem of unknown kind")
    need(ascends([tag.encode() for tag in shot["tags"]]), "tags are not sorted")
    need(ascends(shot["sources"]), "sources unsorted or doubled")
    need(all(source.startswith(b"/") for source in shot["sources"]), "a source that is not absolute")
    need(shot["sequence"] > 0 and (shot["sequence"] == 1) == (shot["previous"] is None), "an impossible place in the chain")
    need(shot["sequence"] < 1 << 63, "a place in the chain above the limit")
    check_times(shot["started"], shot["ended"])
    check_extensions(shot)
    return shot


def open_snapshot(keys, data):
    """Returns the snapshot of a commit slot, or None if the slot was burnt."""
    number, opened = decode(commit_slot, Container(keys, "snapshots", data).single())
    if number == 1:
        return None
    shot = parse_snapshot(opened["signed"])
    shot["hash"] = blake3(opened["signed"]).digest()
    need(shot["writer"] == keys.writer and shot["repository"] == keys.repository, "a snapshot of an unknown writer")
    try:
        Ed25519PublicKey.from_public_bytes(shot["writer"]).verify(opened["signature"], b"drumlin snapshot" + opened["signed"])
    except InvalidSignature:
        raise Refused("the signature does not hold") from None
    return shot


def parse_tombstone(data):
    need(len(data) <= 64 << 10, "a tombstone longer than the limit")
    mark = decode(tombstone, data)
    check_times(mark["forgotten"])
    check_extensions(mark)
    return mark


def open_tombstone(keys, data, kind="tombstone"):
    """Returns what a tombstone or protection says."""
    opened = decode(tombstone_slot, Container(keys, kind + "s", data).single())
    mark = parse_tombstone(opened["signed"])
    need(mark["writer"] == keys.writer and mark["repository"] == keys.repository, f"a {kind} of an unknown writer")
    try:
        Ed25519PublicKey.from_public_bytes(mark["writer"]).verify(opened["signature"], f"drumlin {kind}".encode() + opened["signed"])
    except InvalidSignature:
        raise Refused("the signature does not hold") from None
    return mark


# --- restoring ---------------------------------------------------------------------------------------------------------


# Linux's calls for the flags of an inode, as most machines number them, and the bits of spec chapter 07 in them.
GET_FLAGS, SET_FLAGS = (way << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | call for way, call in ((2, 1), (1, 2)))
INODE_FLAGS = {1: 0x10, 2: 0x20, 4: 0x40}


class Restore:
    def __init__(self, repository):
        self.repository, self.links, self.flagged, self.complaints = repository, {}, [], 0

    def complain(self, path, error):
        self.complaints += 1
        print(f"{os.fsdecode(path)}: {error}", file=sys.stderr)

    def attempt(self, path, act, *arguments, **options):
        """Returns whether it succeeded; tells of it otherwise."""
        try:
            act(*arguments, **options)
            return True
        except OSError as error:
            self.complain(path, f"{act.__name__}: {error}")
            return False

    def directory(self, chunk_id, target):
        for found, owners in self.repository.entries(chunk_id):
            path = os.path.join(target, found["name"])
            self.make(found, path)
            self.describe(found, owners, path)

    def make(self, found, path):
        kind, group = found["kind"], found["hard_link"]
        if group is not None and group in self.links:
            os.link(self.links[group], path, follow_symlinks=False)
            return
        if kind == DIR:
            os.mkdir(path, 0o700)
            self.directory(found["content"][1], path)
        elif kind == FILE:
            self.file(found, path)
        elif kind == SYMLINK:
            os.symlink(found["content"][1], path)
        else:
            kinds = {FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK, CHAR_DEVICE: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}
            try:
                os.mknod(path, kinds[kind] | 0o600, os.makedev(*found["device"]) if found["device"] else 0)
            except PermissionError as error:
                self.complain(path, error)
        if group is not None:
            self.links[group] = path

    def file(self, found, path):
        size = 0
        with open(path, "xb") as out:
            for piece in self.repository.pieces(found):
                if isinstance(piece, int):
                    size += piece
                    out.seek(size)
                else:
                    out.write(piece)
                    size += len(piece)
            out.truncate(size)
        need(size == found["size"], "a file of another length than stated")

    def describe(self, found, owners, path):
        """Owner first, because changing it drops setuid bits and capabilities; times last."""
        if not os.path.lexists(path):
            return
        owned = os.geteuid() == 0 and self.attempt(path, os.chown, path, found["uid"], found["gid"], follow_symlinks=False)
        for xattr in found["xattrs"]:
            self.attempt(path, os.setxattr, path, xattr["name"], xattr["value"], follow_symlinks=False)
        if found["kind"] != SYMLINK:
            # What may act as its owner or group must not do so as somebody else: no setuid and setgid bits without their owner.
            self.attempt(path, os.chmod, path, found["mode"] if owned else found["mode"] & 0o1777)
        mtime = found["mtime"]["seconds"] * 10**9 + found["mtime"]["nanos"]
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
        if found["kind"] in (FILE, DIR) and found["flags"] & 7:
            self.flagged.append((path, found["flags"]))

    def set_flags(self):
        """Comes when all else is done: an immutable file takes no other name, an immutable directory no other file.

        Ordinary users may not set all flags, and not every file system has them: that is said, but it is no failure.
        """
        for path, flags in reversed(self.flagged):
            try:
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    (present,) = struct.unpack("i", fcntl.ioctl(handle, GET_FLAGS, struct.pack("i", 0)))
                    wanted = sum(inode_flag for flag, inode_flag in INODE_FLAGS.items() if flags & flag)
                    fcntl.ioctl(handle, SET_FLAGS, struct.pack("i", present | wanted))
                finally:
                    os.close(handle)
            except OSError as error:
                print(f"{os.fsdecode(path)}: flags left out: {error}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="Reads Drumlin repositories from their packs alone.")
    parser.add_argument("--password-file", type=pathlib.Path, help="its first line is the passphrase")
    parser.add_argument("--key-file", type=pathlib.Path, help="24 words")
    parser.add_argument("--walk", action="store_true", help="do not use the packs' tables of contents")
    parser.add_argument("--forgotten", action="store_true", help="only snapshots in the trash, which are hidden otherwise")
    parser.add_argument("repository", type=pathlib.Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    restore = commands.add_parser("restore")
    restore.add_argument("snapshot", help="the start of its id, or 'latest'")
    restore.add_argument("target", type=pathlib.Path, help="an empty or new folder")
    options = parser.parse_args()
    password = key_file = None
    if options.key_file:
        key_file = read_words(options.key_file.read_text())
    elif options.password_file:
        password = options.password_file.read_bytes().split(b"\n")[0]
    else:
        password = getpass.getpass("passphrase: ").encode()
    repository = Repository(options.repository, password, key_file)
    snapshots = repository.snapshots(options.forgotten)
    if options.command == "list":
        for shot in snapshots:
            sources = " ".join(os.fsdecode(source) for source in shot["sources"])
            print(shot["id"].hex(), shot["started"]["seconds"], shot["host"], sources)
        return 4 if repository.damaged else 0
    matching = [shot for shot in snapshots if shot["id"].hex().startswith(options.snapshot)]
    chosen = snapshots[-1:] if options.snapshot == "latest" else matching
    if len(chosen) != 1:
        sys.exit(f"{len(chosen)} snapshots are called {options.snapshot}")
    repository.scan(options.walk)
    options.target.mkdir(parents=True, exist_ok=True)
    if any(options.target.iterdir()):
        sys.exit(f"{options.target} is not empty")
    restored = Restore(repository)
    restored.directory(chosen[0]["root"], os.fsencode(options.target))
    restored.set_flags()
    return 4 if repository.damaged else 3 if restored.complaints else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as refused:
        sys.exit(f"refused: {refused}")

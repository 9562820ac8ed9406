#!/usr/bin/env python3
"""Combines shares of a key, written from chapter 10, section 6, and SLIP-39 alone; needs nothing but Python 3.9.

    shares.py FILE...        prints the 24 words of the key file, for reader.py and for Drumlin

A FILE is a page of a share, or holds the words of shares.
"""

import functools
import hashlib
import hmac
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
WORDS = {word[:4]: number for number, word in enumerate((HERE / "words-shares.txt").read_text().split())}
FULL = (HERE / "words-shares.txt").read_text().split()
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"


class Refused(Exception):
    """The words are no share, or the shares give no key."""


def need(condition, what):
    if not condition:
        raise Refused(what)


def sections(text):
    """Returns the words of each share in a text."""
    marked, plain, inside = [], [[]], False
    for line in text.removeprefix("\ufeff").splitlines():
        bare = line.strip()
        is_mark = len(bare) > 1 and bare[0] in DASHES and bare[-1] in DASHES
        if is_mark:
            inside = bare.strip(DASHES).strip().lower() == "share"
            if inside:
                marked.append([])
        words = [] if bare.startswith("#") else [re.sub(r"^[\W\d_]+|[\W\d_]+$", "", piece).lower() for piece in bare.split()]
        words = [word for word in words if word]
        if inside and not is_mark:
            marked[-1] += words
        if not bare:
            plain.append([])
        plain[-1] += words
    if marked:
        return marked
    every = sum(plain, [])
    if len(every) < 50:
        return [every] if every else []
    if len(every) % 33 == 0:
        return [every[at : at + 33] for at in range(0, len(every), 33)]
    return [words for words in plain if words]


def checksum(numbers, domain):
    rest = 1
    for value in [*domain, *numbers]:
        top, rest = rest >> 20, (rest & 0xFFFFF) << 10 ^ value
        for bit, generator in enumerate(
            (0xE0E040, 0x1C1C080, 0x3838100, 0x7070200, 0xE0E0009, 0x1C0C2412, 0x38086C24, 0x3090FC48, 0x21B1F890, 0x3F3F120)
        ):
            rest ^= generator if top >> bit & 1 else 0
    return rest


def parse(words):
    """Returns a share: the parameters of its set, group, threshold, index, value."""
    padding = 10 * (len(words) - 7) % 16
    need(len(words) >= 20 and padding <= 8, f"a share has 33 words, not {len(words)}")
    numbers = []
    for at, word in enumerate(words, 1):
        number = WORDS.get(word[:4]) if len(word) >= 4 else None
        need(number is not None and FULL[number].startswith(word), f"word {at} is not in the list")
        numbers.append(number)
    head = functools.reduce(lambda all, number: all << 10 | number, numbers[:4])
    extendable = head >> 24 & 1
    need(checksum(numbers, b"shamir_extendable" if extendable else b"shamir") == 1, "the checksum does not fit: a word is wrong")
    value = functools.reduce(lambda all, number: all << 10 | number, numbers[4:-3])
    length = (10 * (len(words) - 7) - padding) // 8
    need(value < 1 << 8 * length, "the padding is not 0")
    threshold, count = (head >> 12 & 15) + 1, (head >> 8 & 15) + 1
    need(threshold <= count, "fewer groups than are needed")
    shared = (head >> 25, extendable, head >> 20 & 15, threshold, count)
    return shared, head >> 16 & 15, (head & 15) + 1, head >> 4 & 15, value.to_bytes(length, "big")


def multiply(a, b):
    product = 0
    for bit in range(8):
        product ^= a if b >> bit & 1 else 0
        a = a << 1 ^ (0x11B if a >> 7 else 0)
    return product


def invert(a):
    return next((b for b in range(256) if multiply(a, b) == 1), 0)


def interpolate(points, x):
    out = bytes(len(points[0][1]))
    for x_i, y_i in points:
        weight = 1
        for x_j, _ in points:
            if x_j != x_i:
                weight = multiply(weight, multiply(x ^ x_j, invert(x_i ^ x_j)))
        out = bytes(o ^ multiply(y, weight) for o, y in zip(out, y_i))
    return out


def recover(points, threshold):
    need(len({x for x, _ in points}) == len(points), "two shares with one number")
    need(len({len(y) for _, y in points}) == 1, "shares of different lengths")
    need(len(points) >= threshold, f"{threshold - len(points)} more of the set are needed")
    chosen, others = points[:threshold], points[threshold:]
    need(all(interpolate(chosen, x) == y for x, y in others), "the shares do not fit together")
    if threshold == 1:
        return chosen[0][1]
    secret, digest = interpolate(chosen, 255), interpolate(chosen, 254)
    need(hmac.new(digest[4:], secret, "sha256").digest()[:4] == digest[:4], "the shares do not fit together")
    return secret


def combine(shares, passphrase=b""):
    """Returns the secret of shares that `parse` has returned."""
    need(shares, "there is no share")
    need(len({share[0] for share in shares}) == 1, "shares of different sets")
    (number, extendable, exponent, threshold, _), groups = shares[0][0], {}
    need(exponent <= 10, "the cipher costs more than any useful set")
    for _, group, needed, index, value in shares:
        groups.setdefault(group, []).append((needed, index, value))
    points = []
    need(len(groups) >= threshold, f"{threshold - len(groups)} more groups are needed")
    for group, members in sorted(groups.items()):
        need(len({needed for needed, _, _ in members}) == 1, "shares of different sets")
        points.append((group, recover([(index, value) for _, index, value in members], members[0][0])))
    secret = recover(points, threshold)
    half, salt = len(secret) // 2, b"" if extendable else b"shamir" + number.to_bytes(2, "big")
    left, right = secret[:half], secret[half:]
    for step in (3, 2, 1, 0):
        mask = hashlib.pbkdf2_hmac("sha256", bytes([step]) + passphrase, salt + right, 2500 << exponent, half)
        left, right = right, bytes(a ^ b for a, b in zip(left, mask))
    return right + left


def key_words(secret):
    """Returns the 24 words of a key file."""
    need(len(secret) == 32, f"a key has 32 bytes, not {len(secret)}")
    words = (HERE / "words-english.txt").read_text().split()
    number = int.from_bytes(secret + hashlib.sha256(secret).digest()[:1], "big")
    return " ".join(words[number >> 11 * at & 2047] for at in reversed(range(24)))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    texts = [pathlib.Path(name).read_text() for name in sys.argv[1:]]
    print(key_words(combine([parse(words) for text in texts for words in sections(text)])))


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"refused: {refused}")

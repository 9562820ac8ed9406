#!/usr/bin/env python3
"""What the length of segments does to reading here and there: a table for the choice of the constant.

  segments.py LARGE WORKDIR [--sizes 256,512,1024,2048,4096] [--rep N] [--out FILE]

Builds this project in WORKDIR with a data segment's length taken from an environment variable, which it is not in the real program. For each length
(KiB, before compression) LARGE is backed up into a repository of its own, and read through a mount with an empty cache: 4 KiB at 300 random places, and from
its beginning to its end; `restore` is beside it. A line of JSON per length and round: bytes of the repository, seconds, median and 95th percentile in ms.
"""
import argparse
import json
import os
import shutil
import subprocess

from mounts import PASSWORD, TOOLS, Mounted, random_reads, read_by, timed

LANE = "src/repo/write/lane.rs"
FIXED = "open.len_bytes() >= SEGMENT_LEN_BYTES[class as usize]"
CHOSEN = "open.len_bytes() >= if class == PackClass::Data { CHOSEN.with(|len| *len) } else { SEGMENT_LEN_BYTES[1] }"
CHOICE = """
thread_local! {
    static CHOSEN: usize = std::env::var("SEGMENT_KIB").expect("set").parse::<usize>().expect("a number") << 10;
}
"""


def build(work):
    project = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    source = work + "/source"
    shutil.copytree(project, source, ignore=shutil.ignore_patterns("target", ".git"), dirs_exist_ok=True)
    with open(f"{source}/{LANE}") as file:
        text = file.read()
    assert FIXED in text, "lane.rs has changed"
    with open(f"{source}/{LANE}", "w") as file:
        file.write(text.replace(FIXED, CHOSEN) + CHOICE)
    subprocess.run(["cargo", "build", "--release", "--locked", "--target-dir", work + "/target"], cwd=source, check=True)
    return work + "/target/release"


def size_of(folder):
    return sum(os.path.getsize(os.path.join(below, name)) for below, _, names in os.walk(folder) for name in names)


def main():
    parser = argparse.ArgumentParser()
    for name in ("large", "work"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--sizes", default="256,512,1024,2048,4096")
    parser.add_argument("--rep", type=int, default=2)
    parser.add_argument("--out", default="/dev/stdout")
    args = parser.parse_args()
    binaries, tool = build(args.work), TOOLS["drumlin"]
    with open(args.out, "a") as out:
        for kib in args.sizes.split(","):
            base = f"{args.work}/{kib}"
            shutil.rmtree(base, ignore_errors=True)
            os.makedirs(base + "/mount")
            env = dict(os.environ, DRUMLIN_PASSWORD=PASSWORD, HOME=base, DRUMLIN_STATE_DIR=base + "/state", SEGMENT_KIB=kib, PATH=binaries + ":" + os.environ["PATH"])
            # The mount is started by this process.
            os.environ["PATH"] = env["PATH"]
            places = dict(repo=base + "/repo", dir=base + "/mount", cache=base + "/cache", tree="", large=args.large)
            run = lambda command: subprocess.run(command.format(**places).split(), env=env, check=True, stdout=subprocess.DEVNULL)
            run(tool.init)
            row = dict(kib=int(kib), backup=timed(lambda: run(tool.backup)), bytes=size_of(base + "/repo"))
            for rep in range(args.rep):
                with Mounted(tool, places, env) as root:
                    row["random_ms"], row["random_95_ms"] = random_reads(root + args.large)
                with Mounted(tool, places, env) as root:
                    row["sequential"] = timed(lambda: read_by(root + args.large, 1))
                row["restore"] = timed(lambda: run("drumlin -r {repo} restore --quiet latest:{large} --target " + base + "/restored"))
                shutil.rmtree(base + "/restored")
                print(json.dumps(dict(row, rep=rep)), file=out, flush=True)
            shutil.rmtree(base)


if __name__ == "__main__":
    main()

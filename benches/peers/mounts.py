#!/usr/bin/env python3
"""Reading through mounts: Drumlin beside other tools that mount.

  mounts.py TREE LARGE WORKDIR [--tools drumlin,restic,borg] [--rep N] [--out FILE]

TREE is a folder of many files, LARGE one large file. Each tool backs both up once into WORKDIR. Then, in each round and one tool after the other, it mounts
with an empty cache and reads: LARGE from its beginning to its end, by four readers at once a quarter each, 4 KiB at 300 random places, and the whole TREE by
`grep -r`. Drumlin's `restore` of LARGE is beside them. A line of JSON per tool and round: seconds, and the median and 95th percentile of the random reads in milliseconds.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

PASSWORD = "correct horse battery staple 42"
BLOCK = 1 << 20


class Tool:
    """How a tool is used; {repo}, {dir} and {cache} are filled in."""

    def __init__(self, init, backup, mount, unmount, below):
        self.init, self.backup, self.mount, self.unmount, self.below = init, backup, mount, unmount, below


TOOLS = {
    "drumlin": Tool("drumlin -r {repo} init --quiet", "drumlin -r {repo} backup --quiet {tree} {large}",
                    "drumlin -r {repo} --cache-dir {cache} mount {dir}", "fusermount3 -u {dir}", "latest"),
    "restic": Tool("restic -r {repo} init -q", "restic -r {repo} backup -q {tree} {large}",
                   "restic -r {repo} --cache-dir {cache} mount {dir}", "fusermount3 -u {dir}", "snapshots/latest"),
    "borg": Tool("borg init -e repokey-blake2 {repo}", "borg create {repo}::a {tree} {large}", "borg mount -f {repo}::a {dir}", "borg umount {dir}", ""),
}


def timed(work):
    start = time.monotonic()
    work()
    return round(time.monotonic() - start, 2)


def read_range(path, begin, end):
    with open(path, "rb", buffering=0) as file:
        file.seek(begin)
        while begin < end:
            got = file.read(min(BLOCK, end - begin))
            if not got:
                break
            begin += len(got)


def read_by(path, readers):
    size = os.path.getsize(path)
    parts = [threading.Thread(target=read_range, args=(path, size * at // readers, size * (at + 1) // readers)) for at in range(readers)]
    [part.start() for part in parts]
    [part.join() for part in parts]


def random_reads(path):
    places, size, took = random.Random(7), os.path.getsize(path), []
    with open(path, "rb", buffering=0) as file:
        for _ in range(300):
            file.seek(places.randrange(size // 4096) * 4096)
            start = time.monotonic()
            file.read(4096)
            took.append(time.monotonic() - start)
    took.sort()
    return [round(took[len(took) * percent // 100] * 1000, 2) for percent in (50, 95)]


class Mounted:
    """A mount that is there as long as the block."""

    def __init__(self, tool, places, env):
        self.tool, self.places, self.env = tool, places, env

    def __enter__(self):
        shutil.rmtree(self.places["cache"], ignore_errors=True)
        self.process = subprocess.Popen(self.tool.mount.format(**self.places).split(), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        root = os.path.join(self.places["dir"], self.tool.below)
        while not os.path.exists(root + self.places["large"]):
            if self.process.poll() is not None:
                sys.exit("the mount has ended")
            time.sleep(0.05)
        return root

    def __exit__(self, *_):
        subprocess.run(self.tool.unmount.format(**self.places).split(), check=True)
        _, _, self.usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0


def measure(tool, places, env):
    row = {}
    works = {"large": lambda root: read_by(root + places["large"], 1), "four_readers": lambda root: read_by(root + places["large"], 4),
             "grep": lambda root: subprocess.run(["grep", "-rc", "no such words", root + places["tree"]], stdout=subprocess.DEVNULL)}
    for name, work in works.items():
        with Mounted(tool, places, env) as root:
            row[name] = timed(lambda: work(root))
    with Mounted(tool, places, env) as root:
        row["random_ms"], row["random_95_ms"] = random_reads(root + places["large"])
    return row


def main():
    parser = argparse.ArgumentParser()
    for name in ("tree", "large", "work"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--tools", default="drumlin,restic,borg")
    parser.add_argument("--rep", type=int, default=1)
    parser.add_argument("--out", default="/dev/stdout")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    env = dict(os.environ, DRUMLIN_PASSWORD=PASSWORD, RESTIC_PASSWORD=PASSWORD, BORG_PASSPHRASE=PASSWORD, HOME=args.work, DRUMLIN_STATE_DIR=args.work + "/state")
    places = {}
    for name in args.tools.split(","):
        base = f"{args.work}/{name}"
        os.makedirs(base + "/mount")
        places[name] = dict(repo=base + "/repo", dir=base + "/mount", cache=base + "/cache", tree=args.tree, large=args.large)
        for command in (TOOLS[name].init, TOOLS[name].backup):
            subprocess.run(command.format(**places[name]).split(), env=env, check=True, stdout=subprocess.DEVNULL)
    with open(args.out, "a") as out:
        for rep in range(args.rep):
            for name in args.tools.split(","):
                row = dict(tool=name, rep=rep, **measure(TOOLS[name], places[name], env))
                if name == "drumlin":
                    target = args.work + "/restored"
                    shutil.rmtree(target, ignore_errors=True)
                    row["restore"] = timed(lambda: subprocess.run(
                        ["drumlin", "-r", places[name]["repo"], "restore", "--quiet", "latest:" + args.large, "--target", target], env=env, check=True))
                print(json.dumps(row), file=out, flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A mounted repository behind a distant line.

  distant_mount.py WORK [--servers sftp,s3] [--rtt MS] [--mbit N] [--out FILE]

WORK is made anew: a file of 200 MB of noise, and 2,000 files of 6 KB of noise in 40 folders. The servers are those of remote.py, behind its proxy. Each line is
a fresh mount with an empty cache, of drumlin on PATH: seconds until it is mounted, seconds (ms for the median and the slowest of random reads), bytes
and connections while it was worked on.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

from remote import Moto, OpenSsh, Proxy


def make(source):
    for folder in range(40):
        os.makedirs(f"{source}/small/{folder}")
        for file in range(50):
            with open(f"{source}/small/{folder}/{file}", "wb") as out:
                out.write(random.Random(folder * 100 + file).randbytes(6_000))
    with open(f"{source}/large", "wb") as out:
        out.write(random.Random(1).randbytes(200_000_000))


def sequential(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def random_reads(path):
    """Each somewhere else, one after the other."""
    places, times = random.Random(2), []
    with open(path, "rb", buffering=0) as file:
        for _ in range(40):
            start = time.monotonic()
            os.pread(file.fileno(), 4096, places.randrange(199_000_000))
            times.append((time.monotonic() - start) * 1000)
    return dict(median_ms=round(statistics.median(times)), slowest_ms=round(max(times)))


def command(*words):
    return lambda root: subprocess.run([*words, root], check=False, stdout=subprocess.DEVNULL)


WORKS = {
    "ls of a folder of 50": lambda root: command("ls", "-l")(root + "/small/7"),
    "ls -lR of 2,000 files": lambda root: command("ls", "-lR")(root + "/small"),
    "cat of one of 6 KB": lambda root: command("cat")(root + "/small/7/7"),
    "grep -r over 2,000 files": lambda root: command("grep", "-rc", "no such words")(root + "/small"),
    "200 MB in order": lambda root: sequential(root + "/large"),
    "random reads": lambda root: random_reads(root + "/large"),
}


def measure(what, env, work, source, proxy):
    shutil.rmtree(env["DRUMLIN_CACHE_DIR"], ignore_errors=True)
    start = time.monotonic()
    process = subprocess.Popen(["drumlin", "mount", work + "/mounted"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if not process.stdout.readline():
        sys.exit("not mounted")
    row = dict(what=what, mounted=round(time.monotonic() - start, 2))
    before, start = (list(proxy.bytes), proxy.connections), time.monotonic()
    more = WORKS[what](work + "/mounted/latest" + source)
    row.update(seconds=round(time.monotonic() - start, 2), down=proxy.bytes[1] - before[0][1], connections=proxy.connections - before[1])
    subprocess.run(["fusermount3", "-u", work + "/mounted"], check=True)
    process.wait()
    return dict(row, **more) if isinstance(more, dict) else row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=os.path.abspath)
    parser.add_argument("--servers", default="sftp,s3")
    parser.add_argument("--rtt", type=float, default=50)
    parser.add_argument("--mbit", type=float, default=0)
    parser.add_argument("--out", default="/dev/stdout")
    args = parser.parse_args()
    work, source = args.work, args.work + "/source"
    shutil.rmtree(work, ignore_errors=True)
    make(source)
    os.makedirs(work + "/mounted")
    with open(args.out, "a") as out:
        for name in args.servers.split(","):
            base = f"{work}/{name}"
            os.makedirs(base)
            server = {"sftp": OpenSsh, "s3": Moto}[name](base + "/server")
            proxy = Proxy(server.port, args.rtt, args.mbit)
            while subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{server.port}"], stderr=subprocess.DEVNULL).returncode:
                time.sleep(0.1)
            env = dict(os.environ, HOME=base, DRUMLIN_KEY_FILE=base + "/key", DRUMLIN_CACHE_DIR=base + "/cache", DRUMLIN_STATE_DIR=base + "/state", **server.tools(proxy.port, base)["drumlin"])
            for words in (["init", "-q"], ["backup", "-q", source]):
                subprocess.run(["drumlin", *words], env=env, check=True)
            for what in WORKS:
                row = dict(server=name, rtt=args.rtt, **measure(what, env, work, source, proxy))
                print(json.dumps(row), file=out, flush=True)
            server.process.kill()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How long one file from a large repository takes on a machine without local copies: local, by SFTP and from a bucket.

  first_byte.py REPOSITORY KEYFILE SNAP:PATH WORKDIR [--restic REPOSITORY] [--rtt MS] [--rep N] [--out FILE]

REPOSITORY is a local folder; it is served as it is by OpenSSH, and copied into a bucket of moto. Each place is asked without delay and with a proxy
that adds --rtt milliseconds: what that takes longer, divided by the delay, is how many round trips follow one another. A line of JSON per place, with the
bytes that came down through the proxy. With --restic the same is asked of restic, whose repository holds the same files (its password in
RESTIC_PASSWORD), by `dump latest PATH`.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time

from remote import Moto, OpenSsh, Proxy


SERVERS = (OpenSsh, Moto)
COMMANDS = {"drumlin": ["drumlin", "-v", "--cache-dir", "{cache}", "--key-file", "{key}", "cat", "{path}"],
            "restic": ["sh", "-c", "eval restic \"$OPTIONS\" --cache-dir {cache} dump latest {file}"]}


def upload(repository, tool, port):
    import boto3
    aws = dict(aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
    bucket = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **aws)
    for folder, _, names in os.walk(repository):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as body:
                bucket.put_object(Bucket="bucket", Key=f"{tool}/{os.path.relpath(path, repository)}", Body=body.read())


def once(args, tool, env):
    cache = f"{args.work}/empty"
    shutil.rmtree(cache, ignore_errors=True)
    places = dict(cache=cache, key=args.key, path=args.path, file=args.path.split(":", 1)[1])
    start = time.monotonic()
    done = subprocess.run([part.format(**places) for part in COMMANDS[tool]], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode or not done.stdout:
        sys.exit(done.stderr.decode())
    said = [line for line in done.stderr.decode().splitlines() if "request" in line]
    return time.monotonic() - start, said


def median(args, tool, env):
    runs = sorted(once(args, tool, env) for _ in range(args.rep))
    return runs[len(runs) // 2]


def main():
    parser = argparse.ArgumentParser()
    for name in ("repository", "key", "path", "work"):
        parser.add_argument(name)
    parser.add_argument("--restic")
    parser.add_argument("--rtt", type=float, default=50)
    parser.add_argument("--rep", type=int, default=5)
    parser.add_argument("--out", default="/dev/stdout")
    args = parser.parse_args()
    repositories = {"drumlin": args.repository, **({"restic": args.restic} if args.restic else {})}
    shutil.rmtree(args.work, ignore_errors=True)
    os.makedirs(args.work + "/home/.ssh")
    base = dict(os.environ, HOME=args.work + "/home", DRUMLIN_STATE_DIR=args.work + "/state", OPTIONS="")
    with open(args.out, "a") as out:
        for tool, repository in repositories.items():
            wall, _ = median(args, tool, dict(base, DRUMLIN_REPOSITORY=repository, RESTIC_REPOSITORY=repository))
            print(json.dumps(dict(tool=tool, place="local", seconds=round(wall, 3))), file=out, flush=True)
        for server_kind in SERVERS:
            server = server_kind(args.work + "/server")
            try:
                time.sleep(3)
                near, far = (Proxy(server.port, rtt, None) for rtt in (0, args.rtt))
                # Makes the bucket.
                server.tools(near.port, args.work)
                for tool, repository in repositories.items():
                    if server_kind is Moto:
                        upload(repository, tool, server.port)
                    else:
                        os.symlink(os.path.abspath(repository), f"{args.work}/server/files/{tool}")
                    walls = []
                    for proxy in (near, far):
                        # Files that tell the tools where to go are about one proxy.
                        env = dict(base, **server.tools(proxy.port, args.work)[tool])
                        walls.append(median(args, tool, env))
                    down = far.bytes[1] // args.rep
                    far.bytes[1] = 0
                    trips = (walls[1][0] - walls[0][0]) * 1000 / args.rtt
                    print(json.dumps(dict(tool=tool, place=server_kind.__name__, near=round(walls[0][0], 3), far=round(walls[1][0], 3),
                                          round_trips=round(trips, 1), down=down, said=walls[1][1])), file=out, flush=True)
            finally:
                server.process.kill()


if __name__ == "__main__":
    main()

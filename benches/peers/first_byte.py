#!/usr/bin/env python3
"""How long one file from a large repository takes on a machine without local copies: local, by SFTP and from a bucket.

  first_byte.py REPOSITORY KEYFILE SNAP:PATH WORKDIR [--rtt MS] [--rep N] [--out FILE]

REPOSITORY is a local folder; it is served as it is by OpenSSH, and copied into a bucket of moto. Each place is asked without delay and with a proxy
that adds --rtt milliseconds: what that takes longer, divided by the delay, is how many round trips follow one another. A line of JSON per place.
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


def upload(repository, port):
    import boto3
    aws = dict(aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
    bucket = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **aws)
    for folder, _, names in os.walk(repository):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as body:
                bucket.put_object(Bucket="bucket", Key=f"drumlin/{os.path.relpath(path, repository)}", Body=body.read())


def once(args, env):
    cache = f"{args.work}/empty"
    shutil.rmtree(cache, ignore_errors=True)
    start = time.monotonic()
    command = ["drumlin", "-v", "--cache-dir", cache, "--key-file", args.key, "cat", args.path]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode or not done.stdout:
        sys.exit(done.stderr.decode())
    said = [line for line in done.stderr.decode().splitlines() if "request" in line]
    return time.monotonic() - start, said


def median(args, env):
    runs = sorted(once(args, env) for _ in range(args.rep))
    return runs[len(runs) // 2]


def main():
    parser = argparse.ArgumentParser()
    for name in ("repository", "key", "path", "work"):
        parser.add_argument(name)
    parser.add_argument("--rtt", type=float, default=50)
    parser.add_argument("--rep", type=int, default=5)
    parser.add_argument("--out", default="/dev/stdout")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    os.makedirs(args.work + "/home/.ssh")
    base = dict(os.environ, HOME=args.work + "/home")
    with open(args.out, "a") as out:
        wall, _ = median(args, dict(base, DRUMLIN_REPOSITORY=args.repository))
        print(json.dumps(dict(place="local", seconds=round(wall, 3))), file=out, flush=True)
        for server_kind in SERVERS:
            server = server_kind(args.work + "/server")
            try:
                time.sleep(3)
                if server_kind is OpenSsh:
                    os.symlink(os.path.abspath(args.repository), args.work + "/server/files/drumlin")
                near, far = (Proxy(server.port, rtt, None) for rtt in (0, args.rtt))
                walls = []
                for proxy in (near, far):
                    env = dict(base, **server.tools(proxy.port, args.work)["drumlin"])
                    if server_kind is Moto and proxy is near:
                        upload(args.repository, server.port)
                    walls.append(median(args, env))
                trips = (walls[1][0] - walls[0][0]) * 1000 / args.rtt
                print(json.dumps(dict(place=server_kind.__name__, near=round(walls[0][0], 3), far=round(walls[1][0], 3),
                                      round_trips=round(trips, 1), said=walls[1][1])), file=out, flush=True)
            finally:
                server.process.kill()


if __name__ == "__main__":
    main()

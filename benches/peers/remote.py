#!/usr/bin/env python3
"""Drumlin beside other tools over a distant line: a first backup, a restore on another machine, each by the same server.

  remote.py SOURCE WORKDIR [--tools drumlin,restic,rustic] [--servers sftp,s3] [--rtt MS] [--mbit N] [--rep N] [--out FILE]

SOURCE is the folder that is backed up. OpenSSH and moto are started on 127.0.0.1 (`scripts/test-deps.sh` installs both), with a proxy before them
that delays each way by half of --rtt milliseconds and passes on at most --mbit megabits per second each way. A line of JSON per step: wall, user, sys
(seconds), maxrss (KiB), load, up, down (bytes by the proxy), connections, rc. Restores go into WORKDIR and are compared with the source.
"""
import argparse
import asyncio
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

PASSWORD = "correct horse battery staple 42"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """Delays and slows down what goes through it; runs in a thread of its own."""

    def __init__(self, upstream, rtt_ms, mbit):
        self.upstream, self.delay = upstream, rtt_ms / 2000
        self.rate = mbit * 125_000 if mbit else None
        self.port, self.bytes, self.connections = free_port(), [0, 0], 0
        self.next_free = [0.0, 0.0]
        ready = threading.Event()
        threading.Thread(target=self.run, args=(ready,), daemon=True).start()
        ready.wait()

    def run(self, ready):
        async def serve():
            server = await asyncio.start_server(self.accept, "127.0.0.1", self.port, limit=1 << 20)
            ready.set()
            async with server:
                await server.serve_forever()
        asyncio.run(serve())

    async def accept(self, reader, writer):
        self.connections += 1
        upstream = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 20)
        await asyncio.gather(self.pump(reader, upstream[1], 0), self.pump(upstream[0], writer, 1))

    async def pump(self, reader, writer, way):
        """Reads at the line's rate and writes later: the queue holds what is on its way."""
        queue = asyncio.Queue(maxsize=256)

        async def deliver():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - time.monotonic()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        task = asyncio.create_task(deliver())
        try:
            while True:
                data = await reader.read(64 << 10)
                now = time.monotonic()
                if self.rate and data:
                    # All connections share the line.
                    self.next_free[way] = max(self.next_free[way], now) + len(data) / self.rate
                    await asyncio.sleep(max(0, self.next_free[way] - now))
                    now = time.monotonic()
                self.bytes[way] += len(data)
                await queue.put((now + self.delay, data))
                if not data:
                    break
            await task
        except (ConnectionError, OSError):
            writer.close()


class OpenSsh:
    """An SFTP server for whoever runs this."""

    def __init__(self, folder):
        os.makedirs(folder + "/files", exist_ok=True)
        self.folder, self.port = folder, free_port()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{key}"], check=True)
        shutil.copy(f"{folder}/user.pub", f"{folder}/authorized_keys")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with open(f"{folder}/config", "w") as config:
            config.write(f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nPermitRootLogin yes\nStrictModes no\n"
                         f"UsePAM no\nMaxStartups 100\nSubsystem sftp internal-sftp -d {folder}/files\nPort {self.port}\nListenAddress 127.0.0.1\n")
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/config"], stderr=subprocess.DEVNULL)

    def tools(self, port, base):
        with open(f"{self.folder}/host.pub") as key, open(f"{base}/known_hosts", "w") as known:
            known.write(f"[127.0.0.1]:{port} " + " ".join(key.read().split()[:2]) + "\n")
        user, key = getpass.getuser(), f"{self.folder}/user"
        with open(f"{base}/drumlin.toml", "w") as config:
            config.write(f'[repository.far]\nurl = "sftp://{user}@127.0.0.1:{port}/./drumlin"\nidentity-file = "{key}"\n'
                         f'known-hosts = "{base}/known_hosts"\n')
        with open(f"{base}/rustic.toml", "w") as profile:
            profile.write(f'[repository]\nrepository = "opendal:sftp"\n[repository.options]\nendpoint = "ssh://127.0.0.1:{port}"\nuser = "{user}"\n'
                          f'key = "{key}"\nroot = "{self.folder}/files/rustic"\nknown_hosts_strategy = "Accept"\n')
        ssh = f"ssh -p {port} -i {key} -o UserKnownHostsFile={base}/known_hosts {user}@127.0.0.1 -s sftp"
        return {"drumlin": dict(DRUMLIN_REPOSITORY="far", DRUMLIN_CONFIG=f"{base}/drumlin.toml"),
                "restic": dict(RESTIC_REPOSITORY=f"sftp:{user}@127.0.0.1:restic", OPTIONS=f"-o sftp.command='{ssh}'"),
                "rustic": dict(RUSTIC_USE_PROFILE=f"{base}/rustic"),
                "restic-16": dict(RESTIC_REPOSITORY=f"sftp:{user}@127.0.0.1:restic16", OPTIONS=f"-o sftp.command='{ssh}' -o sftp.connections=16")}


class Moto:
    """A fast S3 server; it closes each connection after one request, which real ones do not."""

    def __init__(self, folder):
        self.port = free_port()
        python = os.path.join(os.path.dirname(__file__), "../../target/venv/bin/python")
        self.process = subprocess.Popen([python, "-m", "moto.server", "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tools(self, port, base):
        aws = dict(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
        subprocess.run(["curl", "-sf", "-X", "PUT", f"http://127.0.0.1:{self.port}/bucket"], check=True, stdout=subprocess.DEVNULL)
        restic = dict(aws, RESTIC_REPOSITORY=f"s3:http://127.0.0.1:{port}/bucket/restic")
        with open(f"{base}/rustic.toml", "w") as profile:
            profile.write(f'[repository]\nrepository = "opendal:s3"\n[repository.options]\nbucket = "bucket"\nroot = "/rustic"\nregion = "us-east-1"\n'
                          f'endpoint = "http://127.0.0.1:{port}"\naccess_key_id = "key"\nsecret_access_key = "secret"\n')
        return {"drumlin": dict(aws, DRUMLIN_REPOSITORY="s3://bucket/drumlin", DRUMLIN_S3_ENDPOINT=f"http://127.0.0.1:{port}"),
                "restic": dict(restic, OPTIONS=""),
                "rustic": dict(aws, RUSTIC_USE_PROFILE=f"{base}/rustic"),
                "restic-16": dict(restic, RESTIC_REPOSITORY=restic["RESTIC_REPOSITORY"] + "16", OPTIONS="-o s3.connections=16")}


COMMANDS = {
    "drumlin": dict(init="drumlin init --quiet", backup="drumlin backup --quiet {src}", unchanged="drumlin backup --quiet {src}",
                    restore="drumlin --cache-dir {empty} restore --quiet latest:{src} --target {dst}"),
    "restic": dict(init="restic {options} init -q", backup="restic {options} backup -q {src}", unchanged="restic {options} backup -q --skip-if-unchanged {src}",
                   restore="restic {options} --cache-dir {empty} restore -q latest:{src} --target {dst}"),
}
COMMANDS["rustic"] = dict(init="rustic --no-progress init", backup="rustic --no-progress backup {src}",
                          unchanged="rustic --no-progress backup --skip-if-unchanged {src}",
                          restore="rustic --no-progress --cache-dir {empty} restore latest:{src} {dst}")
COMMANDS["restic-16"] = COMMANDS["restic"]


# In a process of its own: the peak that the system tells of a new process is never below its maker's, and the proxy's grows.
MEASURE = """
import json, os, sys, time
start = time.monotonic()
_, status, usage = os.wait4(os.spawnvp(os.P_NOWAIT, "sh", ["sh", "-c", sys.argv[2]]), 0)
row = dict(wall=round(time.monotonic() - start, 2), user=round(usage.ru_utime, 2), sys=round(usage.ru_stime, 2), maxrss=usage.ru_maxrss,
           rc=os.waitstatus_to_exitcode(status), load=os.getloadavg()[0])
json.dump(row, open(sys.argv[1], "w"))
"""


def measure(command, env, log):
    row = env["HOME"] + "/measured"
    subprocess.run([sys.executable, "-c", MEASURE, row, command], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
    with open(row) as file:
        return json.load(file)


def run(args):
    source = os.path.abspath(args.source)
    with open(args.out, "a") as out, open(args.out + ".log", "ab") as log:
        for rep in range(args.rep):
            for name in args.servers.split(","):
                base = os.path.join(os.path.abspath(args.workdir), name)
                shutil.rmtree(base, ignore_errors=True)
                os.makedirs(base)
                server = {"sftp": OpenSsh, "s3": Moto}[name](base + "/server")
                proxy = Proxy(server.port, args.rtt, args.mbit)
                while socket.socket().connect_ex(("127.0.0.1", server.port)):
                    time.sleep(0.1)
                tools = server.tools(proxy.port, base)
                for step in ("init", "backup", "unchanged", "restore"):
                    for tool in args.tools.split(","):
                        home = f"{base}/home-{tool}"
                        places = dict(src=source, dst=f"{base}/restored", empty=f"{base}/empty", options=tools[tool].get("OPTIONS", ""))
                        for place in ("dst", "empty"):
                            shutil.rmtree(places[place], ignore_errors=True)
                        os.makedirs(home, exist_ok=True)
                        env = dict(PATH=os.environ["PATH"], HOME=home, DRUMLIN_STATE_DIR=home + "/state", DRUMLIN_PASSWORD=PASSWORD, RESTIC_PASSWORD=PASSWORD, RUSTIC_PASSWORD=PASSWORD)
                        env.update((name, value) for name, value in tools[tool].items() if name != "OPTIONS")
                        before = list(proxy.bytes), proxy.connections
                        row = measure(COMMANDS[tool][step].format(**places), env, log)
                        if step == "restore":
                            found = subprocess.run(["diff", "-r", source, places["dst"]], capture_output=True)
                            row["verify"] = "ok" if found.returncode == 0 else "differs"
                        row.update(server=name, tool=tool, step=step, rtt=args.rtt, mbit=args.mbit, rep=rep, up=proxy.bytes[0] - before[0][0],
                                   down=proxy.bytes[1] - before[0][1], connections=proxy.connections - before[1])
                        print(json.dumps(row), flush=True)
                        out.write(json.dumps(row) + "\n")
                        out.flush()
                server.process.kill()
                shutil.rmtree(base, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("workdir")
    parser.add_argument("--tools", default="drumlin,restic,restic-16")
    parser.add_argument("--servers", default="sftp,s3")
    parser.add_argument("--rtt", type=float, default=50)
    parser.add_argument("--mbit", type=float, default=0)
    parser.add_argument("--rep", type=int, default=1)
    parser.add_argument("--out", default="remote.jsonl")
    args = parser.parse_args()
    if shutil.which("drumlin") is None:
        sys.exit("drumlin is not on PATH")
    run(args)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Keeps the schedules of many apps by `drumlin daemon`, and measures what that costs.

  many_apps.py WORK [--apps N] [--due N] [--seconds S]

Needs `drumlin` on PATH and /proc. WORK is made anew: a repository in a folder, N apps (200) of a folder of 2 MB each, S seconds (20) of the daemon.
The first `due` apps (10) are due at once when it starts, the others at their slot, which does not come. Prints one line of JSON: seconds until all
runs that were due had ended, most runs at once, most memory of all processes together (PSS) and of the daemon alone (RSS), in KiB, CPU seconds of the
daemon for the rest of the time, and its looks per second of CPU time.
"""
import argparse
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import time

APP_BYTES = 2_000_000
LOOK_MS = 500


def configuration(work, count, due):
    lines = [f'repository.here = {{ url = "{work}/repo", password-file = "{work}/password" }}', 'defaults = { repository = "here" }',
             'daemon = { settle = "0s" }']
    for number in range(count):
        name = f"app{number:03}"
        os.makedirs(f"{work}/source/{name}")
        with open(f"{work}/source/{name}/data", "wb") as file:
            file.write(random.Random(number).randbytes(APP_BYTES))
        first = "now" if number < due else "scheduled"
        lines += [f"[app.{name}]", f'paths = "{work}/source/{name}"', f'schedule = "monthly 1 00:{number % 60:02}"', f'first-run = "{first}"']
    return "\n".join(lines) + "\n"


def field(path, name):
    """Returns a value in KiB of a file of /proc; 0 if the process is gone."""
    try:
        with open(path) as file:
            return next((int(line.split()[1]) for line in file if line.startswith(name)), 0)
    except (OSError, ValueError):
        return 0


def children(pid):
    try:
        return [int(child) for path in glob.glob(f"/proc/{pid}/task/*/children") for child in open(path).read().split()]
    except OSError:
        return []


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def measure(daemon, state, due, seconds):
    began, all_done, most = time.monotonic(), None, dict(runs=0, pss=0, rss=0)
    while time.monotonic() - began < seconds:
        runs = children(daemon.pid)
        most["runs"] = max(most["runs"], len(runs))
        most["rss"] = max(most["rss"], field(f"/proc/{daemon.pid}/status", "VmRSS"))
        most["pss"] = max(most["pss"], sum(field(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in [daemon.pid, *runs]))
        done = len(glob.glob(f"{state}/apps/*/runs.jsonl"))
        if all_done is None and done >= due and not runs:
            all_done, cpu_then = time.monotonic() - began, cpu_seconds(daemon.pid)
        time.sleep(0.01)
    if all_done is None:
        raise SystemExit(f"of {due} runs only {done} ended in {seconds} s")
    idle = cpu_seconds(daemon.pid) - cpu_then
    looks = (seconds - all_done) * 1_000 / LOOK_MS
    return dict(all_done_s=round(all_done, 2), most_runs=most["runs"], pss_kib=most["pss"], daemon_rss_kib=most["rss"], idle_cpu_s=round(idle, 2),
                cpu_ms_per_look=round(idle * 1_000 / looks, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work")
    parser.add_argument("--apps", type=int, default=200)
    parser.add_argument("--due", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    work = os.path.abspath(args.work)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    with open(f"{work}/password", "w") as file:
        file.write("correct horse battery staple 42\n")
    os.chmod(f"{work}/password", 0o600)
    with open(f"{work}/drumlin.toml", "w") as file:
        file.write(configuration(work, args.apps, args.due))
    state = f"{work}/state"
    env = dict(os.environ, DRUMLIN_CONFIG=f"{work}/drumlin.toml", DRUMLIN_STATE_DIR=state, DRUMLIN_CACHE_DIR=f"{work}/cache")
    subprocess.run(["drumlin", "--repo", "here", "init", "--quiet"], env=env, check=True)
    with open(f"{work}/log", "w") as log:
        daemon = subprocess.Popen(["drumlin", "daemon", "--look-ms", str(LOOK_MS)], env=env, stdout=log, stderr=log)
    try:
        print(json.dumps(dict(apps=args.apps, due=args.due, **measure(daemon, state, args.due, args.seconds))))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()


main()

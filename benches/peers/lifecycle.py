#!/usr/bin/env python3
"""Takes backup tools through one life cycle per data set and measures each step, side by side in one run.

  lifecycle.py DATADIR WORKDIR [--tools drumlin,restic,...] [--data media,sql,vm,tree] [--steps ...] [--rep N] [--restored DIR] [--out FILE] [--extra FILE]
  lifecycle.py --show FILE [--markdown]

DATADIR is what mkdata.sh made. Tools that are not on PATH are left out and named. Every step is run for all tools before the next step, so
what is compared is measured close together; every repetition begins with another tool. One line of JSON per step: wall, user, sys (seconds, of the command and its children), maxrss (KiB,
largest process), others (CPU seconds that anything else used meanwhile: the smaller, the more `wall` is worth), repo (bytes after), files
(objects after), rc, verify.

Steps: init backup noop unchanged snapshots ls restore1 restore check incr prune. `noop` backs up again with nothing changed and takes a
snapshot; `unchanged` is the same for the tools that then take none; `incr` backs up version 2 in place; `restore` is compared with the source by
content and metadata (rsync -c); `restore1` gets one file; `prune` forgets all but the last snapshot and reclaims space.
--extra names a JSON file with more tools in the form of TOOLS. Placeholders: {repo} {src} {dst} {cache} {file} {out} {n} {older}.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

PASSWORD = "correct horse battery staple 42"
STEPS = "init backup noop unchanged snapshots ls restore1 restore check incr prune".split()
DATA = {"media": ("media", None), "sql": ("sql1", "sql2"), "vm": ("vm1", "vm2"), "tree": ("tree1", "tree2")}
DRUMLIN = dict(
    version="drumlin --version",
    env=dict(DRUMLIN_REPOSITORY="{repo}", DRUMLIN_PASSWORD=PASSWORD, DRUMLIN_CACHE_DIR="{cache}", DRUMLIN_STATE_DIR="{cache}/state"),
    init="drumlin init --quiet", backup="drumlin backup --quiet --always-snapshot {src}", unchanged="drumlin backup --quiet {src}",
    snapshots="drumlin snapshots", ls="drumlin ls latest --recursive", restore1="drumlin cat latest:{src}/{file} > {out}",
    restore="drumlin restore --quiet latest:{src} --target {dst}", check="drumlin check --quiet --level full",
    prune="drumlin forget --quiet --keep-last 1 --force && drumlin prune --quiet --max-unused 0 --trash 0d")
TOOLS = {
    "drumlin": DRUMLIN,
    "restic": dict(
        version="restic version",
        env=dict(RESTIC_REPOSITORY="{repo}", RESTIC_PASSWORD=PASSWORD, RESTIC_CACHE_DIR="{cache}"),
        init="restic init -q", backup="restic backup -q {src}", snapshots="restic snapshots", ls="restic ls latest",
        restore1="restic dump latest {src}/{file} > {out}", restore="restic restore -q latest:{src} --target {dst}",
        check="restic check -q --read-data", prune="restic forget -q --keep-last 1 --prune --max-unused 0"),
    "rustic": dict(
        version="rustic --version",
        env=dict(RUSTIC_REPOSITORY="{repo}", RUSTIC_PASSWORD=PASSWORD, RUSTIC_CACHE_DIR="{cache}", RUSTIC_NO_PROGRESS="true"),
        init="rustic init", backup="rustic backup {src}", snapshots="rustic snapshots", ls="rustic ls latest",
        restore1="rustic dump latest:{src}/{file} > {out}", restore="rustic restore latest:{src} {dst}",
        check="rustic check --read-data",
        prune="rustic forget --keep-last 1 && rustic prune --instant-delete --keep-pack 0s --max-unused 0B"),
    "borg": dict(
        version="borg --version",
        env=dict(BORG_REPO="{repo}", BORG_PASSPHRASE=PASSWORD, BORG_BASE_DIR="{cache}"),
        init="borg init -e repokey-blake2", backup="cd {src} && borg create -C zstd,3 ::s{n} .", snapshots="borg list",
        ls="borg list ::s{n}", restore1="borg extract --stdout ::s{n} {file} > {out}", restore="cd {dst} && borg extract ::s{n}",
        check="borg check --verify-data", prune="borg prune --keep-last 1 && borg compact --threshold 0"),
    # No passphrase and so no key derivation; no check of all data: reading it all is the nearest thing.
    "bupstash": dict(
        version="bupstash --version",
        env=dict(BUPSTASH_REPOSITORY="{repo}", BUPSTASH_KEY="{cache}/key", XDG_CACHE_HOME="{cache}"),
        init="bupstash new-key -o {cache}/key && bupstash init", backup="bupstash put -q --send-log {cache}/log n={n} {src}",
        snapshots="bupstash list -q", ls="bupstash list-contents -q n={n}", restore1="bupstash get -q --pick {file} n={n} > {out}",
        restore="bupstash restore -q --ownership --into {dst} n={n}", check="bupstash get -q n={n} > /dev/null",
        prune="bupstash rm -q --allow-many '{older}' && bupstash gc -q"),
    "vykar": dict(
        version="vykar --version",
        env=dict(VYKAR_PASSPHRASE=PASSWORD, VYKAR_CONFIG="{cache}/vykar.yaml", XDG_CONFIG_HOME="{cache}/x", XDG_DATA_HOME="{cache}/x"),
        setup="printf 'cache_dir: \"{cache}/c\"\\nrepositories:\\n  - url: \"{repo}\"\\nsources:\\n  - \"{src}\"\\ncompression:\\n"
              "  algorithm: zstd\\n  zstd_level: 3\\nretention:\\n  keep_last: 1\\n' > {cache}/vykar.yaml",
        init="vykar init", backup="vykar backup", snapshots="vykar list", ls="vykar snapshot list latest",
        restore1="vykar restore latest {dst} --pattern '**/{file}' && cp \"$(find {dst} -type f | head -1)\" {out}",
        restore="vykar restore latest {dst}", check="vykar check --verify-data", prune="vykar prune --compact && vykar compact --threshold 1"),
}
# The same with what each leaves unused if nobody says otherwise.
USUAL = {
    "drumlin-usual": dict(DRUMLIN, prune="drumlin forget --quiet --keep-last 1 --force && drumlin prune --quiet --trash 0d"),
    "restic-usual": dict(TOOLS["restic"], prune="restic forget -q --keep-last 1 --prune"),
    "borg-usual": dict(TOOLS["borg"], prune="borg prune --keep-last 1 && borg compact"),
}


def size_of(path):
    """Returns the bytes and the number of files below path."""
    total = count = 0
    for root, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
                count += 1
            except FileNotFoundError:
                pass
    return total, count


def busy():
    """Returns the CPU seconds that the whole machine has worked since it started."""
    with open("/proc/stat") as stat:
        ticks = [int(x) for x in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(seconds):
    """Waits up to `seconds` for half a second in which the machine does little."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = busy()
        time.sleep(0.5)
        if busy() - before < 0.1:
            return


def touch_memory(mib):
    """Makes that much free memory really there: a virtual machine gives idle memory back, and whoever uses it first pays for it."""
    if mib:
        path = "/dev/shm/lifecycle-touch"
        with open(path, "wb") as file:
            for _ in range(mib):
                file.write(bytes(1 << 20))
        os.remove(path)


def measure(command, env, log, timeout):
    """Runs a shell command and returns its own accounting by the kernel."""
    log.write(f"\n$ {command}\n".encode())
    log.flush()
    before, start = busy(), time.monotonic()
    process = subprocess.Popen(["sh", "-c", command], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - start > timeout:
            os.killpg(process.pid, 9)
            _, status, usage = os.wait4(process.pid, 0)
            break
        time.sleep(0.001)
    process.returncode = 0
    wall, own = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    return dict(wall=round(wall, 3), user=round(usage.ru_utime, 3), sys=round(usage.ru_stime, 3), maxrss=usage.ru_maxrss,
                others=round(max(0.0, busy() - before - own), 2), rc=os.waitstatus_to_exitcode(status))


def lay_out(args, name, version):
    """Puts one version of a data set at WORKDIR/current-NAME, in place, touching only what differs."""
    current = os.path.join(args.workdir, "current-" + name)
    os.makedirs(current, exist_ok=True)
    source = os.path.join(args.datadir, DATA[name][version])
    subprocess.run(["rsync", "-a", "-S", "--delete", source + "/", current + "/"], check=True)
    time.sleep(1.1)  # some tools do not trust files as new as the newest one that they saw
    with open(os.path.join(current, "zz-newest"), "w") as newest:
        newest.write(f"version {version}\n")
    return current


def root_of(restored, wanted):
    """Returns the folder below `restored` that holds the source's own entries; some tools keep the leading folders."""
    for root, folders, files in os.walk(restored):
        if set(folders + files) == wanted:
            return root
    return restored


def same(source, restored):
    wanted = set(os.listdir(source))
    command = ["rsync", "-n", "-i", "-c", "-rlptgoDH", "--delete", source + "/", root_of(restored, wanted) + "/"]
    lines = [line for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines() if not line.endswith(" ./")]
    return "ok" if not lines else f"{len(lines)} differ: {lines[0]}"


def middle_file(source):
    """Returns the file in the middle of all that have more than 2000 bytes."""
    found = []
    for root, _, files in os.walk(source):
        for name in files:
            path = os.path.join(root, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) > 2000:
                found.append(os.path.relpath(path, source))
    return sorted(found)[len(found) // 2]


def take_step(args, tool, its, step, where, log):
    """Runs one step of one tool, verifies what it restored, and returns its row."""
    commands, key = TOOLS[tool], "backup" if step in ("noop", "incr") else step
    its["n"] += key == "backup"
    target = os.path.join(args.restored or its["base"], "restored")
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    words = dict(repo=its["base"] + "/repo", src=where["source"], dst=target, cache=its["base"] + "/cache", file=where["file"],
                 out=its["base"] + "/one", n=its["n"], older=" or ".join(f"n={n}" for n in range(1, its["n"])))
    env = dict(os.environ, **{k: v.format(**words) for k, v in commands["env"].items()})
    if step == "init" and "setup" in commands:
        subprocess.run(commands["setup"].format(**words), shell=True, env=env, check=True)
    subprocess.run(["sync"], check=True)
    wait_until_quiet(args.quiet)
    touch_memory(args.touch)
    row = measure(commands[key].format(**words), env, log, args.timeout)
    row["repo"], row["files"] = size_of(words["repo"])
    row.update(tool=tool, data=where["name"], step=step, load=round(os.getloadavg()[0], 1))
    if step == "restore" and row["rc"] == 0:
        row["verify"] = same(where["source"], target)
    if step == "restore1" and row["rc"] == 0:
        equal = subprocess.run(["cmp", "-s", words["out"], os.path.join(where["source"], where["file"])]).returncode == 0
        row["verify"] = "ok" if equal else "differs"
    shutil.rmtree(target, ignore_errors=True)
    its["dead"] = its["dead"] or row["rc"] != 0 and step in ("init", "backup")
    return row


def run(args, tools):
    steps = args.steps.split(",")
    os.makedirs(args.workdir, exist_ok=True)
    with open(args.log, "ab") as log, open(args.out, "a") as out:
        for tool in tools:
            shown = subprocess.run(TOOLS[tool]["version"], shell=True, capture_output=True, text=True).stdout.strip()
            out.write(json.dumps(dict(tool=tool, version=shown)) + "\n")
        for rep in range(args.rep):
            for name in args.data.split(","):
                source = lay_out(args, name, 0)
                where = dict(name=name, source=source, file=middle_file(source))
                state = {tool: dict(base=os.path.join(args.workdir, f"{tool}-{name}"), n=0, dead=False) for tool in tools}
                for each in state.values():
                    shutil.rmtree(each["base"], ignore_errors=True)
                    os.makedirs(each["base"] + "/cache")
                for step in [s for s in STEPS if s in steps]:
                    if step in ("incr", "prune") and DATA[name][1] is None:
                        continue
                    if step == "incr":
                        lay_out(args, name, 1)
                    if step in ("backup", "incr"):  # warm the page cache
                        subprocess.run(f"find {source} -type f -print0 | xargs -0 cat > /dev/null", shell=True, check=True)
                    turn = rep % len(tools)
                    for tool in tools[turn:] + tools[:turn]:
                        key = "backup" if step in ("noop", "incr") else step
                        if state[tool]["dead"] or key not in TOOLS[tool]:
                            continue
                        row = dict(take_step(args, tool, state[tool], step, where, log), rep=rep)
                        print(json.dumps(row), flush=True)
                        out.write(json.dumps(row) + "\n")
                        out.flush()
                for each in state.values():
                    shutil.rmtree(each["base"], ignore_errors=True)
                shutil.rmtree(source, ignore_errors=True)


def medians(path):
    """Returns versions, and per data set and step the medians of each tool."""
    versions, rows = {}, {}
    with open(path) as lines:
        for row in map(json.loads, lines):
            if "step" in row:
                rows.setdefault((row["data"], row["step"]), {}).setdefault(row["tool"], []).append(row)
            else:
                versions[row["tool"]] = row["version"]
    table = {}
    for at, tools in rows.items():
        for tool, runs in tools.items():
            middle = {k: statistics.median(r[k] for r in runs) for k in ("wall", "maxrss", "repo", "files")}
            middle["cpu"] = statistics.median(r["user"] + r["sys"] for r in runs)
            middle["others"] = max(r.get("others", 0) for r in runs)
            middle["note"] = " ".join(sorted({f"rc {r['rc']}" for r in runs if r["rc"]} | {r["verify"] for r in runs if r.get("verify", "ok") != "ok"}))
            table.setdefault(at, {})[tool] = middle
    return versions, table


def show(path, markdown):
    versions, table = medians(path)
    for tool, version in versions.items():
        print(f"{tool}: {version}")
    tools = list(versions)
    for data in dict.fromkeys(name for name, _ in table):
        steps = [step for step in STEPS if (data, step) in table]
        if markdown:
            print(f"\n### {data}: wall s / CPU s / peak MiB\n\n| step | {' | '.join(tools)} |\n|---{'|---' * len(tools)}|")
        for step in steps:
            cells = table[(data, step)]
            if markdown:
                texts = [f"{c['wall']:.2f} / {c['cpu']:.2f} / {c['maxrss'] / 1024:.0f} {c['note']}".strip() if (c := cells.get(t)) else "-" for t in tools]
                print(f"| {step} | {' | '.join(texts)} |")
                continue
            print(f"\n{data} {step}")
            for tool, c in cells.items():
                print(f"  {tool:12} wall {c['wall']:8.2f} s  cpu {c['cpu']:8.2f} s  memory {c['maxrss'] / 1024:7.0f} MiB  "
                      f"repository {c['repo'] / 1e6:9.2f} MB in {c['files']:.0f}  others {c['others']:5.1f} s  {c['note']}")
        if markdown:
            show_sizes(table, data, tools)


def show_sizes(table, data, tools):
    """Prints what the repositories hold after the first backup, and what the second version added."""
    def cell(tool, step, before=None):
        after = table.get((data, step), {}).get(tool)
        base = table.get((data, before), {}).get(tool) if before else dict(repo=0)
        return f"{(after['repo'] - base['repo']) / 1e6:.2f}" if after and base else "-"
    print(f"| repository MB | {' | '.join(cell(t, 'backup') for t in tools)} |")
    print(f"| MB added by noop | {' | '.join(cell(t, 'noop', 'backup') for t in tools)} |")
    if (data, "incr") in table:
        print(f"| MB added by incr | {' | '.join(cell(t, 'incr', 'noop') for t in tools)} |")


def main():
    if len(sys.argv) in (3, 4) and sys.argv[1] == "--show":
        return show(sys.argv[2], "--markdown" in sys.argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datadir")
    parser.add_argument("workdir")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--steps", default=",".join(s for s in STEPS if s != "prune"))
    parser.add_argument("--rep", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--quiet", type=float, default=0, help="seconds to wait, at most, before each step for the machine to be quiet")
    parser.add_argument("--touch", type=int, default=0, metavar="MIB", help="memory to write to and free right before each step")
    parser.add_argument("--out", default="results.jsonl")
    parser.add_argument("--log", default="commands.log")
    parser.add_argument("--restored", help="folder to restore into; tmpfs, so that a disk busy with deleted files is not what is measured")
    parser.add_argument("--extra")
    args = parser.parse_args()
    args.datadir, args.workdir = os.path.abspath(args.datadir), os.path.abspath(args.workdir)
    if args.extra:
        with open(args.extra) as extra:
            TOOLS.update(json.load(extra))
    wanted = args.tools.split(",")
    TOOLS.update(USUAL)
    tools = [tool for tool in wanted if shutil.which(TOOLS[tool]["version"].split()[0])]
    missing = sorted(set(wanted) - set(tools))
    if missing:
        print("not on PATH, left out: " + ", ".join(missing), file=sys.stderr)
    run(args, tools)


main()

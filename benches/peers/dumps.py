#!/usr/bin/env python3
"""Backs up one MariaDB database by several tools, and measures what each of its states adds to their repositories.

  dumps.py WORK [--rows N] [--tools drumlin,gzip,...] [--drumlin NAME=PATH ...] [--seed N] [--out FILE]
  dumps.py --show FILE

Needs mariadbd and its clients, and on PATH what is to be measured; what is missing is left out and named. WORK is made anew: a server on a socket,
with four tables (customers, articles, orders, log; text of words by Zipf's law, dates, amounts) of N rows together (1,600,000 rows are 270 MB as SQL).
The states, one after the other, each seen by all tools before the next:

  first      the database as it was made
  unchanged  the same
  runs       1 % of the rows of each table have a new text, in runs of 100 to 200; one row in 320 is appended to the log, one in 3,200 is deleted there
  scattered  1 % of the rows of each table have a new text, drawn at random

Tools: `drumlin` is an app, `mariadb = {}`, which dumps a row a statement and cuts by the profile Rows; `drumlin-plain`, `restic` and `borg` store
what `mariadb-dump` writes by its own defaults; `gzip` keeps that compressed, one file a state; `restic-rows` and `borg-rows` get a row a statement.
--drumlin adds another build of the first kind. Dumps are made in one transaction and carry no date, so that what was stored can be compared with the
database in the end. One line of JSON per step: wall, user, sys (of the command and its children, without the server), maxrss (KiB, the largest process),
others (CPU seconds that anything else used meanwhile, the server too), repo (bytes after).
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time

PASSWORD = "correct horse battery staple 42"
STEPS = ["first", "unchanged", "runs", "scattered"]
# Share of all rows, columns but the id and the text, and words of the text, at least and at most.
TABLES = {
    "customers": (8, "name VARCHAR(80), email VARCHAR(80), joined DATETIME", (4, 12)),
    "articles": (8, "title VARCHAR(120), price DECIMAL(8,2), changed DATETIME", (30, 80)),
    "orders": (4, "customer INT, status VARCHAR(20), total DECIMAL(10,2), placed DATETIME", (3, 14)),
    "log": (2, "at DATETIME, customer INT, action VARCHAR(20), address VARCHAR(40)", (5, 18)),
}
ACTIONS = ["login", "search", "view", "basket", "order", "logout", "return", "payment"]
DUMP = "mariadb-dump --no-defaults --socket={socket} --user=root --single-transaction --skip-dump-date {more} shop"
CONFIG = """repository.here = {{ url = "{repo}", password-file = "{cache}/password" }}
[app.shop]
repository = "here"
"""
MARIADB = 'mariadb = {{ databases = ["shop"], socket = "{socket}", user = "root" }}\n'
COMMAND = '[[app.shop.command]]\nname = "dump.sql"\nrun = "{plain}"\n'
ENV = {
    "drumlin": dict(DRUMLIN_CONFIG="{cache}/drumlin.toml", DRUMLIN_CACHE_DIR="{cache}/c", DRUMLIN_STATE_DIR="{cache}/s"),
    "restic": dict(RESTIC_REPOSITORY="{repo}", RESTIC_PASSWORD=PASSWORD, RESTIC_CACHE_DIR="{cache}"),
    "borg": dict(BORG_REPO="{repo}", BORG_PASSPHRASE=PASSWORD, BORG_BASE_DIR="{cache}"),
    "gzip": {},
}


def drumlin(program, source):
    """Returns the commands of a build of Drumlin; `source` is what the app dumps."""
    # The whole app is one folder of the snapshot; its text is compared as far as it is rows.
    restore = (f"rm -rf {{cache}}/out && {program} restore --quiet latest:/@app/mariadb/shop --target {{cache}}/out && "
               "find {cache}/out -type f -name '[a-z]*.sql' | LC_ALL=C sort | xargs cat")
    has_rows = source == MARIADB
    return dict(kind="drumlin", dump="rows" if has_rows else "plain", config=CONFIG + source, version=f"{program} --version", init=f"{program} init --quiet",
                backup=f"{program} run shop --quiet", restore=restore if has_rows else f"{program} cat latest:/dump.sql")


def of_stream(kind, dump):
    """Returns the commands of a tool that reads a dump, `plain` or `rows`, from its standard input."""
    tools = {
        "restic": dict(version="restic version", init="restic init -q", backup=" | restic backup -q --stdin --stdin-filename dump.sql",
                       restore="restic dump latest dump.sql"),
        "borg": dict(version="borg --version", init="borg init -e repokey-blake2", backup=" | borg create -C zstd,3 --stdin-name dump.sql ::s{n} -",
                     restore="borg extract --stdout ::s{n}"),
        "gzip": dict(version="gzip --version", init="mkdir {repo}", backup=" | gzip > {repo}/{n}.sql.gz", restore="gzip -dc {repo}/{n}.sql.gz"),
    }
    return dict(tools[kind], kind=kind, dump=dump, backup=f"{{{dump}}}" + tools[kind]["backup"])


TOOLS = {
    "drumlin": drumlin("drumlin", MARIADB), "drumlin-plain": drumlin("drumlin", COMMAND),
    "restic": of_stream("restic", "plain"), "borg": of_stream("borg", "plain"), "gzip": of_stream("gzip", "plain"),
    "restic-rows": of_stream("restic", "rows"), "borg-rows": of_stream("borg", "rows"),
}


class Texts:
    """Texts of words that are as frequent as those of a language."""

    def __init__(self, rng):
        syllables = [a + b for a in "b d f g h k l m n p r s t v w st br".split() for b in "a e i o u an er el in on".split()]
        self.rng, self.words = rng, ["".join(rng.choices(syllables, k=rng.choice([1, 2, 2, 3, 3, 4]))) for _ in range(20_000)]
        self.weights, total = [], 0.0
        for rank in range(len(self.words)):
            total += 1 / (rank + 3)
            self.weights.append(total)
        self.drawn = []

    def text(self, least, most):
        count = self.rng.randint(least, most)
        if len(self.drawn) < count:
            self.drawn = self.rng.choices(self.words, cum_weights=self.weights, k=200_000)
        text = " ".join(self.drawn[-count:])
        del self.drawn[-count:]
        return text


def row(table, number, texts):
    """Returns a row as a line that LOAD DATA reads."""
    rng, (_, _, words) = texts.rng, TABLES[table]
    date = f"20{rng.randint(15, 26)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} {rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    own = {
        "customers": lambda: [texts.text(2, 3), f"{texts.text(1, 1)}.{rng.randint(1, 99999)}@example.org", date],
        "articles": lambda: [texts.text(3, 8), f"{rng.randint(100, 99999) / 100}", date],
        "orders": lambda: [str(rng.randint(1, 200_000)), rng.choice(["new", "paid", "sent", "returned"]), f"{rng.randint(100, 999999) / 100}", date],
        "log": lambda: [date, str(rng.randint(1, 200_000)), rng.choice(ACTIONS), f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"],
    }
    return "\t".join([str(number), *own[table](), texts.text(*words)]) + "\n"


class Database:
    """A server with the database `shop`, which goes through its states."""

    def __init__(self, folder, rows, seed):
        self.folder, self.socket, self.rng = folder, folder + "/socket", random.Random(seed)
        self.texts = Texts(self.rng)
        self.rows = {table: rows // share for table, (share, _, _) in TABLES.items()}
        common = ["--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}", "--user=root", "--innodb-flush-method=nosync"]
        subprocess.run(["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
        options = [f"--socket={self.socket}", "--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=512M", "--local-infile=1"]
        self.server = subprocess.Popen(["mariadbd", *common, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start = time.monotonic()
        while not os.path.exists(self.socket):
            assert self.server.poll() is None and time.monotonic() - start < 120, "the server does not start"
            time.sleep(0.05)

    def sql(self, statements):
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--local-infile=1", "--batch", "--skip-column-names"]
        return subprocess.run(command, input=statements, check=True, capture_output=True, text=True).stdout

    def load(self, table, lines):
        path = f"{self.folder}/rows"
        with open(path, "w") as file:
            file.writelines(lines)
        self.sql(f"USE shop; LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table}")
        os.remove(path)

    def go_to(self, step):
        """Brings the database into the state of a step."""
        if step == "first":
            self.sql("CREATE DATABASE shop CHARACTER SET utf8mb4")
            for table, (_, columns, _) in TABLES.items():
                self.sql(f"USE shop; CREATE TABLE {table} (id INT PRIMARY KEY, {columns}, text TEXT)")
                self.load(table, (row(table, number, self.texts) for number in range(1, self.rows[table] + 1)))
        if step in ("runs", "scattered"):
            for table, (_, _, words) in TABLES.items():
                chosen = self.in_runs(table) if step == "runs" else self.rng.sample(range(1, self.rows[table] + 1), self.rows[table] // 100)
                self.sql("USE shop; CREATE TABLE changes (id INT PRIMARY KEY, text TEXT)")
                self.load("changes", (f"{number}\t{self.texts.text(*words)}\n" for number in sorted(chosen)))
                self.sql(f"USE shop; UPDATE {table} JOIN changes USING (id) SET {table}.text = changes.text; DROP TABLE changes")
        if step == "runs":
            whole, length = sum(self.rows.values()), self.rows["log"]
            self.load("log", (row("log", length + number, self.texts) for number in range(1, whole // 320 + 1)))
            self.sql(f"DELETE FROM shop.log ORDER BY id LIMIT {whole // 3200}")

    def in_runs(self, table):
        """Returns the numbers of 1 % of the rows, 100 to 200 neighbours at a time."""
        chosen = set()
        while len(chosen) < self.rows[table] // 100:
            start = self.rng.randint(1, self.rows[table] - 200)
            chosen.update(range(start, start + self.rng.randint(100, 200)))
        return chosen


def size_of(path):
    """Returns the bytes of all files below path."""
    return sum(os.lstat(os.path.join(root, name)).st_size for root, _, names in os.walk(path) for name in names)


def busy():
    """Returns the CPU seconds that the whole machine has worked since it started."""
    with open("/proc/stat") as stat:
        ticks = [int(x) for x in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def shell(command, env):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], env=env, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def measure(command, env, log):
    """Runs a command of the shell; returns its own accounting by the kernel."""
    log.write(f"\n$ {command}\n".encode())
    log.flush()
    before, start = busy(), time.monotonic()
    process = subprocess.Popen(["bash", "-o", "pipefail", "-c", command], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall, own = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    assert process.returncode == 0, f"exit code {process.returncode}: {command}: see {log.name}"
    return dict(wall=round(wall, 2), user=round(usage.ru_utime, 2), sys=round(usage.ru_stime, 2), maxrss=usage.ru_maxrss,
                others=round(max(0.0, busy() - before - own), 1))


class Tool:
    """One tool with its repository."""

    def __init__(self, name, work, database):
        self.name, self.commands, self.n = name, TOOLS[name], 0
        base = f"{work}/{name}"
        self.words = dict(repo=base + "/repo", cache=base + "/cache", socket=database.socket, n=0)
        self.words["plain"] = DUMP.format(socket=database.socket, more="").replace("  ", " ")
        self.words["rows"] = DUMP.format(socket=database.socket, more="--skip-extended-insert")
        self.env = dict(os.environ, **{key: value.format(**self.words) for key, value in ENV[self.commands["kind"]].items()})
        os.makedirs(self.words["cache"])
        if "config" in self.commands:
            for file, text in [("password", PASSWORD + "\n"), ("drumlin.toml", self.commands["config"].format(**self.words))]:
                with open(os.open(f"{self.words['cache']}/{file}", os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
                    out.write(text)
        shell(self.commands["init"].format(**self.words), self.env)

    def back_up(self, log):
        self.words["n"] += 1
        measured = measure(self.commands["backup"].format(**self.words), self.env, log)
        return dict(measured, tool=self.name, repo=size_of(self.words["repo"]))

    def check(self, database):
        """Fails unless what is stored is the database."""
        digest = " | grep '^INSERT' | sha256sum"
        stored = shell(self.commands["restore"].format(**self.words) + digest, self.env)
        assert stored == shell(self.words[self.commands["dump"]] + digest, self.env), f"{self.name} stored something else"


def run(args):
    for one in args.drumlin:
        name, path = one.split("=", 1)
        TOOLS[name] = drumlin(os.path.abspath(path), MARIADB)
    wanted = (args.tools.split(",") if args.tools else list(TOOLS)) + [one.split("=")[0] for one in args.drumlin if args.tools]
    names = [name for name in wanted if shutil.which(TOOLS[name]["version"].split()[0])]
    if missing := [name for name in wanted if name not in names]:
        print("not on PATH, left out: " + ", ".join(missing), file=sys.stderr)
    shutil.rmtree(args.work, ignore_errors=True)
    os.makedirs(args.work + "/server")
    database = Database(args.work + "/server", args.rows, args.seed)
    try:
        with open(args.work + "/commands.log", "ab") as log, open(args.out or args.work + "/results.jsonl", "w") as out:
            tools = [Tool(name, args.work, database) for name in names]
            for tool in tools:
                version = shell(tool.commands["version"], tool.env).splitlines()[0]
                out.write(json.dumps(dict(tool=tool.name, version=version)) + "\n")
            for turn, step in enumerate(STEPS):
                database.go_to(step)
                plain, rows = (int(shell(tools[0].words[kind] + " | wc -c", tools[0].env)) for kind in ("plain", "rows"))
                out.write(json.dumps(dict(step=step, plain=plain, rows=rows)) + "\n")
                for tool in tools[turn % len(tools):] + tools[:turn % len(tools)]:
                    line = json.dumps(dict(tool.back_up(log), step=step))
                    print(line, flush=True)
                    out.write(line + "\n")
                    out.flush()
            for tool in tools:
                tool.check(database)
    finally:
        database.server.terminate()
        database.server.wait()
    show(args.out or args.work + "/results.jsonl")


def show(path):
    """Prints tables in Markdown: bytes, and what it took."""
    with open(path) as lines:
        lines = [json.loads(line) for line in lines]
    for line in lines:
        if "version" in line:
            print(f"{line['tool']}: {line['version']}")
    for line in lines:
        if "plain" in line:
            print(f"{line['step']}: {line['plain'] / 1e6:.1f} MB by the client's defaults, {line['rows'] / 1e6:.1f} MB a row a statement")
    found = {(line["tool"], line["step"]): line for line in lines if "wall" in line}
    tools = list(dict.fromkeys(tool for tool, _ in found))
    print(f"\n| MB stored | {' | '.join(STEPS)} |\n|---{'|---' * len(STEPS)}|")
    for tool in tools:
        sizes = [0] + [found[tool, step]["repo"] for step in STEPS]
        print(f"| {tool} | {' | '.join(f'{(after - before) / 1e6:.2f}' for before, after in zip(sizes, sizes[1:]))} |")
    print(f"\n| wall s / CPU s / peak MiB | {' | '.join(STEPS)} |\n|---{'|---' * len(STEPS)}|")
    for tool in tools:
        cells = [found[tool, step] for step in STEPS]
        texts = [f"{cell['wall']:.1f} / {cell['user'] + cell['sys']:.1f} / {cell['maxrss'] / 1024:.0f}" for cell in cells]
        print(f"| {tool} | {' | '.join(texts)} |")
    others = [line["others"] for line in found.values()]
    print(f"\nCPU seconds of others meanwhile, the server's among them: {min(others)} to {max(others)}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--show":
        return show(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("--rows", type=int, default=1_600_000)
    parser.add_argument("--tools")
    parser.add_argument("--drumlin", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    run(args)


main()

#!/usr/bin/env python3
"""Plants one fault after the other in a copy of the tree and demands that tests find it: scripts/mutants.toml is the list.

Arguments choose mutants by words of their names. The copy and what is built there stay in target/mutants for the next time. The
oracle plays DRUMLIN_ORACLE_HISTORIES histories (200) against each. Ends with 1 if a mutant was not found, or could not be built.
"""

import os
import pathlib
import subprocess
import sys
import tomllib

os.environ.setdefault("DRUMLIN_ORACLE_HISTORIES", "200")

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "mutants"
ORACLE = "oracle::every_fourth"


def copy_tree():
    """Copies what is tracked or new, where it differs, so that little is built anew."""
    COPY.mkdir(parents=True, exist_ok=True)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    ).stdout.split(b"\0")
    # Cargo's settings count below the tree too: twice would be other flags, by which everything is built anew.
    for name in (name for name in map(os.fsdecode, names) if name and not name.startswith(".cargo/")):
        source, target = ROOT / name, COPY / name
        if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def environment():
    variables = dict(os.environ, CARGO_TARGET_DIR=str(COPY / "target"), RUST_BACKTRACE="0")
    variables.pop("DRUMLIN_TEST_SEED", None)
    return variables


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=COPY, env=environment(), capture_output=True, text=True)


def test(which):
    """Runs tests; the program that they run is the one that was built last."""
    return cargo("nextest", "run", "--locked", "--no-fail-fast", "--test", "it", which)


def oracle_without_building(program):
    return subprocess.run(
        [program, ORACLE, "--test-threads=4"], cwd=COPY, env=environment(), capture_output=True, text=True
    )


def test_program():
    """Builds the tests once, without any mutant, and returns their program, after it was seen to pass."""
    built = cargo("test", "--locked", "--test", "it", "--no-run")
    if built.returncode != 0:
        sys.exit(f"the tests cannot be built:\n{built.stderr[-2000:]}")
    program = built.stderr.rsplit("(", 1)[1].split(")", 1)[0]
    program = program if os.path.isabs(program) else str(COPY / program)
    clean = oracle_without_building(program)
    if clean.returncode != 0:
        sys.exit(f"the oracle fails without any mutant:\n{clean.stdout[-3000:]}")
    return program


def play(mutant, program):
    """Returns what became of a mutant, with the first line that says why."""
    path = COPY / mutant["file"]
    text = path.read_text()
    if text.count(mutant["old"]) != 1:
        return "LOST", f"its text stands in {mutant['file']} {text.count(mutant['old'])} times: mend the list"
    path.write_text(text.replace(mutant["old"], mutant["new"]))
    try:
        # With a benchmark the dependencies have the features that the tests gave them, and are not built a second time.
        built = cargo("build", "--locked", "--bin", "drumlin", "--bench", "stages")
        if built.returncode != 0:
            return "NOT BUILT", built.stderr[-1500:]
        ran = test(mutant["tests"]) if "tests" in mutant else oracle_without_building(program)
    finally:
        path.write_text(text)
    if ran.returncode == 0:
        return "NOT FOUND", ""
    lines = (ran.stdout + ran.stderr).splitlines()
    at = next((at for at, line in enumerate(lines) if "panicked at" in line), None)
    return ("found", lines[at + 1][:150]) if at is not None else ("NOT RUN", "\n".join(lines[-20:]))


def main():
    mutants = tomllib.loads((ROOT / "scripts" / "mutants.toml").read_text())["mutant"]
    wanted = [one for one in mutants if not sys.argv[1:] or any(word in one["name"] for word in sys.argv[1:])]
    copy_tree()
    program = test_program()
    failed = 0
    for mutant in wanted:
        outcome, why = play(mutant, program)
        failed += outcome != "found"
        print(f"{outcome:9} {mutant['name']}: {why}", flush=True)
    print(f"mutants: {len(wanted) - failed} of {len(wanted)} found")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

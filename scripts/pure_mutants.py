#!/usr/bin/env python3
"""Runs cargo-mutants on the pure code: strata 0 and 1 with their unit tests and the frozen vectors,
and the plan of a prune.

The code is copied into a small crate in target/pure-mutants, where a mutant takes seconds instead
of minutes. Vectors that need a repository (directories, repositories, foreign configs) stay out.
Arguments go to `cargo mutants` (for example `--file src/retention/plan.rs`, `--list`).
Settings, and the mutants that are left out with the reason: .cargo/mutants.toml.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CRATE = ROOT / "target" / "pure-mutants"
MODULES = "id alignment sync monitor format crypto chunker compress container retention rules".split()
VECTORS = "codec containers cuts decoders faults faults_slots faults_structures forge keys text words".split()
# What the vectors ask of the directories that need a repository.
NO_DIRECTORIES = """
use super::faults::Fault;
pub fn faults() -> Vec<Fault> { Vec::new() }
pub fn sound() -> Vec<(&'static str, Vec<u8>)> { Vec::new() }
pub fn judge_directory(_: &[u8]) -> Result<(), String> { unreachable!() }
"""

# What the plan of a prune asks of the rooms around it. Reading the index is left out: see mutants.toml.
AROUND_THE_PLAN = {
    "src/maintain/mod.rs": "pub mod prune;\n",
    "src/maintain/prune/mod.rs": """
pub mod options;
pub mod plan;
pub mod roots {
    use crate::id::{ObjectId, SnapshotId};
    use std::collections::HashSet;
    #[derive(Default)]
    pub struct Roots {
        pub dropped: Vec<SnapshotId>,
        pub relied: HashSet<ObjectId>,
        pub ended_sessions: HashSet<SnapshotId>,
    }
}
""",
    "src/repo/mod.rs": """
pub type Result<T> = std::result::Result<T, ()>;
pub mod snapshots { pub mod trash { pub const TRASH_WINDOW_S: i64 = 14 * 86_400; } }
pub mod gc { pub mod collect {
    use crate::format::run::PackClass;
    use crate::id::ObjectId;
    use std::collections::HashMap;
    pub struct DatedPack { pub class: PackClass, pub len_bytes: u64, pub modified_s: Option<i64> }
    #[derive(Default)]
    pub struct PackList { pub packs: HashMap<ObjectId, DatedPack>, pub newest_s: Option<i64> }
} }
pub mod read { pub mod reachable {
    pub struct MarkBits;
    impl MarkBits { pub fn is_set(&self, _: u64) -> bool { unimplemented!() } }
} }
pub mod index {
    use super::Result;
    use crate::format::run::{RunRecord, RunToc};
    use crate::id::ChunkId;
    pub struct Run;
    impl Run {
        pub fn toc(&self) -> &RunToc { unimplemented!() }
        pub fn block_count(&self) -> u32 { unimplemented!() }
        pub fn read_block(&self, _: u32) -> Result<Vec<RunRecord>> { unimplemented!() }
        pub fn location(&self, _: &RunRecord) -> u8 { unimplemented!() }
    }
    pub struct Numbered { pub number: u64, pub location: u8 }
    pub struct IndexSet;
    impl IndexSet {
        pub fn runs(&self) -> Vec<Run> { unimplemented!() }
        pub fn numbered_runs(&self) -> Vec<(u64, Run)> { unimplemented!() }
        pub fn find_numbered(&self, _: &ChunkId) -> Result<Option<Numbered>> { unimplemented!() }
    }
}
""",
}


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def manifest():
    text = (ROOT / "Cargo.toml").read_text()
    dependencies = text[text.index("[dependencies]") : text.index("[[bin]]")]
    used = "argon2 bincode bip39 blake3 chacha20poly1305 ed25519-dalek fastcdc globset jiff regex subtle thiserror zeroize zstd"
    used += " proptest rand serde serde_json unicode-normalization getrandom"
    lines = dependencies.splitlines()
    kept = [line for line in lines if line.startswith("[") or line.split(" ")[0] in used.split()]
    head = '[package]\nname = "drumlin"\nversion = "0.1.0"\nedition = "2024"\n\n'
    profile = "\n[profile.dev]\ndebug = false\n\n[profile.dev.package.\"*\"]\nopt-level = 3\n\n[workspace]\n"
    return head + "\n".join(kept).replace(", optional = true", "") + profile


def main():
    shutil.rmtree(CRATE, ignore_errors=True)
    CRATE.mkdir(parents=True)
    for module in MODULES:
        name = module if (ROOT / "src" / module).is_dir() else module + ".rs"
        copy(ROOT / "src" / name, CRATE / "src" / name)
    for name in ("options.rs", "plan.rs", "plan/tests.rs"):
        copy(ROOT / "src/maintain/prune" / name, CRATE / "src/maintain/prune" / name)
    for name, text in AROUND_THE_PLAN.items():
        (CRATE / name).parent.mkdir(parents=True, exist_ok=True)
        (CRATE / name).write_text(text)
    modules = [*MODULES, "maintain", "repo"]
    (CRATE / "src/lib.rs").write_text("".join(f"pub mod {module};\n" for module in modules))
    for name in VECTORS:
        copy(ROOT / f"tests/it/format/vectors/{name}.rs", CRATE / f"tests/pure/vectors/{name}.rs")
    (CRATE / "tests/pure/vectors/directories.rs").write_text(NO_DIRECTORIES)
    vectors = (ROOT / "tests/it/format/vectors/mod.rs").read_text()
    vectors = re.sub(r"mod (foreign_configs|repositories); //[^\n]*\n", "", vectors)
    (CRATE / "tests/pure/vectors/mod.rs").write_text(vectors)
    (CRATE / "tests/pure/main.rs").write_text("mod vectors;\n")
    copy(ROOT / "format-spec/vectors", CRATE / "format-spec/vectors")
    copy(ROOT / "format-spec/words-english.txt", CRATE / "format-spec/words-english.txt")
    for vector in (CRATE / "format-spec/vectors").glob("*/*"):
        if vector.is_file() and "what: directory\n" in vector.read_text(errors="replace"):
            vector.unlink()
    (CRATE / "Cargo.toml").write_text(manifest())
    copy(ROOT / "Cargo.lock", CRATE / "Cargo.lock")
    copy(ROOT / ".cargo/mutants.toml", CRATE / ".cargo/mutants.toml")
    # In place: this is a copy already, and so the dependencies are built once.
    command = ["cargo", "mutants", "--in-place", "--dir", str(CRATE), "--output", str(CRATE), *sys.argv[1:]]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(CRATE) + "-build")
    sys.exit(subprocess.run(command, check=False, env=environment).returncode)


if __name__ == "__main__":
    main()

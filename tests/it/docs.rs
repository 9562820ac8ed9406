//! Goal: what the documentation shows is what happens. Method: every `console` block of README.md and docs/ is run in a scratch home, and its
//! output compared line by line; numbers, times, ids and sizes may differ, words may not. With `DRUMLIN_DOCS_UPDATE=1` the blocks are
//! rewritten from what happened.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Home;

/// What stands in the documentation for the scratch home and this machine.
const SHOWN_HOME: &str = "/home/ada";
const SHOWN_HOST: &str = "laptop";

/// A block's place in its file, and its lines.
struct Block {
    first_line: usize,
    lines: Vec<String>,
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.extend(["README.md", "SECURITY.md"].map(|name| root.join(name)));
    pages.sort();
    pages
}

#[test]
fn every_console_block_shows_what_happens() {
    let update = std::env::var_os("DRUMLIN_DOCS_UPDATE").is_some();
    let (mut blocks, mut wrong) = (0, String::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let home = furnished_home();
        let mut rewritten = String::new();
        for part in split(&text) {
            let block = match part {
                Part::Text(line) => {
                    if let Some(command) = line.strip_prefix("<!-- before: ").and_then(|rest| rest.strip_suffix(" -->")) {
                        let (output, code) = shell(&home, command);
                        assert_eq!(code, 0, "{}: {command}\n{output}", page.display());
                    }
                    rewritten += &format!("{line}\n");
                    continue;
                }
                Part::Console(block) => block,
            };
            blocks += 1;
            let happened = run(&home, &block);
            let shown = block.lines.join("\n");
            if normal(&happened) != normal(&shown) {
                let place = format!("{}:{}", page.file_name().unwrap().to_string_lossy(), block.first_line);
                writeln!(wrong, "{place} shows\n{shown}\nbut this happens\n{happened}\n").unwrap();
            }
            rewritten += &format!("```console\n{happened}\n```\n");
        }
        if update {
            fs::write(&page, rewritten).unwrap();
        }
    }
    assert!(blocks >= 8, "only {blocks} blocks were found");
    assert!(update || wrong.is_empty(), "{wrong}\nDRUMLIN_DOCS_UPDATE=1 writes what happens into the pages");
}

enum Part {
    Text(String),
    Console(Block),
}

fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        open = match (open, line) {
            (None, "```console") => Some(Block { first_line: number + 2, lines: Vec::new() }),
            (None, line) => {
                parts.push(Part::Text(line.to_owned()));
                None
            }
            (Some(block), "```") => {
                parts.push(Part::Console(block));
                None
            }
            (Some(mut block), line) => {
                block.lines.push(line.to_owned());
                Some(block)
            }
        };
    }
    assert!(open.is_none(), "a block is not closed");
    parts
}

/// Returns a home with some documents in it.
fn furnished_home() -> Home {
    let home = Home::new();
    home.write("documents/letters/to-grandma.txt", "Dear grandma,\nthank you for the apples.\n");
    home.write("documents/letters/to-the-bank.txt", "Dear bank,\nno.\n");
    home.write(
        "documents/thesis.md",
        "# On drumlins\n\nA drumlin is a hill that a glacier lays down layer by layer.\n".repeat(400),
    );
    let noise: Vec<u8> = (0..150_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    home.write("documents/photos/glacier.jpg", noise);
    // Files that changed within a clock tick before a backup are read again by the next one, which would be shown.
    std::thread::sleep(std::time::Duration::from_millis(150));
    home
}

/// Runs the commands of a block and returns what a terminal would show.
fn run(home: &Home, block: &Block) -> String {
    let commands = block.lines.iter().filter_map(|line| line.strip_prefix("$ "));
    let mut shown = Vec::new();
    for command in commands {
        shown.push(format!("$ {command}"));
        let (output, code) = shell(home, command);
        shown.extend(output.lines().map(str::to_owned));
        let is_failure_shown = block.lines.iter().any(|line| line.starts_with("error: "));
        assert!(code == 0 || is_failure_shown, "`{command}` ended with exit code {code}:\n{output}");
    }
    shown.join("\n")
}

fn shell(home: &Home, command: &str) -> (String, i32) {
    let program = home.command([] as [&str; 0]);
    let folder = Path::new(program.get_program()).parent().unwrap();
    let path = std::env::join_paths([folder, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(home.path("")).env_clear();
    shell.env("HOME", home.path("")).env("PATH", path).env("TZ", "UTC");
    let output = shell.output().unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let text = String::from_utf8_lossy(&output.stdout).replace(&home.text(""), SHOWN_HOME);
    (rename_host(&text, &host), output.status.code().unwrap())
}

/// Replaces the machine's name in tables of snapshots, whose columns stay in place.
fn rename_host(text: &str, host: &str) -> String {
    let mut column = None;
    let lines = text.lines().map(|line| {
        if let Some(before) = line.strip_suffix(host).filter(|before| before.starts_with("On computer ")) {
            return format!("{before}{SHOWN_HOST}");
        }
        // What `forget` calls a series.
        for (before, after) in [("", ", /"), ("the newest snapshot of ", ", /"), ("snapshots of ", ", /")] {
            let (own, shown) = (format!("{before}{host}{after}"), format!("{before}{SHOWN_HOST}{after}"));
            if line.contains(&own) && (line.starts_with(&own) || !before.is_empty()) {
                return line.replacen(&own, &shown, 1);
            }
        }
        if line.starts_with("id  ") {
            column = line.find(" host ").map(|at| at + 1);
        }
        let old_width = host.len().max("host".len());
        let Some((start, end)) = column.map(|at| (at, at + old_width)).filter(|(_, end)| line.len() > *end) else {
            column = None;
            return line.to_owned();
        };
        let cell = line[start..end].trim_end().replace(host, SHOWN_HOST);
        format!("{}{cell:<width$}{}", &line[..start], &line[end..], width = SHOWN_HOST.len())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the text without what differs from run to run.
fn normal(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().map(normal_word).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

fn normal_word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/');
    let is_hex = |text: &str| text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let replaced = match bare {
        "B" | "KiB" | "MiB" | "GiB" | "s" | "min" => "U".to_owned(),
        bare if bare.contains('/') => match bare.split_once(':') {
            Some((snapshot, path)) if is_hex(snapshot) => format!("#:{path}"),
            _ if ["data/", "meta/", "index/"].iter().any(|class| bare.starts_with(class)) => "#".to_owned(),
            _ => return word.to_owned(),
        },
        bare if is_hex(bare) || bare.bytes().any(|byte| byte.is_ascii_digit()) => "#".to_owned(),
        _ => return word.to_owned(),
    };
    word.replacen(bare, &replaced, 1)
}

#[test]
fn every_json_field_is_described() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).unwrap();
    let home = furnished_home();
    std::os::unix::fs::symlink("thesis.md", home.path("documents/link")).unwrap();
    let mut documents = vec![home.json(["quickstart", "documents"])];
    for command in [
        "init --repo other --key-file other.key",
        "backup documents",
        "snapshots",
        "forget --keep-last 1 --dry-run",
        "forget --keep-daily 7 --simulate 30d",
        "forget --protect latest",
        "forget --unprotect latest",
        "forget latest --force",
        "snapshots --forgotten",
        "undelete --all",
        "ls -R latest",
        "diff latest latest",
        "diff latest:documents/letters latest:documents/photos",
        "history documents/thesis.md",
        "find *.md letters",
        "du latest:documents --all",
        "restore latest -t out --dry-run",
        "restore latest -t out",
        "check",
        "repair",
        "stats",
        "stats latest",
        "cost",
        "key list",
        "key add --output more.key",
        "man pages",
    ] {
        documents.push(home.json(command.split(' ')));
    }
    let mut names = std::collections::BTreeSet::new();
    documents.iter().for_each(|document| collect_names(document, &mut names));
    assert!(names.len() > 80, "{names:?}");
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/json.md does not describe {missing:?}");
}

fn collect_names(value: &serde_json::Value, names: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            collect_names(value, names);
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}

#[test]
fn numbers_may_differ_and_words_may_not() {
    assert_eq!(normal("stored   1.20 KiB in 0.31 s (3f9a12c4)"), normal("stored 999 B in 12 s (abcdefab)"));
    assert_eq!(normal("3f9a12c4:/home/ada/a1"), normal("00000000:/home/ada/a1"));
    assert_ne!(normal("/home/ada/a1"), normal("/home/ada/a2"));
    assert_ne!(normal("kept  key"), normal("made  key"));
}

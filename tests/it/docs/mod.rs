//! Goal: what the documentation shows is what happens. Method: every block of README.md,
//! SECURITY.md and docs/ is used in a scratch home, in the order of the page:
//! * of `console` the commands are run and their output is compared line by line; numbers, times,
//!   ids and sizes may differ, words may not;
//! * of `sh` the commands must succeed;
//! * any other is a file, which what follows must be able to use; the mark `<!-- file: PATH -->`
//!   before it says which.
//!
//! `<!-- not run: REASON -->` before a block leaves it out. `<!-- before: COMMAND -->` runs what is
//! not shown, and `<!-- server: WORDS -->` starts a server ([`stage`]). With
//! `DRUMLIN_DOCS_UPDATE=1` `console` blocks that are wrong are rewritten from what happened.

mod configuration; // keys of the configuration
mod form; // form of pages
mod json; // fields of JSON documents
mod page; // parts of a page
mod placeholders; // parts that differ from run to run
mod promises; // promises and their tests
mod stage; // the place where commands run

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use page::{Block, Part};
use placeholders::normal;
use stage::Stage;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the name of a page as seen from the project's directory.
fn name_of(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.extend(["README.md", "SECURITY.md"].map(|name| root().join(name)));
    pages.sort();
    pages
}

/// Pages whose servers take their time: they have a test of their own.
const ABOUT_DATABASES: [&str; 3] = ["docs/apps.md", "docs/coming-from.md", "docs/databases.md"];

#[test]
fn every_block_shows_what_happens() {
    play(pages().into_iter().filter(|page| !is_about_databases(page)), 40);
}

#[test]
fn every_block_about_databases_shows_what_happens() {
    play(pages().into_iter().filter(|page| is_about_databases(page)), 20);
}

fn is_about_databases(page: &Path) -> bool {
    ABOUT_DATABASES.contains(&name_of(page).as_str())
}

/// Plays pages, which have so many blocks at least.
fn play(pages: impl Iterator<Item = PathBuf>, blocks_min: usize) {
    let update = std::env::var_os("DRUMLIN_DOCS_UPDATE").is_some();
    let (mut blocks, mut wrong) = (0, String::new());
    for path in pages {
        let page = Page { name: name_of(&path), stage: Stage::new() };
        let played = page.play(&fs::read_to_string(&path).unwrap());
        blocks += played.blocks;
        wrong += &played.wrong;
        if update {
            fs::write(&path, played.text).unwrap();
        }
    }
    assert!(blocks >= blocks_min, "only {blocks} blocks were found");
    assert!(
        update || wrong.is_empty(),
        "{wrong}\nDRUMLIN_DOCS_UPDATE=1 writes what happens into the pages"
    );
}

/// A page and where its commands are run.
struct Page {
    name: String,
    stage: Stage,
}

/// What came of a page.
#[derive(Default)]
struct Played {
    blocks: usize,
    /// What is shown and does not happen.
    wrong: String,
    /// The page with what happens.
    text: String,
}

/// What a mark says about the block after it.
enum Use {
    Show,
    File(String),
    Skip,
}

impl Page {
    fn play(mut self, text: &str) -> Played {
        let mut played = Played::default();
        let mut next = Use::Show;
        for part in page::split(text) {
            match part {
                Part::Line(line) => writeln!(played.text, "{line}").unwrap(),
                Part::Mark { name, words } => {
                    writeln!(played.text, "<!-- {name}: {words} -->").unwrap();
                    match name.as_str() {
                        "before" => self.run("before", &words),
                        "server" => self.stage.serve(&words),
                        "file" => next = Use::File(words),
                        "not run" => next = Use::Skip,
                        other => panic!("{}: nobody knows the mark `{other}`", self.name),
                    }
                }
                Part::Block(block) => {
                    played.blocks += 1;
                    let shown = block.lines.join("\n");
                    let happened = self
                        .happens(&block, std::mem::replace(&mut next, Use::Show))
                        .unwrap_or_else(|| shown.clone());
                    if normal(&happened) == normal(&shown) {
                        played.text += &block.fenced(&shown);
                    } else {
                        let place = format!("{}:{}", self.name, block.first_line);
                        writeln!(
                            played.wrong,
                            "{place} shows\n{shown}\nbut this happens\n{happened}\n"
                        )
                        .unwrap();
                        played.text += &block.fenced(&happened);
                    }
                }
            }
        }
        assert!(matches!(next, Use::Show), "{}: a mark stands before no block", self.name);
        played
    }

    /// Uses a block; returns what it should show, if it shows anything.
    fn happens(&self, block: &Block, usage: Use) -> Option<String> {
        match (usage, block.language.as_str()) {
            (Use::Skip, _) => None,
            (Use::File(path), _) => {
                self.stage.write(&path, &block.lines.join("\n"));
                None
            }
            (Use::Show, "console") => Some(self.console(block)),
            (Use::Show, "sh") => {
                block.lines.iter().for_each(|line| self.run(&block.first_line.to_string(), line));
                None
            }
            (Use::Show, _) => panic!(
                "{}:{}: neither run nor a file, and no reason is given",
                self.name, block.first_line
            ),
        }
    }

    /// Runs the commands of a block and returns what a terminal would show.
    fn console(&self, block: &Block) -> String {
        let mut shown = Vec::new();
        let is_failure_shown = block.lines.iter().any(|line| line.starts_with("error: "));
        for command in block.lines.iter().filter_map(|line| line.strip_prefix("$ ")) {
            shown.push(format!("$ {command}"));
            let (output, code) = self.stage.shell(command);
            shown.extend(output.lines().map(str::to_owned));
            assert!(
                code == 0 || is_failure_shown,
                "{}: `{command}` ended with exit code {code}:\n{output}",
                self.name
            );
        }
        shown.join("\n")
    }

    fn run(&self, place: &str, command: &str) {
        let (output, code) = self.stage.shell(command);
        assert_eq!(code, 0, "{}:{place}: {command}\n{output}", self.name);
    }
}

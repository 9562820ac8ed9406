//! Texts with shares, from files and from standard input.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::page::{PLACE_BEGIN, PLACE_END, unescaped};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::connect::credentials::fingerprint_in;
use crate::crypto::shares::share::{Share, ShareError};
use crate::crypto::shares::text::shares_in;
use crate::text;

/// Longest text that is read, in bytes: more than sixteen pages.
const TEXT_LEN_MAX_BYTES: u64 = 1 << 20;

/// Labels of the lines of a page that a kit repeats.
const FACTS: [&str; 4] = ["Backup is at", "On computer", "Repository", "Fingerprint"];

/// Words that were meant as a share, and whence they came.
pub(super) struct Found {
    /// The file, and its number there if there are several; for people.
    pub origin: String,
    /// The share, or what is wrong with the words.
    pub share: Result<Share, ShareError>,
    /// What the page says about the backup.
    pub about: About,
}

/// What a page says about the backup, line by line, made harmless.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    /// Lines of facts.
    pub facts: Vec<String>,
    /// Lines of the place block, without its marks.
    pub place: Vec<String>,
}

impl About {
    /// Returns the location of the repository, if the page has one.
    pub(super) fn location(&self) -> Option<String> {
        let url = self.place.iter().find_map(|line| {
            let pair: toml::Table = line.parse().ok()?;
            Some(pair.get("url")?.as_str()?.to_owned())
        });
        url.or_else(|| {
            let line = self.facts.iter().find_map(|line| line.strip_prefix(FACTS[0]))?;
            Some(line.trim().to_owned())
        })
    }

    /// Returns the start of the repository's fingerprint, if the page has it.
    pub(super) fn fingerprint(&self) -> Option<Vec<u8>> {
        self.facts.iter().find_map(|line| fingerprint_in(line))
    }

    fn read(page: &str) -> Self {
        let mut about = Self::default();
        let mut is_place = false;
        for line in page.lines().map(str::trim_end) {
            match line {
                PLACE_BEGIN => is_place = true,
                PLACE_END => is_place = false,
                line if is_place => about.place.push(text::harmless(line)),
                line => {
                    let is_new = |label: &&&str| {
                        line.starts_with(**label)
                            && !about.facts.iter().any(|known| known.starts_with(**label))
                    };
                    if FACTS.iter().find(is_new).is_some() {
                        about.facts.push(text::harmless(line));
                    }
                }
            }
        }
        about
    }
}

/// Reads all shares of the files, `-` being standard input, which is read if there is no file.
pub(super) fn read(ctx: &Context, files: &[PathBuf]) -> Result<Vec<Found>, Failure> {
    let standard_input = [PathBuf::from("-")];
    let files = if files.is_empty() { &standard_input[..] } else { files };
    let mut found = Vec::new();
    for path in files {
        let is_standard_input = path.as_os_str() == "-";
        if is_standard_input && io::stdin().is_terminal() {
            ctx.ui.note(
                "type the words of each share and an empty line after it; Ctrl-D ends the input",
            );
        }
        let origin = if is_standard_input { "standard input".to_owned() } else { text::path(path) };
        let text = if is_standard_input {
            read_text(io::stdin().lock())
        } else {
            File::open(path).and_then(read_text)
        };
        let text = text.map_err(|error| {
            Failure::new(Exit::Error, format!("cannot read {origin}")).caused_by(&error)
        })?;
        found.extend(in_text(&origin, &text)?);
    }
    Ok(found)
}

/// Returns the shares of one text; fails if there is none.
fn in_text(origin: &str, text: &str) -> Result<Vec<Found>, Failure> {
    let is_html =
        text.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
    let plain = if is_html { unescaped(text) } else { Zeroizing::new(text.to_owned()) };
    let shares = shares_in(&plain);
    if shares.is_empty() {
        return Err(Failure::new(Exit::WrongSecret, format!("{origin} holds no share"))
            .hint("give the page of a share, or its 33 words"));
    }
    let is_alone = shares.len() == 1;
    let about = About::read(&plain);
    let name = |at: usize| match is_alone {
        true => origin.to_owned(),
        false => format!("share {} in {origin}", at + 1),
    };
    Ok(shares
        .into_iter()
        .enumerate()
        .map(|(at, share)| Found { origin: name(at), share, about: about.clone() })
        .collect())
}

fn read_text(reader: impl Read) -> io::Result<Zeroizing<String>> {
    // Full capacity at once, so that growing leaves no partial copies in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(TEXT_LEN_MAX_BYTES as usize + 1));
    reader.take(TEXT_LEN_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_LEN_MAX_BYTES {
        return Err(io::Error::other("it is longer than any page with shares"));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::Error::other("it is not UTF-8 text: save it as UTF-8, or type it anew")),
    }
}

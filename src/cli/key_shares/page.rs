//! The page of one share, as text and as HTML with the same words.
//!
//! Its reader may never have heard of Drumlin, and has no computer that knows the backup. Both
//! forms can be given to `key combine` as they are.

use std::fmt::Write;
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::global::PROGRAM;
use crate::crypto::shares::share::Share;
use crate::crypto::shares::split::Scheme;
use crate::crypto::shares::text::{SHARE_BEGIN, SHARE_END, numbered_words};
use crate::settings::location::Location;
use crate::text;

/// The line before the place of a backup, as on recovery kits.
pub(super) const PLACE_BEGIN: &str = "--- place ---";
/// The line after the place of a backup.
pub(super) const PLACE_END: &str = "--- end of place ---";

/// Columns of a text page.
const COLUMNS: usize = 92;

/// What all pages of a set have in common.
pub(super) struct Set<'a> {
    /// How many shares there are, and how many open.
    pub scheme: Scheme,
    /// Holders by the numbers of their shares; empty if they are not named.
    pub names: &'a [String],
    /// Location of the repository.
    pub location: &'a str,
    /// Id of the repository in hex.
    pub repository_id: &'a str,
    /// Fingerprint of its keys, in groups.
    pub fingerprint: &'a str,
    /// Host on which the pages are made.
    pub host: &'a str,
    /// Time at which they are made, for people.
    pub made: &'a str,
}

/// A part of a page.
enum Part {
    Title(String),
    Text(String),
    /// Lines that stay as they are.
    Lines(Zeroizing<String>),
    Heading(&'static str),
    Step(String),
    Command(String),
    Bullet(String),
}

/// Returns the page of a share as text.
pub(super) fn text_page(set: &Set<'_>, share: &Share) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(16 << 10));
    let mut steps = 0;
    for part in parts(set, share) {
        match part {
            Part::Title(title) => {
                let _ = writeln!(out, "{title}\n{}\n", "=".repeat(title.chars().count()));
            }
            Part::Text(text) => wrap(&mut out, "", "", &text),
            Part::Lines(lines) => out.extend([&lines, "\n"]),
            Part::Heading(heading) => out.extend([heading, "\n\n"]),
            Part::Step(text) => {
                steps += 1;
                wrap(&mut out, &format!("{steps}. "), "   ", &text);
            }
            Part::Command(command) => out.extend(["      ", &command, "\n\n"]),
            Part::Bullet(text) => wrap(&mut out, "* ", "  ", &text),
        }
    }
    out
}

/// Returns the page of a share as HTML: one file that loads nothing and runs nothing.
pub(super) fn html_page(set: &Set<'_>, share: &Share) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(32 << 10));
    out.push_str(HTML_HEAD);
    let mut list = "";
    for part in parts(set, share) {
        let wanted = match part {
            Part::Step(_) => "ol",
            Part::Command(_) => list,
            Part::Bullet(_) => "ul",
            _ => "",
        };
        if wanted != list {
            if !list.is_empty() {
                out.extend(["</li>\n</", list, ">\n"]);
            }
            if !wanted.is_empty() {
                out.extend(["<", wanted, ">\n<li>"]);
            }
            list = wanted;
        } else if matches!(part, Part::Step(_) | Part::Bullet(_)) {
            out.push_str("</li>\n<li>");
        }
        let (before, inner, after) = match &part {
            Part::Title(title) => ("<h1>", title.as_str(), "</h1>\n"),
            Part::Text(text) => ("<p>", text.as_str(), "</p>\n"),
            // A line break after the tag is not shown, and lets each line begin where it does.
            Part::Lines(lines) => ("<pre>\n", lines.as_str(), "</pre>\n"),
            Part::Heading(heading) => ("<h2>", *heading, "</h2>\n"),
            Part::Step(text) | Part::Bullet(text) => ("", text.as_str(), ""),
            Part::Command(command) => ("<code>", command.as_str(), "</code>"),
        };
        out.push_str(before);
        push_escaped(&mut out, inner);
        out.push_str(after);
    }
    if !list.is_empty() {
        out.extend(["</li>\n</", list, ">\n"]);
    }
    out.push_str("</body>\n</html>\n");
    out
}

const HTML_HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>Drumlin: share of a key</title>
<style>
@page { margin: 15mm }
body { font: 11pt/1.35 sans-serif; max-width: 180mm; margin: 0 auto; color: #000 }
h1 { font-size: 18pt; border-bottom: 2pt solid #000 }
h2 { font-size: 13pt; break-after: avoid }
pre { font: 10pt/1.4 monospace; white-space: pre-wrap; overflow-wrap: anywhere }
pre { break-inside: avoid }
pre:last-of-type { font-size: 14pt; border: 1pt solid #000; padding: 3mm }
code { display: block; font: 10pt monospace; margin: 2mm 0; overflow-wrap: anywhere }
li { margin-bottom: 1.5mm }
</style>
</head>
<body>
"#;

/// Returns a string as TOML has it, without characters that a terminal or printer interprets.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if text::is_loud(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Appends text that HTML shows as it is, in elements; [`unescaped`] takes it back.
fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// Returns the text of an HTML page, with its tags.
pub(super) fn unescaped(html: &str) -> Zeroizing<String> {
    const MARKS: [(&str, char); 5] =
        [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#39;", '\'')];
    let mut out = Zeroizing::new(String::with_capacity(html.len()));
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        let mark = MARKS.iter().find(|(mark, _)| rest.starts_with(mark));
        let (taken, c) = mark.map_or((c.len_utf8(), c), |(mark, c)| (mark.len(), *c));
        out.push(c);
        rest = &rest[taken..];
    }
    out
}

fn parts(set: &Set<'_>, share: &Share) -> Vec<Part> {
    let (needed, count) = (set.scheme.threshold(), set.scheme.count());
    let number = share.index + 1;
    let mut parts = vec![
        Part::Title(format!("DRUMLIN: SHARE {number} OF {count} OF A KEY")),
        Part::Text(format!(
            "This page is one of {count} shares of the key of a backup. Any {needed} of the \
             {count} open it, without a password and without the computer that made it. This page \
             alone opens nothing.",
        )),
        Part::Lines(facts(set, share)),
        Part::Lines(Zeroizing::new(format!(
            "{PLACE_BEGIN}\nurl = {}\nfingerprint = \"{}\"\n{PLACE_END}\n",
            quoted(set.location),
            set.fingerprint
        ))),
        Part::Lines(Zeroizing::new(format!(
            "{SHARE_BEGIN}\n{}{SHARE_END}\n",
            *numbered_words(share)
        ))),
    ];
    parts.push(Part::Heading("WHEN THE FILES ARE NEEDED"));
    parts.extend(steps(set));
    parts.push(Part::Text(
        "If that program cannot be found any more: the words follow the public standard SLIP-39 \
         (one group, no passphrase). The folder \"format-spec\" of Drumlin's source code describes \
         the rest in full; its programs in Python make the key from such pages (shares.py), and \
         restore a backup with it (reader.py)."
            .to_owned(),
    ));
    parts.push(Part::Heading("UNTIL THEN"));
    let others = u64::from(needed - 1);
    parts.extend(
        [
            "Keep this page as you keep a deed: dry, and where your family finds it. If you lose \
             it or move away, tell its owner, who can make a new set."
                .to_owned(),
            format!(
                "Do not keep it in one place with {} of this set: together they are the key of \
                 everything in the backup.",
                if others == 1 { "another share".to_owned() } else { format!("{others} others") }
            ),
            "Do not show it, send it, or photograph it with a phone that uploads its pictures."
                .to_owned(),
            format!(
                "Give it up only when you know yourself why the files are needed: you are one of \
                 the {needed} who decide that."
            ),
        ]
        .map(Part::Bullet),
    );
    parts
}

/// Returns what the page is about, in lines that people and `key combine` read.
fn facts(set: &Set<'_>, share: &Share) -> Zeroizing<String> {
    let holder = |index: u8| {
        let blank = "____________________".to_owned();
        set.names.get(usize::from(index)).map_or(blank, |name| text::harmless(name))
    };
    let mut out = Zeroizing::new(String::with_capacity(4 << 10));
    let set_id = share.set.id;
    let (needed, count) = (set.scheme.threshold(), set.scheme.count());
    for (label, value) in [
        ("Share", format!("{} of {count}, set {set_id}; any {needed} open", share.index + 1)),
        ("For", holder(share.index)),
        ("Backup is at", text::harmless(set.location)),
        ("On computer", text::harmless(set.host)),
        ("Repository", set.repository_id.to_owned()),
        ("Fingerprint", set.fingerprint.to_owned()),
        ("Made", format!("{}, by {PROGRAM}", set.made)),
    ] {
        let _ = writeln!(out, "{label:<15}{value}");
    }
    out.push_str("\nThe other shares:\n");
    for index in (0..count).filter(|index| *index != share.index) {
        let _ = writeln!(out, "{:>4} of {count}: {}", index + 1, holder(index));
    }
    out
}

fn steps(set: &Set<'_>) -> Vec<Part> {
    let needed = set.scheme.threshold();
    let others = text::counted(u64::from(needed - 1), "other");
    let place = text::shell_word(set.location);
    let step = |text: &str| Part::Step(text.to_owned());
    let drumlin =
        |rest: &str| Part::Command(format!("drumlin --repo {place} --key-file kit.txt {rest}"));
    vec![
        Part::Step(format!(
            "Meet with {others} of those who hold a share of this set, and a relative or friend \
             who has used Linux before. It takes an hour."
        )),
        step(way_to(set.location)),
        step("Get the program Drumlin for your computer (Linux). It may lie beside the backup."),
        Part::Step(format!(
            "Type the 33 words of each of the {needed} shares into a text file named shares.txt, \
             with an empty line after each share. Numbers, line breaks and capital letters do not \
             matter, and the first four letters of a word are enough. Pages that you have as files \
             are used as they are. Open a terminal in the folder of that file and type:"
        )),
        Part::Command("drumlin key combine shares.txt --output kit.txt".to_owned()),
        step(
            "If a word is wrong, the program says which one. If all is well, kit.txt is the whole \
             key. To see which backups there are:",
        ),
        drumlin("snapshots"),
        step("To copy everything of the newest one into a new folder named \"restored\":"),
        drumlin("restore latest --target restored"),
        step(
            "This changed nothing in the backup. When the files are back, delete kit.txt and \
             shares.txt.",
        ),
    ]
}

/// Returns what is needed in addition to the shares.
fn way_to(location: &str) -> &'static str {
    match Location::parse(location.as_ref(), Path::new("/")) {
        Ok(Location::Local(_)) => {
            "Find the disk or computer that \"Backup is at\" names. If it was a disk that was \
             plugged in, plug it into the computer you use now; its folder may then have another \
             name, which takes the place of the one below."
        }
        Ok(Location::S3(_)) => {
            "The backup is in a bucket of a storage provider, whose account must be paid for. To \
             read it, an access key of that account is needed, which is not on this page. Set \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to its two parts in the terminal first."
        }
        Ok(Location::Sftp(_)) => {
            "The backup is on another machine; if it is rented, the account must be paid for. To \
             read it, that machine's password is needed, which is not on this page. Set \
             DRUMLIN_SSH_PASSWORD to it in the terminal first."
        }
        Err(_) => "Find the place that \"Backup is at\" names, and what opens it.",
    }
}

/// Appends a paragraph and an empty line; words longer than a line stay whole.
fn wrap(out: &mut String, first: &str, next: &str, text: &str) {
    let mut used = first.len();
    out.push_str(first);
    for (at, word) in text.split(' ').enumerate() {
        let len = word.chars().count();
        if at > 0 && used + 1 + len > COLUMNS {
            out.extend(["\n", next]);
            used = next.len();
        } else if at > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += len;
    }
    out.push_str("\n\n");
}

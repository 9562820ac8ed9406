//! Goal: pages alone give the files back, no set of pages lies about what it opens, and whatever is
//! wrong with typed shares is named.
//!
//! Method: the real program splits and combines; it is killed by a tracer at its renames.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::home::{Home, Ran, fields};
use crate::support::needs::{can_run, may_trace};

/// Returns a home with a repository, and what `key split` printed with these words after the
/// folder `shares`.
fn split(args: &str) -> (Home, Value) {
    let home = Home::with_repository();
    let words = format!("key split --output shares {args}");
    let made = home.json(words.split(' '));
    (home, made)
}

/// Returns the file of a page, by the number of its share and its ending.
fn page(made: &Value, share: usize, ending: &str) -> String {
    let files = made["shares"][share - 1]["files"].as_array().unwrap();
    let mut files = files.iter().map(|file| file.as_str().unwrap());
    files.find(|file| file.ends_with(ending)).unwrap().to_owned()
}

/// Returns the 33 words of a page.
fn words_of(page: &str) -> Vec<String> {
    let inside = page.split_once("--- share ---").unwrap().1.split_once("---").unwrap().0;
    let pieces = inside.split_whitespace().filter(|piece| !piece.ends_with('.'));
    pieces.map(str::to_owned).collect()
}

/// Returns a home that knows nothing, beside the repository of another one.
fn heir() -> Home {
    Home::new()
}

#[test]
fn pages_alone_give_the_files_back() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let made =
        home.json(["key", "split", "2-of-3", "--output", "shares", "--names", "Ada,Bo & Sons,Cy"]);
    assert_eq!(fields(&made), "key needed set shares");
    assert_eq!(fields(&made["key"]), "action file id label");
    assert_eq!(fields(&made["shares"][0]), "files holder share");
    assert_eq!(made["shares"][1]["holder"], "Bo & Sons");
    let set = made["set"].as_u64().unwrap();
    let listed = home.run(["key", "list"]).ok().out;
    assert!(listed.contains(&format!("2 of 3 shares, set {set}")), "{listed}");
    for pair in [[1, 2], [1, 3], [3, 2]] {
        for ending in [".txt", ".html"] {
            let heir = heir();
            let names = pair.map(|share| page(&made, share, ending));
            for name in &names {
                heir.write(name, home.read(name));
            }
            let combine = ["key", "combine", &names[0], &names[1], "--output", "kit.txt"];
            let combined = heir.json(combine);
            assert_eq!(fields(&combined), "fingerprint kit location set shares");
            assert_eq!(combined["location"], home.text("repo"));
            assert_eq!(combined["set"], set);
            let mode = heir.path("kit.txt").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
            // The kit's own commands, as they are printed.
            let kit = heir.read("kit.txt");
            let commands: Vec<&str> =
                kit.lines().filter_map(|line| line.strip_prefix("drumlin ")).collect();
            assert_eq!(commands.len(), 2, "{kit}");
            for command in commands {
                heir.script(&[], &format!("\"$drumlin\" {command}")).ok();
            }
            let restored = format!("restored{}", home.text("src"));
            assert_eq!(heir.tree(&restored), home.tree("src"));
        }
    }
}

/// The page's steps are the commands that a family types.
#[test]
fn the_commands_of_a_page_work_as_they_are_printed() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let made = home.json(["key", "split", "3-of-4", "--output", "shares", "--format", "text"]);
    let text = home.read(&page(&made, 2, ".txt"));
    assert!(text.contains("Meet with 2 others of those"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    let heir = heir();
    let typed: Vec<String> = [4, 2, 1]
        .map(|share| words_of(&home.read(&page(&made, share, ".txt"))))
        .iter()
        .map(|words| words.iter().map(|word| &word[..4]).collect::<Vec<_>>().join("\n"))
        .collect();
    heir.write("shares.txt", typed.join("\n\n").to_uppercase());
    let commands: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("      drumlin ")).collect();
    assert_eq!(commands.len(), 3, "{text}");
    for command in commands {
        heir.script(&[], &format!("\"$drumlin\" {command}")).ok();
    }
    assert_eq!(heir.tree(&format!("restored{}", home.text("src"))), home.tree("src"));
}

#[test]
fn typed_words_make_a_key_without_a_place() {
    let (home, made) = split("2-of-2");
    let words = |share| words_of(&home.read(&page(&made, share, ".txt"))).join(" ");
    let input = format!("{}\n\n{}\n", words(2), words(1));
    let heir = heir();
    let ran = heir.run_with_input(["key", "combine", "--output", "kit.txt"], input.as_bytes()).ok();
    assert!(ran.out.contains("shares 1 and 2 of set"), "{ran:?}");
    assert!(ran.out.contains("--repo FOLDER-or-URL"), "{ran:?}");
    let repository = home.text("repo");
    heir.run(["--repo", &repository, "--key-file", "kit.txt", "snapshots"]).ok();
    let again = ["key", "combine", "-", "--output", "kit.txt"];
    heir.run_with_input(again, input.as_bytes()).fails(1, "cannot create kit.txt", "never over");
}

#[test]
fn every_mistake_is_named_at_once() {
    let (home, made) = split("3-of-4");
    let other = home.json(["key", "split", "3-of-4", "--output", "more"]);
    let (set, other_set) = (made["set"].as_u64().unwrap(), other["set"].as_u64().unwrap());
    let words = |share| words_of(&home.read(&page(&made, share, ".txt")));
    home.write("ada", words(1).join(" "));
    home.write("ada-again", words(1).join("\n"));
    let mut wrong = words(2);
    wrong[6] = if wrong[6] == "zero" { "yoga" } else { "zero" }.to_owned();
    home.write("bo", wrong.join(" "));
    wrong[6] = "drumlin".to_owned();
    home.write("bo-unknown", wrong.join(" "));
    let mut swapped = words(3);
    swapped.swap(0, 10);
    swapped.swap(3, 4);
    home.write("cy", swapped.join(" "));
    home.write("short", words(4)[1..].join(" "));
    home.write("prose", "These are the words that Ada told me on the telephone, I think.");
    let stranger = page(&other, 4, ".html");
    let combine =
        |files: &[&str]| home.run(["key", "combine", "--output", "kit.txt"].iter().chain(files));
    let ran = combine(&["ada", "ada-again", "bo", "bo-unknown", "cy", "short", "prose", &stranger])
        .fails(12, "they belong to sets of different days", "only shares with one set number");
    for told in [
        "ada-again: the same share as ada, counted once".to_owned(),
        "bo: word 7 is wrong".to_owned(),
        "bo-unknown: word 7 is not in the word list".to_owned(),
        "cy: more than one word is wrong".to_owned(),
        "short: 32 words, where a share has 33".to_owned(),
        "prose: ".to_owned(),
        format!("share 1 (ada) of set {set}: 2 more of this set are needed"),
        format!("share 4 ({stranger}) of set {other_set}: 2 more of this set are needed"),
    ] {
        assert!(ran.err.contains(&told), "{told}\n{}", ran.err);
    }
    assert!(!home.path("kit.txt").exists());
    let (two, three, four) = (page(&made, 2, "txt"), page(&made, 3, "txt"), page(&made, 4, "txt"));
    let ran = combine(&["ada", &two]).fails(12, "do not make a key yet", "give all shares");
    assert!(ran.err.contains("1 more of this set is needed"), "{}", ran.err);
    combine(&["nothing"]).fails(1, "cannot read nothing", "");
    home.write("empty", "\n");
    combine(&["empty"]).fails(12, "empty holds no share", "33 words");
    home.write("binary", b"\xff\xfea\0");
    assert!(combine(&["binary"]).fails(1, "cannot read binary", "").err.contains("UTF-8"));
    // What is wrong with some is a warning when the others are enough.
    let ran = combine(&["ada", "bo", &stranger, &three, &four]).ok();
    assert!(ran.err.contains("bo: word 7 is wrong"), "{}", ran.err);
    assert!(ran.err.contains(&format!("{stranger}: of another set ({other_set}, not {set})")));
    home.run(["--key-file", "kit.txt", "snapshots"]).ok();
    // Two whole keys.
    let others = [1, 2, 3].map(|share| page(&other, share, ".txt"));
    let all = [&["ada", &three, &four][..], &others.each_ref().map(String::as_str)].concat();
    combine(&all).fails(12, "more than one whole key", "one set only");
}

#[test]
fn shares_that_lie_are_refused() {
    let (home, made) = split("2-of-3");
    let other = home.json(["key", "split", "2-of-3", "--output", "more"]);
    // The set number of one on the value of the other, with a checksum of its own.
    let forge = "import sys, shamir_mnemonic.share as s\n\
        a, b = (s.Share.from_mnemonic(line) for line in sys.argv[1:])\n\
        print(s.Share(**{**vars(b), 'identifier': a.identifier}).mnemonic())";
    let words = |made: &Value, share| words_of(&home.read(&page(made, share, ".txt"))).join(" ");
    let forged = std::process::Command::new(crate::support::python_with_modules())
        .args(["-c", forge, &words(&made, 1), &words(&other, 2)])
        .output()
        .unwrap();
    assert!(forged.status.success(), "{forged:?}");
    home.write("forged", forged.stdout);
    let one = page(&made, 1, ".txt");
    let ran = home.run(["key", "combine", &one, "forged", "--output", "kit.txt"]).fails(
        12,
        "do not make a key",
        "leave out one",
    );
    assert!(ran.err.contains("the shares do not fit together"), "{}", ran.err);
    let both = [&one, &page(&made, 2, ".txt"), "forged"];
    let ran = home.run(["key", "combine", both[0], both[1], both[2], "--output", "kit.txt"]);
    assert!(ran.code(12).err.contains("two shares have the number 2"));
    assert!(!home.path("kit.txt").exists());
}

#[test]
fn wrong_usage_makes_no_key_and_no_page() {
    let home = Home::with_repository();
    let split = |args: &str| home.run(format!("key split --output shares {args}").split(' '));
    for (scheme, why) in [
        ("1-of-3", "a share that opens alone is a whole key: make 3 keys by"),
        ("4-of-3", "more shares would be needed than there are"),
        ("2-of-17", "a set has at most 16 shares"),
        ("0-of-0", "a share that opens alone"),
        ("2of3", "as in 2-of-3"),
        ("2-of-300", "as in 2-of-3"),
        ("", "as in 2-of-3"),
    ] {
        assert!(split(scheme).code(2).err.contains(why), "{scheme}");
    }
    split("2-of-3 --names Ada,Bo").fails(2, "--names has 2 names, and there are 3", "one name");
    split("2-of-3 --names Ada,,Cy").fails(2, "name 2 is empty", "1 to 60");
    split("2-of-3 --names Ada,Bo,Ada").fails(2, "has `Ada` twice", "namesakes");
    assert!(!home.path("shares").exists());
    home.write("shares", "a file");
    split("2-of-3").fails(1, "cannot make the folder shares", "");
    assert_eq!(home.json(["key", "list"])["keys"].as_array().unwrap().len(), 1);
    home.run(["key", "combine", "x"]).code(2);
}

#[test]
fn pages_are_their_owners_and_replace_nothing() {
    let home = Home::with_repository();
    home.write("shares/kept", "precious");
    let first = home.json(["key", "split", "2-of-2", "--output", "shares", "--format", "html"]);
    let second = home.json([
        "key", "split", "2-of-3", "--output", "shares", "--format", "text", "--label", "family",
    ]);
    assert_eq!(home.read("shares/kept"), "precious");
    assert_eq!(fs::read_dir(home.path("shares")).unwrap().count(), 1 + 2 + 3);
    for file in [page(&first, 1, ".html"), page(&second, 3, ".txt")] {
        let mode = home.path(&file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{file}");
    }
    let label = format!("family: 2 of 3 shares, set {}", second["set"]);
    assert_eq!(second["key"]["label"], label.as_str());
    assert!(home.run(["key", "list"]).ok().out.contains(&label));
    // Removing the key makes the pages useless, and others are not touched.
    let id = second["key"]["id"].as_str().unwrap();
    home.run(["key", "remove", id]).ok();
    let pages = [page(&second, 1, ".txt"), page(&second, 2, ".txt")];
    home.run(["key", "combine", &pages[0], &pages[1], "--output", "kit.txt"]).ok();
    home.run(["--key-file", "kit.txt", "snapshots"]).fails(12, "wrong password or key", "kit.txt");
    let pages = [page(&first, 1, ".html"), page(&first, 2, ".html")];
    home.run(["key", "combine", &pages[0], &pages[1], "--output", "kit2.txt"]).ok();
    home.run(["--key-file", "kit2.txt", "snapshots"]).ok();
    let folder = home.json(["key", "split", "2-of-2", "--output", "new"]);
    assert_eq!(folder["needed"], 2);
    assert_eq!(home.path("new").metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

/// Names, places and hosts are strangers' text: a page shows them and does not obey them.
#[test]
fn a_page_shows_hostile_names_and_places_as_they_are() {
    let place = "re<po> & \"co\" 'x'</pre><script>alert(1)</script>";
    let home = Home::new().with("DRUMLIN_KEY_FILE", "key").with("DRUMLIN_REPOSITORY", place);
    home.write("x", "x");
    fs::create_dir_all(home.path(place)).unwrap();
    home.run(["init"]).ok();
    home.run(["backup", "x"]).ok();
    let names = "<b>Ada</b>,--- share ---,&amp;Cy\u{1b}[2J\u{202e}";
    let made = home.json(["key", "split", "2-of-3", "--output", "s", "--names", names]);
    let html = home.read(&page(&made, 1, ".html"));
    assert!(html.contains("&lt;b&gt;Ada&lt;/b&gt;"), "{html}");
    assert!(html.contains("&amp;amp;Cy\\x1b[2J"), "{html}");
    for forbidden in ["<b>", "<script", "http:", "https:", "src=", "url(", "@import", "\u{1b}"] {
        assert!(!html.contains(forbidden), "{forbidden} in {html}");
    }
    assert_eq!(html.matches("<pre>").count(), 3);
    let text = home.read(&page(&made, 1, ".txt"));
    assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'), "{text}");
    let heir = heir();
    for share in [1, 3] {
        let file = page(&made, share, ".html");
        heir.write(&file, home.read(&file));
    }
    let files = [page(&made, 1, ".html"), page(&made, 3, ".html")];
    let combined = heir.json(["key", "combine", &files[0], &files[1], "--output", "k"]);
    assert_eq!(combined["location"].as_str().unwrap(), home.text(place));
    heir.run(["--repo", &home.text(place), "--key-file", "k", "snapshots"]).ok();
}

/// Returns the names in the folder `shares`, sorted.
fn pages_in(home: &Home) -> Vec<String> {
    home.tree("shares").into_iter().map(|(name, _)| name).collect()
}

/// A call to the system at which something happens.
#[derive(Debug)]
struct Step {
    call: &'static str,
    number: u32,
}

/// Returns the calls that make a key and its pages: the slot gets its name, then each page, and one
/// that is not made.
fn steps() -> impl Iterator<Item = Step> {
    let of_pages = (1..=4).map(|number| Step { call: "renameat2", number });
    std::iter::once(Step { call: "linkat", number: 1 }).chain(of_pages)
}

#[test]
fn a_death_never_leaves_pages_that_look_good_and_open_nothing() {
    if !can_run(may_trace(), "the permission to trace a program") {
        return;
    }
    let mut seen = [false; 3];
    for at in steps() {
        let home = Home::with_repository();
        let inject = format!("inject={}:signal=KILL:when={}", at.call, at.number);
        let tracer = ["strace", "-f", "-o", "/dev/null", "-e", &inject, "--"];
        let args = ["key", "split", "2-of-3", "--output", "shares", "--format", "text"];
        let ran = Ran::of(&home.wrapped(&tracer, args).output().unwrap());
        let keys = home.json(["key", "list"])["keys"].as_array().unwrap().len();
        let pages = if home.path("shares").exists() { pages_in(&home) } else { Vec::new() };
        let finished = pages.iter().filter(|name| name.ends_with(".txt")).count();
        if ran.code == 0 {
            assert_eq!((keys, finished, pages.len()), (2, 3, 3));
            continue;
        }
        if pages.is_empty() {
            assert_eq!(keys, 1);
            continue;
        }
        assert_eq!(pages.len(), 3, "all pages are durable before the key is there: {pages:?}");
        if keys == 1 {
            assert_eq!(finished, 0, "{pages:?}");
            seen[0] = true;
        } else {
            seen[1 + usize::from(finished > 0)] = true;
            // Whole pages, whatever their names are.
            let paths: Vec<String> = pages.iter().map(|name| format!("shares/{name}")).collect();
            home.run(["key", "combine", &paths[0], &paths[2], "--output", "kit.txt"]).ok();
            home.run(["--key-file", "kit.txt", "snapshots"]).ok();
        }
    }
    assert_eq!(seen, [true; 3], "deaths before the key, after it, and between final names");
}

#[test]
fn what_fails_takes_pages_and_key_back() {
    if !can_run(may_trace(), "the permission to trace a program") {
        return;
    }
    let mut failed = 0;
    for at in steps() {
        let home = Home::with_repository();
        let inject = format!("inject={}:error=ENOSPC:when={}", at.call, at.number);
        let tracer = ["strace", "-f", "-o", "/dev/null", "-e", &inject, "--"];
        let args = ["key", "split", "2-of-3", "--output", "shares", "--format", "text"];
        let ran = Ran::of(&home.wrapped(&tracer, args).output().unwrap());
        let keys = home.json(["key", "list"])["keys"].as_array().unwrap().len();
        if ran.code == 0 {
            assert_eq!((keys, pages_in(&home).len()), (2, 3));
        } else {
            failed += 1;
            assert!(!home.path("shares").exists(), "{at:?}: {ran:?}");
            assert_eq!(keys, 1, "{at:?}: {ran:?}");
        }
    }
    assert!(failed >= 4, "the key slot and three final names: {failed}");
}

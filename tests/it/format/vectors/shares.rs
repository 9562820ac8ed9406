//! Shares of a secret: the standard's own vectors, ours, and the standard's own program.

use std::io::Write;
use std::process::{Command, Stdio};

use drumlin::crypto::shares::combine::combine;
use drumlin::crypto::shares::share::Share;
use drumlin::crypto::shares::split::{Scheme, split};
use drumlin::crypto::shares::text::{SHARE_BEGIN, SHARE_END, numbered_words, shares_in};
use drumlin::id::encode_hex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::support::python_with_modules;

/// A row of `slip-39.json`: the standard's vectors, with the passphrase `TREZOR`.
#[derive(Deserialize)]
struct Official {
    what: String,
    shares: Vec<String>,
    /// In hex; empty if the shares must be refused.
    secret: String,
}

#[test]
fn all_vectors_of_the_standard_hold() {
    let path = super::folder().join("slip-39.json");
    let rows: Vec<Official> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(rows.len(), 45);
    for Official { what, shares, secret } in rows {
        let parsed: Result<Vec<Share>, String> = shares
            .iter()
            .map(|words| {
                let words: Vec<&str> = words.split(' ').collect();
                let share = Share::parse(&words).map_err(|error| error.to_string())?;
                assert_eq!(share.words(), words, "{what}: written as it was read");
                Ok(share)
            })
            .collect();
        let opened = parsed
            .and_then(|shares| combine(&shares, b"TREZOR").map_err(|error| error.to_string()));
        match opened {
            Ok(opened) => assert_eq!(encode_hex(&opened), secret, "{what}"),
            Err(error) => assert_eq!(secret, "", "{what}: {error}"),
        }
    }
}

/// A row of `shares.json`.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Row {
    text: String,
    /// The secret, or why the text is refused.
    result: String,
}

fn row(text: &str) -> Row {
    let read: Result<Vec<Share>, String> =
        shares_in(text).into_iter().map(|share| share.map_err(|error| error.to_string())).collect();
    let opened = read.and_then(|shares| combine(&shares, b"").map_err(|error| error.to_string()));
    let result =
        opened.map_or_else(|error| format!("refused: {error}"), |secret| encode_hex(&secret));
    Row { text: text.to_owned(), result }
}

/// Returns the shares of the secret of all vectors, made with fixed bytes in place of random ones.
fn vector_shares(threshold: u8, count: u8, set: u16) -> Vec<Share> {
    let scheme = Scheme::new(threshold, count).unwrap();
    let random: Vec<[u8; 32]> = (1..threshold).map(|block| [block.wrapping_mul(37); 32]).collect();
    split(&Zeroizing::new(super::master()), scheme, set, &random)
}

#[test]
fn shares_are_frozen() {
    let words = |share: &Share| share.words().join(" ");
    let page = |share: &Share| {
        format!("For Bo.\n{SHARE_BEGIN}\n{}{SHARE_END}\nKeep it.\n", *numbered_words(share))
    };
    let two = vector_shares(2, 3, 12345);
    let five = vector_shares(5, 16, 0x7fff);
    let of_another_day = vector_shares(2, 3, 12346);
    let joined = |shares: &[&Share]| {
        shares.iter().map(|share| words(share)).collect::<Vec<_>>().join("\n\n")
    };
    let cut: Vec<&str> = two[0].words().iter().map(|word| &word[..4]).collect();
    let mut rows = vec![
        row(&joined(&[&two[0], &two[1]])),
        row(&joined(&[&two[2], &two[0]])),
        row(&joined(&[&two[0], &two[1], &two[2]])),
        row(&joined(&five.iter().skip(11).collect::<Vec<_>>())),
        row(&joined(&[&two[1], &two[2]]).to_uppercase()),
        row(&format!("{}{}", page(&two[1]), page(&two[0]))),
        row(&[&two[2], &two[1]]
            .map(page)
            .concat()
            .replace("---", "\u{2014}")
            .replace('\n', "\r\n")),
        row(&format!("{}\n{}", cut.join(" "), words(&two[1]))),
    ];
    let accepted = rows.len();
    let mut wrong = two[1].words();
    wrong[6] = "zero";
    let wrong_text = wrong.join(" ");
    let mut swapped = two[1].words();
    swapped.swap(9, 10);
    rows.push(row(&words(&two[0])));
    rows.push(row(&joined(&[&two[0], &two[0]])));
    rows.push(row(&joined(&[&two[0], &of_another_day[1]])));
    rows.push(row(&format!("{}\n\n{wrong_text}", words(&two[0]))));
    rows.push(row(&format!("{}\n\n{}", words(&two[0]), swapped.join(" "))));
    rows.push(row(&format!("{}\n\n{}", words(&two[0]), wrong_text.replace("zero", "drumlin"))));
    rows.push(row(&two[0].words()[..32].join(" ")));
    rows.push(row(""));
    for row in &rows[..accepted] {
        assert_eq!(row.result, encode_hex(&super::master()), "{}", row.text);
    }
    assert!(rows[accepted..].iter().all(|row| row.result.starts_with("refused")));
    assert_eq!(super::same_table("shares.json", &rows), rows);
}

/// Asks the reference implementation of the standard, and returns its output.
fn reference(program: &str, input: &str) -> String {
    let mut child = Command::new(python_with_modules())
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "scripts/test-deps.sh installs `shamir-mnemonic`");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_standards_own_program_combines_ours_and_we_its() {
    let sets = [vector_shares(2, 3, 1), vector_shares(3, 5, 0x7fff), vector_shares(16, 16, 77)];
    let lines: String = sets
        .iter()
        .map(|shares| {
            let threshold = usize::from(shares[0].threshold);
            let last = &shares[shares.len() - threshold..];
            let words: Vec<String> = last.iter().map(|share| share.words().join(" ")).collect();
            format!("{}\n", words.join(","))
        })
        .collect();
    let opened = reference(
        "import sys\nfrom shamir_mnemonic import combine_mnemonics\n\
         for line in sys.stdin: print(combine_mnemonics(line.strip().split(',')).hex())",
        &lines,
    );
    let master = encode_hex(&super::master());
    assert_eq!(opened.lines().collect::<Vec<_>>(), [&master[..]; 3]);
    let made = reference(
        "from shamir_mnemonic import generate_mnemonics\n\
         for extendable in (True, False):\n\
         \x20   for exponent in (0, 2):\n\
         \x20       groups = generate_mnemonics(1, [(3, 5)], bytes(range(32)),\n\
         \x20           extendable=extendable, iteration_exponent=exponent)\n\
         \x20       print(','.join(groups[0][1:4]))\n\
         groups = generate_mnemonics(2, [(1, 1), (2, 3), (3, 3)], bytes(range(32)))\n\
         print(','.join(groups[0] + groups[1][1:]))",
        "",
    );
    let mut count = 0;
    for line in made.lines() {
        let row = row(&line.replace(',', "\n"));
        assert_eq!(row.result, master, "{line}");
        count += 1;
    }
    assert_eq!(count, 5);
}

//! Secrets as words, and words that are refused.

use drumlin::crypto::phrase::{secret_of_words, words_of};
use drumlin::id::encode_hex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Row {
    text: String,
    /// The secret, or why the text is refused.
    result: String,
}

fn row(text: &str) -> Row {
    let result = match secret_of_words(text) {
        Ok(secret) => encode_hex(&*secret),
        Err(error) => format!("refused: {error}"),
    };
    Row { text: text.to_string(), result }
}

#[test]
fn words_are_frozen() {
    let secrets = [[0; 32], [0xff; 32], super::master()];
    let mut rows: Vec<Row> =
        secrets.iter().map(|secret| row(&words_of(&Zeroizing::new(*secret)))).collect();
    for (row, secret) in rows.iter().zip(secrets) {
        assert_eq!(row.result, encode_hex(&secret));
    }
    let words = rows[2].text.clone();
    let numbered: Vec<String> = words
        .split_whitespace()
        .enumerate()
        .map(|(at, word)| format!("{}. {word}", at + 1))
        .collect();
    rows.push(row(&format!("# a comment\n\n{}", words.to_uppercase())));
    rows.push(row(&numbered.join("\n")));
    rows.push(row(&format!(
        "For my heirs.\n--- words ---\n{words}\n--- end of words ---\nKeep it safe."
    )));
    rows.push(row(&format!("\u{feff}{words}")));
    rows.push(row(&format!("\u{feff}--- words ---\r\n{}\r\n", words.replace('\n', "\r\n"))));
    let accepted = rows.len();
    let mut list: Vec<&str> = words.split_whitespace().collect();
    rows.push(row(&list[..23].join(" ")));
    rows.push(row(&format!("{words} zoo")));
    list.swap(0, 1);
    rows.push(row(&list.join(" ")));
    list[4] = "drumlin";
    rows.push(row(&list.join(" ")));
    rows.push(row(""));
    // Neither a no-break space nor a byte order mark inside the text is white space.
    rows.push(row(&words.replacen(' ', "\u{a0}", 1)));
    rows.push(row(&words.replacen(' ', " \u{feff}", 1)));
    assert!(rows[..accepted].iter().all(|row| !row.result.starts_with("refused")));
    assert!(rows[accepted..].iter().all(|row| row.result.starts_with("refused")));
    assert_eq!(super::same_table("words.json", &rows), rows);
}

#[test]
fn the_word_list_is_the_one_of_the_specification() {
    let list = bip39::Language::English.word_list();
    super::same_file("../words-english.txt", &format!("{}\n", list.join("\n")));
}

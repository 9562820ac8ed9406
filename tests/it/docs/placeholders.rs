//! Placeholders for parts of the output that differ from run to run.

/// What stands in the documentation for the scratch home and this machine.
pub const SHOWN_HOME: &str = "/home/ada";
const SHOWN_HOST: &str = "laptop";

/// Replaces the machine's name in tables of snapshots, whose columns stay in place.
pub fn rename_host(text: &str, host: &str) -> String {
    let mut column = None;
    let lines = text.lines().map(|line| {
        if let Some(before) =
            line.strip_suffix(host).filter(|before| before.starts_with("On computer "))
        {
            return format!("{before}{SHOWN_HOST}");
        }
        // What `forget` calls a series, and what a note says of the snapshot that was chosen.
        let series = [("", ", /"), ("the newest snapshot of ", ", /"), ("snapshots of ", ", /")];
        for (before, after) in series.into_iter().chain([(" of ", ", 2"), (" of ", ", app ")]) {
            let (own, shown) =
                (format!("{before}{host}{after}"), format!("{before}{SHOWN_HOST}{after}"));
            if line.contains(&own) && (line.starts_with(&own) || !before.is_empty()) {
                return line.replacen(&own, &shown, 1);
            }
        }
        if line.starts_with("id  ") {
            column = line.find(" host ").map(|at| at + 1);
        }
        let old_width = host.len().max("host".len());
        let Some((start, end)) =
            column.map(|at| (at, at + old_width)).filter(|(_, end)| line.len() > *end)
        else {
            column = None;
            return line.to_owned();
        };
        let cell = line[start..end].trim_end().replace(host, SHOWN_HOST);
        format!("{}{cell:<width$}{}", &line[..start], &line[end..], width = SHOWN_HOST.len())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the text without what differs from run to run.
pub fn normal(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().map(normal_word).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

fn normal_word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/');
    let is_hex = |text: &str| {
        text.len() >= 8
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let replaced = match bare {
        "B" | "KiB" | "MiB" | "GiB" | "s" | "min" => "U".to_owned(),
        bare if bare.contains('/') => match bare.split_once(':') {
            Some((snapshot, path)) if is_hex(snapshot) => format!("#:{path}"),
            _ if ["data/", "meta/", "index/"].iter().any(|class| bare.starts_with(class)) => {
                "#".to_owned()
            }
            _ => return word.to_owned(),
        },
        bare if is_hex(bare) || bare.bytes().any(|byte| byte.is_ascii_digit()) => "#".to_owned(),
        _ => return word.to_owned(),
    };
    word.replacen(bare, &replaced, 1)
}

#[test]
fn numbers_may_differ_and_words_may_not() {
    assert_eq!(
        normal("stored   1.20 KiB in 0.31 s (3f9a12c4)"),
        normal("stored 999 B in 12 s (abcdefab)")
    );
    assert_eq!(normal("3f9a12c4:/home/ada/a1"), normal("00000000:/home/ada/a1"));
    assert_ne!(normal("/home/ada/a1"), normal("/home/ada/a2"));
    assert_ne!(normal("kept  key"), normal("made  key"));
}

//! Goal: messages say what happened, in plain words, without secrets and without harm to headers.
//!
//! Method: whole texts of a few messages, and hostile names and errors in all their places.

use super::super::event::{Happened, Happening, Outcome, Rules, Told, step};
use super::super::item::ItemId;
use super::*;

fn rules() -> Rules {
    Rules {
        writer: "app/wiki".to_owned(),
        app: Some("wiki".to_owned()),
        targets: vec!["box".to_owned()],
        remind_s: Some(86_400),
        is_muted: false,
    }
}

fn place() -> Place {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    Place { host: "vault".to_owned(), zone, remind_s: Some(86_400) }
}

fn failed(facts: Facts) -> Happening {
    let what = Happened::RunEnded { run: "r1".to_owned(), outcome: Outcome::Failed };
    Happening { what, facts }
}

#[test]
fn a_failure_in_words() {
    let facts = Facts {
        status: Some("failed".to_owned()),
        run: Some("r1".to_owned()),
        slot_s: Some(1_800_000_000),
        started_s: Some(1_800_000_005),
        seconds: Some(75),
        last_good_s: Some(1_799_913_600),
        errors: vec!["cannot dump wiki".to_owned(), "access denied".to_owned()],
        hint: Some("look at [app.wiki] mariadb.password-file".to_owned()),
        ..Facts::default()
    };
    let step = step(&Told::default(), &failed(facts), &rules(), 1_800_000_080);
    let message = message_of(&step.notice.unwrap(), &place());
    assert_eq!(message.subject, "wiki: backup failed (vault)");
    assert_eq!(
        message.body,
        "wiki on vault: backup failed.\n\
         \n\
         Since:      2027-01-15 09:00:05 CET\n\
         Scheduled:  2027-01-15 09:00:00 CET\n\
         Started:    2027-01-15 09:00:05 CET\n\
         Took:       1:15 min\n\
         Status:     failed\n\
         Run:        r1\n\
         Last good:  2027-01-14 09:00:00 CET\n\
         \n\
         error: cannot dump wiki\n  \
           caused by: access denied\n  \
           hint: look at [app.wiki] mariadb.password-file\n\
         \n\
         Written:    2027-01-15 09:01:20 CET\n\
         You are reminded every 24:00:00 h while it lasts.\n"
    );
    assert!(ItemId::parse(&message.id).is_some());
}

#[test]
fn an_end_says_what_ended_and_what_lasts() {
    let told = Told {
        open: vec![
            OpenTrouble {
                trouble: Trouble::of_app(TroubleKind::Failed),
                since_s: 1_790_000_000,
                told_s: 0,
                why: Some("no route".to_owned()),
            },
            OpenTrouble {
                trouble: Trouble::of_target(TroubleKind::Behind, "box"),
                since_s: 1_790_000_000,
                told_s: 0,
                why: None,
            },
        ],
        ..Told::default()
    };
    let what = Happened::RunEnded { run: "r2".to_owned(), outcome: Outcome::Good };
    let happening = Happening { what, facts: Facts::default() };
    let notice = step(&told, &happening, &rules(), 1_800_000_000).notice.unwrap();
    let message = message_of(&notice, &place());
    assert_eq!(message.subject, "wiki: backup works again (vault)");
    assert!(message.body.contains(
        "Ended:\n  backup failed, since 2026-09-21 16:13:20 CEST: no route\n\n\
         Still so:\n  box lacks recent backups, since 2026-09-21 16:13:20 CEST\n"
    ));
    assert!(!message.body.contains("reminded"));
}

#[test]
fn hostile_texts_neither_break_headers_nor_carry_secrets() {
    let hostile = "x\r\nBcc: all@example.org\n\u{1b}[2J https://u:geheim@h/?t=geheim\u{202e}";
    let some = || Some(hostile.to_owned());
    let facts = Facts {
        status: some(),
        run: some(),
        snapshot: some(),
        hint: some(),
        errors: vec![hostile.to_owned(); 99],
        lines: vec![hostile.repeat(999); 99],
        slot_s: Some(i64::MAX),
        last_good_s: Some(i64::MIN),
        ..Facts::default()
    };
    let mut rules = rules();
    rules.app = some();
    let place = Place { host: hostile.to_owned(), zone: TimeZone::UTC, remind_s: Some(i64::MIN) };
    let notice = step(&Told::default(), &failed(facts), &rules, 0).notice.unwrap();
    let message = message_of(&notice, &place);
    let stored = serde_json::to_string(&message).unwrap();
    assert!(!stored.contains("geheim") && !stored.contains('\u{1b}'), "{stored}");
    assert!(stored.len() < 32 << 10, "{} bytes", stored.len());
    for line in [&message.subject, &message.host, message.app.as_ref().unwrap()] {
        assert!(!line.contains(['\n', '\r', '\u{202e}']), "{line}");
    }
    assert!(message.body.lines().all(|line| !line.starts_with("Bcc")), "{}", message.body);
    assert!(message.body.len() <= BODY_MAX_BYTES && message.subject.len() <= SUBJECT_MAX_BYTES);
}

#[test]
fn every_event_has_words_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in TroubleKind::ALL {
        assert!(seen.insert(trouble(kind, Some("box"))));
        assert!(!recovery(&Trouble::of_target(kind, "box")).is_empty());
    }
}

#[test]
fn a_test_message_says_that_it_is_one() {
    let message = test_message(&place(), 1_800_000_000);
    assert_eq!(message.subject, "drumlin: a test (vault)");
    assert!(message.body.contains("2027-01-15 09:00:00 CET"));
}

//! Goal: nothing is taken for missing because an answer broke off, or because something in between
//! answered for the server. Method: a server of the test's own whose answers end early, or are not
//! in the words of an S3 server.

use drumlin::store::{Class, ErrorKind, Key, Store};

use super::canned_server::{Answer, Canned, answer, error};
use super::{kind_of, text_of};

fn key() -> Key {
    Key::new(Class::Snapshots, "ab")
}

fn page(inside: &str) -> String {
    let entry =
        |name: &str| format!("<Contents><Key>a/b/snapshots/{name}</Key><Size>3</Size></Contents>");
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult>{inside}{}{}</ListBucketResult>",
        entry("ab"),
        entry("cd")
    )
}

#[test]
fn a_listing_that_breaks_off_anywhere_is_none() {
    let canned = Canned::new();
    let last = "<IsTruncated>false</IsTruncated>";
    for body in [page(last), page(&format!("{last}<KeyCount>2</KeyCount>"))] {
        let whole = body.len();
        let body = format!("{body}\n ");
        for len in 0..=body.len() {
            canned.plan(&[answer("200 OK", &body).cut(len).unmeasured()]);
            let listed = canned.store.list(Class::Snapshots, "");
            match listed {
                Ok(listed) => assert!(len >= whole && listed.len() == 2, "{len}: {listed:?}"),
                Err(error) => {
                    assert!(
                        len < whole && error.kind == ErrorKind::Unavailable,
                        "{len}: {}",
                        text_of(&error)
                    );
                }
            }
            assert_eq!(canned.asked().len(), 1);
        }
    }
}

#[test]
fn a_listing_that_lacks_what_each_has_is_none() {
    let canned = Canned::new();
    let last = "<IsTruncated>false</IsTruncated>";
    let lacking = |what: &str| page(last).replacen(what, "", 1);
    let bodies = [
        "<ListBucketResult/>".to_owned(),
        "<ListBucketResult></ListBucketResult>".to_owned(),
        page(""),
        page(&format!("{last}<KeyCount>3</KeyCount>")),
        page(&format!("{last}<KeyCount>0</KeyCount>")),
        page(&format!("{last}<KeyCount>-2</KeyCount>")),
        lacking("<Size>3</Size>"),
        lacking("<Key>a/b/snapshots/ab</Key>"),
        page(last).replacen("<Size>3", "<Size>-3", 1),
    ];
    for body in bodies {
        canned.plan(&[answer("200 OK", &body)]);
        assert_eq!(
            kind_of(canned.store.list(Class::Snapshots, "")),
            ErrorKind::Unavailable,
            "{body}"
        );
    }
    let none = "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>";
    canned.plan(&[answer("200 OK", none)]);
    assert_eq!(canned.store.list(Class::Snapshots, "").unwrap(), []);
}

/// What proxies say that know no way to the server.
fn pages_of_proxies() -> [Answer; 3] {
    let text = |body: &str| answer("404 Not Found", body);
    [
        text("404 page not found\n"),
        text(""),
        text("<html><h1>404 Not Found</h1>nginx</html>").with("Content-Type: text/html"),
    ]
}

#[test]
fn a_404_that_is_no_servers_is_asked_again() {
    let canned = Canned::new();
    use ErrorKind::{Unanswered, Unavailable};
    for reply in pages_of_proxies() {
        let kind = |act: &dyn Fn(&dyn Store) -> ErrorKind| {
            canned.plan(std::slice::from_ref(&reply));
            let kind = act(&canned.store);
            assert_eq!(canned.asked().len(), 1, "nothing is sent twice");
            kind
        };
        assert_eq!(kind(&|store| kind_of(store.read(&key()))), Unavailable);
        assert_eq!(
            kind(&|store| kind_of(store.read_into(&key(), 0..4, &mut Vec::new()))),
            Unavailable
        );
        assert_eq!(kind(&|store| kind_of(store.list(Class::Snapshots, ""))), Unavailable);
        assert_eq!(kind(&|store| kind_of(store.create(&key(), b"x"))), Unanswered);
        assert_eq!(kind(&|store| kind_of(store.remove(&key()))), Unanswered);
    }
    for body in ["", "416 Range Not Satisfiable"] {
        canned.plan(&[answer("416 Range", body)]);
        assert_eq!(kind_of(canned.store.read_into(&key(), 5..9, &mut Vec::new())), Unavailable);
    }
}

/// The answer to a HEAD has no words, so an answer that has some is asked for.
#[test]
fn a_head_that_finds_nothing_is_confirmed_in_words() {
    let canned = Canned::new();
    let head = answer("404 Not Found", "");
    let part = answer("206 Part", "x").with("Content-Range: bytes 0-0/10");
    let mut cases = vec![
        (error("404 None", "NoSuchKey"), ErrorKind::NotFound),
        (part, ErrorKind::Unavailable),
        (error("416 Range", "InvalidRange"), ErrorKind::Unavailable),
        (error("503 Slow", "SlowDown"), ErrorKind::Unavailable),
        (error("403 No", "AccessDenied"), ErrorKind::NotPermitted),
    ];
    cases.extend(pages_of_proxies().map(|page| (page, ErrorKind::Unavailable)));
    for (reply, kind) in cases {
        canned.plan(&[head.clone(), reply]);
        let error = canned.store.stat(&key()).unwrap_err();
        assert_eq!(error.kind, kind, "{}", text_of(&error));
        let asked = canned.asked();
        assert!(
            asked[0].starts_with("HEAD ") && asked[1].starts_with("GET ") && asked.len() == 2,
            "{asked:?}"
        );
    }
    canned.plan(&[answer("200 OK", "0123")]);
    assert_eq!(
        (canned.store.stat(&key()).unwrap(), canned.asked().len()),
        (4, 1),
        "what is there is asked for once"
    );
}

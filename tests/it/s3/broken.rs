//! Goal: nothing is taken for missing because an answer broke off, or because something in between answered for the server.
//! Method: a server of the test's own whose answers end early, or are not in the words of an S3 server.

use drumlin::store::{Class, ErrorKind, Store};

use super::canned::{Canned, answer};
use super::{kind_of, text_of};

fn page(inside: &str) -> String {
    let entry = |name: &str| format!("<Contents><Key>a/b/snapshots/{name}</Key><Size>3</Size></Contents>");
    format!("<?xml version=\"1.0\"?><ListBucketResult>{inside}{}{}</ListBucketResult>", entry("ab"), entry("cd"))
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
                    assert!(len < whole && error.kind == ErrorKind::Unavailable, "{len}: {}", text_of(&error));
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
        assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Unavailable, "{body}");
    }
    let none = "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>";
    canned.plan(&[answer("200 OK", none)]);
    assert_eq!(canned.store.list(Class::Snapshots, "").unwrap(), []);
}

//! Goal: each answer of a server has its kind, and says what to do. Method: a server of the test's own that gives them.

use drumlin::store::{Class, ErrorKind, Key, Store, StoreError};

use super::canned::{Canned, answer, error};
use super::{kind_of, text_of};

fn key() -> Key {
    Key::new(Class::Snapshots, "ab")
}

#[test]
fn every_answer_has_its_kind() {
    let canned = Canned::new();
    use ErrorKind::{Exists, Full, NotFound, NotPermitted, Other, Short, Unanswered, Unavailable};
    // The answer, and what it means to a `create`, a `read` and a `remove`.
    let cases = [
        (error("503 Slow", "SlowDown"), [Unavailable; 3], "busy"),
        (error("503 Busy", "ServiceUnavailable"), [Unavailable; 3], "busy"),
        (error("429 Many", "TooManyRequests"), [Unavailable; 3], "did not take"),
        (error("400 Bad", "RequestTimeout"), [Unavailable; 3], "did not take"),
        (error("409 Conflict", "OperationAborted"), [Unavailable; 3], "others are busy"),
        (answer("503 Busy", "<html>sorry</html>"), [Unanswered, Unavailable, Unanswered], "failed (503"),
        (answer("502 Bad", "<html>sorry</html>"), [Unanswered, Unavailable, Unanswered], "failed (502"),
        (answer("504 Late", ""), [Unanswered, Unavailable, Unanswered], "failed (504"),
        (error("500 Oops", "InternalError"), [Unanswered, Unavailable, Unanswered], "words of the server"),
        (error("403 No", "AccessDenied"), [NotPermitted; 3], "needs s3:"),
        (error("403 No", "SignatureDoesNotMatch"), [Other; 3], "secret key is wrong"),
        (error("403 No", "InvalidAccessKeyId"), [Other; 3], "key id"),
        (error("400 Bad", "ExpiredToken"), [Other; 3], "log in again"),
        (error("403 No", "RequestTimeTooSkewed"), [Other; 3], "says Sat, 21 Nov 2020 12:00:00 GMT: set the clock"),
        (
            error("301 Moved", "PermanentRedirect").with("x-amz-bucket-region: eu-central-1"),
            [Other; 3],
            "set `region` to eu-central-1",
        ),
        (error("404 None", "NoSuchBucket"), [NotFound; 3], "no bucket `bucket`"),
        (error("507 Full", "XMinioStorageFull"), [Full; 3], "make room"),
        (error("403 Full", "QuotaExceeded"), [Full; 3], "make room"),
        (error("412 No", "PreconditionFailed"), [Exists; 3], "exists"),
        (error("416 Range", "InvalidRange"), [Short; 3], "ends before"),
        (error("418 Tea", "Teapot"), [Other; 3], "418 Teapot: words of the server"),
    ];
    for (reply, kinds, says) in cases {
        type Act = fn(&Canned) -> StoreError;
        let acts: [Act; 3] = [
            |canned| canned.store.create(&key(), b"x").unwrap_err(),
            |canned| canned.store.read(&key()).unwrap_err(),
            |canned| canned.store.remove(&key()).unwrap_err(),
        ];
        for (act, kind) in acts.iter().zip(kinds) {
            canned.plan(std::slice::from_ref(&reply));
            let error = act(&canned);
            let text = text_of(&error);
            assert_eq!(error.kind, kind, "{text}");
            assert!(text.contains(says) && !text.contains("very-secret"), "{text}");
            assert_eq!(canned.asked().len(), 1, "nothing is sent twice: {text}");
        }
    }
}

/// The server says that it did nothing, so the request is sent again, in `snapshots/` too; but not for ever.
#[test]
fn a_conflict_is_tried_again_a_few_times() {
    let canned = Canned::new();
    let conflict = error("409 Conflict", "ConditionalRequestConflict");
    canned.plan(&[conflict.clone(), conflict.clone(), answer("200 OK", "")]);
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!(canned.asked().len(), 3);
    canned.plan(&[conflict.clone(), error("412 No", "PreconditionFailed")]);
    assert_eq!(kind_of(canned.store.create(&key(), b"x")), ErrorKind::Exists);
    canned.plan(&vec![conflict; 20]);
    assert_eq!(kind_of(canned.store.create(&key(), b"x")), ErrorKind::Unavailable);
    assert_eq!(canned.asked().len(), 5);
}

/// Some servers refuse the condition instead of ignoring it: they replace objects, and the probe finds it out.
#[test]
fn a_server_without_conditions_is_served_without() {
    let refusal = error("501 No", "NotImplemented");
    let canned = Canned::new();
    canned.plan(&[refusal.clone(), answer("200 OK", ""), answer("200 OK", ""), refusal.clone()]);
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!((canned.asked().len(), canned.conditions()), (2, 1));
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!((canned.asked().len(), canned.conditions()), (3, 1));
    assert_eq!(kind_of(canned.store.create(&key(), b"x")), ErrorKind::Other);
    // What it once understood it is not believed to have forgotten.
    let canned = Canned::new();
    canned.plan(&[answer("200 OK", ""), refusal]);
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!(kind_of(canned.store.create(&key(), b"x")), ErrorKind::Other);
    assert_eq!(canned.conditions(), 2);
}

#[test]
fn what_is_not_there_is_no_failure_of_a_remove() {
    let canned = Canned::new();
    canned.plan(&[error("404 None", "NoSuchKey")]);
    canned.store.remove(&key()).unwrap();
}

#[test]
fn bodies_are_what_was_asked_for() {
    let canned = Canned::new();
    let whole = answer("200 OK", "0123456789");
    canned.plan(&[whole.clone().cut(4)]);
    let error = canned.store.read(&key()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", text_of(&error));
    // A server that does not know ranges.
    for range in [0..4, 2..4, 2..12] {
        canned.plan(std::slice::from_ref(&whole));
        assert_eq!(kind_of(canned.store.read_into(&key(), range, &mut Vec::new())), ErrorKind::Other);
    }
    canned.plan(&[answer("206 Part", "2345").with("Content-Range: bytes 2-5/6")]);
    assert_eq!(kind_of(canned.store.read_into(&key(), 2..9, &mut Vec::new())), ErrorKind::Short);
    canned.plan(&[answer("206 Part", "2345").with("Content-Range: bytes 2-5/10")]);
    let mut out = b"01".to_vec();
    canned.store.read_into(&key(), 2..6, &mut out).unwrap();
    assert_eq!(out, b"012345");
    assert!(canned.asked()[0].starts_with("GET /bucket/a/b/snapshots/ab"), "{:?}", canned.asked());
}

#[test]
fn listings_go_on_to_their_end_and_leave_out_what_is_not_ours() {
    let page = |more: &str, names: &[&str]| {
        let entry = |name: &&str| {
            format!("<Contents><Key>{name}</Key><Size>3</Size><LastModified>2026-03-01T00:00:00.000Z</LastModified></Contents>")
        };
        let entries: String = names.iter().map(entry).collect();
        answer("200 OK", &format!("<?xml version=\"1.0\"?><ListBucketResult>{more}{entries}</ListBucketResult>"))
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t/1+2=</NextContinuationToken>";
    let canned = Canned::new();
    let first = ["a/b/snapshots/", "a/b/snapshots/ab", "a/b/snapshots/Thumbs.db", "a/b/snapshots/x//y", "a/b/other/ab", "c"];
    canned.plan(&[page(more, &first), page("<IsTruncated>false</IsTruncated>", &["a/b/snapshots/cd"])]);
    let listed = canned.store.list(Class::Snapshots, "").unwrap();
    let names: Vec<&str> = listed.iter().map(|object| &*object.name).collect();
    assert_eq!((&names[..], listed[0].len_bytes, listed[0].modified_s), (&["ab", "cd"][..], 3, Some(1_772_323_200)));
    let asked = canned.asked();
    assert!(
        asked[1].contains("continuation-token=t%2F1%2B2%3D") && asked[0].contains("prefix=a%2Fb%2Fsnapshots%2F"),
        "{asked:?}"
    );
    canned.plan(&[page("<IsTruncated>true</IsTruncated>", &["a/b/snapshots/cd"])]);
    assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Other, "half a listing is none");
    canned.plan(&[page(more, &first), error("503 Slow", "SlowDown")]);
    assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Unavailable);
    canned.plan(&[page(more, &first).cut(150)]);
    assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Unavailable);
}

#[test]
fn archived_objects_say_so() {
    let canned = Canned::new();
    let body = "<?xml version=\"1.0\"?><Error><Code>InvalidObjectState</Code><Message>m</Message><StorageClass>DEEP_ARCHIVE</StorageClass></Error>";
    canned.plan(&[answer("403 No", body)]);
    let error = canned.store.read(&key()).unwrap_err();
    assert!(error.kind == ErrorKind::Other && text_of(&error).contains("DEEP_ARCHIVE"), "{}", text_of(&error));
}

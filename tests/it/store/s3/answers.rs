//! Goal: each answer of a server has its kind, and says what to do. Method: a server of the test's
//! own that gives them.

use drumlin::store::{Class, ErrorKind, Key, Store, StoreError};

use super::canned_server::{Canned, answer, error, untagged};
use super::{kind_of, text_of};

fn key() -> Key {
    Key::new(Class::Snapshots, "ab")
}

#[test]
fn every_answer_has_its_kind() {
    let canned = Canned::new();
    use ErrorKind::{Exists, Full, NotPermitted, Other, Short, Unanswered, Unavailable};
    // The answer, and what it means to a `create`, a `read` and a `remove`.
    let cases = [
        (error("503 Slow", "SlowDown"), [Unavailable; 3], "busy"),
        (error("503 Busy", "ServiceUnavailable"), [Unavailable; 3], "busy"),
        (error("429 Many", "TooManyRequests"), [Unavailable; 3], "busy"),
        (answer("429 Many", ""), [Unavailable; 3], "did not take"),
        (error("400 Bad", "RequestTimeout"), [Unavailable; 3], "did not take"),
        (error("409 Conflict", "OperationAborted"), [Unavailable; 3], "another request changes"),
        (
            answer("503 Busy", "<html>sorry</html>"),
            [Unanswered, Unavailable, Unanswered],
            "failed (503",
        ),
        (
            answer("502 Bad", "<html>sorry</html>"),
            [Unanswered, Unavailable, Unanswered],
            "failed (502",
        ),
        (answer("504 Late", ""), [Unanswered, Unavailable, Unanswered], "failed (504"),
        (
            answer("408 Late", "<html>proxy</html>"),
            [Unanswered, Unavailable, Unanswered],
            "failed (408",
        ),
        (answer("425 Early", ""), [Unanswered, Unavailable, Unanswered], "failed (425"),
        (
            answer("509 Full", "<html>proxy</html>"),
            [Unanswered, Unavailable, Unanswered],
            "failed (509",
        ),
        (
            answer("520 Odd", "<html>proxy</html>"),
            [Unanswered, Unavailable, Unanswered],
            "failed (520",
        ),
        (
            answer("522 Late", "<html>proxy</html>"),
            [Unanswered, Unavailable, Unanswered],
            "failed (522",
        ),
        (answer("524 Late", ""), [Unanswered, Unavailable, Unanswered], "failed (524"),
        (answer("529 Much", ""), [Unanswered, Unavailable, Unanswered], "failed (529"),
        (answer("530 Frozen", ""), [Unanswered, Unavailable, Unanswered], "failed (530"),
        (answer("400 Bad", ""), [Unanswered, Unavailable, Unanswered], "failed (400"),
        (error("403 Slow", "SlowDown"), [Unavailable; 3], "busy (403 SlowDown"),
        (error("400 Slow", "Throttling"), [Unavailable; 3], "busy"),
        (error("400 Slow", "ThrottlingException"), [Unavailable; 3], "busy"),
        (error("400 Slow", "RequestLimitExceeded"), [Unavailable; 3], "busy"),
        (error("509 Slow", "BandwidthLimitExceeded"), [Unavailable; 3], "busy"),
        (error("400 Bad", "BadDigest"), [Unavailable; 3], "the data was corrupted"),
        (error("400 Bad", "XAmzContentSHA256Mismatch"), [Unavailable; 3], "the data was corrupted"),
        (error("400 Bad", "InvalidArgument"), [Other; 3], "the server refuses"),
        (
            answer("200 OK", "<html>log in</html>").with("Content-Type: text/html; charset=utf-8"),
            [Unanswered, Unavailable, Unanswered],
            "does not come from an S3 server",
        ),
        (
            error("500 Oops", "InternalError"),
            [Unanswered, Unavailable, Unanswered],
            "words of the server",
        ),
        (error("403 No", "AccessDenied"), [NotPermitted; 3], "needs s3:"),
        (error("403 No", "SignatureDoesNotMatch"), [Other; 3], "secret key is wrong"),
        (error("403 No", "InvalidAccessKeyId"), [Other; 3], "key id"),
        (error("400 Bad", "ExpiredToken"), [Other; 3], "log in again"),
        (
            error("403 No", "RequestTimeTooSkewed"),
            [Other; 3],
            "says Sat, 21 Nov 2020 12:00:00 GMT: set the clock",
        ),
        (
            error("301 Moved", "PermanentRedirect").with("x-amz-bucket-region: eu-central-1"),
            [Other; 3],
            "set `region` to eu-central-1",
        ),
        (error("404 None", "NoSuchBucket"), [Other; 3], "no bucket `bucket`"),
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

/// The server says that it did nothing, so the request is sent again, in `snapshots/` too; but not
/// for ever.
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

/// Some servers refuse the condition instead of ignoring it: they replace objects, and the probe
/// finds it out.
#[test]
fn a_server_without_conditions_is_served_without() {
    let refusal = error("501 No", "NotImplemented");
    let ok = answer("200 OK", "");
    let canned = Canned::new();
    canned.plan(&[refusal.clone(), refusal.clone(), ok.clone(), ok.clone()]);
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!((canned.asked().len(), canned.conditions()), (3, 2));
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!((canned.asked().len(), canned.conditions()), (4, 2));
    // What it once understood it is not believed to have forgotten.
    let canned = Canned::new();
    canned.plan(&[&[ok][..], &vec![refusal; 9]].concat());
    canned.store.create(&key(), b"x").unwrap();
    assert_eq!(kind_of(canned.store.create(&key(), b"x")), ErrorKind::Other);
    assert_eq!((canned.asked().len(), canned.conditions()), (4, 4));
}

/// One of many servers behind an address, or something in between, may say so by mistake: that
/// neither ends anything nor is remembered.
#[test]
fn a_single_refusal_to_do_anything_is_a_mistake() {
    let ok = answer("200 OK", "");
    for refusal in [error("501 No", "NotImplemented"), answer("501 No", "<html>proxy</html>")] {
        let canned = Canned::new();
        canned.plan(&[refusal.clone(), ok.clone(), ok.clone(), refusal.clone(), ok.clone()]);
        for _ in 0..3 {
            canned.store.create(&key(), b"x").unwrap();
        }
        assert_eq!(
            (canned.asked().len(), canned.conditions()),
            (5, 5),
            "the condition was given up"
        );
        canned.plan(&[
            refusal.clone(),
            answer("200 OK", "bytes"),
            refusal.clone(),
            answer("204 OK", ""),
        ]);
        assert_eq!(canned.store.read(&key()).unwrap(), b"bytes");
        canned.store.remove(&key()).unwrap();
        assert_eq!(canned.asked().len(), 4);
        canned.plan(&vec![refusal; 9]);
        assert_eq!(kind_of(canned.store.read(&key())), ErrorKind::Other);
        assert_eq!(canned.asked().len(), 3, "a server that cannot do it is believed in the end");
    }
}

/// Something in between may answer for the server, with status 200 and whatever it likes; nothing
/// of that is believed.
#[test]
fn an_object_without_a_tag_is_none() {
    let canned = Canned::new();
    for reply in [
        untagged("200 OK", ""),
        untagged("200 OK", "<html>back soon</html>"),
        untagged("204 OK", "").with("ETag:"),
    ] {
        canned.plan(std::slice::from_ref(&reply));
        let error = canned.store.create(&key(), b"x").unwrap_err();
        assert!(
            error.kind == ErrorKind::Unanswered && text_of(&error).contains("no ETag"),
            "{}",
            text_of(&error)
        );
        for ask in [
            |store: &dyn Store| store.read(&key()).map(drop),
            |store: &dyn Store| store.stat(&key()).map(drop),
        ] {
            canned.plan(std::slice::from_ref(&reply));
            assert_eq!(kind_of(ask(&canned.store)), ErrorKind::Unavailable);
        }
    }
    for reply in [
        untagged("200 OK", ""),
        untagged("200 OK", "<html>back soon</html>"),
        untagged("200 OK", "<a/>"),
    ] {
        canned.plan(&[reply]);
        assert_eq!(
            kind_of(canned.store.list(Class::Snapshots, "")),
            ErrorKind::Unavailable,
            "this is no empty listing"
        );
    }
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
        assert_eq!(
            kind_of(canned.store.read_into(&key(), range, &mut Vec::new())),
            ErrorKind::Other
        );
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
            format!(
                "<Contents><Key>{name}</Key><Size>3</Size><LastModified>2026-03-01T00:00:00.000Z</LastModified></Contents>"
            )
        };
        let entries: String = names.iter().map(entry).collect();
        answer(
            "200 OK",
            &format!("<?xml version=\"1.0\"?><ListBucketResult>{more}{entries}</ListBucketResult>"),
        )
    };
    let more =
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t/1+2=</NextContinuationToken>";
    let canned = Canned::new();
    let first = [
        "a/b/snapshots/",
        "a/b/snapshots/ab",
        "a/b/snapshots/Thumbs.db",
        "a/b/snapshots/x//y",
        "a/b/other/ab",
        "c",
    ];
    canned.plan(&[
        page(more, &first),
        page("<IsTruncated>false</IsTruncated>", &["a/b/snapshots/cd"]),
    ]);
    let listed = canned.store.list(Class::Snapshots, "").unwrap();
    let names: Vec<&str> = listed.iter().map(|object| &*object.name).collect();
    assert_eq!(
        (&names[..], listed[0].len_bytes, listed[0].modified_s),
        (&["ab", "cd"][..], 3, Some(1_772_323_200))
    );
    let asked = canned.asked();
    assert!(
        asked[1].contains("continuation-token=t%2F1%2B2%3D")
            && asked[0].contains("prefix=a%2Fb%2Fsnapshots%2F"),
        "{asked:?}"
    );
    canned.plan(&[page("<IsTruncated>true</IsTruncated>", &["a/b/snapshots/cd"])]);
    assert_eq!(
        kind_of(canned.store.list(Class::Snapshots, "")),
        ErrorKind::Other,
        "half a listing is none"
    );
    // One that goes in circles, at once or after some pages, and one that gives nothing for ever.
    let more_at = |token: &str| more.replace("t/1+2=", token);
    let names = ["a/b/snapshots/ab"];
    canned.plan(&vec![page(more, &names); 9]);
    let error = canned.store.list(Class::Snapshots, "").unwrap_err();
    assert!(
        error.kind == ErrorKind::Other && text_of(&error).contains("in circles"),
        "{}",
        text_of(&error)
    );
    assert_eq!(canned.asked().len(), 2);
    let pages = ["1", "2", "3", "2", "3", "2"].map(|token| page(&more_at(token), &names));
    canned.plan(&pages);
    assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Other);
    assert_eq!(canned.asked().len(), 4);
    // A page that never ends is not waited for in memory; neither is an error, whatever was asked.
    let long = " ".repeat(17 << 20);
    canned.plan(&[answer(
        "200 OK",
        &format!("<?xml version=\"1.0\"?><ListBucketResult>{long}</ListBucketResult>"),
    )]);
    let error = canned.store.list(Class::Snapshots, "").unwrap_err();
    assert!(text_of(&error).contains("longer than any"), "{}", text_of(&error));
    canned.plan(&[answer("404 No", &format!("<Error><Code>NoSuchKey</Code>{long}</Error>"))]);
    let error = canned.store.read(&key()).unwrap_err();
    assert!(text_of(&error).contains("longer than any"), "{}", text_of(&error));
    canned.plan(&[super::canned_server::error("404 None", "NoSuchBucket")]);
    assert_eq!(
        kind_of(canned.store.list(Class::Snapshots, "")),
        ErrorKind::NotFound,
        "there is no repository in it"
    );
    canned.plan(&[page(more, &first), error_of_busy()]);
    assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Unavailable);
    canned.plan(&[page(more, &first).cut(150)]);
    assert_eq!(kind_of(canned.store.list(Class::Snapshots, "")), ErrorKind::Unavailable);
}

fn error_of_busy() -> super::canned_server::Answer {
    error("503 Slow", "SlowDown")
}

#[test]
fn archived_objects_say_so() {
    let canned = Canned::new();
    let body = "<?xml version=\"1.0\"?><Error><Code>InvalidObjectState</Code><Message>m</Message><StorageClass>DEEP_ARCHIVE</StorageClass></Error>";
    canned.plan(&[answer("403 No", body)]);
    let error = canned.store.read(&key()).unwrap_err();
    assert!(
        error.kind == ErrorKind::Other && text_of(&error).contains("DEEP_ARCHIVE"),
        "{}",
        text_of(&error)
    );
}

//! Goal: a line that is slow, breaks or goes silent ends each call in time, with the kind that says
//! what may have happened. Method: a proxy with faults in front of a real server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use drumlin::store::s3::S3Store;
use drumlin::store::{Class, ErrorKind, Key, Store, StoreError};

use super::{kind_of, text_of};
use crate::support::fixture::noise;
use crate::support::servers::moto;
use crate::support::servers::proxy::{Proxy, Toward};
use crate::support::servers::s3::{S3Server, options};

fn key(number: u8) -> Key {
    Key::new(Class::Data, format!("{number:02x}/{}", format!("{number:02x}").repeat(32)))
}

/// Returns a server, a proxy to it, and a store behind the proxy that waits for so long.
fn behind_a_proxy(timeout: Duration) -> (S3Server, Proxy, S3Store) {
    let server = moto::start();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
    let mut options = options(server.bucket(), proxy.port(), ("id", "secret"));
    options.timeout = timeout;
    let store = S3Store::open(options).unwrap();
    (server, proxy, store)
}

type Act = fn(&S3Store) -> Result<(), StoreError>;

/// Each call, and its kind when no answer comes.
const CALLS: [(Act, ErrorKind); 5] = [
    (|store| store.create(&key(7), &[7; 100_000]), ErrorKind::Unanswered),
    (|store| store.remove(&key(1)), ErrorKind::Unanswered),
    (|store| store.read(&key(1)).map(drop), ErrorKind::Unavailable),
    (|store| store.stat(&key(1)).map(drop), ErrorKind::Unavailable),
    (|store| store.list(Class::Data, "").map(drop), ErrorKind::Unavailable),
];

#[test]
fn silence_ends_each_call_in_time() {
    let timeout = Duration::from_secs(2);
    let (_server, proxy, store) = behind_a_proxy(timeout);
    proxy.black_hole(true);
    for (act, kind) in CALLS {
        let start = Instant::now();
        let error = act(&store).unwrap_err();
        let (took, text) = (start.elapsed(), text_of(&error));
        assert_eq!(error.kind, kind, "{text}");
        // The upper limit is for slow machines: without a time-out this would never end.
        assert!(took >= timeout && took < Duration::from_secs(60), "{took:?}: {text}");
        assert!(text.contains("nothing was sent or received for 2 s"), "{text}");
    }
}

/// Where nobody listens nothing was sent, so nothing can have happened.
#[test]
fn servers_that_cannot_be_reached_have_done_nothing() {
    // Port 1 is nobody's.
    let mut unknown = options("bucket".to_owned(), 1, ("id", "secret"));
    let closed = S3Store::open(unknown.clone()).unwrap();
    unknown.endpoint = Some("https://drumlin-test.invalid".to_owned());
    for store in [closed, S3Store::open(unknown).unwrap()] {
        for (act, _) in CALLS {
            let error = act(&store).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{}", text_of(&error));
            assert!(
                text_of(&error).contains("the server cannot be reached: "),
                "{}",
                text_of(&error)
            );
        }
    }
}

#[test]
fn an_upload_that_breaks_may_have_been_made() {
    let (_server, proxy, store) = behind_a_proxy(Duration::from_secs(60));
    let bytes = noise(1, 3_000_000);
    store.create(&key(1), &bytes).unwrap();
    proxy.reset_after(Toward::Server, 1_000_000);
    assert_eq!(kind_of(store.create(&key(2), &bytes)), ErrorKind::Unanswered);
    // Half an upload makes no object.
    assert_eq!(kind_of(store.read(&key(2))), ErrorKind::NotFound);
    store.create(&key(2), &bytes).unwrap();
    // The whole request arrives, and its answer is lost.
    proxy.reset_after(Toward::Client, 0);
    assert_eq!(kind_of(store.create(&key(3), &bytes)), ErrorKind::Unanswered);
    assert!(!proxy.is_reset_due(Toward::Client));
    assert!(store.read(&key(3)).unwrap() == bytes);
    assert_eq!(kind_of(store.create(&key(3), &bytes)), ErrorKind::Exists);
}

#[test]
fn reads_that_break_can_be_made_again() {
    let (_server, proxy, store) = behind_a_proxy(Duration::from_secs(60));
    let bytes = noise(2, 3_000_000);
    store.create(&key(1), &bytes).unwrap();
    proxy.reset_after(Toward::Client, 1_000_000);
    let error = store.read(&key(1)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", text_of(&error));
    let mut out = Vec::new();
    proxy.reset_after(Toward::Client, 500_000);
    assert_eq!(kind_of(store.read_into(&key(1), 1..2_000_000, &mut out)), ErrorKind::Unavailable);
    proxy.reset_after(Toward::Client, 100);
    assert_eq!(kind_of(store.list(Class::Data, "")), ErrorKind::Unavailable);
    proxy.reset_after(Toward::Client, 10);
    assert_eq!(kind_of(store.stat(&key(1))), ErrorKind::Unavailable);
    assert!(store.read(&key(1)).unwrap() == bytes);
    assert_eq!(store.list(Class::Data, "").unwrap().len(), 1);
}

/// The time-out is one of silence: a transfer that takes longer and gets on is none.
#[test]
fn slow_lines_are_not_silent() {
    let timeout = Duration::from_secs(6);
    let (_server, proxy, store) = behind_a_proxy(timeout);
    let bytes = noise(3, 2_250_000);
    store.create(&key(1), &bytes).unwrap();
    proxy.bandwidth(250_000);
    let start = Instant::now();
    assert!(store.read(&key(1)).unwrap() == bytes);
    assert!(start.elapsed() > timeout, "the line was too quick to show anything");
}

//! Connections that are slow, break in the middle, or go silent.

use std::time::{Duration, Instant};

use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::{Class, ErrorKind, Key, Store};

use super::{kind_of, pack};
use crate::support::servers::openssh::OpenSsh;
use crate::support::servers::proxy::{Proxy, Then, Toward};

/// Opens a store with one connection through the proxy.
fn one_connection(server: &OpenSsh, proxy: &Proxy) -> SftpStore {
    let options = SftpOptions { connections: 1, ..server.options_through(proxy, "r") };
    SftpStore::open_or_make(options).unwrap()
}

/// A `create` whose last request is cut by one byte, or whose last answer is lost: nobody can say
/// whether it happened, and that is what it says.
#[test]
fn an_answer_that_never_comes_is_said_to_be_missing() {
    for is_made in [false, true] {
        let server = OpenSsh::start();
        let proxy = Proxy::start(server.address);
        let store = one_connection(&server, &proxy);
        let slot = |number: u8| Key::new(Class::Snapshots, format!("{number:032x}"));
        // Those after the first one cost the same number of bytes and round trips.
        let costs: Vec<_> = (0..3)
            .map(|number| {
                let before = (proxy.bytes(Toward::Server), proxy.rounds());
                store.create(&slot(number), &[number; 100]).unwrap();
                (proxy.bytes(Toward::Server) - before.0, proxy.rounds() - before.1)
            })
            .collect();
        assert_eq!(costs[1], costs[2]);
        if is_made {
            proxy.lose_answer(costs[1].1);
        } else {
            proxy.reset_after(Toward::Server, costs[1].0 - 1);
        }
        assert_eq!(kind_of(store.create(&slot(3), &[3; 100])), ErrorKind::Unanswered);
        assert!(!proxy.is_reset_due(Toward::Server));
        match store.read(&slot(3)) {
            Ok(bytes) => assert!(is_made && bytes == [3; 100]),
            Err(error) => assert!(!is_made && error.kind == ErrorKind::NotFound, "{error:?}"),
        }
    }
}

/// Wherever a `create` is cut, the object is there whole or not at all, and sending it again
/// settles it.
#[test]
fn a_cut_line_leaves_objects_whole_or_absent() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let store = one_connection(&server, &proxy);
    let bytes = |number: u8| vec![number; 300_000];
    store.create(&pack(0), &bytes(0)).unwrap();
    let before = (proxy.bytes(Toward::Server), proxy.bytes(Toward::Client));
    store.create(&pack(1), &bytes(1)).unwrap();
    let costs = (proxy.bytes(Toward::Server) - before.0, proxy.bytes(Toward::Client) - before.1);
    let (mut number, mut cuts) = (1, 0);
    for (toward, cost) in [(Toward::Server, costs.0), (Toward::Client, costs.1)] {
        for tenth in 0..10 {
            number += 1;
            proxy.reset_after(toward, cost * tenth / 10);
            if let Err(error) = store.create(&pack(number), &bytes(number)) {
                cuts += 1;
                assert!(
                    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unanswered),
                    "{error:?}"
                );
                let again = store.create(&pack(number), &bytes(number));
                assert!(
                    again.is_ok()
                        || error.kind == ErrorKind::Unanswered
                            && kind_of(again) == ErrorKind::Exists
                );
            }
            // It may not have come to the place of the cut.
            proxy.reset_after(toward, u64::MAX);
            assert_eq!(store.read(&pack(number)).unwrap(), bytes(number));
        }
    }
    assert!(cuts >= 10, "{cuts}");
    assert_eq!(store.list(Class::Data, "").unwrap().len(), usize::from(number) + 1);
}

/// Wherever the way to a repository is cut, or goes silent: that is a matter of the line, and not
/// of keys or of what the server offers.
#[test]
fn a_login_that_is_cut_is_no_refusal() {
    let server = OpenSsh::start();
    SftpStore::open_or_make(server.options("r")).unwrap();
    let proxy = Proxy::start(server.address);
    let options =
        SftpOptions { timeout: Duration::from_secs(2), ..server.options_through(&proxy, "r") };
    for then in [Then::Reset, Then::Silence] {
        for toward in [Toward::Server, Toward::Client] {
            let before = proxy.bytes(toward);
            drop(
                SftpStore::open(SftpOptions {
                    timeout: Duration::from_secs(60),
                    ..options.clone()
                })
                .unwrap(),
            );
            let cost = proxy.bytes(toward) - before;
            std::thread::scope(|scope| {
                // The first half of the bytes is spent on keys of the connection. What goes silent
                // takes its time, so all do at once.
                for place in 0..20 {
                    let (proxy, server) = (Proxy::start(server.address), &server);
                    let options = SftpOptions {
                        timeout: options.timeout,
                        ..server.options_through(&proxy, "r")
                    };
                    scope.spawn(move || {
                        proxy.after(toward, cost * (20 + place) / 40, then);
                        if let Err(error) = SftpStore::open(options) {
                            assert_eq!(
                                error.kind,
                                ErrorKind::Unavailable,
                                "{then:?} {toward:?} {place}: {}",
                                super::chain(&error)
                            );
                        }
                    });
                }
            });
        }
    }
}

/// A read that is cut fails as one that has changed nothing, and works again by a new connection.
#[test]
fn a_cut_read_is_no_short_object() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let store = one_connection(&server, &proxy);
    store.create(&pack(1), &[7; 2_000_000]).unwrap();
    proxy.reset_after(Toward::Client, 1_000_000);
    assert_eq!(kind_of(store.read(&pack(1))), ErrorKind::Unavailable);
    assert_eq!(store.read(&pack(1)).unwrap(), vec![7; 2_000_000]);
}

/// Of a range, little more than the range is transferred.
#[test]
fn ranges_cost_what_they_are_long() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let store = one_connection(&server, &proxy);
    store.create(&pack(1), &[7; 8_000_000]).unwrap();
    for len in [1u64, 1000, 100_000, 1_000_000] {
        let before = proxy.bytes(Toward::Client);
        let mut out = Vec::new();
        store.read_into(&pack(1), 1_000_000..1_000_000 + len, &mut out).unwrap();
        // What is under way when the file is closed arrives before the answer to the next request.
        store.stat(&pack(1)).unwrap();
        let cost = proxy.bytes(Toward::Client) - before;
        assert!(
            out.len() as u64 == len && cost < len + len / 20 + 35_000,
            "{len} bytes cost {cost}"
        );
    }
}

/// Who only looks reads on in a file that stays open, which takes one round trip instead of two.
/// What another machine removes meanwhile is read as it was for some seconds; what this one asks
/// about is as it is.
#[test]
fn whoever_reads_on_need_not_open_again() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let options = SftpOptions { connections: 1, ..server.options_through(&proxy, "r") };
    let other = SftpStore::open_or_make(server.options("r")).unwrap();
    (1..=40).for_each(|number| other.create(&pack(number), &[number; 2000]).unwrap());
    for keeps_files in [false, true] {
        let store = SftpStore::open(SftpOptions { keeps_files, ..options.clone() }).unwrap();
        let read = |number: u8, at: u64| {
            let mut out = Vec::new();
            store.read_into(&pack(number), at..at + 100, &mut out).map(|()| out)
        };
        assert_eq!(read(1, 0).unwrap(), [1; 100]);
        proxy.delay(Duration::from_millis(50));
        let least = (0..6).map(|attempt| {
            let before = proxy.rounds();
            (0..5).for_each(|part| {
                assert_eq!(read(1, 500 * attempt % 1500 + part).unwrap(), [1; 100])
            });
            proxy.rounds() - before
        });
        let (least, wanted) = (least.min().unwrap(), if keeps_files { 5 } else { 10 });
        proxy.delay(Duration::ZERO);
        assert_eq!(least, wanted);
        let before = proxy.rounds();
        store.hint_reads(&[pack(2), pack(3), pack(99)]);
        assert_eq!(proxy.rounds(), before);
        assert_eq!(
            [2, 3].map(|number| read(number, 0).unwrap()),
            [2, 3].map(|number| vec![number; 100])
        );
        assert_eq!(read(99, 0).unwrap_err().kind, ErrorKind::NotFound);
        // More files than stay open.
        (1..=40)
            .chain(1..=40)
            .for_each(|number| assert_eq!(read(number, 1900).unwrap(), [number; 100]));
        assert_eq!(read(40, 1901).unwrap_err().kind, ErrorKind::Short);
        assert_eq!(read(40, 1900).unwrap(), [40; 100]);
        other.remove(&pack(40)).unwrap();
        assert_eq!(
            read(40, 0).map_err(|error| error.kind),
            if keeps_files { Ok(vec![40; 100]) } else { Err(ErrorKind::NotFound) }
        );
        assert_eq!(store.stat(&pack(40)).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(store.read(&pack(40)).unwrap_err().kind, ErrorKind::NotFound);
        other.create(&pack(40), &[40; 2000]).unwrap();
    }
}

/// A server that says nothing any more ends each call after the time-out, and is used again when it
/// answers.
#[test]
fn a_silent_line_ends_every_call() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let timeout = Duration::from_secs(5);
    let options = SftpOptions { timeout, ..server.options_through(&proxy, "r") };
    let store = SftpStore::open_or_make(options.clone()).unwrap();
    store.create(&pack(1), b"x").unwrap();
    proxy.black_hole(true);
    let calls: [&(dyn Fn() -> ErrorKind + Sync); 4] = [
        &|| kind_of(store.create(&pack(2), b"y")),
        &|| kind_of(store.read(&pack(1))),
        &|| kind_of(store.list(Class::Data, "")),
        &|| SftpStore::open(options.clone()).err().unwrap().kind,
    ];
    let start = Instant::now();
    std::thread::scope(|scope| {
        for call in calls {
            scope.spawn(move || {
                assert_eq!(call(), ErrorKind::Unavailable);
                assert!(
                    start.elapsed() >= timeout && start.elapsed() < 10 * timeout,
                    "{:?}",
                    start.elapsed()
                );
            });
        }
    });
    proxy.black_hole(false);
    assert_eq!(store.read(&pack(1)).unwrap(), b"x");
}

/// What is slow but moves is not given up: the time-out is shorter than each of these transfers.
#[test]
fn a_slow_line_is_not_a_silent_one() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let timeout = Duration::from_secs(4);
    let store =
        SftpStore::open_or_make(SftpOptions { timeout, ..server.options_through(&proxy, "r") })
            .unwrap();
    proxy.bandwidth(100_000);
    let start = Instant::now();
    store.create(&pack(1), &[7; 500_000]).unwrap();
    assert!(start.elapsed() > timeout);
    let start = Instant::now();
    assert_eq!(store.read(&pack(1)).unwrap(), vec![7; 500_000]);
    assert!(start.elapsed() > timeout);
}

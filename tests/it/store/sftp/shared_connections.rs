//! Goal: threads that share a connection do not get each other's answers, and fail together and no
//! longer than that. Method: more threads than connections, through a proxy that counts connections
//! and cuts them.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::{Class, ErrorKind, Key, Store};

use super::pack;
use crate::support::servers::openssh::OpenSsh;
use crate::support::servers::proxy::{Proxy, Toward};

const THREADS: u8 = 8;
/// Longer than what is read at once, and than what goes through a connection that others use.
const LEN_BYTES: usize = 1_500_000;

fn start() -> (OpenSsh, Proxy, SftpStore) {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let options = SftpOptions { connections: 1, ..server.options_through(&proxy, "r") };
    let store = SftpStore::open_or_make(options).unwrap();
    (server, proxy, store)
}

fn small(thread: u8, number: u8) -> Key {
    Key::new(Class::Keys, format!("{thread:02x}{number:02x}"))
}

/// Each thread reads, writes, lists and removes what is its own.
#[test]
fn many_threads_share_one_connection() {
    let (_server, proxy, store) = start();
    let work = |thread: u8| {
        store.create(&pack(thread), &vec![thread; LEN_BYTES]).unwrap();
        for number in 0..10 {
            store
                .create(&small(thread, number), &vec![number; 1 + 100 * usize::from(thread)])
                .unwrap();
            let mut part = Vec::new();
            store.read_into(&pack(thread), 5..u64::from(thread) + 70_000, &mut part).unwrap();
            assert_eq!(part, vec![thread; 69_995 + usize::from(thread)]);
            assert_eq!(store.stat(&small(thread, number)).unwrap(), 1 + 100 * u64::from(thread));
            assert_eq!(
                store.read(&small(thread, number)).unwrap(),
                vec![number; 1 + 100 * usize::from(thread)]
            );
            let listed = store.list(Class::Keys, &format!("{thread:02x}")).unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(store.read(&small(thread, 255)).unwrap_err().kind, ErrorKind::NotFound);
            store.remove(&small(thread, number)).unwrap();
        }
        assert_eq!(store.read(&pack(thread)).unwrap(), vec![thread; LEN_BYTES]);
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
    assert_eq!(proxy.connections(), 1);
    assert_eq!(store.list(Class::Data, "").unwrap().len(), usize::from(THREADS));
    assert_eq!(store.list(Class::Keys, "").unwrap().len(), 0);
}

/// Questions of several threads are under way at once: they take fewer round trips than there are
/// of them. A busy machine may begin some so late that they do not meet, so it may try again.
#[test]
fn threads_that_share_a_connection_do_not_wait_for_each_other() {
    let (_server, proxy, store) = start();
    proxy.delay(Duration::from_millis(100));
    let rounds = || {
        let (before, barrier) = (proxy.rounds(), Barrier::new(usize::from(THREADS)));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    assert_eq!(
                        store.stat(&small(thread, 0)).unwrap_err().kind,
                        ErrorKind::NotFound
                    );
                });
            }
        });
        proxy.rounds() - before
    };
    // What is missing costs a second question: whether the folder itself is there.
    let least = (0..5).map(|_| rounds()).find(|rounds| *rounds < u64::from(THREADS));
    assert!(least.is_some());
    assert_eq!(proxy.connections(), 1);
}

/// An answer that another thread takes in, right before one begins to watch the socket for it, is
/// noticed all the same: nothing else may come.
#[test]
fn nobody_waits_for_what_another_has_taken() {
    const TIMEOUT: Duration = Duration::from_secs(20);
    let server = OpenSsh::start();
    let store = SftpStore::open_or_make(SftpOptions {
        connections: 1,
        timeout: TIMEOUT,
        ..server.options("r")
    })
    .unwrap();
    store.create(&small(0, 0), b"x").unwrap();
    let barrier = Barrier::new(3);
    let longest = thread::scope(|scope| {
        let ask = || {
            let ask_once = || {
                barrier.wait();
                let began = Instant::now();
                assert_eq!(store.stat(&small(0, 0)).unwrap(), 1);
                began.elapsed()
            };
            (0..5000).map(|_| ask_once()).max().unwrap()
        };
        let threads = [(); 3].map(|()| scope.spawn(ask));
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    assert!(longest < TIMEOUT / 2, "{longest:?}");
}

/// Whoever uses a connection that breaks is told so, nobody waits for an answer that cannot come,
/// and one new connection is enough for all.
#[test]
fn a_connection_that_breaks_is_replaced_for_all_who_shared_it() {
    let (_server, proxy, store) = start();
    for thread in 0..THREADS {
        store.create(&pack(thread), &vec![thread; LEN_BYTES]).unwrap();
    }
    for cut in 0..5 {
        let connections = proxy.connections();
        proxy.reset_after(Toward::Client, cut * 60_000);
        let mut failed = 0;
        thread::scope(|scope| {
            let store = &store;
            let read = |thread: u8| {
                let range = 0..u64::from(thread + 1) * 50_000;
                let mut part = Vec::new();
                let result = store.read_into(&pack(thread), range.clone(), &mut part);
                match &result {
                    Ok(()) => assert_eq!(part, vec![thread; range.end as usize]),
                    Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}"),
                }
                result.is_err()
            };
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || read(thread))).collect();
            failed += threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .filter(|failed| *failed)
                .count();
        });
        assert!(!proxy.is_reset_due(Toward::Client), "it was not cut");
        assert!(failed > 0);
        assert_eq!(store.read(&pack(1)).unwrap(), vec![1; LEN_BYTES]);
        assert_eq!(proxy.connections(), connections + 1);
    }
}

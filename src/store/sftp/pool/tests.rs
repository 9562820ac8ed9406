//! Sharing, waiting and limits of the pool, with connections that exist only here.
//!
//! Nothing sleeps: a test waits for the pool's own signal, or until a thread is known to wait.

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, ScopedJoinHandle};

use super::*;

struct FakeConnection {
    number: usize,
    is_broken: AtomicBool,
    /// Whether the server still knows it.
    works: Arc<AtomicBool>,
    file: Option<PathBuf>,
}

impl Pooled for FakeConnection {
    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn still_works(&self, _: Duration, _: Duration) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    fn has_open(&self, path: &Path) -> bool {
        self.file.as_deref() == Some(path)
    }

    fn has_create_race(&self) -> bool {
        self.number == 2
    }
}

/// A server that accepts `accepted` connections in all, numbered from 1.
struct FakeServer {
    accepted: usize,
    attempts: AtomicUsize,
    works: Arc<AtomicBool>,
}

impl FakeServer {
    fn new(accepted: usize) -> Arc<Self> {
        let (attempts, works) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(true)));
        Arc::new(Self { accepted, attempts, works })
    }

    fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }

    fn pool(self: &Arc<Self>, connections_max: usize) -> Pool<FakeConnection> {
        let options =
            PoolOptions { connections_max, keep_alive: Duration::from_secs(30), keeps_files: true };
        let server = Arc::clone(self);
        Pool::new(options, move || {
            let number = server.attempts.fetch_add(1, Ordering::Relaxed) + 1;
            if number > server.accepted {
                return Err(SftpError::Lost("too many connections".to_owned()));
            }
            Ok(FakeConnection {
                number,
                is_broken: AtomicBool::new(false),
                works: Arc::clone(&server.works),
                file: Some(format!("file {number}").into()),
            })
        })
    }
}

/// Waits until `count` connections are open and none is being opened.
fn wait_for_open(pool: &Pool<FakeConnection>, count: usize) {
    let mut state = pool.0.state();
    while state.open.len() < count || state.opening > 0 {
        state = pool.0.wait(state);
    }
    assert_eq!(state.open.len(), count);
}

/// Starts a lease in another thread, and returns when it waits for an idle connection. The thread
/// returns the number of the connection that it gets.
fn waiting_lease<'s>(
    scope: &'s thread::Scope<'s, '_>,
    pool: &'s Pool<FakeConnection>,
    sharing: Sharing,
) -> ScopedJoinHandle<'s, usize> {
    let thread = scope.spawn(move || pool.lease(sharing).unwrap().number);
    while pool.0.state().waiting == 0 {
        thread::yield_now();
    }
    thread
}

fn users(pool: &Pool<FakeConnection>) -> Vec<usize> {
    pool.0.state().open.iter().map(|pooled| pooled.users).collect()
}

#[test]
fn small_transfers_share_a_connection_until_they_are_many() {
    let server = FakeServer::new(9);
    let pool = server.pool(4);
    let mut leases: Vec<_> =
        (0..SMALL_USERS_MAX).map(|_| pool.lease(Sharing::Small).unwrap()).collect();
    assert_eq!((users(&pool), server.attempts()), (vec![SMALL_USERS_MAX], 1));
    leases.push(pool.lease(Sharing::Small).unwrap());
    wait_for_open(&pool, 2);
    assert!(leases.iter().all(|lease| lease.number == 1), "the second one is for the next");
    assert_eq!(pool.lease(Sharing::Small).unwrap().number, 2);
    drop(leases);
    assert_eq!(users(&pool), [0, 0]);
}

#[test]
fn bulk_transfers_share_only_while_another_connection_is_opened() {
    let pool = FakeServer::new(9).pool(2);
    let first = pool.lease(Sharing::Bulk).unwrap();
    let shared = pool.lease(Sharing::Bulk).unwrap();
    assert_eq!((first.number, shared.number), (1, 1));
    wait_for_open(&pool, 2);
    let second = pool.lease(Sharing::Bulk).unwrap();
    assert_eq!((second.number, users(&pool)), (2, vec![2, 1]));
    thread::scope(|scope| {
        let third = waiting_lease(scope, &pool, Sharing::Bulk);
        drop(first);
        assert_eq!(pool.0.state().waiting, 1, "a connection with another user is not idle");
        drop(second);
        assert_eq!(third.join().unwrap(), 2);
    });
    assert_eq!((users(&pool), pool.0.state().waiting), (vec![1, 0], 0));
}

#[test]
fn small_transfers_do_not_join_while_another_caller_waits_for_an_idle_connection() {
    let pool = FakeServer::new(9).pool(1);
    let lease = pool.lease(Sharing::Small).unwrap();
    thread::scope(|scope| {
        let exclusive = waiting_lease(scope, &pool, Sharing::Exclusive);
        let small = scope.spawn(|| pool.lease(Sharing::Small).unwrap().number);
        for _ in 0..100 {
            assert_eq!(users(&pool), [1], "nobody joins while another waits");
            thread::yield_now();
        }
        drop(lease);
        assert_eq!((exclusive.join().unwrap(), small.join().unwrap()), (1, 1));
    });
    assert_eq!(users(&pool), [0]);
}

#[test]
fn exclusive_leases_never_share() {
    let server = FakeServer::new(9);
    let pool = server.pool(3);
    let leases: Vec<_> = (0..3).map(|_| pool.lease(Sharing::Exclusive).unwrap()).collect();
    assert_eq!(leases.iter().map(|lease| lease.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(pool.has_create_race(), "the second connection says so");
    thread::scope(|scope| {
        let waiting = waiting_lease(scope, &pool, Sharing::Exclusive);
        assert_eq!((users(&pool), server.attempts()), (vec![1, 1, 1], 3), "three at most");
        drop(leases);
        waiting.join().unwrap();
    });
    assert_eq!(server.attempts(), 3);
}

#[test]
fn a_broken_connection_is_replaced() {
    let server = FakeServer::new(9);
    let pool = server.pool(1);
    let lease = pool.lease(Sharing::Small).unwrap();
    lease.is_broken.store(true, Ordering::Relaxed);
    thread::scope(|scope| {
        // The limit counts the broken one until its last user leaves.
        let next = scope.spawn(|| pool.lease(Sharing::Exclusive).unwrap().number);
        while pool.0.state().waiting == 0 {
            thread::yield_now();
        }
        drop(lease);
        assert_eq!(next.join().unwrap(), 2);
    });
    // An idle one that the server has dropped is found out before its use.
    server.works.store(false, Ordering::Relaxed);
    assert_eq!(pool.lease(Sharing::Small).unwrap().number, 3);
    assert_eq!(users(&pool), [0]);
}

#[test]
fn a_server_that_takes_no_more_is_no_failure_while_there_is_one() {
    let server = FakeServer::new(1);
    let pool = server.pool(4);
    let lease = pool.lease(Sharing::Exclusive).unwrap();
    thread::scope(|scope| {
        let waiting = waiting_lease(scope, &pool, Sharing::Exclusive);
        assert_eq!(server.attempts(), 2, "one more was refused");
        drop(lease);
        assert_eq!(waiting.join().unwrap(), 1);
    });
    let _bulk = pool.lease(Sharing::Bulk).unwrap();
    assert_eq!(pool.lease(Sharing::Small).unwrap().number, 1);
    assert_eq!(server.attempts(), 2, "it is not asked again at once");
}

#[test]
fn without_any_connection_a_lease_fails() {
    let server = FakeServer::new(0);
    let pool = server.pool(4);
    for attempts in 1..3 {
        let error = pool.lease(Sharing::Small).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("too many connections"), "{error}");
        assert_eq!(server.attempts(), attempts, "each lease tries once");
    }
}

#[test]
fn a_wrong_host_key_met_in_the_background_fails_the_next_lease() {
    let pool = FakeServer::new(9).pool(4);
    let _lease = pool.lease(Sharing::Small).unwrap();
    pool.0.state().wrong_key = Some(SftpError::HostChanged {
        host: "box".to_owned(),
        key_type: String::new(),
        fingerprint: String::new(),
        name: String::new(),
        file: String::new(),
    });
    assert!(pool.lease(Sharing::Small).is_err_and(|error| error.is_about_the_host_key()));
    assert!(pool.lease(Sharing::Small).is_ok(), "it is reported once");
}

#[test]
fn small_reads_go_to_the_connection_with_the_open_file() {
    let pool = FakeServer::new(9).pool(2);
    let leases = [(); 2].map(|()| pool.lease(Sharing::Exclusive).unwrap());
    assert_eq!(pool.lease_for(Path::new("file 2"), Sharing::Small).unwrap().number, 2);
    drop(leases);
    assert_eq!(pool.lease_for(Path::new("no file"), Sharing::Small).unwrap().number, 2);
    assert_eq!(users(&pool), [0, 0]);
}

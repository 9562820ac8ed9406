//! Goal: a limited line is not filled, by whatever store and however many transfers run at once.
//! Method: real servers behind a proxy that counts; at every moment no more may have passed than
//! the limit allows.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use drumlin::store::layers::clock::SystemClock;
use drumlin::store::layers::rate_limit::RateLimiter;
use drumlin::store::{Class, Key, Store};

use crate::support::fixture::noise;
use crate::support::servers::proxy::{Proxy, Toward};

const LIMIT_BYTES_PER_S: u64 = 2 << 20;
/// What may go ahead of the limit: its credit, one piece for each transfer, and what the protocols
/// add.
const AHEAD_BYTES: u64 = 512 << 10;
const TRANSFERS: u8 = 2;

fn rate_limiter() -> Arc<RateLimiter> {
    Arc::new(RateLimiter::new(
        Arc::new(SystemClock::new(|| false)),
        Some(LIMIT_BYTES_PER_S),
        Some(LIMIT_BYTES_PER_S),
    ))
}

fn key(number: u8) -> Key {
    Key::new(Class::Data, format!("{number:02x}/{}", format!("{number:02x}").repeat(32)))
}

/// Moves a mebibyte each way by each of two threads.
fn keeps_to_the_limit(store: &dyn Store, proxy: &Proxy) {
    // What comes with the first request is not counted.
    store.create(&Key::new(Class::Keys, "first"), b"x").unwrap();
    let at_least = Duration::from_millis(850);
    let (before, start) = (proxy.bytes(Toward::Server), Instant::now());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..TRANSFERS)
            .map(|number| {
                scope.spawn(move || store.create(&key(number), &noise(number.into(), 1 << 20)))
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            let passed = proxy.bytes(Toward::Server) - before;
            let allowed =
                LIMIT_BYTES_PER_S as f64 * start.elapsed().as_secs_f64() + AHEAD_BYTES as f64;
            assert!(passed as f64 <= allowed, "{passed} bytes after {:?}", start.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
    assert!(start.elapsed() >= at_least, "{:?}", start.elapsed());
    let start = Instant::now();
    thread::scope(|scope| {
        for number in 0..TRANSFERS {
            scope.spawn(move || {
                assert_eq!(store.read(&key(number)).unwrap(), noise(number.into(), 1 << 20))
            });
        }
    });
    assert!(start.elapsed() >= at_least, "{:?}", start.elapsed());
}

#[cfg(feature = "sftp")]
#[test]
fn another_machine() {
    use drumlin::store::sftp::SftpStore;
    use drumlin::store::sftp::options::SftpOptions;
    let server = crate::support::servers::openssh::OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let options =
        SftpOptions { rate_limiter: rate_limiter(), ..server.options_through(&proxy, "r") };
    keeps_to_the_limit(&SftpStore::open_or_make(options).unwrap(), &proxy);
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket() {
    use drumlin::store::s3::S3Store;
    use drumlin::store::s3::options::S3Options;
    let server = crate::support::servers::moto::start();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
    let options =
        crate::support::servers::s3::options(server.bucket(), proxy.port(), ("id", "secret"));
    keeps_to_the_limit(
        &S3Store::open(S3Options { rate_limiter: rate_limiter(), ..options }).unwrap(),
        &proxy,
    );
}

//! Programs that carry a connection: each works like TCP, ends with the connection, and its message
//! is shown when there is none.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drumlin::store::layers::clock::SystemClock;
use drumlin::store::layers::rate_limit::RateLimiter;
use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::sftp::proxy::Proxy;
use drumlin::store::{ErrorKind, Store};

use super::{pack, refused};
use crate::support::servers::openssh::{OpenSsh, RELAY};

fn proxy(program: &str, arguments: &[&str]) -> Option<Proxy> {
    let arguments = arguments.iter().map(|argument| argument.into()).collect();
    Some(Proxy {
        program: program.into(),
        arguments,
        shown: format!("the relay `{program}`"),
        without: &["DRUMLIN_TEST_SECRET"],
    })
}

/// Returns the ids of programs, one a line of digits alone, that a file has.
fn pids(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[test]
fn a_program_carries_connections_and_ends_with_them() {
    let server = OpenSsh::start();
    let options = server.options("r");
    let (log, port) = (server.path("relay"), options.port.to_string());
    let relay = proxy("bash", &["-c", RELAY, &options.host, &port, log.to_str().unwrap()]);
    // The name is the program's business.
    let options = SftpOptions { proxy: relay, ..options };
    let store = SftpStore::open_or_make(options.clone()).unwrap();
    let large: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    store.create(&pack(1), &large).unwrap();
    assert_eq!(store.read(&pack(1)).unwrap(), large);
    let started = pids(&log);
    assert!(!started.is_empty() && started.iter().any(|pid| is_running(pid)), "{started:?}");
    drop(store);
    let since = Instant::now();
    // Another connection may have been opened behind, which ends as soon as it is there.
    while pids(&log).iter().any(|pid| is_running(pid)) {
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", pids(&log));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn why_there_is_no_connection_is_what_the_program_says() {
    let server = OpenSsh::start();
    let through = |program: &str, arguments: &[&str]| SftpOptions {
        proxy: proxy(program, arguments),
        ..server.options("")
    };
    let (kind, said) = refused(through("drumlin-no-such-program", &[]));
    assert!(
        kind == ErrorKind::Other && said.contains("there is no program drumlin-no-such-program"),
        "{said}"
    );
    let (kind, said) = refused(through("sh", &["-c", "exec drumlin-no-such-program"]));
    assert!(
        kind == ErrorKind::Other
            && said.contains("cannot run the relay `sh`")
            && said.contains("status 127"),
        "{said}"
    );
    let (kind, said) = refused(through("sh", &["-c", "echo 'the gate\n is closed' >&2; exit 3"]));
    assert_eq!(kind, ErrorKind::Unavailable, "{said}");
    let wanted = "cannot connect through the relay `sh`: it ended with status 3; it says: the gate / is closed";
    assert!(said.contains(wanted), "{said}");
    let (kind, said) = refused(through("sh", &["-c", "kill -KILL $$"]));
    assert!(kind == ErrorKind::Unavailable && said.contains("it was killed"), "{said}");
    // What the server says of our key is no fault of the program.
    let (port, log) = (server.address.port().to_string(), server.path("relay"));
    let relay = through(
        "bash",
        &["-c", RELAY, &server.address.ip().to_string(), &port, log.to_str().unwrap()],
    );
    let (kind, said) = refused(SftpOptions { identity_files: Vec::new(), ..relay });
    assert!(kind == ErrorKind::NotPermitted && !said.contains("the relay"), "{said}");
}

/// It ends in the middle of a transfer that takes long.
#[test]
fn why_a_connection_broke_is_what_the_program_says() {
    let server = OpenSsh::start();
    let (log, port) = (server.path("relay"), server.address.port().to_string());
    let relay = "exec 3<>/dev/tcp/$0/$1 4<&0; cat <&3 & r=$!; cat <&4 >&3 & w=$!; \
                 trap 'kill $r $w; echo the gate fell >&2; exit 7' USR1; echo $$ >> $2; wait";
    let arguments = ["-c", relay, &server.address.ip().to_string(), &port, log.to_str().unwrap()];
    let rate_limiter = RateLimiter::new(Arc::new(SystemClock::new(|| false)), Some(200_000), None);
    let options = SftpOptions {
        proxy: proxy("bash", &arguments),
        connections: 1,
        rate_limiter: Arc::new(rate_limiter),
        ..server.options("r")
    };
    let store = SftpStore::open_or_make(options).unwrap();
    let shell = pids(&log).into_iter().next().unwrap();
    let uploading = std::thread::spawn(move || store.create(&pack(1), &vec![7; 2_000_000]));
    std::thread::sleep(Duration::from_secs(1));
    crate::support::servers::run("kill", &["-USR1", &shell]);
    let error = uploading.join().unwrap().unwrap_err();
    let said = super::chain(&error);
    assert!(
        said.contains("the relay `bash` reports: it ended with status 7; it says: the gate fell"),
        "{said}"
    );
}

/// It hears neither the end of its input nor a polite word.
#[test]
fn a_program_that_does_not_end_is_killed_with_all_that_it_has_started() {
    let server = OpenSsh::start();
    let log = server.path("relay");
    let deaf = "trap '' TERM HUP; echo $$ >> $0; sleep 1000 & echo $! >> $0; wait; sleep 1000";
    let proxy = proxy("sh", &["-c", deaf, log.to_str().unwrap()]);
    let began = Instant::now();
    let (kind, _) =
        refused(SftpOptions { proxy, timeout: Duration::from_millis(500), ..server.options("") });
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let started = pids(&log);
    assert_eq!(started.len(), 2);
    // Whoever takes over orphans reaps the second one in its own time.
    let is_alive = |pid: &String| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
    };
    assert!(!is_running(&started[0]), "it is reaped");
    while started.iter().any(is_alive) {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
}

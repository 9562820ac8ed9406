use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::values::Values;
use super::{CONNECTIONS_MAX, Handle, Shared, start, start_within};
use crate::metrics::{Page, text};

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn listen(page: Page, time_max: Duration) -> Handle {
    let shared = Arc::new(Shared::default());
    shared.set(page);
    start_within(([127, 0, 0, 1], 0).into(), shared, time_max).unwrap()
}

fn connect(handle: &Handle) -> TcpStream {
    let stream = TcpStream::connect(handle.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Returns the answer to some bytes.
fn ask(handle: &Handle, request: &str) -> String {
    let mut stream = connect(handle);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns whether the server hangs up without a word.
fn hangs_up(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn page() -> Page {
    Page::new(&Values::default(), Some("wiki is overdue"))
}

#[test]
fn requests_have_answers() {
    let handle = listen(page(), PATIENCE);
    let whole = ask(&handle, "GET /metrics?x HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: close") && head.contains("version=0.0.4"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    assert!(body.contains("\ndrumlin_build_info{version=\"\"} 1\n"), "{body}");
    let only_head = ask(&handle, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_eq!(only_head, format!("{head}\r\n\r\n"));
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", "503 Service Unavailable"),
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\nsome body", "405 Method Not Allowed"),
        ("SSH-2.0-OpenSSH\r\n", "400 Bad Request"),
        ("\u{16}\u{3}\u{1}\u{0}", "400 Bad Request"),
        ("GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request"),
    ] {
        let answer = ask(&handle, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
    }
    assert!(ask(&handle, "PUT / HTTP/1.1\r\n\r\n").contains("\r\nAllow: GET, HEAD\r\n"));
    assert!(ask(&handle, "GET /healthz HTTP/1.1\r\n\r\n").ends_with("\r\n\r\nwiki is overdue\n"));
}

#[test]
fn a_request_may_come_in_pieces_and_has_an_end() {
    let handle = listen(page(), PATIENCE);
    let mut slow = connect(&handle);
    for byte in b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r" {
        slow.write_all(&[*byte]).unwrap();
    }
    // Nobody waits for it.
    assert!(ask(&handle, "GET / HTTP/1.1\r\n\r\n").contains("404"));
    slow.write_all(b"\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // A client may close its side at once.
    let mut hasty = connect(&handle);
    hasty.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    hasty.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    hasty.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    for endless in ["x: y\r\n".repeat(2_000), format!("x: {}", "y".repeat(20_000))] {
        let mut stream = connect(&handle);
        // It stops listening before all is sent.
        let _ = stream.write_all(format!("GET / HTTP/1.1\r\n{endless}").as_bytes());
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}

#[test]
fn clients_that_do_nothing_are_dropped() {
    let handle = listen(page(), Duration::from_millis(300));
    let (silent, mut half) = (connect(&handle), connect(&handle));
    half.write_all(b"GET /metrics HT").unwrap();
    let mut answered = connect(&handle);
    answered.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let began = Instant::now();
    assert!(hangs_up(&silent) && hangs_up(&half));
    assert!(began.elapsed() < PATIENCE);
    // This one reads its answer and never closes.
    assert!(!hangs_up(&answered));
}

#[test]
fn of_too_many_the_oldest_is_dropped() {
    let handle = listen(page(), Duration::from_secs(600));
    let idle: Vec<TcpStream> = (0..3 * CONNECTIONS_MAX).map(|_| connect(&handle)).collect();
    for _ in 0..20 {
        assert!(ask(&handle, "GET /healthz HTTP/1.1\r\n\r\n").contains("503"));
    }
    assert!(idle.iter().take(2 * CONNECTIONS_MAX).all(hangs_up));
}

#[test]
fn a_client_that_does_not_read_keeps_nobody_waiting() {
    let mut values = Values::default();
    for app in 0..8_000 {
        values.apps.insert(format!("an-app-with-a-long-name-{app}"), Default::default());
    }
    let handle = listen(Page::new(&values, None), Duration::from_secs(600));
    let mut lazy: Vec<TcpStream> = (0..4).map(|_| connect(&handle)).collect();
    for stream in &mut lazy {
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    }
    assert!(ask(&handle, "GET /healthz HTTP/1.1\r\n\r\n").ends_with("ok\n"));
    let mut whole = String::new();
    lazy[2].read_to_string(&mut whole).unwrap();
    let (_, body) = whole.split_once("\r\n\r\n").unwrap();
    assert!(body.len() > 8 << 20 && body == text(&values), "{}", body.len());
}

#[test]
fn the_end_of_the_handle_is_the_end_of_the_listener() {
    let handle = listen(page(), Duration::from_secs(600));
    let (address, idle) = (handle.address(), connect(&handle));
    drop(handle);
    assert!(hangs_up(&idle));
    assert!(TcpStream::connect(address).is_err());
    let taken = TcpListener::bind(address).unwrap();
    assert!(start(taken.local_addr().unwrap(), Arc::default()).is_err());
}

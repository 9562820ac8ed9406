//! Goal: a group of a Pushgateway is replaced by exactly the given text, at the URL that it
//! understands, and nothing else happens: no redirect is followed, no answer is believed or
//! read without limit, no password is shown. Method: a server that notes the request and answers
//! as a test says; a table of URLs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::*;

/// Starts a server for one request; returns its address and what it was asked.
fn server(answer: &'static [u8]) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !is_whole(&request) {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                len => request.extend_from_slice(&buffer[..len]),
            }
        }
        // A client that has read enough hangs up.
        let _ = stream.write_all(answer);
        String::from_utf8(request).unwrap()
    });
    (address, asked)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn group(url: &str) -> Group<'_> {
    Group { url, host: "ada", app: "wiki" }
}

fn push_to(url: &str, text: &str) -> Result<(), PushError> {
    push_within(&group(url), text, Duration::from_secs(10))
}

#[test]
fn the_text_is_put_as_it_is() {
    for answer in ["200 OK", "202 Accepted"] {
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").leak().as_bytes();
        let (address, asked) = server(answer);
        push_to(&format!("http://{address}/prefix/"), "drumlin_x{a=\"é\"} 1\n").unwrap();
        let asked = asked.join().unwrap();
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.starts_with("put /prefix/metrics/job/drumlin/host/ada/app/wiki http/1.1"));
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(!head.contains("authorization") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "drumlin_x{a=\"é\"} 1\n");
    }
}

#[test]
fn a_user_is_sent_and_never_shown() {
    let (address, asked) = server(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\n\r\nno!\n");
    let error = push_to(&format!("http://ada:se%3Acret%40@{address}"), "x 1\n").unwrap_err();
    let asked = asked.join().unwrap();
    assert!(asked.to_lowercase().contains("authorization: basic "), "{asked}");
    assert!(asked.contains(&STANDARD.encode("ada:se:cret@")), "{asked}");
    assert!(!asked.contains("cret"), "{asked}");
    let said = format!("{error} {error:?}");
    assert!(said.contains(&address) && said.contains("401") && said.contains("no!"), "{said}");
    assert!(!said.contains("cret") && !said.contains("ada"), "{said}");

    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let error = push_to(&format!("http://ada:secret@{nobody}"), "x 1\n").unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(matches!(error, PushError::Send { .. }) && !said.contains("secret"), "{said}");
}

#[test]
fn no_redirect_is_followed() {
    let (elsewhere, never_asked) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
        );
        let (address, asked) = server(answer.leak().as_bytes());
        let error = push_to(&format!("http://{address}"), "x 1\n").unwrap_err();
        assert!(matches!(error, PushError::Redirected { .. }), "{status}: {error:?}");
        assert!(error.to_string().contains(&address));
        asked.join().unwrap();
    }
    // The other server waits for its first request still.
    assert!(!never_asked.is_finished());
}

#[test]
fn a_refusal_is_told_in_one_short_harmless_line() {
    let mut answer =
        b"HTTP/1.1 400 Bad\r\ncontent-length: 1000000\r\n\r\ntext\x1b[2J\n\xff".to_vec();
    answer.resize(1_000_000, b'x');
    let (address, asked) = server(answer.leak());
    let error = push_to(&format!("http://{address}"), "x 1\n").unwrap_err();
    asked.join().unwrap();
    let said = error.to_string();
    assert!(said.contains("400") && said.len() < 1_500, "{said}");
    assert!(!said.contains(['\u{1b}', '\n']), "{said:?}");
}

#[test]
fn a_server_that_is_silent_or_talks_nonsense_ends_in_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let start = Instant::now();
    let error = push_within(&group(&url), "x 1\n", Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, PushError::Send { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10));

    for answer in [&b""[..], b"\0\0\0\0\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"SSH-2.0-x\r\n"] {
        let (address, asked) = server(answer);
        let error = push_to(&format!("http://{address}"), "x 1\n").unwrap_err();
        assert!(matches!(error, PushError::Send { .. }), "{answer:?}: {error:?}");
        asked.join().unwrap();
    }
}

/// Certificates are verified: `tests/it/apps/metrics/gateway.rs`.
#[test]
fn https_sends_nothing_before_there_is_a_certificate() {
    const HANDSHAKE: u8 = 0x16;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        let error = push_to(&url, "x 1\n").unwrap_err();
        assert!(matches!(error, PushError::NoAuthorities { .. }), "{error:?}");
        return;
    }
    let asked = thread::spawn(move || {
        let mut buffer = [0; 4096];
        let len = listener.accept().unwrap().0.read(&mut buffer).unwrap();
        buffer[..len].to_vec()
    });
    let error = push_to(&url, "x 1\n").unwrap_err();
    assert!(matches!(error, PushError::Send { .. }), "{error:?}");
    assert_eq!(asked.join().unwrap()[0], HANDSHAKE);
}

#[test]
fn labels_are_written_as_the_pushgateway_reads_them() {
    let cases = [
        ("wiki", "/app/wiki"),
        ("a-b_c.d~1", "/app/a-b_c.d~1"),
        ("..x", "/app/..x"),
        ("", "/app@base64/="),
        (".", "/app@base64/Lg"),
        ("..", "/app@base64/Li4"),
        ("/", "/app@base64/Lw"),
        ("a/b", "/app@base64/YS9i"),
        ("a b", "/app@base64/YSBi"),
        ("100%", "/app@base64/MTAwJQ"),
        ("a+b", "/app@base64/YSti"),
        ("x\r\ny", "/app@base64/eA0KeQ"),
        ("é", "/app@base64/w6k"),
        ("ÿÿ>?", "/app@base64/w7_Dvz4_"),
    ];
    for (value, expected) in cases {
        assert_eq!(segment("app", value), expected, "{value:?}");
    }
}

#[test]
fn urls_get_the_path_of_the_group() {
    let path = "/metrics/job/drumlin/host/ada/app/wiki";
    for (url, base) in [
        ("http://gateway:9091", "http://gateway:9091"),
        ("http://gateway:9091/", "http://gateway:9091"),
        ("http://gateway:9091/metrics", "http://gateway:9091"),
        ("http://gateway:9091/metrics/", "http://gateway:9091"),
        ("https://u:p@[::1]:1/a/b//", "https://[::1]:1/a/b"),
        ("HTTPS://gateway/api/v1/import/prometheus", "https://gateway/api/v1/import/prometheus"),
    ] {
        assert_eq!(group_url(&group(url)).unwrap(), format!("{base}{path}"), "{url}");
    }
    for url in [
        "",
        "gateway",
        "gateway:9091",
        "/metrics",
        "ftp://gateway",
        "file:///etc/passwd",
        "http://",
        "http://:9091",
        "http://user@",
        "http://user@:9091/",
        "http://gateway/?a=b",
        "http://gateway/#a",
        "http://gate way/",
        "http://gateway/\r\nX: y",
        "http://%ff:x@gateway/",
    ] {
        assert!(matches!(group_url(&group(url)), Err(PushError::Url(_))), "{url:?}");
    }
}

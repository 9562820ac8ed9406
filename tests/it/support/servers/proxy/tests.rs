use super::*;

/// A server that sends back what it gets, until the test ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let stream = stream.unwrap();
                let _ = io::copy(&mut &stream, &mut &stream);
            });
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends bytes, returns what comes back until the end. A socket reports a reset once only, to
/// whoever asks first.
fn exchange(stream: &TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    thread::scope(|scope| {
        let sent = scope.spawn(|| {
            let result = { stream }.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            result
        });
        let mut back = Vec::new();
        let received = { stream }.read_to_end(&mut back);
        let sent = sent.join().unwrap();
        received.and(sent).map(|()| back)
    })
}

#[test]
fn it_changes_nothing_by_itself() {
    let proxy = Proxy::start(echo());
    let bytes: Vec<u8> =
        (0..1_000_000u32).map(|number| number.wrapping_mul(number).to_be_bytes()[1]).collect();
    assert!(exchange(&connect(&proxy), &bytes).unwrap() == bytes);
    assert_eq!(
        (proxy.bytes(Toward::Server), proxy.bytes(Toward::Client), proxy.connections()),
        (1_000_000, 1_000_000, 1)
    );
}

/// A hundred messages that do not wait for each other take one round trip, not a hundred of 0.2 s.
#[test]
fn a_delay_is_one_of_the_line() {
    let proxy = Proxy::start(echo());
    proxy.delay(Duration::from_millis(100));
    let mut stream = connect(&proxy);
    let start = Instant::now();
    for _ in 0..100 {
        stream.write_all(b"x").unwrap();
        thread::yield_now();
    }
    stream.read_exact(&mut [0; 100]).unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn bandwidth_is_shared() {
    let proxy = Proxy::start(echo());
    proxy.bandwidth(1 << 20);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                assert_eq!(exchange(&connect(&proxy), &[7; 256 << 10]).unwrap().len(), 256 << 10)
            });
        }
    });
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
}

#[test]
fn a_reset_comes_after_the_byte_that_was_said() {
    for toward in [Toward::Server, Toward::Client] {
        let proxy = Proxy::start(echo());
        proxy.reset_after(toward, 100_000);
        let stream = connect(&proxy);
        assert_eq!(
            exchange(&stream, &[7; 1_000_000]).unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(proxy.bytes(toward), 100_000);
        assert!(!proxy.is_reset_due(toward));
        assert_eq!(exchange(&connect(&proxy), b"again").unwrap(), b"again");
    }
}

#[test]
fn a_black_hole_says_nothing_until_it_ends() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    proxy.black_hole(true);
    stream.write_all(b"b").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(is_only_late(&stream.read(&mut [0]).unwrap_err()));
    stream.set_read_timeout(None).unwrap();
    proxy.black_hole(false);
    stream.read_exact(&mut [0]).unwrap();
    assert_eq!(proxy.open_connections(), 1);
}

#[test]
fn silence_and_refusal_come_after_the_byte_that_was_said() {
    let proxy = Proxy::start(echo());
    proxy.jitter(Duration::from_millis(20));
    let mut stream = connect(&proxy);
    proxy.after(Toward::Server, 3, Then::Silence);
    stream.write_all(b"abcdef").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(is_only_late(&stream.read_exact(&mut [0; 4]).unwrap_err()));
    assert_eq!(proxy.bytes(Toward::Server), 3);
    proxy.heal();
    assert_eq!(exchange(&connect(&proxy), b"again").unwrap(), b"again");
    proxy.after(Toward::Client, 2, Then::Refusal);
    let stream = connect(&proxy);
    assert_eq!(exchange(&stream, b"abcdef").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        exchange(&connect(&proxy), b"x").unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    proxy.heal();
    assert_eq!(exchange(&connect(&proxy), b"again").unwrap(), b"again");
}

#[test]
fn connections_are_refused_and_closed() {
    let proxy = Proxy::start(echo());
    let mut stream = connect(&proxy);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    proxy.refuse(true);
    assert_eq!(
        exchange(&connect(&proxy), b"x").unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    proxy.close_connections();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(proxy.connections(), 1);
    proxy.refuse(false);
    assert_eq!(exchange(&connect(&proxy), b"x").unwrap(), b"x");
}

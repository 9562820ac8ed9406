//! A front end of an S3 server that answers some requests itself: it is busy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const BUSY: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>reduce your request rate</Message></Error>";

/// Which requests are refused: by the beginning of their first line and a part of it, and how many
/// of them.
type Storm = Option<(&'static str, &'static str, u64)>;

/// A running one; it serves until the test's process ends.
pub struct Front {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    storm: Mutex<Storm>,
}

impl Front {
    /// Starts one that passes everything on.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { server, storm: Mutex::new(None) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // Ends of connections are no concern of its own.
                thread::spawn(move || drop(state.serve(&client)));
            }
        });
        Self { address, state }
    }

    /// Refuses so many of the requests with such a method and such a part in their path.
    pub fn storm(&self, method: &'static str, part: &'static str, count: u64) {
        *self.state.storm.lock().unwrap() = Some((method, part, count));
    }

    /// Lets all pass again; returns how many requests of the last storm were still to be refused.
    pub fn calm(&self) -> u64 {
        self.state.storm.lock().unwrap().take().map_or(0, |(.., left)| left)
    }
}

impl State {
    /// Serves one request; both connections end with it.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let (mut head, mut len) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let line = head[start..].to_ascii_lowercase();
            len = line
                .strip_prefix("content-length: ")
                .map_or(len, |text| text.trim().parse().unwrap());
        }
        let mut body = Vec::new();
        if (&mut reader).take(len).read_to_end(&mut body)? < len as usize {
            return Ok(());
        }
        if self.refuses(&head) {
            let head = format!(
                "HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                BUSY.len()
            );
            let body = if head.starts_with("HEAD") { "" } else { BUSY };
            return { client }.write_all(format!("{head}{body}").as_bytes());
        }
        let mut server = TcpStream::connect(self.server)?;
        server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
        server.write_all(&body)?;
        io::copy(&mut server, &mut { client }).map(drop)
    }

    fn refuses(&self, head: &str) -> bool {
        let first = head.lines().next().unwrap_or_default();
        match &mut *self.storm.lock().unwrap() {
            Some((method, part, left))
                if *left > 0 && first.starts_with(*method) && first.contains(*part) =>
            {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

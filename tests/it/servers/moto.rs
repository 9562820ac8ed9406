//! moto: a quick S3 server that keeps everything in memory and does not check signatures.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::process::Process;
use super::s3::S3Server;

/// Tells the port that it got; ends with the process that started it.
const SCRIPT: &str = "\
import logging, time
logging.getLogger('werkzeug').setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer('127.0.0.1', 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
while True: time.sleep(1000)
";

/// Starts one.
pub fn start() -> S3Server {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let mut process = Process::start_with(Command::new(&python).args(["-c", SCRIPT]), Stdio::piped());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("{} has no moto: run scripts/test-deps.sh", python.display()));
    S3Server::new(port, ("test".to_owned(), "secret".to_owned()), vec![process], None)
}

//! moto: a quick S3 server that keeps everything in memory and does not check signatures.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::Process;
use super::s3::S3Server;

/// Tells the port that it got. One request is worked on at a time, once it is there as a whole:
/// moto fails now and then when it lists what another thread changes.
const SCRIPT: &str = "\
import io, logging, sys, threading
logging.getLogger('werkzeug').setLevel(logging.ERROR)
from werkzeug.serving import make_server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
moto = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()
log = open(sys.argv[1], 'a', buffering=1) if sys.argv[1] else None
def one_at_a_time(environ, start_response):
    size = int(environ.get('CONTENT_LENGTH') or 0)
    body = environ['wsgi.input'].read(size)
    if len(body) < size: raise ConnectionError('half a request')
    environ['wsgi.input'] = io.BytesIO(body)
    if log: log.write(environ['REQUEST_METHOD'] + ' ' + environ['REQUEST_URI'] + '\\n')
    for name in sys.argv[2:]: environ.pop(name, None)
    with lock: return [b''.join(moto(environ, start_response))]
server = make_server('127.0.0.1', 0, one_at_a_time, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
";

/// Starts one.
pub fn start() -> S3Server {
    start_with(None, &[])
}

/// Starts one that ignores conditions, and so replaces objects, and is atomic all the same.
pub fn start_without_conditions() -> S3Server {
    start_with(None, &["HTTP_IF_NONE_MATCH"])
}

/// Starts one that writes a line to a file for each request, before it does anything about it.
pub fn start_logging(log: &Path) -> S3Server {
    start_with(Some(log), &[])
}

/// Returns the Python that runs it.
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python")
}

/// Starts one that writes to a log, if there is one, and does not see some headers.
fn start_with(log: Option<&Path>, unseen: &[&str]) -> S3Server {
    let python = python();
    let log = log.unwrap_or(Path::new(""));
    let command = &mut Command::new(&python);
    let mut process =
        Process::start_with(command.args(["-c", SCRIPT]).arg(log).args(unseen), Stdio::piped());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{} has no moto: run scripts/test-deps.sh", python.display()));
    S3Server::new(port, ("test".to_owned(), "secret".to_owned()), vec![process], None)
}

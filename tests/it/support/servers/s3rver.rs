//! s3rver: an S3 server that ignores conditions, so that it replaces objects.

use std::path::Path;
use std::process::Command;

use super::process::{Process, free_port, listens, wait_until};
use super::s3::S3Server;

/// Starts one.
pub fn start() -> S3Server {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node/node_modules/.bin/s3rver");
    assert!(program.exists(), "{} is missing: run scripts/test-deps.sh", program.display());
    for _ in 0..5 {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(&program);
        command
            .args([
                "--address",
                "127.0.0.1",
                "--silent",
                "--port",
                &port.to_string(),
                "--directory",
            ])
            .arg(folder.path());
        let mut process = Process::start(&command);
        // Who does not get the port ends.
        if wait_until(|| listens(port), || process.is_running()) && process.is_running() {
            return S3Server::new(
                port,
                ("S3RVER".to_owned(), "S3RVER".to_owned()),
                vec![process],
                Some(folder),
            );
        }
    }
    panic!("s3rver does not start");
}

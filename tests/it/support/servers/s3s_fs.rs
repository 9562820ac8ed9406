//! s3s-fs: an S3 server that looks for an object first and replaces it then, so that several of
//! those who create one name at once succeed.

use std::path::Path;
use std::process::Command;

use super::process::{Process, free_port, listens, wait_until};
use super::s3::S3Server;

/// Starts one.
pub fn start() -> S3Server {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/s3s/bin/s3s-fs");
    assert!(program.exists(), "{} is missing: run scripts/test-deps.sh", program.display());
    for _ in 0..5 {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(&program);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--access-key",
            "S3SFS",
            "--secret-key",
            "S3SFS",
        ]);
        command.arg(folder.path());
        let mut process = Process::start(&command);
        // Who does not get the port ends.
        if wait_until(|| listens(port), || process.is_running()) && process.is_running() {
            return S3Server::new(
                port,
                ("S3SFS".to_owned(), "S3SFS".to_owned()),
                vec![process],
                Some(folder),
            );
        }
    }
    panic!("s3s-fs does not start");
}

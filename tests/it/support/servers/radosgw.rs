//! Ceph's S3 server, with a cluster of its own in memory: signatures, conditions, versions, locks
//! and policies are real.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::{Process, free_port, listens, wait_until};
use super::s3::S3Server;

/// What a user may be named by; its keys are made from it.
pub const OWNER: &str = "owner";

/// Changes are agreed on at once (otherwise each of the forty that a start takes waits for a
/// second), and little is kept.
const CONFIG: &str = "\
[global]
fsid = @FSID@
mon host = v1:127.0.0.1:@MON@
mon initial members = a
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
paxos propose interval = 0.02
paxos min wait = 0.01
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class update on start = false
osd crush update on start = false
osd objectstore = memstore
osd class load list = *
osd class default list = *
memstore device bytes = 2147483648
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
run dir = @DIR@/run
admin socket = @DIR@/run/$name.asok
pid file = @DIR@/run/$name.pid
log file = @DIR@/run/$name.log
mon data = @DIR@/mon
osd data = @DIR@/osd.$id
[client.rgw]
rgw data = @DIR@/rgw
rgw frontends = beast endpoint=127.0.0.1:@PORT@ ssl_endpoint=127.0.0.1:@TLS@ ssl_certificate=@DIR@/pem
";

/// Starts a cluster with one user.
pub fn start() -> S3Server {
    start_with("")
}

/// Starts one that can take 8 GiB, and keeps packs in one piece each: what lies behind the first
/// piece of a removed object takes room for hours.
pub fn start_large() -> S3Server {
    start_with("rgw max chunk size = 33554432\n[osd]\nmemstore device bytes = 8589934592\n")
}

/// Starts one with more lines at the end of its configuration, which is that of the gateway.
fn start_with(more: &str) -> S3Server {
    for _ in 0..5 {
        if let Some(server) = try_start(more) {
            return server;
        }
    }
    panic!("radosgw does not start: run scripts/test-deps.sh");
}

/// Returns nothing if one of the ports was taken in between.
fn try_start(more: &str) -> Option<S3Server> {
    let folder = tempfile::tempdir().unwrap();
    let (mon, port, tls) = (free_port(), free_port(), free_port());
    let dir = folder.path();
    for name in ["run", "mon", "osd.0", "rgw"] {
        std::fs::create_dir(dir.join(name)).unwrap();
    }
    let (fsid, osd_id) = (uuid(), uuid());
    let config = [
        ("@FSID@", &*fsid),
        ("@DIR@", dir.to_str().unwrap()),
        ("@MON@", &mon.to_string()),
        ("@PORT@", &port.to_string()),
        ("@TLS@", &tls.to_string()),
    ];
    let config =
        config.iter().fold(CONFIG.to_owned(), |text, (name, value)| text.replace(name, value));
    std::fs::write(dir.join("conf"), config + more).unwrap();
    make_certificate(dir)?;
    let map = dir.join("monmap").to_str().unwrap().to_owned();
    let address = format!("[v1:127.0.0.1:{mon}]");
    run(Command::new("monmaptool")
        .args(["--create", "--addv", "a", &address, "--fsid", &fsid, &map]))?;
    run(ceph(dir, "ceph-mon").args(["--mkfs", "-i", "a", "--monmap", &map]))?;
    let mut processes = vec![Process::start(ceph(dir, "ceph-mon").args(["-f", "-i", "a"]))];
    run(ceph(dir, "ceph").args(["--connect-timeout", "60", "osd", "create", &osd_id]))?;
    // Not left to the daemon, which asks for it before it knows the cluster's id, if it is quick,
    // and is refused.
    run(ceph(dir, "ceph").args([
        "--connect-timeout",
        "60",
        "osd",
        "crush",
        "add",
        "osd.0",
        "1.0",
        "root=default",
        "host=here",
    ]))?;
    run(ceph(dir, "ceph-osd").args(["-i", "0", "--mkfs", "--osd-uuid", &osd_id]))?;
    processes.push(Process::start(ceph(dir, "ceph-osd").args(["-f", "-i", "0"])));
    processes.push(Process::start(ceph(dir, "radosgw").args(["-f", "-n", "client.rgw"])));
    let mut server = S3Server::new(port, (key_id(OWNER), secret(OWNER)), processes, Some(folder));
    let is_there = wait_until(|| listens(port), || server.is_running()) && server.is_running();
    (is_there && add_user(&server, OWNER)).then_some(server)
}

/// Returns the port on which it speaks TLS, and the file of its certificate.
pub fn tls(server: &S3Server) -> (u16, PathBuf) {
    let config = std::fs::read_to_string(server.folder().join("conf")).unwrap();
    let port = config.split_once("ssl_endpoint=127.0.0.1:").unwrap().1.split(' ').next().unwrap();
    (port.parse().unwrap(), server.folder().join("certificate"))
}

/// Makes a certificate that is its own authority, and a file with its key too.
fn make_certificate(dir: &Path) -> Option<()> {
    let mut make = Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    make.args([
        "-subj",
        "/CN=radosgw",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    let [certificate, key] = ["certificate", "key"].map(|name| dir.join(name));
    run(make.arg("-out").arg(&certificate).arg("-keyout").arg(&key))?;
    let both = [certificate, key].map(|file| std::fs::read(file).unwrap()).concat();
    std::fs::write(dir.join("pem"), both).ok()
}

/// Adds a user with keys of its own; returns whether that was possible.
pub fn add_user(server: &S3Server, name: &str) -> bool {
    let mut add = ceph(server.folder(), "radosgw-admin");
    add.args(["-n", "client.rgw", "user", "create", "--uid", name, "--display-name", name]);
    run(add.args(["--access-key", &key_id(name), "--secret-key", &secret(name)])).is_some()
}

/// Returns the key id of a user.
pub fn key_id(name: &str) -> String {
    format!("id-of-{name}")
}

/// Returns the secret key of a user.
pub fn secret(name: &str) -> String {
    format!("secret-of-{name}")
}

fn ceph(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("-c").arg(dir.join("conf"));
    command
}

/// Runs a program to its end, which it finds within a minute or is made to.
fn run(command: &Command) -> Option<()> {
    let mut bounded = Command::new("timeout");
    bounded.args(["--signal", "KILL", "60"]).arg(command.get_program()).args(command.get_args());
    let status = bounded.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.unwrap().success().then_some(())
}

fn uuid() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().to_owned()
}

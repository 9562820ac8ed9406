//! What a service manager hears: a socket of datagrams, as systemd has one.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use super::stage::{Daemon, apps, home};

#[test]
fn a_service_manager_hears_how_the_daemon_is() {
    let home =
        home(&apps(&["wiki"], "before = \"test -z \\\"$NOTIFY_SOCKET$WATCHDOG_USEC\\\"\"\n"))
            .with("NOTIFY_SOCKET", "notify")
            .with("WATCHDOG_USEC", "200000");
    let socket = UnixDatagram::bind(home.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Returns what is heard until a message that begins so.
    let hear = |wanted: &str| {
        let mut heard = Vec::new();
        let mut buffer = [0; 500];
        loop {
            let len = socket.recv(&mut buffer).unwrap();
            heard.push(String::from_utf8(buffer[..len].to_vec()).unwrap());
            if heard.last().is_some_and(|last| last.starts_with(wanted)) {
                return heard;
            }
        }
    };
    let daemon = Daemon::start(&home);
    assert_eq!(hear("READY=1"), ["READY=1"]);
    hear("STATUS=under way: wiki");
    hear("STATUS=no run is under way");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    daemon.signal(Signal::HUP);
    let reloading = hear("RELOADING=1").pop().unwrap();
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    hear("READY=1");
    daemon.signal(Signal::TERM);
    hear("STOPPING=1");
    let mut daemon = daemon;
    assert_eq!(daemon.code(), Some(0));
    let status = home.json(["apps"])["apps"][0]["status"].clone();
    assert_eq!(status, "done", "runs do not speak with the service manager");
}

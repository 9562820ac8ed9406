//! The protocol of a service manager: datagrams to the socket that it names.
//!
//! They say that the daemon is ready, reloads or stops, and again and again that it lives. Without
//! a socket nothing is said. See `sd_notify(3)`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::settings::environment::Environment;

/// The service manager.
pub(super) struct Service {
    socket: Option<UnixDatagram>,
    /// Longest time between two signs of life, and the last one.
    watchdog: Option<Duration>,
    told: Instant,
}

impl Service {
    /// Finds the service manager by its variables.
    pub(super) fn of(env: &Environment) -> Self {
        let text = |name: &str| env.get(name).and_then(|value| value.to_str());
        let is_for_us =
            text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let limit_us = text("WATCHDOG_USEC").and_then(|limit| limit.parse().ok());
        let limit_us = limit_us.filter(|limit| is_for_us && *limit > 0);
        Self {
            socket: env.get("NOTIFY_SOCKET").and_then(|name| connect(name.as_bytes())),
            watchdog: limit_us.map(|limit| Duration::from_micros(limit) / 2),
            told: Instant::now(),
        }
    }

    /// Says that the daemon is ready.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that the configuration is read again; [`ready`](Self::ready) ends that.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// Says that the daemon stops.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says in a line what the daemon does.
    pub(super) fn status(&self, line: &str) {
        self.tell(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// Says that the daemon lives, where that is awaited and it is time.
    pub(super) fn keep_alive(&mut self) {
        if self.watchdog.is_some_and(|interval| self.told.elapsed() >= interval) {
            self.tell("WATCHDOG=1");
            self.told = Instant::now();
        }
    }

    /// Returns how long it is until the next sign of life.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval.saturating_sub(self.told.elapsed()))
    }

    /// Sends a datagram. A manager that went away needs none.
    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(text.as_bytes());
        }
    }
}

/// Connects to a socket by its path, or by its name after `@`.
fn connect(name: &[u8]) -> Option<UnixDatagram> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    // A manager that does not read must not stop the daemon.
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_by_a_path_or_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let own = std::process::id().to_string();
        let name = format!("drumlin-test-{own}");
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, text) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}")),
        ] {
            let env = Environment::of([
                ("NOTIFY_SOCKET", text.as_str()),
                ("WATCHDOG_USEC", "2"),
                ("WATCHDOG_PID", own.as_str()),
            ]);
            let mut service = Service::of(&env);
            service.ready();
            assert_eq!(received(&socket), "READY=1");
            service.reloading();
            let told = received(&socket);
            let since = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the time");
            assert!(since.parse::<u64>().unwrap() > 0);
            std::thread::sleep(Duration::from_millis(1));
            service.keep_alive();
            assert_eq!(received(&socket), "WATCHDOG=1");
            service.status("a\nb");
            assert_eq!(received(&socket), "STATUS=a b");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let env = Environment::of([("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
        let service = Service::of(&env);
        service.stopping();
        assert!(service.wait().is_none() && service.socket.is_none());
        let env = Environment::of([("NOTIFY_SOCKET", "/no/such/socket")]);
        assert!(Service::of(&env).socket.is_none());
    }
}

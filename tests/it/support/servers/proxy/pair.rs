//! The two ends of a connection that goes through the proxy.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::Toward;

/// The two sockets of a connection.
pub struct Pair {
    pub client: TcpStream,
    pub server: TcpStream,
    pub is_dead: AtomicBool,
    /// Something was passed on to the client since it sent something last.
    pub is_answered: AtomicBool,
}

impl Pair {
    pub fn end(&self, toward: Toward, is_destination: bool) -> &TcpStream {
        if (toward == Toward::Server) == is_destination { &self.server } else { &self.client }
    }

    /// Both ends see a reset as soon as the last thread has noticed.
    pub fn reset(&self) {
        end_with_reset(&self.client);
        end_with_reset(&self.server);
        self.is_dead.store(true, SeqCst);
    }
}

/// Closing the socket will send a reset: the standard library has no stable way to ask for that.
pub fn end_with_reset(stream: &TcpStream) {
    #[repr(C)]
    struct Linger {
        is_on: i32,
        seconds: i32,
    }
    unsafe extern "C" {
        fn setsockopt(fd: i32, level: i32, name: i32, value: *const Linger, len: u32) -> i32;
    }
    const SOL_SOCKET: i32 = 1;
    const SO_LINGER: i32 = 13;
    let linger = Linger { is_on: 1, seconds: 0 };
    // SAFETY: the descriptor is open, and `linger` is what SO_LINGER takes, with its own length.
    let result =
        unsafe { setsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_LINGER, &raw const linger, 8) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

//! Connection setup: TCP or proxy program, host key check, login, SFTP channel.

use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};

use libssh2_sys as raw;
use ssh2::{Channel, Error, ErrorCode, ExtendedData, Session};

use super::error::SftpError;
use super::host_key::KnownKeys;
use super::login::{has_ended, log_in};
use super::options::SftpOptions;
use super::proxy::RunningProxy;

/// Receive window in bytes: as much as a fast line holds.
const WINDOW_LEN_BYTES: u32 = 4 << 20;
/// Longest SSH packet that is accepted.
const PACKET_LEN_MAX_BYTES: u32 = 32 << 10;

/// The transport of a connection. Its proxy program ends when this is dropped.
pub(super) struct Carrier {
    /// The TCP socket, or our end of the proxy program's sockets.
    pub socket: TcpStream,
    proxy: Option<RunningProxy>,
}

impl Carrier {
    fn open(options: &SftpOptions) -> Result<Self, SftpError> {
        match &options.proxy {
            Some(proxy) => RunningProxy::start(proxy)
                .map(|(running, socket)| Self { socket, proxy: Some(running) }),
            None => dial(options).map(|socket| Self { socket, proxy: None }),
        }
    }

    /// Shuts down both directions.
    pub(super) fn shut_down(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Returns why a connection broke, with the output of the proxy program. To be called before
    /// [`shut_down`](Self::shut_down).
    pub(super) fn explain_break(&self, why: &str) -> String {
        self.proxy.as_ref().map_or_else(|| why.to_owned(), |proxy| proxy.explain_break(why))
    }

    /// Adds the output of the proxy program to a failed handshake, which it may have caused.
    pub(super) fn explain(&self, error: SftpError) -> SftpError {
        match (&self.proxy, error) {
            (Some(proxy), error @ SftpError::Handshake { .. }) => proxy.explain(error),
            (_, error) => error,
        }
    }
}

/// Connects, checks the host key, logs in and starts the SFTP subsystem, without an SFTP request.
/// Each step takes at most the time-out of `options`.
pub(super) fn reach(options: &SftpOptions) -> Result<(Session, Carrier, Channel), SftpError> {
    let carrier = Carrier::open(options)?;
    match reach_by(&carrier.socket, options) {
        Ok((session, channel)) => Ok((session, carrier, channel)),
        Err(error) => Err(carrier.explain(error)),
    }
}

fn reach_by(socket: &TcpStream, options: &SftpOptions) -> Result<(Session, Channel), SftpError> {
    let failed = |error: Error| refused_hand(options, error.message());
    let unreachable =
        |source| SftpError::Unreachable { host: options.host.clone(), port: options.port, source };
    let mut session = Session::new().map_err(failed)?;
    session.set_tcp_stream(socket.try_clone().map_err(unreachable)?);
    session.set_timeout(u32::try_from(options.timeout.as_millis()).unwrap_or(u32::MAX).max(1));
    let known = KnownKeys::read(&session, options)?;
    known.prefer(&session).map_err(failed)?;
    let ready = session.handshake().map_err(failed).and_then(|()| {
        known.check(&session, options)?;
        log_in(&session, socket, options)?;
        start_sftp(&session).map_err(|error| match error.code() {
            ErrorCode::Session(raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) if !has_ended(socket) => {
                SftpError::NoSftp { host: options.host.clone(), user: options.user.clone() }
            }
            // Some servers enforce their limit of connections only after the login, by hanging up.
            _ => failed(error),
        })
    });
    let channel = ready.inspect_err(|_| {
        // Otherwise freeing the session would wait for a silent server.
        let _ = socket.shutdown(Shutdown::Both);
    })?;
    session.set_blocking(false);
    Ok((session, channel))
}

/// Returns the error of a connection that ended before it could be used.
pub(super) fn refused_hand(options: &SftpOptions, message: &str) -> SftpError {
    SftpError::Handshake {
        host: options.host.clone(),
        port: options.port,
        message: message.to_owned(),
    }
}

/// Starts the SFTP subsystem.
fn start_sftp(session: &Session) -> Result<Channel, Error> {
    let mut channel =
        session.channel_open("session", WINDOW_LEN_BYTES, PACKET_LEN_MAX_BYTES, None)?;
    channel.handle_extended_data(ExtendedData::Ignore)?;
    channel.subsystem("sftp")?;
    Ok(channel)
}

fn dial(options: &SftpOptions) -> Result<TcpStream, SftpError> {
    let unreachable =
        |source| SftpError::Unreachable { host: options.host.clone(), port: options.port, source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (options.host.as_str(), options.port).to_socket_addrs().map_err(unreachable)? {
        let socket = TcpStream::connect_timeout(&address, options.timeout);
        match socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

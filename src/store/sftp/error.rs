//! Errors of SFTP, and their kinds.

use std::io;

use crate::store::ErrorKind;

/// `SSH_FX_*` codes of the protocol (version 3, and later ones that servers use, too).
const END_OF_FILE: i32 = 1;
const NO_SUCH_FILE: i32 = 2;
const PERMISSION_DENIED: i32 = 3;
const FAILURE: i32 = 4;
const OP_UNSUPPORTED: i32 = 8;
const NO_SUCH_PATH: i32 = 10;
const FILE_ALREADY_EXISTS: i32 = 11;
const WRITE_PROTECT: i32 = 12;
const NO_SPACE: i32 = 14;
const QUOTA_EXCEEDED: i32 = 15;

/// Why a server could not be used. Never holds a password or passphrase.
#[derive(Debug, thiserror::Error)]
pub enum SftpError {
    /// No server answers at the address, or the name has none.
    #[error("cannot reach {host} port {port}; check the name, the port and the network")]
    Unreachable {
        /// The machine.
        host: String,
        /// Its port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The server answers, but there is no SSH connection: another protocol, or a limit of
    /// connections.
    #[error("cannot make an SSH connection to {host} port {port}: {message}")]
    Handshake {
        /// The machine.
        host: String,
        /// Its port.
        port: u16,
        /// What the library said.
        message: String,
    },
    /// No known_hosts file names the machine.
    #[error(
        "the server {name} is not known on this machine{note}; it shows the {key_type} key \
            {fingerprint}. \
         Compare that with what its operator publishes, then add this line to {file}:\n{line}"
    )]
    HostUnknown {
        /// Name for known_hosts: the machine, and its port if that is not 22.
        name: Box<str>,
        /// The kind of its key.
        key_type: Box<str>,
        /// SHA-256 of its key, as OpenSSH prints it.
        fingerprint: Box<str>,
        /// What the files know all the same; follows "not known on this machine".
        note: Box<str>,
        /// The line that makes it known.
        line: Box<str>,
        /// The file for that line.
        file: Box<str>,
    },
    /// A known_hosts file has another key for the machine, or has this one as revoked.
    #[error(
        "the host key of {host} has changed: either it was installed anew, or somebody intercepts \
            the connection. It shows the {key_type} key {fingerprint}, which {file} does not have \
            for it. Nothing was sent. Ask its operator; only if the new key is right, replace the \
            old line (ssh-keygen -R '{name}')"
    )]
    HostChanged {
        /// The machine.
        host: String,
        /// The kind of its key.
        key_type: String,
        /// SHA-256 of its key, as OpenSSH prints it.
        fingerprint: String,
        /// The name under which known_hosts files have it.
        name: String,
        /// The files that have another key for it.
        file: String,
    },
    /// No key or password was accepted.
    #[error("{host} does not let {user} in; {tried}; the server accepts: {methods}")]
    LoginRefused {
        /// The machine.
        host: String,
        /// The user of the login.
        user: String,
        /// What was tried, and what came of it.
        tried: String,
        /// What the server would take.
        methods: String,
    },
    /// The login succeeds, but the server offers no SFTP.
    #[error("{host} lets {user} in, but does not offer SFTP; its operator can switch it on")]
    NoSftp {
        /// The machine.
        host: String,
        /// The user of the login.
        user: String,
    },
    /// The login succeeds, but the program that answers does not speak SFTP, or is missing.
    #[error(
        "{host} lets {user} in, but what answers there is not SFTP: {came}. If a start-up file of \
            the login shell prints that, let it print \
         only at a terminal (`[ -t 1 ] && echo ...`); else the server's operator can set \
         `Subsystem sftp internal-sftp`"
    )]
    NotSftp {
        /// The machine.
        host: String,
        /// The user of the login.
        user: String,
        /// What came.
        came: String,
    },
    /// The program that would carry the connection cannot be run.
    #[error("cannot run {shown}: {why}")]
    NoProxy {
        /// The option that names it, and the program.
        shown: String,
        /// Why not.
        why: String,
    },
    /// The program that carries the connection printed an error, or ended, before there was one.
    #[error("cannot connect through {shown}: {why}")]
    Proxy {
        /// The option that names it, and the program.
        shown: String,
        /// What it said, and how it ended.
        why: String,
        /// What was noticed at this end.
        source: Box<SftpError>,
    },
    /// The connection ended in the middle.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// Nothing came or went for too long.
    #[error("the server has been silent for {0} s")]
    Silent(u64),
    /// A request that changes something was on its way when the connection ended.
    #[error("the request was sent, but its answer never came")]
    Unanswered(#[source] Box<SftpError>),
    /// The server refused a request.
    #[error("the server says: {text} (code {code})")]
    Status {
        /// `SSH_FX_*`.
        code: i32,
        /// Its meaning.
        text: String,
    },
    /// The repository's directory is missing.
    #[error("there is no folder {0} on the server; drumlin init makes one")]
    NoSuchDir(String),
    /// The repository's path is something else.
    #[error("{0} is not a folder on the server")]
    NotADir(String),
    /// There is an object of that name.
    #[error("it exists already")]
    Exists,
    /// There is no room left.
    #[error("the disk of the server is full or its quota is used up")]
    Full,
    /// The server's file system takes no changes.
    #[error("the server's file system is read-only")]
    ReadOnly,
    /// The object ends before the range does.
    #[error("the object ends before the bytes that were asked for")]
    Short,
    /// This one object cannot be read.
    #[error("{0}")]
    Unreadable(&'static str),
    /// A request that must not be sent, or an answer that must not be used.
    #[error("{0}")]
    Refused(&'static str),
}

impl SftpError {
    /// Returns the error of a status code.
    pub fn status(code: u32) -> Self {
        let code = i32::try_from(code).unwrap_or(i32::MAX);
        let text = match code {
            END_OF_FILE => "end of file",
            NO_SUCH_FILE | NO_SUCH_PATH => "no such file or folder",
            PERMISSION_DENIED => "permission denied",
            OP_UNSUPPORTED => "operation unsupported",
            FILE_ALREADY_EXISTS => "file already exists",
            WRITE_PROTECT => "write protected",
            NO_SPACE => "no space left",
            QUOTA_EXCEEDED => "quota exceeded",
            _ => "failure",
        };
        Self::Status { code, text: text.to_owned() }
    }

    /// Returns whether the server says that there is no more.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Status { code: END_OF_FILE, .. })
    }

    /// Turns a plain failure, which is all that servers report of a bad sector, into
    /// [`SftpError::Unreadable`].
    pub fn when_reading(self) -> Self {
        match self {
            Self::Status { code: FAILURE, .. } => Self::Unreadable(
                "the server fails to read it (code 4); its disk may have bad sectors, or be about \
                    to fail",
            ),
            other => other,
        }
    }

    /// Returns the kind that callers of the store see.
    pub fn kind(&self) -> ErrorKind {
        match self {
            // Reads, and requests that only touch a scratch file, can be repeated without harm.
            Self::Unreachable { .. } | Self::Handshake { .. } | Self::Lost(_) | Self::Silent(_) => {
                ErrorKind::Unavailable
            }
            Self::Unanswered(_) => ErrorKind::Unanswered,
            Self::Proxy { source, .. } => source.kind(),
            Self::LoginRefused { .. } | Self::ReadOnly => ErrorKind::NotPermitted,
            Self::NoSuchDir(_) => ErrorKind::NotFound,
            Self::Exists => ErrorKind::Exists,
            Self::Full => ErrorKind::Full,
            Self::Short => ErrorKind::Short,
            Self::Unreadable(_) => ErrorKind::Unreadable,
            Self::Status { code: PERMISSION_DENIED | WRITE_PROTECT, .. } => ErrorKind::NotPermitted,
            Self::Status { code: NO_SPACE | QUOTA_EXCEEDED, .. } => ErrorKind::Full,
            Self::Status { code: FILE_ALREADY_EXISTS, .. } => ErrorKind::Exists,
            Self::Status { .. } if self.is_missing() => ErrorKind::NotFound,
            _ => ErrorKind::Other,
        }
    }

    /// Turns a lost connection into [`SftpError::Unanswered`]: a sent request that changes
    /// something may have been carried out.
    pub fn when_sent(self) -> Self {
        match self {
            Self::Lost(_) | Self::Silent(_) => Self::Unanswered(Box::new(self)),
            other => other,
        }
    }

    /// Returns whether the server says that there is no such file or directory.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Status { code: NO_SUCH_FILE | NO_SUCH_PATH, .. })
    }

    /// Returns whether the server does not know the request.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Status { code: OP_UNSUPPORTED, .. })
    }

    /// Returns whether the server refused the request; the connection still works.
    pub fn is_status(&self) -> bool {
        matches!(self, Self::Status { .. })
    }

    /// Returns whether the host key was refused: then no other attempt may be made.
    pub fn is_about_the_host_key(&self) -> bool {
        matches!(self, Self::HostUnknown { .. } | Self::HostChanged { .. })
    }
}

/// Longest message of a server or program that is shown.
const SAID_LEN_MAX_CHARS: usize = 300;

/// Returns a peer's message as one line that is safe to print; a long one is cut.
pub fn printable(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line: String =
        lines.join(" / ").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    match line.char_indices().nth(SAID_LEN_MAX_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_shown_in_one_short_line() {
        assert_eq!(printable(b"\n Welcome!\r\n\x1b[31mred\0\n\n"), "Welcome! / ?[31mred?");
        assert_eq!(printable(b"\xff").chars().count(), 1);
        assert_eq!(printable(&[b'x'; 1000]).len(), SAID_LEN_MAX_CHARS + 3);
        assert_eq!(printable(b" \n"), "");
    }
}

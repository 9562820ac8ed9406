//! Authentication: keys, then a password.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use libssh2_sys as raw;
use ssh2::{Agent, Error, ErrorCode, KeyboardInteractivePrompt, Prompt, PublicKey, Session};

use super::candidates::{Candidate, KeyFile, Keys, PrivateKey};
use super::error::SftpError;
use super::options::SftpOptions;
use super::public_key::is_certificate;

/// libssh2's message when the server accepts a key and the agent does not sign with it.
const NOT_SIGNED: &str = "Callback returned error";

/// Length of a socket's path in a system address, with its final zero.
const SOCKET_PATH_LEN_BYTES: usize = 108;

/// Logs in. The host key must have been checked.
///
/// Fails with [`SftpError::LoginRefused`], which lists what was tried, and with
/// [`SftpError::Handshake`] if the connection broke or went silent before anything was refused:
/// that says nothing about keys, and a retry may succeed.
pub(super) fn log_in(
    session: &Session,
    socket: &TcpStream,
    options: &SftpOptions,
) -> Result<(), SftpError> {
    let mut attempt = LoginAttempt {
        session,
        socket,
        options,
        tried: Vec::new(),
        is_refused: false,
        broken: None,
    };
    // Asking for the accepted methods costs a round trip, so a client with nothing but keys tries
    // them first.
    let has_tried_keys = options.password.is_none();
    if has_tried_keys && attempt.with_keys() {
        return Ok(());
    }
    let methods = match session.auth_methods(&options.user) {
        Ok(methods) => methods.to_owned(),
        // A server that needs no authentication fails this request.
        Err(_) if session.authenticated() => return Ok(()),
        // It hung up after refused attempts, which are reported below.
        Err(_) if attempt.is_refused || attempt.broken.is_some() => "it did not say".to_owned(),
        Err(error) => return Err(handshake_error(options, error.message())),
    };
    let has = |method: &str| methods.split(',').any(|offered| offered == method);
    let takes_keys = has("publickey");
    let is_in = takes_keys && !has_tried_keys && attempt.with_keys() || attempt.with_password(&has);
    if is_in {
        return Ok(());
    }
    if let Some(why) = attempt.broken.filter(|_| !attempt.is_refused) {
        return Err(handshake_error(options, &why));
    }
    if attempt.tried.is_empty() {
        let nothing =
            if takes_keys { "no key and no password was given" } else { "no password was given" };
        attempt.tried.push(nothing.to_owned());
    }
    let tried = attempt.tried.join(", ");
    Err(SftpError::LoginRefused {
        host: options.host.clone(),
        user: options.user.clone(),
        tried,
        methods,
    })
}

fn handshake_error(options: &SftpOptions, message: &str) -> SftpError {
    SftpError::Handshake {
        host: options.host.clone(),
        port: options.port,
        message: message.to_owned(),
    }
}

/// State of a login: what was tried so far.
struct LoginAttempt<'a> {
    session: &'a Session,
    socket: &'a TcpStream,
    options: &'a SftpOptions,
    tried: Vec<String>,
    /// Whether the server refused a key or password.
    is_refused: bool,
    /// Why the connection broke.
    broken: Option<String>,
}

/// Result of trying a key.
enum KeyOutcome {
    /// The login succeeded.
    IsIn,
    /// The server does not take the key.
    Refused,
    /// The key could not be used, or the connection broke.
    NotTried,
}

impl LoginAttempt<'_> {
    /// Records the result of one attempt; returns whether the login succeeded.
    fn note(&mut self, what: String, result: Result<(), Error>) -> bool {
        let Err(error) = result else { return self.session.authenticated() };
        let refused = [
            raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED,
            raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED,
            raw::LIBSSH2_ERROR_FILE,
            raw::LIBSSH2_ERROR_KEYFILE_AUTH_FAILED,
        ];
        // libssh2 reports a connection that breaks here as a refusal, so the socket is checked
        // first.
        let why = match error.code() {
            ErrorCode::Session(raw::LIBSSH2_ERROR_TIMEOUT) => {
                self.break_off("the server was silent during the login")
            }
            _ if has_ended(self.socket) => self.break_off("the server hung up during the login"),
            ErrorCode::Session(
                raw::LIBSSH2_ERROR_SOCKET_DISCONNECT | raw::LIBSSH2_ERROR_SOCKET_RECV,
            ) => self.break_off("the server hung up during the login"),
            ErrorCode::Session(code) if refused.contains(&code) => {
                self.is_refused = true;
                "refused".to_owned()
            }
            _ => error.message().to_owned(),
        };
        self.tried.push(format!("{what}: {why}"));
        false
    }

    fn break_off(&mut self, why: &str) -> String {
        self.broken = Some(why.to_owned());
        why.to_owned()
    }

    /// Tries the keys of files and of the agent, in order.
    fn with_keys(&mut self) -> bool {
        let keys = Keys::read(self.options);
        let agent = self.ask_agent();
        let known: Vec<&[u8]> =
            agent.iter().flat_map(|(_, keys)| keys.iter().map(PublicKey::blob)).collect();
        self.tried.extend(keys.complaints.iter().cloned());
        let mut refused: Vec<&[u8]> = Vec::new();
        for candidate in keys.in_order(
            &known,
            self.options.identities_only,
            self.options.identity_files_are_usual,
        ) {
            let shown = keys.shown(candidate, &known);
            // A key that was refused from the agent would be refused from its file, too.
            if shown.is_some_and(|shown| refused.contains(&shown)) {
                continue;
            }
            match self.try_key(candidate, &keys, agent.as_ref()) {
                KeyOutcome::IsIn => return true,
                KeyOutcome::Refused => refused.extend(shown),
                KeyOutcome::NotTried => {}
            }
            if self.broken.is_some() {
                break;
            }
        }
        false
    }

    /// Returns the agent and its keys, or records why there are none.
    fn ask_agent(&mut self) -> Option<(Agent, Vec<PublicKey>)> {
        let socket = self.options.agent_socket.as_ref()?;
        if let Err(why) = find_agent(socket) {
            self.tried.push(format!("agent at {}: {why}", socket.display()));
            return None;
        }
        let asked = (|| {
            let mut agent = self.session.agent()?;
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            let keys = agent.identities()?;
            Ok::<_, Error>((agent, keys))
        })();
        match asked {
            Ok((_, keys)) if keys.is_empty() => {
                self.tried.push(format!("agent at {}: has no keys", socket.display()))
            }
            Ok(agent) => return Some(agent),
            Err(error) => drop(self.note(format!("agent at {}", socket.display()), Err(error))),
        }
        None
    }

    fn try_key(
        &mut self,
        candidate: Candidate,
        keys: &Keys,
        agent: Option<&(Agent, Vec<PublicKey>)>,
    ) -> KeyOutcome {
        match candidate {
            Candidate::Agent { at, key_file } => {
                let Some((agent, known)) = agent else { return KeyOutcome::NotTried };
                let key = &known[at];
                let kind = if is_certificate(key.blob()) { "certificate" } else { "key" };
                let what = match key_file {
                    Some(key_file) => format!(
                        "{kind} of {}, from the agent",
                        keys.key_files[key_file].file.display()
                    ),
                    None => format!("agent {kind} {}", key.comment()),
                };
                let result = agent.userauth(&self.options.user, key);
                self.note_key(what, result)
            }
            Candidate::Lonely { certificate } => {
                let file = keys.certificates[certificate].file.display();
                let why = "its private key is in no key file that was named, and the agent does \
                    not have both (ssh-add adds them together)";
                self.tried.push(format!("certificate {file}: {why}"));
                KeyOutcome::NotTried
            }
            Candidate::File { key_file, certificate } => {
                let KeyFile { file, private, .. } = &keys.key_files[key_file];
                let certificate = certificate.map(|certificate| &keys.certificates[certificate]);
                match (private, certificate) {
                    (Ok(key), Some(certificate)) => {
                        let what = format!(
                            "certificate {} with key file {}",
                            certificate.file.display(),
                            file.display()
                        );
                        self.with_file(what, key, Some(&certificate.text))
                    }
                    (Ok(key), None) => {
                        self.with_file(format!("key file {}", file.display()), key, None)
                    }
                    (Err(why), _) => {
                        self.tried.push(format!("key file {}: {why}", file.display()));
                        KeyOutcome::NotTried
                    }
                }
            }
        }
    }

    fn with_file(
        &mut self,
        what: String,
        key: &PrivateKey,
        certificate: Option<&str>,
    ) -> KeyOutcome {
        let passphrase = self
            .options
            .key_passphrase
            .as_ref()
            .filter(|_| key.is_protected)
            .map(|phrase| phrase.as_str());
        // libssh2 expects one line.
        let certificate = certificate.map(str::trim);
        let result = self.session.userauth_pubkey_memory(
            &self.options.user,
            certificate,
            &key.text,
            passphrase,
        );
        let unreadable = ErrorCode::Session(raw::LIBSSH2_ERROR_FILE);
        if !matches!(&result, Err(error) if error.code() == unreadable) {
            return self.note_key(what, result);
        }
        let why = if key.is_protected {
            "the passphrase does not open it"
        } else {
            "it is no private key of a supported kind"
        };
        self.tried.push(format!("{what}: {why}"));
        KeyOutcome::NotTried
    }

    /// Records the result of one key. If the agent did not sign with an accepted key, the key
    /// itself was not refused.
    fn note_key(&mut self, what: String, result: Result<(), Error>) -> KeyOutcome {
        let code = result.as_ref().err().map(Error::code);
        let is_unsigned = matches!(&result, Err(error) if error.message() == NOT_SIGNED)
            && !has_ended(self.socket);
        if is_unsigned {
            self.tried.push(format!(
                "{what}: the server accepts it, but the agent did not sign with it (is the agent \
                    locked, or was its question refused?)"
            ));
            return KeyOutcome::NotTried;
        }
        match self.note(what, result) {
            true => KeyOutcome::IsIn,
            false if code == Some(ErrorCode::Session(raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED)) => {
                KeyOutcome::Refused
            }
            false => KeyOutcome::NotTried,
        }
    }

    fn with_password(&mut self, has: &dyn Fn(&str) -> bool) -> bool {
        let Some(password) = &self.options.password else { return false };
        if self.broken.is_some() {
            return false;
        }
        if has("password") {
            let result = self.session.userauth_password(&self.options.user, password);
            return self.note("password".to_owned(), result);
        }
        if has("keyboard-interactive") {
            let mut answer = PasswordPrompt(password);
            let result =
                self.session.userauth_keyboard_interactive(&self.options.user, &mut answer);
            return self.note("password".to_owned(), result);
        }
        self.tried.push("password: not taken".to_owned());
        false
    }
}

/// Checks that libssh2 can connect to an agent.
///
/// Otherwise libssh2 closes its socket twice, and the second time the descriptor may belong to
/// another file. It also truncates a long path.
fn find_agent(socket: &Path) -> Result<(), String> {
    if socket.as_os_str().len() >= SOCKET_PATH_LEN_BYTES {
        return Err(format!("a socket's path has less than {SOCKET_PATH_LEN_BYTES} bytes"));
    }
    UnixStream::connect(socket).map(drop).map_err(|error| error.to_string())
}

/// Returns whether the peer or the network has ended the connection.
pub(super) fn has_ended(socket: &TcpStream) -> bool {
    socket.peek(&mut [0]).map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |len| len == 0)
}

/// Answers every hidden prompt with the password.
struct PasswordPrompt<'a>(&'a str);

impl KeyboardInteractivePrompt for PasswordPrompt<'_> {
    fn prompt<'a>(
        &mut self,
        _user: &str,
        _instructions: &str,
        prompts: &[Prompt<'a>],
    ) -> Vec<String> {
        prompts
            .iter()
            .map(|prompt| if prompt.echo { String::new() } else { self.0.to_owned() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// The library is asked only where it cannot fail to connect: it would close another file's
    /// file.
    #[test]
    fn only_agents_that_answer_are_asked() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        assert!(find_agent(&socket).unwrap_err().contains("No such file"));
        let listener = UnixListener::bind(&socket).unwrap();
        find_agent(&socket).unwrap();
        drop(listener);
        assert!(find_agent(&socket).unwrap_err().contains("refused"));
        let room = SOCKET_PATH_LEN_BYTES - socket.as_os_str().len();
        let long = dir.path().join(format!("agent{}", "x".repeat(room)));
        assert!(find_agent(&long).unwrap_err().contains("108 bytes"));
    }
}

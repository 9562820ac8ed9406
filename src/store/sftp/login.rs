//! Proving to a server who we are: keys of an agent, key files, a password, in this order.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;

use libssh2_sys as raw;
use ssh2::{Error, ErrorCode, KeyboardInteractivePrompt, Prompt, Session};
use zeroize::Zeroizing;

use super::error::SftpError;
use super::options::SftpOptions;

/// How an unprotected key begins in OpenSSH's own format: its magic, and `none` for the cipher.
const OPENSSH_UNPROTECTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// Logs in. The session must have checked the server's key.
///
/// Fails with [`SftpError::LoginRefused`], which lists what was tried, and with [`SftpError::Handshake`] if the connection broke or went silent
/// before anything was refused: that says nothing about keys, and is over soon maybe.
pub fn log_in(session: &Session, socket: &TcpStream, options: &SftpOptions) -> Result<(), SftpError> {
    let mut attempt = Attempt { session, socket, options, tried: Vec::new(), is_refused: false, broken: None };
    // To ask what the server takes costs a round trip, so whoever has nothing but keys tries them first.
    let has_tried_keys = options.password.is_none();
    if has_tried_keys && (attempt.with_agent() || attempt.with_files()) {
        return Ok(());
    }
    let methods = match session.auth_methods(&options.user) {
        Ok(methods) => methods.to_owned(),
        // A server that lets everybody in says so in this way.
        Err(_) if session.authenticated() => return Ok(()),
        // It hung up because of what was tried: that is told below.
        Err(_) if attempt.is_refused || attempt.broken.is_some() => "it did not say".to_owned(),
        Err(error) => return Err(handshake_error(options, error.message())),
    };
    let has = |method: &str| methods.split(',').any(|offered| offered == method);
    let takes_keys = has("publickey");
    let is_in = takes_keys && !has_tried_keys && (attempt.with_agent() || attempt.with_files()) || attempt.with_password(&has);
    if is_in {
        return Ok(());
    }
    if let Some(why) = attempt.broken.filter(|_| !attempt.is_refused) {
        return Err(handshake_error(options, &why));
    }
    if attempt.tried.is_empty() {
        let nothing = if takes_keys { "no key and no password was given" } else { "no password was given" };
        attempt.tried.push(nothing.to_owned());
    }
    let tried = attempt.tried.join(", ");
    Err(SftpError::LoginRefused { host: options.host.clone(), user: options.user.clone(), tried, methods })
}

fn handshake_error(options: &SftpOptions, message: &str) -> SftpError {
    SftpError::Handshake { host: options.host.clone(), port: options.port, message: message.to_owned() }
}

/// What was tried so far.
struct Attempt<'a> {
    session: &'a Session,
    socket: &'a TcpStream,
    options: &'a SftpOptions,
    tried: Vec<String>,
    /// The server has refused something.
    is_refused: bool,
    /// Why there is no connection any more.
    broken: Option<String>,
}

impl Attempt<'_> {
    /// Notes what came of one try, and returns whether we are in.
    fn note(&mut self, what: String, result: Result<(), Error>) -> bool {
        let Err(error) = result else { return self.session.authenticated() };
        let refused = [
            raw::LIBSSH2_ERROR_AUTHENTICATION_FAILED,
            raw::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED,
            raw::LIBSSH2_ERROR_FILE,
            raw::LIBSSH2_ERROR_KEYFILE_AUTH_FAILED,
        ];
        // A line that breaks while the answer is awaited has the code of a refusal, so the socket is asked first.
        let why = match error.code() {
            ErrorCode::Session(raw::LIBSSH2_ERROR_TIMEOUT) => self.break_off("the server was silent during the login"),
            _ if has_ended(self.socket) => self.break_off("the server hung up during the login"),
            ErrorCode::Session(raw::LIBSSH2_ERROR_SOCKET_DISCONNECT | raw::LIBSSH2_ERROR_SOCKET_RECV) => {
                self.break_off("the server hung up during the login")
            }
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

    fn with_agent(&mut self) -> bool {
        let Some(socket) = &self.options.agent_socket else { return false };
        let keys = (|| {
            let mut agent = self.session.agent()?;
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            let keys = agent.identities()?;
            Ok::<_, Error>((agent, keys))
        })();
        let (agent, keys) = match keys {
            Ok(keys) => keys,
            Err(error) => return self.note(format!("agent at {}", socket.display()), Err(error)),
        };
        if keys.is_empty() {
            self.tried.push(format!("agent at {}: has no keys", socket.display()));
        }
        for key in keys {
            let result = agent.userauth(&self.options.user, &key);
            if self.note(format!("agent key {}", key.comment()), result) {
                return true;
            }
            if self.broken.is_some() {
                break;
            }
        }
        false
    }

    fn with_files(&mut self) -> bool {
        for file in &self.options.identity_files {
            if self.broken.is_some() {
                break;
            }
            let what = format!("key file {}", file.display());
            match read_key(file, self.options.key_passphrase.is_some()) {
                Err(why) => self.tried.push(format!("{what}: {why}")),
                Ok((text, is_protected)) => {
                    let passphrase = self.options.key_passphrase.as_ref().filter(|_| is_protected).map(|phrase| phrase.as_str());
                    let result = self.session.userauth_pubkey_memory(&self.options.user, None, &text, passphrase);
                    let cannot_open =
                        matches!(&result, Err(error) if error.code() == ErrorCode::Session(raw::LIBSSH2_ERROR_FILE));
                    if cannot_open {
                        let why = if is_protected {
                            "the passphrase does not open it"
                        } else {
                            "it is not a private key that is understood"
                        };
                        self.tried.push(format!("{what}: {why}"));
                    } else if self.note(what, result) {
                        return true;
                    }
                }
            }
        }
        false
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
            let mut answer = Answer(password);
            let result = self.session.userauth_keyboard_interactive(&self.options.user, &mut answer);
            return self.note("password".to_owned(), result);
        }
        self.tried.push("password: not taken".to_owned());
        false
    }
}

/// Returns whether the other end of a connection has ended it, or the network has.
pub fn has_ended(socket: &TcpStream) -> bool {
    socket.peek(&mut [0]).map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |len| len == 0)
}

/// Answers every question whose answer is not to be seen with the password.
struct Answer<'a>(&'a str);

impl KeyboardInteractivePrompt for Answer<'_> {
    fn prompt<'a>(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        prompts.iter().map(|prompt| if prompt.echo { String::new() } else { self.0.to_owned() }).collect()
    }
}

/// Reads a key file, and finds out whether it is protected; or says why it cannot be used.
fn read_key(file: &Path, has_passphrase: bool) -> Result<(Zeroizing<String>, bool), String> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err("is missing".to_owned()),
        Err(error) => return Err(format!("cannot be read ({error})")),
    };
    let is_protected = is_protected(&text);
    if is_protected && !has_passphrase {
        return Err("is protected, and no passphrase was given".to_owned());
    }
    Ok((text, is_protected))
}

/// Returns whether the text of a private key is encrypted.
pub fn is_protected(text: &str) -> bool {
    match text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") {
        Some((_, body)) => !body.trim_start().starts_with(OPENSSH_UNPROTECTED),
        None => text.contains("ENCRYPTED"),
    }
}

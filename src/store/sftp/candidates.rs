//! Order of the keys to try: servers hang up after a few refused ones.
//!
//! Keys that the user named come first, each after its certificates, from the agent if it holds
//! them; then the agent's other keys. Default key files come last.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::options::SftpOptions;
use super::public_key::{certified, is_certificate, of_private_file, of_public_file};

/// Start of an unprotected key in OpenSSH's format: magic, and `none` as cipher.
const OPENSSH_UNPROTECTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// Text of a private key file.
pub struct PrivateKey {
    /// The file's text.
    pub text: Zeroizing<String>,
    /// Whether a passphrase protects it.
    pub is_protected: bool,
}

/// A key file to try.
pub struct KeyFile {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The public half, if known.
    pub public: Option<Vec<u8>>,
    /// The private key, or why the file cannot be used.
    pub private: Result<PrivateKey, String>,
}

/// A certificate and the key that it certifies.
pub struct Certificate {
    /// Its file.
    pub file: PathBuf,
    /// The file's text.
    pub text: String,
    /// The certificate.
    pub key: Vec<u8>,
    /// The certified key.
    pub of: Vec<u8>,
}

/// One attempt to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// A key or certificate of the agent.
    Agent {
        /// Position among the agent's keys.
        at: usize,
        /// Which of the key files.
        key_file: Option<usize>,
    },
    /// A private key file, perhaps with a certificate.
    File {
        /// Which of the key files.
        key_file: usize,
        /// Which of the certificates.
        certificate: Option<usize>,
    },
    /// A certificate whose private key was not found.
    Lonely {
        /// Which of the certificates.
        certificate: usize,
    },
}

/// All key files and certificates.
#[derive(Default)]
pub struct Keys {
    /// The key files that were named.
    pub key_files: Vec<KeyFile>,
    /// The certificates: named ones, and those next to key files.
    pub certificates: Vec<Certificate>,
    /// Why certificates that were named cannot be used.
    pub complaints: Vec<String>,
}

impl Keys {
    /// Reads the key files and certificates of `options`.
    pub fn read(options: &SftpOptions) -> Self {
        let has_passphrase = options.key_passphrase.is_some();
        let key_files: Vec<_> =
            options.identity_files.iter().map(|file| read_key_file(file, has_passphrase)).collect();
        let mut keys = Self { key_files, ..Self::default() };
        for file in &options.certificate_files {
            if let Err(why) = keys.read_certificate(file.clone()) {
                keys.complaints.push(format!("certificate {}: {why}", file.display()));
            }
        }
        for file in &options.identity_files {
            let private = if file.extension().is_some_and(|end| end == "pub") {
                file.with_extension("")
            } else {
                file.clone()
            };
            // These are optional.
            let _ = keys.read_certificate(with_end(&private, "-cert.pub"));
        }
        keys
    }

    fn read_certificate(&mut self, file: PathBuf) -> Result<(), String> {
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let key = of_public_file(&text)
            .filter(|key| is_certificate(key))
            .ok_or("it is no certificate of OpenSSH")?;
        let of = certified(&key).ok_or("it is for an unsupported kind of key")?;
        if !self.certificates.iter().any(|known| known.key == key) {
            self.certificates.push(Certificate { file, text, key, of });
        }
        Ok(())
    }

    /// Returns the attempts in order. `agent` holds the public halves of the agent's keys; `only`
    /// leaves out those that belong to no file; `usual` says that the files are the default ones.
    pub fn in_order(&self, agent: &[&[u8]], only: bool, usual: bool) -> Vec<Candidate> {
        let mut named = Vec::new();
        for certificate in 0..self.certificates.len() {
            self.add_certificate(certificate, agent, &mut named);
        }
        for (key_file, KeyFile { public, .. }) in self.key_files.iter().enumerate() {
            if let Some(at) =
                public.as_ref().and_then(|public| agent.iter().position(|key| key == public))
            {
                named.push(Candidate::Agent { at, key_file: Some(key_file) });
            }
            named.push(Candidate::File { key_file, certificate: None });
        }
        let is_named = |wanted: usize| {
            named.iter().any(|one| matches!(one, Candidate::Agent { at, .. } if *at == wanted))
        };
        let others = (0..agent.len()).filter(|at| !only && !is_named(*at));
        let others: Vec<Candidate> =
            others.map(|at| Candidate::Agent { at, key_file: None }).collect();
        if usual { [others, named].concat() } else { [named, others].concat() }
    }

    fn add_certificate(&self, certificate: usize, agent: &[&[u8]], named: &mut Vec<Candidate>) {
        let Certificate { key, of, .. } = &self.certificates[certificate];
        let key_file =
            self.key_files.iter().position(|key_file| key_file.public.as_ref() == Some(of));
        let in_agent = agent.iter().position(|known| known == key);
        if let Some(at) = in_agent {
            named.push(Candidate::Agent { at, key_file });
        }
        match key_file.filter(|key_file| self.key_files[*key_file].private.is_ok()) {
            Some(key_file) => {
                named.push(Candidate::File { key_file, certificate: Some(certificate) })
            }
            None if in_agent.is_none() => named.push(Candidate::Lonely { certificate }),
            None => {}
        }
    }

    /// Returns the public key or certificate that an attempt presents, if known.
    pub fn shown<'a>(&'a self, candidate: Candidate, agent: &[&'a [u8]]) -> Option<&'a [u8]> {
        match candidate {
            Candidate::Agent { at, .. } => Some(agent[at]),
            Candidate::File { certificate: Some(certificate), .. } => {
                Some(&self.certificates[certificate].key)
            }
            Candidate::File { key_file, certificate: None } => {
                self.key_files[key_file].public.as_deref()
            }
            Candidate::Lonely { .. } => None,
        }
    }
}

/// Reads a key file: a private key, or a public key whose private half an agent may hold.
fn read_key_file(file: &Path, has_passphrase: bool) -> KeyFile {
    let beside =
        || fs::read_to_string(with_end(file, ".pub")).ok().and_then(|text| of_public_file(&text));
    let text = match fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            let public = beside();
            let why = match (error.kind(), &public) {
                (ErrorKind::NotFound, None) => "is missing".to_owned(),
                (ErrorKind::NotFound, Some(_)) => {
                    "is missing, and no agent has the key of the .pub file beside it".to_owned()
                }
                _ => format!("cannot be read ({error})"),
            };
            return KeyFile { file: file.to_path_buf(), public, private: Err(why) };
        }
    };
    if let Some(public) = of_public_file(&text) {
        let why = "is a public key, and no agent has its private half".to_owned();
        return KeyFile { file: file.to_path_buf(), public: Some(public), private: Err(why) };
    }
    let public = of_private_file(&text).or_else(beside);
    let is_protected = is_protected(&text);
    let private = match is_protected && !has_passphrase {
        true => Err("is protected, and no passphrase was given".to_owned()),
        false => Ok(PrivateKey { text, is_protected }),
    };
    KeyFile { file: file.to_path_buf(), public, private }
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Returns whether the text of a private key is encrypted.
pub fn is_protected(text: &str) -> bool {
    match text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") {
        Some((_, body)) => !body.trim_start().starts_with(OPENSSH_UNPROTECTED),
        None => text.contains("ENCRYPTED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_file(public: Option<&str>, is_there: bool) -> KeyFile {
        let private = PrivateKey { text: Zeroizing::default(), is_protected: false };
        let private = if is_there { Ok(private) } else { Err("is missing".to_owned()) };
        KeyFile { file: "/k".into(), public: public.map(|key| key.as_bytes().to_vec()), private }
    }

    fn certificate(key: &str, of: &str) -> Certificate {
        Certificate {
            file: "/c".into(),
            text: String::new(),
            key: key.as_bytes().to_vec(),
            of: of.as_bytes().to_vec(),
        }
    }

    /// Tries as text: `a0` is the agent's first, `f0` the first file, `f0c1` with the second
    /// certificate, `l0` a certificate alone.
    fn order(keys: &Keys, agent: &[&str], only: bool, usual: bool) -> String {
        let agent: Vec<&[u8]> = agent.iter().map(|key| key.as_bytes()).collect();
        let shown =
            keys.in_order(&agent, only, usual).into_iter().map(|candidate| match candidate {
                Candidate::Agent { at, .. } => format!("a{at}"),
                Candidate::File { key_file, certificate: None } => format!("f{key_file}"),
                Candidate::File { key_file, certificate: Some(certificate) } => {
                    format!("f{key_file}c{certificate}")
                }
                Candidate::Lonely { certificate } => format!("l{certificate}"),
            });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn named_keys_come_before_the_others_of_the_agent() {
        let keys = Keys {
            key_files: vec![key_file(Some("y"), true), key_file(None, true)],
            ..Keys::default()
        };
        assert_eq!(order(&keys, &["x", "y", "z"], false, false), "a1 f0 f1 a0 a2");
        assert_eq!(order(&keys, &["x", "y", "z"], true, false), "a1 f0 f1");
        assert_eq!(order(&keys, &["x", "y", "z"], false, true), "a0 a2 a1 f0 f1");
        assert_eq!(order(&keys, &[], false, false), "f0 f1");
        assert_eq!(order(&Keys::default(), &["x"], false, false), "a0");
        assert_eq!(order(&Keys::default(), &["x"], true, false), "");
    }

    #[test]
    fn certificates_come_before_their_keys() {
        let key_files = vec![key_file(Some("x"), true), key_file(Some("y"), false)];
        let certificates =
            vec![certificate("X", "x"), certificate("Y", "y"), certificate("Z", "z")];
        let keys = Keys { key_files, certificates, complaints: Vec::new() };
        assert_eq!(order(&keys, &[], false, false), "f0c0 l1 l2 f0 f1");
        assert_eq!(order(&keys, &["y", "Y", "Z", "w"], false, false), "f0c0 a1 a2 f0 a0 f1 a3");
        assert_eq!(order(&keys, &["X", "w"], true, false), "a0 f0c0 l1 l2 f0 f1");
    }
}

//! Goal: a server is believed by the certificates that the user vouches for, made in whatever way,
//! and by no others; what is wrong with one is said. Method: certificates made by `openssl` as
//! instructions on the web have it, shown by a server of the test's own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use drumlin::store::s3::options::ServerTrust;
use drumlin::store::{Class, ErrorKind, Key, Store, StoreError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};

use super::canned_server::{Canned, answer};
use super::text_of;

/// A folder with certificates and their keys, `NAME.pem` and `NAME.key`.
struct Made(tempfile::TempDir);

impl Made {
    fn openssl(&self, words: &str) {
        let output = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "openssl {words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Makes an authority, a certificate of its, and those that people make for themselves.
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=authority"
        ));
        fs::write(made.0.path().join("san"), "subjectAltName=DNS:localhost\n").unwrap();
        fs::write(made.0.path().join("other-san"), "subjectAltName=DNS:s3.example.org\n").unwrap();
        for (name, san, days) in
            [("leaf", "san", "30"), ("elsewhere", "other-san", "30"), ("expired", "san", "-1")]
        {
            made.openssl(&format!(
                "req {key} -keyout {name}.key -out {name}.csr -subj /CN=localhost"
            ));
            let signed = format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {san} -out {name}.pem"
            );
            made.openssl(&format!("{signed} -days {days}"));
        }
        // One that signed itself: an authority, without any name but the common one.
        made.openssl(&format!(
            "req -x509 {key} -keyout own.key -out own.pem -days 30 -subj /CN=minio"
        ));
        made.openssl("req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -days 30 -subj /CN=minio");
        // In two steps, without a file of extensions: version 1.
        made.openssl(&format!("req {key} -keyout old.key -out old.csr -subj /CN=minio"));
        made.openssl("x509 -req -in old.csr -signkey old.key -out old.pem -days 30");
        made
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.0.path().join(file)).unwrap()
    }

    fn certificates(&self, name: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(&self.read(&format!("{name}.pem")))
            .map(Result::unwrap)
            .collect()
    }

    fn fingerprint(&self, name: &str) -> [u8; 32] {
        Sha256::digest(&self.certificates(name)[0]).into()
    }

    fn trust(&self, names: &[&str]) -> ServerTrust {
        let pem = names.iter().flat_map(|name| self.read(&format!("{name}.pem"))).collect();
        ServerTrust::File { pem, name: "the ca-file x.pem".to_owned() }
    }

    /// Asks a server that shows a certificate, and returns what came of it.
    fn ask(
        &self,
        shows: &str,
        trust: Option<ServerTrust>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<(), StoreError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::from_pem_slice(&self.read(&format!("{shows}.key"))).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let resolver = SingleCertAndKey::from(CertifiedKey::new(self.certificates(shows), key));
        let config =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        let canned = Canned::over_tls(Arc::new(config), |options| options.trust = trust);
        canned.plan(&[answer("200 OK", "bytes")]);
        canned.store.read(&Key::new(Class::Keys, "ab")).map(|bytes| assert_eq!(bytes, b"bytes"))
    }
}

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

#[test]
fn certificates_that_the_user_names_are_believed_and_no_others() {
    let made = Made::new();
    let refused = |shows: &str, trust: Option<ServerTrust>, says: &str| {
        let error = made.ask(shows, trust, &BOTH).unwrap_err();
        let text = text_of(&error);
        // To ask again would not help.
        assert!(
            error.kind == ErrorKind::Other && text.contains(says),
            "{shows}: {:?}: {text}",
            error.kind
        );
    };
    // Signed by an authority of the user's own.
    made.ask("leaf", Some(made.trust(&["ca"])), &BOTH).unwrap();
    refused("leaf", Some(made.trust(&["own"])), "an authority that this machine does not trust");
    refused("leaf", None, "`ca-file`");
    refused("elsewhere", Some(made.trust(&["ca"])), "for another name");
    refused("expired", Some(made.trust(&["ca"])), "has expired");
    // Made by people: each is its own authority, has no name that counts, or is of version 1.
    for own in ["own", "rsa", "old", "leaf"] {
        let versions = if own == "old" { &BOTH[1..] } else { &BOTH[..1] };
        made.ask(own, Some(made.trust(&["ca", own])), versions).unwrap();
        made.ask(own, Some(ServerTrust::Pinned(made.fingerprint(own))), &BOTH).unwrap();
        refused(
            own,
            Some(ServerTrust::Pinned(made.fingerprint("ca"))),
            "not the one that `certificate` expects: it is sha256:",
        );
        refused(own, None, "certificate");
    }
    refused("own", Some(made.trust(&["ca"])), "certificate");
}

/// Whoever copied a certificate, which is public, does not have its key.
#[test]
fn a_certificate_without_its_key_is_nobodys() {
    let made = Made::new();
    for own in ["own", "old"] {
        let copy = Path::new(own).with_extension("key");
        fs::copy(made.0.path().join("ca.key"), made.0.path().join(copy)).unwrap();
        for version in BOTH {
            for trust in [made.trust(&[own]), ServerTrust::Pinned(made.fingerprint(own))] {
                made.ask(own, Some(trust), &[version]).unwrap_err();
            }
        }
    }
}

#[test]
fn a_file_that_holds_no_certificate_is_refused() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n"] {
        let mut options =
            crate::support::servers::s3::options("bucket".to_owned(), 9, ("id", "secret"));
        options.trust =
            Some(ServerTrust::File { pem: pem.into(), name: "the ca-file x.pem".to_owned() });
        let error = drumlin::store::s3::S3Store::open(options).err().expect("it cannot be used");
        assert!(
            text_of(&error).contains("the ca-file x.pem cannot be used: "),
            "{}",
            text_of(&error)
        );
    }
}

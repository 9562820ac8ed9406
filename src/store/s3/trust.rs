//! Certificate verification against the user's configuration: an authority, the server's own
//! certificate, or a fingerprint.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::failure::S3Failure;
use super::options::ServerTrust;
use crate::id::encode_hex;
use crate::store::ErrorKind;

/// Returns the TLS configuration with this verification.
pub(super) fn tls_config(trust: &ServerTrust) -> Result<ClientConfig, S3Failure> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(CertificateVerifier::new(trust, Arc::clone(&provider))?);
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| {
        S3Failure::new(ErrorKind::Other, "encryption cannot be set up").because(error)
    })?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Parses the certificates of a PEM file.
pub(super) fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if all.is_empty() {
        Err("it holds no certificate (`-----BEGIN CERTIFICATE-----`)".to_owned())
    } else {
        Ok(all)
    }
}

/// Accepts certificates that the user configured.
///
/// A certificate that is in the user's file is accepted whatever its names, uses and times are:
/// people make such certificates as authorities, without names, of version 1. All others must be
/// signed by one of the file.
#[derive(Debug)]
struct CertificateVerifier {
    pin: Option<[u8; 32]>,
    own: Vec<CertificateDer<'static>>,
    signed: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl CertificateVerifier {
    fn new(trust: &ServerTrust, provider: Arc<CryptoProvider>) -> Result<Self, S3Failure> {
        let (own, pin) = match trust {
            ServerTrust::Pinned(pin) => (Vec::new(), Some(*pin)),
            ServerTrust::File { pem, name } => {
                let wrong = |why: String| {
                    S3Failure::new(ErrorKind::Other, format!("{name} cannot be used: {why}"))
                };
                (certificates_of(pem).map_err(wrong)?, None)
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(own.iter().cloned());
        let signed =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .ok();
        Ok(Self { pin, own, signed, provider })
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint: [u8; 32] = Sha256::digest(shown).into();
        if let Some(pin) = self.pin {
            let is_it = pin == fingerprint;
            return if is_it {
                Ok(ServerCertVerified::assertion())
            } else {
                Err(Error::General(another(&fingerprint)))
            };
        }
        if self.own.iter().any(|own| own == shown) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.signed {
            Some(signed) => signed.verify_server_cert(shown, between, name, ocsp, now),
            None => Err(Error::General(another(&fingerprint))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            shown,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        match (verify_tls13_signature(message, shown, signature, known), key_of(shown)) {
            // rustls supports only the key of a version 1 certificate, and nothing else is needed.
            (Err(Error::InvalidCertificate(_)), Some(key)) => verify_tls13_signature_with_raw_key(
                message,
                &SubjectPublicKeyInfoDer::from(key),
                signature,
                known,
            ),
            (verified, _) => verified,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn another(fingerprint: &[u8]) -> String {
    format!(
        "the server's certificate is not the one that `certificate` expects: it is sha256:{}",
        encode_hex(fingerprint)
    )
}

/// Returns the public key of a certificate of any version.
fn key_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let inner = roots.roots.first()?.subject_public_key_info.as_ref().to_vec();
    // The content of a SEQUENCE, whose head is missing.
    let len = u16::try_from(inner.len()).ok()?.to_be_bytes();
    let head = match len {
        [0, short] if short < 0x80 => vec![0x30, short],
        [0, short] => vec![0x30, 0x81, short],
        [high, low] => vec![0x30, 0x82, high, low],
    };
    Some([head, inner].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_refused() {
        for (pem, says) in [
            ("", "no certificate"),
            ("hello", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n", "base64"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate"),
        ] {
            let why = certificates_of(pem.as_bytes()).unwrap_err();
            assert!(why.to_lowercase().contains(says), "{pem:?}: {why}");
        }
    }
}

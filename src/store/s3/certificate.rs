//! Certificate errors, with what to do about them.

use std::error::Error;
use std::io;

use rustls::CertificateError as Wrong;

use super::failure::{S3Failure, one_line};
use crate::store::ErrorKind;

/// Hint for an untrusted certificate.
const VOUCH: &str = "if it is the right server, set `ca-file` to a file with its certificate, or \
    with that of the authority that signed it";

/// Returns the failure if TLS was the cause.
pub(super) fn failure(error: &(dyn Error + 'static)) -> Option<S3Failure> {
    let says = match find(error)? {
        rustls::Error::InvalidCertificate(wrong) => of_certificate(wrong),
        // Written by `CertificateVerifier`.
        rustls::Error::General(says) => one_line(says),
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS at this port: is it the one for `http://`?".to_owned()
        }
        other => format!("no encrypted connection can be made ({})", one_line(&other.to_string())),
    };
    Some(S3Failure::new(ErrorKind::Other, says))
}

fn of_certificate(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Expired | Wrong::ExpiredContext { .. } => {
            "the server's certificate has expired: it must be renewed there, or this machine's \
                clock is wrong"
                .to_owned()
        }
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check this machine's clock".to_owned()
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            let what = one_line(&wrong.to_string());
            format!("the server's certificate is for another name than that of `endpoint` ({what})")
        }
        Wrong::UnknownIssuer => format!(
            "the server's certificate is signed by an authority that this machine does not trust: \
                {VOUCH}"
        ),
        Wrong::Revoked => "the server's certificate was revoked".to_owned(),
        other => match one_line(&other.to_string()) {
            text if text.contains("CaUsedAsEndEntity") => {
                format!("the server's certificate is self-signed: {VOUCH}")
            }
            text => format!("the server's certificate cannot be used ({text}): {VOUCH}"),
        },
    }
}

/// Finds the TLS error among the causes, also inside wrappers.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

//! Public keys of files, in the encoding of the protocol.
//!
//! An agent lists its keys by their public halves, so the key of a file is found by its public
//! half.

use super::base64;

/// How a private key of OpenSSH's own format begins.
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";
/// Suffix of a certificate's kind.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// Returns the key of a `.pub` file, which may be a certificate: its only line is `kind base64
/// comment`.
pub(super) fn of_public_file(text: &str) -> Option<Vec<u8>> {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let mut words = line.split_whitespace();
    let (kind, key) = (words.next()?, base64::decode(words.next()?)?);
    (take(&mut &key[..])? == kind.as_bytes()).then_some(key)
}

/// Returns the public half of a private key in OpenSSH's own format, which is readable even if the
/// private half is protected.
pub(super) fn of_private_file(text: &str) -> Option<Vec<u8>> {
    let (_, body) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?;
    let bytes = zeroize::Zeroizing::new(base64::decode(body.split_once("-----END")?.0)?);
    let rest = &mut bytes.strip_prefix(OPENSSH_MAGIC)?;
    // Cipher, derivation of its key, options of that.
    (0..3).try_for_each(|_| take(rest).map(drop))?;
    let (_count, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    take(rest).map(<[u8]>::to_vec)
}

/// Returns whether a key is a certificate.
pub(super) fn is_certificate(key: &[u8]) -> bool {
    take(&mut &key[..]).is_some_and(|kind| kind.ends_with(CERTIFICATE.as_bytes()))
}

/// Returns the key that a certificate certifies; `None` if it is no certificate of a known kind.
pub(super) fn certified(certificate: &[u8]) -> Option<Vec<u8>> {
    let rest = &mut &certificate[..];
    let kind = std::str::from_utf8(take(rest)?).ok()?.strip_suffix(CERTIFICATE)?;
    let (kind, fields) = match kind {
        "ssh-ed25519" => (kind.to_owned(), 1),
        "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            (kind.to_owned(), 2)
        }
        "sk-ssh-ed25519" => (format!("{kind}@openssh.com"), 2),
        "sk-ecdsa-sha2-nistp256" => (format!("{kind}@openssh.com"), 3),
        _ => return None,
    };
    take(rest)?; // A nonce.
    let mut key = Vec::new();
    put(&mut key, kind.as_bytes());
    for _ in 0..fields {
        put(&mut key, take(rest)?);
    }
    Some(key)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(
        &u32::try_from(bytes.len()).expect("it is a part of a key").to_be_bytes(),
    );
    out.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// Of every kind that `ssh-keygen` makes without hardware: the halves belong together, and the
    /// certificate to them.
    #[test]
    fn the_halves_of_keys_and_their_certificates_are_found_together() {
        let folder = tempfile::tempdir().unwrap();
        let keygen = |arguments: &[&str]| {
            let run = Command::new("ssh-keygen")
                .current_dir(folder.path())
                .arg("-q")
                .args(arguments)
                .output()
                .unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        };
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        keygen(&["-t", "ed25519", "-N", "", "-f", "ca"]);
        for (kind, bits) in [
            ("ed25519", "256"),
            ("ecdsa", "256"),
            ("ecdsa", "384"),
            ("ecdsa", "521"),
            ("rsa", "2048"),
        ] {
            let name = format!("{kind}{bits}");
            keygen(&["-t", kind, "-b", bits, "-N", "open sesame", "-f", &name]);
            keygen(&["-s", "ca", "-I", "ada", "-n", "ada", &format!("{name}.pub")]);
            let public = of_public_file(&read(&format!("{name}.pub"))).unwrap();
            let certificate = of_public_file(&read(&format!("{name}-cert.pub"))).unwrap();
            assert_eq!(of_private_file(&read(&name)).as_ref(), Some(&public), "{name}");
            assert_eq!(certified(&certificate).as_ref(), Some(&public), "{name}");
            assert!(is_certificate(&certificate) && !is_certificate(&public), "{name}");
            assert_eq!(certified(&public), None);
            (0..certificate.len().min(80)).for_each(|len| drop(certified(&certificate[..len])));
        }
        let private = read("ed25519256");
        (0..private.len()).for_each(|len| drop(of_private_file(&private[..len])));
        for text in [
            "",
            "#\n",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5",
            "-----BEGIN RSA PRIVATE KEY-----",
        ] {
            assert_eq!((of_public_file(text), of_private_file(text)), (None, None), "{text}");
        }
    }
}

//! The cipher between a secret and what is shared: a Feistel network of four rounds of PBKDF2.
//!
//! The standard has it for a passphrase, which Drumlin leaves empty.

use hmac::Hmac;
use pbkdf2::pbkdf2;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::share::SetParameters;

const ROUNDS: [u8; 4] = [0, 1, 2, 3];

/// Encrypts a secret of an even number of bytes.
pub(super) fn encrypt(secret: &[u8], set: &SetParameters, passphrase: &[u8]) -> Zeroizing<Vec<u8>> {
    rounds(secret, set, passphrase, ROUNDS)
}

/// Decrypts what the shares give, an even number of bytes.
pub(super) fn decrypt(shared: &[u8], set: &SetParameters, passphrase: &[u8]) -> Zeroizing<Vec<u8>> {
    let [first, second, third, fourth] = ROUNDS;
    rounds(shared, set, passphrase, [fourth, third, second, first])
}

fn rounds(
    bytes: &[u8],
    set: &SetParameters,
    passphrase: &[u8],
    order: [u8; 4],
) -> Zeroizing<Vec<u8>> {
    let half = bytes.len() / 2;
    let mut left = Zeroizing::new(bytes[..half].to_vec());
    let mut right = Zeroizing::new(bytes[half..].to_vec());
    for round in order {
        let mut mask = Zeroizing::new(vec![0; half]);
        let password = Zeroizing::new([&[round], passphrase].concat());
        let salt = Zeroizing::new([&salt_prefix(set), &right[..]].concat());
        pbkdf2::<Hmac<Sha256>>(&password, &salt, 2500 << set.cost_exponent, &mut mask)
            .expect("HMAC takes a key of any length");
        for (byte, mask) in left.iter_mut().zip(&*mask) {
            *byte ^= mask;
        }
        std::mem::swap(&mut left, &mut right);
    }
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    out.extend_from_slice(&right);
    out.extend_from_slice(&left);
    out
}

/// Sets that are not extendable have other ciphers each.
fn salt_prefix(set: &SetParameters) -> Vec<u8> {
    if set.is_extendable { Vec::new() } else { [&b"shamir"[..], &set.id.to_be_bytes()].concat() }
}

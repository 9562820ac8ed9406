//! Combining shares into their secret.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::decrypt;
use super::field::{Point, interpolate};
use super::share::Share;
use super::split::{DIGEST_AT, DIGEST_LEN_BYTES, SECRET_AT, digest_point};

/// Largest exponent of a cipher's cost that is taken: 10 million rounds, some seconds.
///
/// Drumlin writes 0. More is no secret of ours, and would only hold up its reader.
const COST_EXPONENT_MAX: u8 = 10;

/// Why shares do not give a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There are no shares.
    #[error("there is no share")]
    None,
    /// Shares of different sets.
    #[error("the shares belong to different sets")]
    DifferentSets,
    /// Two shares with one number.
    #[error("two shares have the number {0}")]
    SameNumber(u8),
    /// Too few shares of a group; this many more are needed.
    #[error("too few shares: the set needs {0} more")]
    TooFew(u8),
    /// Too few groups; this many more are needed.
    #[error("too few groups of shares: the set needs {0} more")]
    TooFewGroups(u8),
    /// The shares are not points of one polynomial, or the digest does not fit.
    #[error("the shares do not fit together: one of them is of another set, or forged")]
    Unfit,
    /// The cipher would take minutes or more.
    #[error("the shares demand {} rounds of their cipher, more than any useful set", 10_000u64 << .0)]
    TooCostly(u8),
}

/// Returns the secret of the shares.
///
/// More shares than are needed are compared with the others. Fails unless all are of one set, have
/// different numbers, and fit together.
///
/// Spec: `format-spec/10-keys.md`, section 6.
pub fn combine(shares: &[Share], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, CombineError> {
    let set = shares.first().ok_or(CombineError::None)?.set;
    if shares.iter().any(|share| share.set != set) {
        return Err(CombineError::DifferentSets);
    }
    if set.cost_exponent > COST_EXPONENT_MAX {
        return Err(CombineError::TooCostly(set.cost_exponent));
    }
    let mut groups: BTreeMap<u8, Vec<&Share>> = BTreeMap::new();
    for share in shares {
        groups.entry(share.group).or_default().push(share);
    }
    let missing = usize::from(set.group_threshold).saturating_sub(groups.len());
    if missing > 0 {
        return Err(CombineError::TooFewGroups(missing as u8));
    }
    let opened = groups
        .iter()
        .map(|(group, members)| Ok((*group, of_group(members)?)))
        .collect::<Result<Vec<_>, _>>()?;
    let points: Vec<Point> = opened.iter().map(|(x, y)| Point { x: *x, y }).collect();
    Ok(decrypt(&recover(&points, set.group_threshold)?, &set, passphrase))
}

/// Returns the bytes that the shares of one group share.
pub(super) fn of_group(members: &[&Share]) -> Result<Zeroizing<Vec<u8>>, CombineError> {
    let threshold = members[0].threshold;
    if members.iter().any(|share| share.threshold != threshold) {
        return Err(CombineError::DifferentSets);
    }
    let points: Vec<Point> =
        members.iter().map(|share| Point { x: share.index, y: &share.value }).collect();
    recover(&points, threshold)
}

/// Returns the bytes that a threshold of points shares.
fn recover(points: &[Point<'_>], threshold: u8) -> Result<Zeroizing<Vec<u8>>, CombineError> {
    let needed = usize::from(threshold);
    for (at, point) in points.iter().enumerate() {
        if points[..at].iter().any(|other| other.x == point.x) {
            return Err(CombineError::SameNumber(point.x + 1));
        }
        if point.y.len() != points[0].y.len() {
            return Err(CombineError::DifferentSets);
        }
    }
    if points.len() < needed {
        return Err(CombineError::TooFew((needed - points.len()) as u8));
    }
    let (chosen, others) = points.split_at(needed);
    let is_on_curve = |point: &Point| bool::from(interpolate(chosen, point.x).ct_eq(point.y));
    if !others.iter().all(is_on_curve) {
        return Err(CombineError::Unfit);
    }
    if threshold == 1 {
        return Ok(Zeroizing::new(chosen[0].y.to_vec()));
    }
    let shared = interpolate(chosen, SECRET_AT);
    let digest = interpolate(chosen, DIGEST_AT);
    let is_right = digest_point(&shared, &digest[DIGEST_LEN_BYTES..]).ct_eq(&digest);
    if bool::from(is_right) { Ok(shared) } else { Err(CombineError::Unfit) }
}

//! Binary-fuse filter of a run: excludes 99.6 % of the ids that the run does not hold.

use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

use crate::crypto::kdf::Key;
use crate::id::ChunkId;

/// A filter's descriptor and fingerprints as they are stored, about 9 bits per chunk.
pub(super) struct RunFilter(Vec<u8>);

/// Bytes of the authenticator that ends a stored filter.
const MAC_LEN_BYTES: usize = 32;

impl RunFilter {
    /// Builds the filter of a run from its ids; `None` if the construction fails. (Then every
    /// lookup reads a block.)
    pub(super) fn build(ids: impl Iterator<Item = ChunkId>) -> Option<Self> {
        let mut keys: Vec<u64> = ids.map(|id| key_of(&id)).collect();
        keys.sort_unstable();
        keys.dedup();
        let filter = BinaryFuse8::try_from(&keys).ok()?;
        let mut bytes = vec![0; BinaryFuse8::DESCRIPTOR_LEN];
        filter.dma_copy_descriptor_to(&mut bytes);
        bytes.extend_from_slice(filter.dma_fingerprints());
        Some(Self(bytes))
    }

    /// Returns whether the run may hold `id`; never false for one that it holds.
    pub(super) fn may_hold(&self, id: &ChunkId) -> bool {
        let (descriptor, fingerprints) = self.0.split_at(BinaryFuse8::DESCRIPTOR_LEN);
        BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&key_of(id))
    }

    /// Returns the filter's bytes with an authenticator, for the local cache.
    ///
    /// A changed filter would hide chunks, so it is authenticated like all local copies.
    pub(super) fn encode(&self, cache_key: &Key, run: &[u8; 32]) -> Vec<u8> {
        [&self.0[..], &mac_of(cache_key, run, &self.0)].concat()
    }

    /// Parses a stored filter; `None` if it is not exactly what [`Self::encode`] made for this run.
    pub(super) fn decode(cache_key: &Key, run: &[u8; 32], bytes: &[u8]) -> Option<Self> {
        let (body, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_LEN_BYTES)?)?;
        (mac == mac_of(cache_key, run, body) && body.len() >= BinaryFuse8::DESCRIPTOR_LEN)
            .then(|| Self(body.to_vec()))
    }
}

fn key_of(id: &ChunkId) -> u64 {
    u64::from_le_bytes(id.0[8..16].try_into().expect("8 bytes"))
}

fn mac_of(cache_key: &Key, run: &[u8; 32], body: &[u8]) -> [u8; MAC_LEN_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(cache_key);
    hasher.update(b"run filter").update(run).update(body);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_built_from_and_survives_storing() {
        let ids = |range: std::ops::Range<u32>| {
            range.map(|n| ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes()))
        };
        for count in [0, 1, 2, 5000] {
            let filter = RunFilter::build(ids(0..count)).unwrap();
            let key = zeroize::Zeroizing::new([1; 32]);
            let stored = filter.encode(&key, &[2; 32]);
            let again = RunFilter::decode(&key, &[2; 32], &stored).unwrap();
            assert!(ids(0..count).all(|id| again.may_hold(&id)));
            let wrong = ids(10_000..20_000).filter(|id| again.may_hold(id)).count();
            assert!(wrong < 200 || count < 5, "{wrong} false answers");
            assert!(RunFilter::decode(&key, &[3; 32], &stored).is_none());
        }
    }
}

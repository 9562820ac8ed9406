//! Cache of decoded segments of file content, within a limit of memory; a segment that several
//! threads need is read once.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::container::Segment;
use crate::format::container::ChunkKind;
use crate::id::{ChunkId, ObjectId};
use crate::repo::lru::ByteLru;
use crate::repo::{Error, Location, PaddedPart, Reader};
use crate::sync::{self, lock};

/// Time for which a damaged segment is not read again.
const DAMAGED_REST: Duration = Duration::from_secs(10);
/// Number of damaged segments that are remembered.
const DAMAGED_MAX: usize = 1_000;
/// Longest gap between two segments of a pack that one request reads, in bytes: another request
/// would cost more.
pub const GAP_MAX_BYTES: u32 = 64 << 10;

/// Pack and offset of a segment.
type SegmentKey = (ObjectId, u32);

/// An error that several requests share.
pub type SharedError = Arc<Error>;

/// Reads segments, and keeps those that were used last.
pub struct Segments {
    reader: Arc<Reader>,
    state: Mutex<CacheState>,
    arrived: Condvar,
}

struct CacheState {
    cached: ByteLru<SegmentKey, Arc<CachedSegment>>,
    /// Segments that a thread is reading now.
    loading: HashSet<SegmentKey>,
    damaged: HashMap<SegmentKey, (Instant, SharedError)>,
}

/// A decoded segment, with the ids of those of its chunks that were verified.
struct CachedSegment {
    segment: Segment,
    verified: Mutex<HashMap<u16, ChunkId>>,
}

impl CachedSegment {
    fn chunk<'a>(
        &'a self,
        reader: &Reader,
        location: &Location,
        id: &ChunkId,
    ) -> Result<&'a [u8], SharedError> {
        let is_known = lock(&self.verified).get(&location.chunk) == Some(id);
        if is_known
            && let Some((ChunkKind::Data, bytes)) = self.segment.chunk(usize::from(location.chunk))
        {
            return Ok(bytes);
        }
        let bytes = reader.chunk_of(&self.segment, location, ChunkKind::Data, id)?;
        lock(&self.verified).insert(location.chunk, *id);
        Ok(bytes)
    }
}

impl Segments {
    /// Keeps at most `limit_bytes` of decoded segments, in addition to those that are in use.
    pub fn new(reader: Arc<Reader>, limit_bytes: usize) -> Self {
        let (cached, loading, damaged) =
            (ByteLru::new(limit_bytes), HashSet::new(), HashMap::new());
        Self {
            reader,
            state: Mutex::new(CacheState { cached, loading, damaged }),
            arrived: Condvar::new(),
        }
    }

    /// Returns a place of a chunk.
    pub fn locate(&self, id: &ChunkId) -> Result<Location, SharedError> {
        Ok(self.reader.locate(id)?.ok_or(Error::MissingChunk { id: *id })?)
    }

    /// Appends a part of a verified chunk to `out`; `len` is the length that the chunk must have,
    /// in bytes.
    pub fn copy(
        &self,
        id: &ChunkId,
        len: u32,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), SharedError> {
        let mut take = |bytes: &[u8]| {
            let part = bytes.get(range.clone()).filter(|_| bytes.len() == len as usize);
            part.map(|part| out.extend_from_slice(part))
                .ok_or_else(|| SharedError::new(Error::WrongChunk { id: *id }))
        };
        let location = self.locate(id)?;
        let read = self
            .segment(&location)
            .and_then(|cached| cached.chunk(&self.reader, &location, id).map(&mut take));
        match read {
            // A collector may have moved the chunk: the reader looks for it in other places.
            Err(error) if error.is_not_found() => {
                self.reader.with_chunk(&location, ChunkKind::Data, id, take)?
            }
            // Another place may hold an intact copy.
            Err(error) if error.is_damage() => {
                match self.reader.read_elsewhere(&location, ChunkKind::Data, id)? {
                    Some(bytes) => take(&bytes),
                    None => Err(error),
                }
            }
            read => read?,
        }
    }

    fn segment(&self, location: &Location) -> Result<Arc<CachedSegment>, SharedError> {
        let key = key_of(location);
        let mut state = lock(&self.state);
        loop {
            if let Some(cached) = state.cached.get(&key) {
                return Ok(cached);
            }
            match state.damaged.get(&key) {
                Some((when, error)) if when.elapsed() < DAMAGED_REST => return Err(error.clone()),
                Some(_) => drop(state.damaged.remove(&key)),
                None => {}
            }
            if state.loading.insert(key) {
                break;
            }
            state = sync::wait(&self.arrived, state);
        }
        drop(state);
        let _claim = LoadingClaim { segments: self, keys: vec![key] };
        match self.reader.read_segment(location) {
            Ok(segment) => Ok(self.insert(key, segment)),
            Err(error) => {
                let error = SharedError::new(error);
                if error.is_damage() {
                    let mut state = lock(&self.state);
                    if state.damaged.len() >= DAMAGED_MAX {
                        state.damaged.clear();
                    }
                    state.damaged.insert(key, (Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    fn insert(&self, key: SegmentKey, segment: Segment) -> Arc<CachedSegment> {
        let len_bytes = segment.memory_bytes();
        let cached = Arc::new(CachedSegment { segment, verified: Mutex::default() });
        let mut state = lock(&self.state);
        state.cached.insert(key, cached.clone(), len_bytes);
        state.loading.remove(&key);
        drop(state);
        self.arrived.notify_all();
        cached
    }

    /// Returns whether a segment is in memory or being read, or known to be damaged.
    pub fn is_cached_or_loading(&self, location: &Location) -> bool {
        let key = key_of(location);
        let mut state = lock(&self.state);
        state.cached.get(&key).is_some()
            || state.loading.contains(&key)
            || state.damaged.contains_key(&key)
    }

    /// Reads segments ahead by one request; they must be in one pack, in the order of their
    /// offsets.
    ///
    /// Skips segments that are already being loaded. Errors are ignored here; the reader that needs
    /// the segment reports them.
    pub fn fetch(&self, run: &[Location]) {
        let mut claim = LoadingClaim { segments: self, keys: Vec::new() };
        let mut wanted = Vec::new();
        let mut state = lock(&self.state);
        for location in run {
            let key = key_of(location);
            if state.cached.get(&key).is_none() && state.loading.insert(key) {
                claim.keys.push(key);
                wanted.push(*location);
            }
        }
        drop(state);
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return;
        };
        let len = (last.offset - first.offset) as usize + last.stored_len as usize;
        let mut stored = PaddedPart::with_capacity(len);
        if self.reader.read_range(&first.pack, first.offset, len, &mut stored).is_err() {
            return;
        }
        for location in &wanted {
            let at = (location.offset - first.offset) as usize;
            let Some(bytes) = stored.get_mut(at..at + location.stored_len as usize) else { return };
            if let Ok(segment) =
                self.reader.open_segment(&location.pack, location.offset, bytes, Vec::new())
            {
                self.insert(key_of(location), segment);
            }
        }
    }
}

/// Segments that a thread is reading; when it is dropped, even by a panic, threads that wait for
/// them continue.
struct LoadingClaim<'a> {
    segments: &'a Segments,
    keys: Vec<SegmentKey>,
}

impl Drop for LoadingClaim<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.segments.state);
        for key in &self.keys {
            state.loading.remove(key);
        }
        drop(state);
        self.segments.arrived.notify_all();
    }
}

fn key_of(location: &Location) -> SegmentKey {
    (location.pack.name, location.offset)
}

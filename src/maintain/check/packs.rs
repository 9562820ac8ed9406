//! Verification of packs: a few threads read and hash them, all threads open their segments.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::damage::Damage;
use super::ledger::Ledger;
use super::pack::{ExpectedPack, PackVerifier, compare_with_index};
use super::pack_jobs::{PackJobs, WantedPacks};
use super::report::CheckReport;
use crate::container::name_of;
use crate::format::container::PackToc;
use crate::format::entry::Timestamp;
use crate::format::run::PackClass;
use crate::id::ObjectId;
use crate::monitor::{Monitor, in_words};
use crate::repo::objects::layout;
use crate::repo::read::reachable::Notes;
use crate::repo::{Error, Reader, Repository, Result, audit};
use crate::sync::lock;

/// Threads that read packs and hash them: few for a disk, more for a distant store.
///
/// Packs in memory at once, up to 32 MiB each: one that is being opened, and one for each loader.
const LOADERS_MIN: usize = 2;
const LOADERS_MAX: usize = 6;

/// The stage of a check that verifies packs.
pub(super) struct PackStage<'a> {
    /// The reader whose index was read from the store.
    pub reader: &'a Arc<Reader>,
    /// Receives the lengths of chunks of file content.
    pub notes: &'a Notes,
    /// Receives problems.
    pub report: &'a mut CheckReport,
    /// Receives lost chunks.
    pub damage: &'a mut Damage,
    /// Receives sound packs.
    pub ledger: &'a mut Ledger,
    /// The time now.
    pub now: Timestamp,
    /// Threads that open segments.
    pub pool: &'a rayon::ThreadPool,
    /// Receives progress, and says when to stop.
    pub monitor: &'a Monitor,
}

/// A pack that a loader has read into a buffer.
struct Loaded {
    bytes: Vec<u8>,
    /// The pack that was read; an error if the index could not be read.
    job: Result<ExpectedPack>,
    /// Whether the hash of the bytes is the pack's name, or why they could not be read.
    intact: Result<bool>,
}

type JobSource<'a> = Mutex<Box<dyn Iterator<Item = Result<ExpectedPack>> + Send + 'a>>;

impl PackStage<'_> {
    /// Verifies the wanted packs of the index and then `unindexed` packs, which no run names.
    pub(super) fn run(
        &mut self,
        wanted: WantedPacks<'_>,
        unindexed: Vec<ExpectedPack>,
    ) -> Result<()> {
        let jobs = PackJobs::new(self.reader.index().runs(), wanted);
        let source: JobSource<'_> = Mutex::new(Box::new(jobs.chain(unindexed.into_iter().map(Ok))));
        let reader = self.reader.clone();
        let repository = reader.repository();
        let verifier = PackVerifier::new(&reader);
        let loaders = repository.readers(LOADERS_MIN).min(LOADERS_MAX);
        let (empty, buffers) = bounded(loaders + 1);
        (0..=loaders).for_each(|_| empty.send(Vec::new()).expect("there is room for all of them"));
        thread::scope(|scope| {
            let (done, loaded) = bounded(loaders + 1);
            for _ in 0..loaders {
                let (done, buffers, source) = (done.clone(), buffers.clone(), &source);
                scope.spawn(move || load(repository, source, &buffers, &done));
            }
            drop(done);
            // Owned here, so that an early return closes both channels and the loaders end.
            let (empty, loaded): (Sender<Vec<u8>>, Receiver<Loaded>) = (empty, loaded);
            let mut seen = HashSet::new();
            for Loaded { mut bytes, job, intact } in &loaded {
                if self.monitor.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                match job {
                    Err(error) if error.is_damage() => {
                        self.report.problem("index", in_words(&error))
                    }
                    Err(error) => return Err(error),
                    Ok(job) => {
                        self.count(&job, seen.insert(job.pack.name));
                        self.finish(&verifier, &job, &mut bytes, intact)?;
                    }
                }
                // The loaders have ended when there is nothing more to read.
                let _ = empty.send(bytes);
            }
            Ok(())
        })
    }

    fn count(&mut self, job: &ExpectedPack, is_first: bool) {
        self.monitor
            .working_on(layout::pack_key(job.pack.class, &job.pack.name).to_string().as_bytes());
        self.monitor.bytes_done.fetch_add(job.listed_len, Ordering::Relaxed);
        if is_first {
            self.report.counts.packs_verified += 1;
            self.report.counts.bytes_verified += job.listed_len;
        }
    }

    /// Verifies one pack that was read.
    fn finish(
        &mut self,
        verifier: &PackVerifier<'_>,
        job: &ExpectedPack,
        bytes: &mut Vec<u8>,
        intact: Result<bool>,
    ) -> Result<()> {
        let (intact, unread) = match intact {
            // Removed since the listing, by a prune that had removed it from the index before.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.is_damage() => {
                if job.records.is_some() {
                    self.damage.record_unread(job.pack.name);
                }
                (false, Some(in_words(&error)))
            }
            other => (other?, None),
        };
        if intact && job.pack.class == PackClass::Meta && job.records.is_some() {
            audit::refresh_meta_copy(self.reader.repository(), &job.pack, bytes)?;
        }
        let opened = if intact {
            self.pool.install(|| verifier.open_all(job, bytes)).map_err(Some)
        } else {
            Err(None)
        };
        match opened {
            Ok(toc) => {
                self.note_lengths(job, &toc)?;
                if self.compare(job, &toc)? && job.pack.class == PackClass::Data {
                    self.ledger.note(job.pack.name, self.now);
                }
            }
            Err(cause) => {
                if intact {
                    // Opening has overwritten the bytes.
                    self.read_again(job, bytes)?;
                }
                let hash = || "its bytes do not have the hash that is its name".to_owned();
                let otherwise = cause.map(|error| in_words(&error)).or(unread).unwrap_or_else(hash);
                self.note_damage(verifier, job, bytes, otherwise);
            }
        }
        Ok(())
    }

    /// Notes the lengths of a data pack's chunks, to compare them with the lengths in trees.
    fn note_lengths(&self, job: &ExpectedPack, toc: &PackToc) -> Result<()> {
        if job.pack.class != PackClass::Data || job.records.is_none() {
            return Ok(());
        }
        for chunk in toc.segments.iter().flat_map(|segment| &segment.chunks) {
            if let Some(found) = self.reader.index().find_numbered(&chunk.id)? {
                self.notes.note_len(found.number, chunk.len);
            }
        }
        Ok(())
    }

    fn read_again(&self, job: &ExpectedPack, bytes: &mut Vec<u8>) -> Result<()> {
        let (class, name) = (job.pack.class, &job.pack.name);
        match audit::read_pack(self.reader.repository(), class, name, job.listed_len, bytes) {
            // The pack is still damaged.
            Err(error) if error.is_damage() => bytes.clear(),
            read => read?,
        }
        Ok(())
    }

    fn note_damage(
        &mut self,
        verifier: &PackVerifier<'_>,
        job: &ExpectedPack,
        bytes: &[u8],
        otherwise: String,
    ) {
        let object = layout::pack_key(job.pack.class, &job.pack.name).to_string();
        self.ledger.forget(&job.pack.name);
        if job.records.is_none() {
            // No snapshot needs it: a backup was interrupted, or its sound chunks were stored
            // again.
            self.report
                .notices
                .push(format!("{object} is damaged, but the index does not name it"));
            return;
        }
        let diagnosis = verifier.diagnose(job, bytes);
        if diagnosis.faults.is_empty() || self.damage.unread_packs().contains(&job.pack.name) {
            self.report.problem(&*object, otherwise);
        }
        diagnosis.faults.into_iter().for_each(|fault| self.report.problem(&*object, fault));
        if diagnosis.all_lost {
            self.damage.record_truncated(job.pack.name, 0);
        } else {
            self.damage.record_damaged(job.pack.name, diagnosis.lost);
        }
    }

    /// Compares a sound pack with the index; returns whether they agree.
    fn compare(&mut self, job: &ExpectedPack, toc: &PackToc) -> Result<bool> {
        let Some(records) = &job.records else {
            return Ok(true);
        };
        let object = layout::pack_key(job.pack.class, &job.pack.name).to_string();
        let (wrong, unnamed) = compare_with_index(toc, records);
        let mut agrees = true;
        if wrong > 0 {
            self.report.problem(
                &*object,
                format!("chunks that the index places in it and that are not there: {wrong}"),
            );
            agrees = false;
        }
        let mut missing = 0;
        for id in unnamed {
            missing += usize::from(self.reader.locate(&id)?.is_none());
        }
        if missing > 0 {
            self.report
                .problem(&*object, format!("the index does not name {missing} of its chunks"));
            agrees = false;
        }
        if !agrees {
            let toc_ids: HashSet<_> =
                toc.segments.iter().flat_map(|s| &s.chunks).map(|chunk| chunk.id).collect();
            let lost = records.iter().map(|record| record.id).filter(|id| !toc_ids.contains(id));
            self.damage.record_damaged(job.pack.name, lost);
        }
        Ok(agrees)
    }
}

/// Loads packs until there are no more jobs, or the receiver is gone.
fn load(
    repository: &Repository,
    source: &JobSource<'_>,
    buffers: &Receiver<Vec<u8>>,
    done: &Sender<Loaded>,
) {
    while let Ok(mut bytes) = buffers.recv() {
        let next = lock(source).next();
        let Some(job) = next else {
            return;
        };
        let read = |job: &ExpectedPack| {
            let (class, name) = (job.pack.class, &job.pack.name);
            audit::read_listed_pack(repository, class, name, job.listed_len, &mut bytes)?;
            Ok(name_of(&bytes) == *name && is_expected_len(job))
        };
        let intact = job.as_ref().map_or(Ok(false), read);
        if done.send(Loaded { bytes, job, intact }).is_err() {
            return;
        }
    }
}

fn is_expected_len(job: &ExpectedPack) -> bool {
    job.records.is_none() || job.listed_len == u64::from(job.pack.len)
}

/// Returns the names of the packs to sample: first those that were never verified or longest ago.
pub(super) fn choose_sample(
    ledger: &Ledger,
    packs: impl Iterator<Item = (ObjectId, u64)>,
    permille: u16,
) -> HashSet<ObjectId> {
    let mut packs: Vec<_> = packs.map(|(name, len)| (ledger.verified(&name), name, len)).collect();
    packs.sort_unstable();
    let total: u64 = packs.iter().map(|(_, _, len)| len).sum();
    let enough = u64::try_from(u128::from(total) * u128::from(permille) / 1000).unwrap_or(total);
    let mut sum = 0;
    let mut chosen = HashSet::new();
    for (_, name, len) in packs {
        if sum >= enough && !chosen.is_empty() {
            break;
        }
        sum += len;
        chosen.insert(name);
    }
    chosen
}

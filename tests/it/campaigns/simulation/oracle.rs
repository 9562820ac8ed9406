//! An observer that sees every object of the store and knows nothing of the program's own index,
//! caches or marks.
//!
//! It reads containers by themselves and holds the invariants of `format-spec/13-commit.md` against
//! what it sees, after every change of the store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use drumlin::container::{Opener, Segment, open_single, walk};
use drumlin::format::codec;
use drumlin::format::container::{ChunkKind, ContainerKind};
use drumlin::format::entry::{Content, Ref};
use drumlin::format::generation::{CollectorRecord, RecordContent};
use drumlin::format::intent::Intent;
use drumlin::format::node::{ListNode, TreeNode};
use drumlin::format::run::{PackClass, RECORD_LEN_BYTES, RunRecord, RunToc};
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::id::{ChunkId, ObjectId, SnapshotId};
use drumlin::repo::Repository;
use drumlin::repo::objects::layout;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Key, Store};

use super::actors::Loss;

/// What a run says: for each chunk the packs in which it lies.
type Places = HashMap<ChunkId, Vec<ObjectId>>;

/// What was lost, and who need not know it yet.
#[derive(Default)]
struct Losses {
    loss: Option<Arc<Loss>>,
    seen: usize,
    chunks: HashSet<ChunkId>,
    /// The turn in which a repair had told others for certain.
    told: Option<u64>,
    /// The turn in which whoever did what is looked at had listed the records of collectors last.
    listed: u64,
    /// Snapshots that may lack what was lost: they were there, or their makers could not know.
    excused: HashSet<SnapshotId>,
}

/// The observer.
pub struct Oracle {
    store: Arc<MemoryStore>,
    /// For its keys.
    repository: Arc<Repository>,
    seen: BTreeSet<Key>,
    /// Every chunk that was ever stored.
    chunks: HashMap<ChunkId, (ChunkKind, Vec<u8>)>,
    /// The chunks of every pack that there is.
    packs: HashMap<ObjectId, HashSet<ChunkId>>,
    runs: HashMap<ObjectId, Places>,
    /// All that each snapshot reaches, for every slot that there is; `None` for burnt ones.
    slots: BTreeMap<SnapshotId, Option<HashSet<ChunkId>>>,
    forgotten: BTreeSet<SnapshotId>,
    /// What some `Go` names.
    doomed_packs: HashSet<ObjectId>,
    doomed_snapshots: HashSet<SnapshotId>,
    /// Slots that were filled once, and whether with a snapshot.
    filled: HashMap<SnapshotId, bool>,
    /// Whether a chunk may have lost its last place, or a new root may lack one.
    is_doubtful: bool,
    losses: Losses,
    happened: BTreeMap<&'static str, u64>,
}

impl Oracle {
    pub fn new(
        store: Arc<MemoryStore>,
        repository: Arc<Repository>,
        loss: Option<Arc<Loss>>,
    ) -> Self {
        Self {
            store,
            repository,
            seen: BTreeSet::new(),
            chunks: HashMap::new(),
            packs: HashMap::new(),
            runs: HashMap::new(),
            slots: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            doomed_packs: HashSet::new(),
            doomed_snapshots: HashSet::new(),
            filled: HashMap::new(),
            is_doubtful: false,
            losses: Losses { loss, listed: u64::MAX, ..Losses::default() },
            happened: BTreeMap::new(),
        }
    }

    /// Returns the snapshots that there are, and that are not forgotten.
    pub fn live(&self) -> Vec<SnapshotId> {
        let is_live = |(id, chunks): &(&SnapshotId, &Option<_>)| {
            chunks.is_some() && !self.forgotten.contains(id)
        };
        self.slots.iter().filter(is_live).map(|(id, _)| *id).collect()
    }

    /// Returns whether a snapshot was committed, even if it was dropped since.
    pub fn was_committed(&self, id: &SnapshotId) -> bool {
        self.filled.contains_key(id)
    }

    /// Takes in what the disk has lost by this turn; `listed` is when the author of what comes next
    /// listed the records of collectors.
    pub fn take_losses(&mut self, turn: u64, listed: u64) {
        self.losses.listed = listed;
        let Some((keys, is_told)) = self.losses.loss.as_ref().map(|loss| loss.state()) else {
            return;
        };
        for key in keys.iter().skip(self.losses.seen) {
            self.seen.remove(key);
            let chunks = layout::object_id(&key.name).and_then(|name| self.packs.remove(&name));
            self.losses.chunks.extend(chunks.into_iter().flatten());
            self.losses.excused.extend(self.slots.keys());
            *self.happened.entry("pack lost").or_default() += 1;
        }
        self.losses.seen = keys.len();
        if is_told && self.losses.told.is_none() {
            self.losses.told = Some(turn);
            *self.happened.entry("loss repaired").or_default() += 1;
        }
    }

    /// From now on everybody must know of what was lost.
    pub fn excuse_nobody(&mut self) {
        self.take_losses(u64::MAX, u64::MAX);
        self.losses.told.get_or_insert(0);
    }

    /// Takes in what became of one object, and returns what must not be: nothing else can have
    /// changed.
    pub fn observe_one(&mut self, key: &Key) -> Result<(), String> {
        match (self.seen.contains(key), self.store.stat(key).is_ok()) {
            (false, true) => {
                self.seen.insert(key.clone());
                self.came(key)?;
            }
            (true, false) => {
                self.seen.remove(key);
                self.went(key)?;
            }
            _ => return Ok(()),
        }
        if std::mem::take(&mut self.is_doubtful) { self.closure() } else { Ok(()) }
    }

    /// Takes in what changed, and returns what must not be.
    pub fn observe(&mut self) -> Result<(), String> {
        if let Some(key) =
            self.store.replaced().iter().find(|key| layout::tombstone_of(&key.name).is_none())
        {
            return Err(format!("{key} was created twice, with different content"));
        }
        let now: BTreeSet<Key> = self.store.keys().into_iter().collect();
        let (came, went): (Vec<Key>, Vec<Key>) = (
            now.difference(&self.seen).cloned().collect(),
            self.seen.difference(&now).cloned().collect(),
        );
        if came.is_empty() && went.is_empty() {
            return Ok(());
        }
        self.seen = now;
        came.iter().try_for_each(|key| self.came(key))?;
        went.iter().try_for_each(|key| self.went(key))?;
        if std::mem::take(&mut self.is_doubtful) { self.closure() } else { Ok(()) }
    }

    /// Returns how often what happened, by which it is seen what histories hold.
    pub fn happened(&self) -> &BTreeMap<&'static str, u64> {
        &self.happened
    }

    pub fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn came(&mut self, key: &Key) -> Result<(), String> {
        let bytes = self.store.read(key).unwrap();
        match key.class {
            Class::Data => self.pack_came(PackClass::Data, key, &bytes),
            Class::Meta => self.pack_came(PackClass::Meta, key, &bytes),
            Class::Index => self.run_came(key, &bytes),
            Class::Snapshots => match layout::tombstone_of(&key.name) {
                Some(id) => drop(self.forgotten.insert(id)),
                None => return self.slot_came(key, &bytes),
            },
            Class::Collector => {
                let plain = open_single(
                    self.repository.keyring_for_tests().records().open(),
                    ContainerKind::CollectorRecord,
                    &bytes,
                )
                .unwrap();
                match CollectorRecord::decode(&plain).unwrap().content {
                    RecordContent::Go(removal) => {
                        self.count("verdict");
                        self.doomed_packs.extend(removal.packs.iter().map(|victim| victim.name));
                        self.doomed_snapshots.extend(&removal.snapshots);
                    }
                    RecordContent::Cancel => self.count("cancelled"),
                    RecordContent::Condemned(_) | RecordContent::Done(_) => {}
                }
            }
            Class::Intents => {
                let plain = open_single(
                    self.repository.keyring_for_tests().records().open(),
                    ContainerKind::Intent,
                    &bytes,
                )
                .unwrap();
                match Intent::decode(&plain).unwrap() {
                    Intent { root: None, .. } => self.count("checkpoint"),
                    Intent { number: 0, .. } => {}
                    Intent { .. } => self.count("intent after another"),
                }
            }
            Class::Config | Class::Keys | Class::Probe => {}
        }
        Ok(())
    }

    fn pack_came(&mut self, class: PackClass, key: &Key, bytes: &[u8]) {
        let opener = Opener::from_header(
            self.repository.keyring_for_tests().open_packs(),
            layout::container_kind(class),
            bytes,
        )
        .unwrap();
        let toc = opener.pack_toc(bytes).unwrap();
        let mut ids = HashSet::new();
        for (walked, record) in walk(&opener, bytes).zip(&toc.segments) {
            let segment = Segment::parse(walked.raw.unwrap()).unwrap();
            for ((kind, plain), chunk) in segment.chunks().zip(&record.chunks) {
                ids.insert(chunk.id);
                self.chunks.entry(chunk.id).or_insert_with(|| (kind, plain.to_vec()));
            }
        }
        self.packs.insert(layout::object_id(&key.name).unwrap(), ids);
    }

    fn run_came(&mut self, key: &Key, bytes: &[u8]) {
        let opener = Opener::from_header(
            self.repository.keyring_for_tests().records().open(),
            ContainerKind::IndexRun,
            bytes,
        )
        .unwrap();
        let (trailer, toc) = opener.whole_toc(bytes).unwrap();
        let toc = RunToc::decode(&toc).unwrap();
        let mut places = Places::new();
        for walked in walk(&opener, bytes).take(trailer.segment_count as usize) {
            for record in walked.raw.unwrap().chunks_exact(RECORD_LEN_BYTES).map(RunRecord::decode)
            {
                places.entry(record.id).or_default().push(toc.packs[record.pack as usize].name);
            }
        }
        let is_elsewhere = |(id, packs): (&ChunkId, &Vec<ObjectId>)| {
            self.runs
                .values()
                .filter_map(|run| run.get(id))
                .flatten()
                .any(|pack| !packs.contains(pack))
        };
        if !toc.replaces.is_empty() && places.iter().any(is_elsewhere) {
            self.count("second place in a merged run");
        }
        if toc.replaces.len() > 1 {
            self.count("merged runs");
        }
        if toc.session.is_none() && toc.replaces.is_empty() {
            self.count("repacked");
        }
        self.runs.insert(layout::object_id(&key.name).unwrap(), places);
    }

    fn slot_came(&mut self, key: &Key, bytes: &[u8]) -> Result<(), String> {
        let id = SnapshotId::from_hex(&key.name).unwrap();
        let plain = open_single(
            self.repository.keyring_for_tests().records().open(),
            ContainerKind::Snapshot,
            bytes,
        )
        .unwrap();
        let slot = codec::decode::<CommitSlot>("commit slot", &plain).unwrap();
        let is_snapshot = matches!(slot, CommitSlot::Snapshot { .. });
        let is_again = self.filled.contains_key(&id);
        self.filled.entry(id).or_insert(is_snapshot);
        // A collector that slept did not see that the snapshot was dropped meanwhile.
        if is_again && (is_snapshot || !self.doomed_snapshots.contains(&id)) {
            return Err(format!("I10: the slot {key} was filled twice"));
        }
        let reached = match slot {
            CommitSlot::Aborted => {
                self.count(if is_again {
                    "expired when it was dropped"
                } else {
                    "expired session"
                });
                None
            }
            CommitSlot::Snapshot { signed, .. } => {
                Some(self.reach(&Snapshot::decode(&signed).unwrap().root)?)
            }
        };
        let Losses { seen, told, listed, .. } = self.losses;
        if seen > 0 && told.is_none_or(|told| listed <= told) {
            self.losses.excused.insert(id);
        } else if seen > 0 && is_snapshot {
            self.count("snapshot after a loss was told");
        }
        self.slots.insert(id, reached);
        self.is_doubtful = true;
        Ok(())
    }

    /// Returns all chunks that a tree reaches.
    fn reach(&self, root: &ChunkId) -> Result<HashSet<ChunkId>, String> {
        let (mut reached, mut open) = (HashSet::new(), vec![*root]);
        while let Some(id) = open.pop() {
            if !reached.insert(id) {
                continue;
            }
            let (kind, bytes) =
                self.chunks.get(&id).ok_or(format!("I1: chunk {} was never stored", id.short()))?;
            match kind {
                ChunkKind::Data => {}
                ChunkKind::List => match ListNode::decode(bytes).unwrap() {
                    ListNode::Leaf { refs } => open.extend(refs.iter().filter_map(data_of)),
                    ListNode::Inner { children, .. } => {
                        open.extend(children.iter().map(|child| child.id))
                    }
                },
                ChunkKind::Tree => match TreeNode::decode(bytes).unwrap() {
                    TreeNode::Inner { children, .. } => {
                        open.extend(children.iter().map(|child| child.id))
                    }
                    TreeNode::Leaf { entries, .. } => {
                        entries.iter().for_each(|entry| match &entry.content {
                            Content::Tree(id) | Content::List(id) => open.push(*id),
                            Content::Refs(refs) => open.extend(refs.iter().filter_map(data_of)),
                            Content::None | Content::Inline(_) => {}
                        })
                    }
                },
            }
        }
        Ok(reached)
    }

    fn went(&mut self, key: &Key) -> Result<(), String> {
        self.is_doubtful |= matches!(key.class, Class::Data | Class::Meta | Class::Index);
        match key.class {
            Class::Data | Class::Meta => {
                let name = layout::object_id(&key.name).unwrap();
                self.packs.remove(&name);
                if !self.doomed_packs.contains(&name) {
                    return Err(format!("I4: {key} was removed without a verdict"));
                }
            }
            Class::Index => drop(self.runs.remove(&layout::object_id(&key.name).unwrap())),
            Class::Snapshots => match layout::tombstone_of(&key.name) {
                Some(id) => drop(self.forgotten.remove(&id)),
                None => {
                    let id = SnapshotId::from_hex(&key.name).unwrap();
                    // A collector that slept may have burnt the slot of a snapshot after that was
                    // dropped.
                    if self.slots.remove(&id).flatten().is_none()
                        && self.filled.get(&id) != Some(&true)
                    {
                        return Err(format!("I10: the burnt slot {key} was removed"));
                    }
                    if !self.doomed_snapshots.contains(&id) {
                        return Err(format!("I4: {key} was removed without a verdict"));
                    }
                }
            },
            Class::Intents => {
                let (session, _) = layout::intent_of(&key.name).unwrap();
                if !self.filled.contains_key(&session) {
                    return Err(format!("I7: {key} was removed before its slot was filled"));
                }
            }
            Class::Collector => self.count("trimmed record"),
            Class::Config | Class::Keys | Class::Probe => {}
        }
        Ok(())
    }

    /// I1: every chunk of a root is in a pack that exists, at a place that a run names.
    fn closure(&self) -> Result<(), String> {
        for (id, chunks) in &self.slots {
            if self.doomed_snapshots.contains(id) {
                continue;
            }
            let is_excused = self.losses.excused.contains(id);
            // What lies below a lost node is reached by nobody; and nothing in the trash has a
            // window here.
            if is_excused && self.forgotten.contains(id) {
                continue;
            }
            for chunk in chunks
                .iter()
                .flatten()
                .filter(|chunk| !is_excused || !self.losses.chunks.contains(*chunk))
            {
                let holds = |pack: &ObjectId| {
                    self.packs.get(pack).is_some_and(|chunks| chunks.contains(chunk))
                };
                if !self
                    .runs
                    .values()
                    .any(|places| places.get(chunk).is_some_and(|packs| packs.iter().any(holds)))
                {
                    return Err(format!(
                        "I1: chunk {} of snapshot {} is nowhere; {}",
                        chunk.short(),
                        id.short(),
                        self.traces_of(chunk)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Says what is left of a chunk.
    fn traces_of(&self, chunk: &ChunkId) -> String {
        let kind = self.chunks.get(chunk).map(|(kind, _)| *kind);
        let holders: Vec<&ObjectId> = self
            .packs
            .iter()
            .filter(|(_, chunks)| chunks.contains(chunk))
            .map(|(pack, _)| pack)
            .collect();
        let named: Vec<(&ObjectId, &Vec<ObjectId>)> = self
            .runs
            .iter()
            .filter_map(|(run, places)| places.get(chunk).map(|packs| (run, packs)))
            .collect();
        let is_lost = self.losses.chunks.contains(chunk);
        format!(
            "{kind:?}, lost: {is_lost}, in packs {holders:?}, named by {named:?}, told in turn {:?}",
            self.losses.told
        )
    }
}

fn data_of(piece: &Ref) -> Option<ChunkId> {
    match piece {
        Ref::Data { id, .. } => Some(*id),
        Ref::Hole { .. } => None,
    }
}

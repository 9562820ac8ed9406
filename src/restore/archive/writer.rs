//! Entries of an archive, in the order of the snapshot, with short files read ahead.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::format::{AddError, ArchiveReport, Format, Lack, Member};
use crate::format::entry::{Content, Entry, EntryKind};
use crate::monitor::ProblemKind;
use crate::os::apply::{Metadata, SYSTEM_FLAGS};
use crate::repo::read::file_stream::{StreamError, stream_file};
use crate::repo::{self, DirEntry};
use crate::restore::error::{Error, Result};
use crate::restore::plan::trimmed_dir::TrimmedDir;
use crate::restore::plan::walk::{SnapshotWalk, WalkEvent};
use crate::restore::write::context::RestoreContext;
use crate::restore::write::link_group::{Likeness, likeness};
use crate::restore::write::source::RestoreSource;

/// Files up to this length are read completely before their header is written.
const SHORT_LEN_MAX_BYTES: u64 = 1 << 20;
/// Most bytes that are queued (read-ahead content, entries and paths), and most entries.
const AHEAD_MAX_BYTES: u64 = 32 << 20;
/// Memory for the paths of the first members of hard-link groups, in bytes.
const GROUPS_MAX_BYTES: usize = 32 << 20;
const AHEAD_MAX: usize = 8 << 10;
/// Hard-link groups that are remembered as seen, at 33 bytes each.
const SEEN_MAX: usize = 1 << 20;
/// Consecutive files up to this sum are read by one thread, because they are likely to be in one
/// segment.
const BATCH_LEN_BYTES: u64 = 512 << 10;

type ReadResult = std::result::Result<Vec<u8>, StreamError>;
type ReadBatch = Vec<(Arc<ArchiveEntry>, Sender<ReadResult>)>;

/// Key of a hard-link group: number, kind, and hash of content and metadata. The number alone could
/// join different files in a forged snapshot, or in one of another program.
type LinkKey = (u64, EntryKind, Likeness);

fn link_key_of(found: &mut DirEntry) -> Option<LinkKey> {
    let number = found.entry.hard_link?;
    let entry = &mut found.entry;
    let xattrs = std::mem::take(&mut entry.xattrs);
    let Entry { uid, gid, mode, mtime, flags, .. } = *entry;
    let metadata = Metadata {
        uid,
        gid,
        mode,
        flags: flags & SYSTEM_FLAGS,
        mtime,
        xattrs,
        keeps_xattrs: false,
    };
    let likeness = likeness(entry, &metadata);
    entry.xattrs = metadata.xattrs;
    Some((number, entry.kind, likeness))
}

/// An entry and its path.
struct ArchiveEntry {
    path: Vec<u8>,
    entry: DirEntry,
    link_key: Option<LinkKey>,
    /// Memory of the entry and of its read-ahead content, in bytes.
    waiting_bytes: u64,
}

impl ArchiveEntry {
    fn new(path: Vec<u8>, entry: DirEntry, link_key: Option<LinkKey>, is_read_ahead: bool) -> Self {
        let content = if is_read_ahead { entry.entry.size } else { 0 };
        let waiting_bytes = (path.len() + entry.memory_bytes()) as u64 + content;
        Self { path, entry, link_key, waiting_bytes }
    }
}

/// A directory in which nothing was selected yet.
struct PendingDir {
    path_len: usize,
    trimmed: TrimmedDir,
}

/// An element of the queue.
enum Queued {
    Entry(Arc<ArchiveEntry>, Option<Receiver<ReadResult>>),
    Broken(Vec<u8>, repo::Error),
}

/// The entries of an archive.
pub(super) struct ArchiveWriter<'a> {
    context: &'a RestoreContext<'a>,
    walk: SnapshotWalk,
    /// Prefix of the walk's paths in messages and in the snapshot.
    shown: &'a [u8],
    /// The innermost directories of the walk in which nothing was selected yet.
    pending_dirs: Vec<PendingDir>,
    ahead: VecDeque<Queued>,
    ahead_bytes: u64,
    /// Hard-link groups that the walk has seen, up to a limit: for members of further groups
    /// nothing is read ahead.
    seen: HashSet<LinkKey>,
    /// Path of the first member of each group in the archive.
    groups: HashMap<LinkKey, Vec<u8>>,
    groups_bytes: usize,
    report: ArchiveReport,
}

impl<'a> ArchiveWriter<'a> {
    /// Starts at the beginning of `source`.
    pub(super) fn new(context: &'a RestoreContext<'a>, source: &'a RestoreSource) -> Result<Self> {
        let walk = source.walk(context)?;
        Ok(Self {
            context,
            walk,
            shown: &source.shown,
            pending_dirs: Vec::new(),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            seen: HashSet::new(),
            groups: HashMap::new(),
            groups_bytes: 0,
            report: ArchiveReport::default(),
        })
    }

    /// Writes all entries into an archive, and finishes it.
    pub(super) fn run(mut self, format: &mut dyn Format) -> Result<ArchiveReport> {
        let (context, shown) = (self.context, self.shown);
        thread::scope(|scope| {
            let (batches, queue) = unbounded::<ReadBatch>();
            for _ in 0..context.trees.reader().repository().readers(context.options.threads.max(1))
            {
                let queue = queue.clone();
                scope.spawn(move || {
                    for (found, answer) in queue.into_iter().flatten() {
                        let mut bytes = Vec::with_capacity(found.entry.entry.size as usize);
                        let path = [shown, b"/", &found.path].concat();
                        let entry = &found.entry.entry;
                        let outcome =
                            stream_file(&context.trees, entry, &path, &mut bytes, context.monitor);
                        // The receiver is dropped if the archive failed: then the bytes are not
                        // needed.
                        let _ = answer.send(outcome.map(|()| bytes));
                    }
                });
            }
            loop {
                self.read_ahead(&batches, format.holds_links());
                let Some(waiting) = self.ahead.pop_front() else { break };
                context.check()?;
                match waiting {
                    Queued::Broken(path, error) => context.report_unreadable(&path, error),
                    Queued::Entry(found, content) => self.write(format, &found, content)?,
                }
            }
            context.check()?;
            format.finish().map_err(|source| Error::Archive { source })?;
            Ok(self.report)
        })
    }

    /// Continues the walk if the queue is half empty, so that files are read ahead in batches.
    fn read_ahead(&mut self, batches: &Sender<ReadBatch>, holds_links: bool) {
        if self.ahead.len() > AHEAD_MAX / 2 || self.ahead_bytes > AHEAD_MAX_BYTES / 2 {
            return;
        }
        let (mut batch, mut batch_bytes) = (ReadBatch::new(), 0);
        while self.ahead.len() < AHEAD_MAX
            && self.ahead_bytes < AHEAD_MAX_BYTES
            && let Some(event) = self.walk.next()
        {
            if self.context.is_stopped() {
                break;
            }
            let Some(mut entry) = self.take(event) else { continue };
            let link_key = if holds_links { link_key_of(&mut entry) } else { None };
            let is_read_ahead = self.is_read_ahead(&entry, link_key);
            let found = Arc::new(ArchiveEntry::new(
                self.walk.path().to_vec(),
                *entry,
                link_key,
                is_read_ahead,
            ));
            let mut content = None;
            if is_read_ahead {
                let (answer, bytes) = bounded(1);
                batch.push((found.clone(), answer));
                content = Some(bytes);
                batch_bytes += found.entry.entry.size;
            }
            self.wait(found, content);
            if batch_bytes >= BATCH_LEN_BYTES {
                // The reading threads live as long as the sender.
                let _ = batches.send(std::mem::take(&mut batch));
                batch_bytes = 0;
            }
        }
        let _ = batches.send(batch);
    }

    fn wait(&mut self, found: Arc<ArchiveEntry>, content: Option<Receiver<ReadResult>>) {
        self.ahead_bytes += found.waiting_bytes;
        self.ahead.push_back(Queued::Entry(found, content));
    }

    fn is_read_ahead(&mut self, found: &DirEntry, link_key: Option<LinkKey>) -> bool {
        let entry = &found.entry;
        let is_link =
            link_key.is_some_and(|key| self.seen.len() >= SEEN_MAX || !self.seen.insert(key));
        !is_link
            && entry.size <= SHORT_LEN_MAX_BYTES
            && matches!(entry.content, Content::Refs(_) | Content::List(_))
    }

    /// Queues directories and damage; returns any other entry.
    fn take(&mut self, event: WalkEvent) -> Option<Box<DirEntry>> {
        match event {
            WalkEvent::Enter(entry, is_taken) => {
                let trimmed = TrimmedDir::new(entry, self.walk.tree_above());
                self.pending_dirs.push(PendingDir { path_len: self.walk.path().len(), trimmed });
                if is_taken {
                    self.queue_dirs();
                }
                None
            }
            WalkEvent::Entry(entry) => {
                self.queue_dirs();
                Some(entry)
            }
            WalkEvent::Unreadable(error) => {
                let path = self.full(self.walk.path());
                self.ahead.push_back(Queued::Broken(path, error));
                None
            }
            WalkEvent::Leave => {
                self.pending_dirs.pop();
                None
            }
            WalkEvent::Unselected(_) => None,
        }
    }

    /// Queues the pending directories: now an entry in them is selected.
    fn queue_dirs(&mut self) {
        for PendingDir { path_len, trimmed } in std::mem::take(&mut self.pending_dirs) {
            let path = self.walk.path()[..path_len].to_vec();
            match trimmed.into_full(&self.context.trees) {
                Ok(entry) => self.wait(Arc::new(ArchiveEntry::new(path, entry, None, false)), None),
                Err(error) => self.ahead.push_back(Queued::Broken(self.full(&path), error)),
            }
        }
    }

    fn full(&self, path: &[u8]) -> Vec<u8> {
        [self.shown, b"/", path].concat()
    }

    /// Writes an entry, or reports why it is left out.
    fn write(
        &mut self,
        format: &mut dyn Format,
        found: &ArchiveEntry,
        content: Option<Receiver<ReadResult>>,
    ) -> Result<()> {
        let (entry, path) = (&found.entry.entry, self.full(&found.path));
        let monitor = self.context.monitor;
        monitor.working_on(&path);
        self.ahead_bytes -= found.waiting_bytes;
        let lack = format.lack(&found.path, &found.entry);
        match lack {
            Lack::Nothing | Lack::Part(_) => {}
            Lack::All(what) => {
                self.report.left_out += 1;
                monitor.problem(ProblemKind::NotRestored, &path, what);
                return Ok(());
            }
            Lack::Trifle(what) => {
                monitor.problem(ProblemKind::Notice, &path, what);
                return Ok(());
            }
        }
        let link_to = self.first_of(found).filter(|_| format.holds_links());
        let bytes = match content.filter(|_| link_to.is_none()).map(|content| content.recv()) {
            None => None,
            Some(Ok(Ok(bytes))) => Some(bytes),
            Some(Ok(Err(StreamError::Repository(error)))) => {
                self.context.report_unreadable(&path, error);
                return Ok(());
            }
            Some(Ok(Err(StreamError::Output(source)))) => return Err(Error::Archive { source }),
            Some(Err(_)) => {
                return Err(repo::Error::Threads("a reading thread broke".to_owned()).into());
            }
        };
        let mut write_content = |out: &mut dyn Write| match (&bytes, &entry.content) {
            (Some(bytes), _) | (None, Content::Inline(bytes)) => Ok(out.write_all(bytes)?),
            (None, _) => stream_file(&self.context.trees, entry, &path, out, monitor),
        };
        let member = Member { path: &found.path, found: &found.entry, link_to: link_to.as_deref() };
        match format.add(&member, &mut write_content) {
            Ok(()) => {}
            Err(AddError::Before(error)) => {
                self.context.report_unreadable(&path, error);
                return Ok(());
            }
            Err(AddError::Torn(source)) if source.is_damage() => {
                return Err(Error::Torn {
                    path: String::from_utf8_lossy(&path).into_owned(),
                    source,
                });
            }
            Err(AddError::Torn(error)) => return Err(error.into()),
            Err(AddError::Output(source)) => return Err(Error::Archive { source }),
        }
        if let Lack::Part(what) = lack {
            self.report.partial += 1;
            monitor.problem(ProblemKind::NotRestored, &path, what);
        }
        self.count(found, link_to.is_some());
        Ok(())
    }

    /// Returns the path of the archived entry that this is another name of.
    fn first_of(&self, found: &ArchiveEntry) -> Option<Vec<u8>> {
        self.groups.get(&found.link_key?).cloned()
    }

    fn count(&mut self, found: &ArchiveEntry, is_link: bool) {
        let (entry, monitor) = (&found.entry.entry, self.context.monitor);
        if entry.kind == EntryKind::Dir {
            self.report.dirs += 1;
            monitor.dirs_done.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.report.files += 1;
        monitor.files_done.fetch_add(1, Ordering::Relaxed);
        if is_link {
            self.report.hard_links += 1;
            return;
        }
        if entry.kind == EntryKind::File {
            self.report.bytes = self.report.bytes.saturating_add(entry.size);
        }
        if let Some(group) = found.link_key {
            let len = found.path.len() + size_of::<(LinkKey, Vec<u8>)>();
            // Further names of a group that is not remembered become separate files.
            if self.groups_bytes + len <= GROUPS_MAX_BYTES
                && self.groups.insert(group, found.path.clone()).is_none()
            {
                self.groups_bytes += len;
            }
        }
    }
}

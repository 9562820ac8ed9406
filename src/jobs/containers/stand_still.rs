//! Containers that stand still while files are read.
//!
//! | step | a death here leaves |
//! |---|---|
//! | what runs is noted durably | all running; the next run starts them, which changes nothing |
//! | each is stopped | some stopped; the next run starts them |
//! | files are read, the snapshot is made | all stopped; the next run starts them |
//! | each is started, whatever happened | some stopped; the next run starts them |
//! | the note is removed | all running |

use std::io;
use std::sync::{Arc, Mutex};

use super::start_again::{Started, start_again};
use crate::backup::{Dump, DumpSource, FileSink};
use crate::connect::{self, OtherErrorKind, host};
use crate::jobs::state::{StateDir, StoppedContainer, StoppedContainers};
use crate::monitor::in_words;
use crate::sources::engine_api::{Engine, Inspected};
use crate::sync::lock;

/// Least characters of a host's name that may be the beginning of a container's id.
const ID_LEN_MIN: usize = 12;

/// The containers of an app that stand still.
pub(in crate::jobs) struct StandStill {
    engine: Engine,
    dir: StateDir,
    app: String,
    names: Vec<String>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// What was noted, before anything was stopped.
    noted: Option<StoppedContainers>,
    /// Why they could not be stopped.
    failure: Option<connect::Error>,
}

impl StandStill {
    /// Looks at the containers; none is stopped yet. The caller holds the app's lock.
    ///
    /// Fails if one is not there, or may not be stopped.
    pub(in crate::jobs) fn prepare(
        engine: Engine,
        dir: &StateDir,
        app: &str,
        names: &[String],
    ) -> connect::Result<Arc<Self>> {
        let still = Self {
            engine,
            dir: dir.clone(),
            app: app.to_owned(),
            names: names.to_vec(),
            progress: Mutex::default(),
        };
        still.inspect_all()?;
        Ok(Arc::new(still))
    }

    /// Stops them when the last dump has ended; now, if there is none.
    pub(in crate::jobs) fn hold(
        self: &Arc<Self>,
        dumps: &mut Vec<DumpSource>,
    ) -> connect::Result<()> {
        let Some(last) = dumps.pop() else { return self.stop() };
        let (open, still) = (last.open, Arc::clone(self));
        let open = Box::new(move || {
            let dump: Box<dyn Dump> = Box::new(LastDump { dump: open()?, still });
            Ok(dump)
        });
        dumps.push(DumpSource { open, ..last });
        Ok(())
    }

    /// Starts those that were stopped.
    pub(in crate::jobs) fn end(&self) -> Started {
        let Some(noted) = lock(&self.progress).noted.take() else { return Started::default() };
        start_again(&self.dir, &self.app, &noted).1
    }

    /// Returns why they could not be stopped, if that was so.
    pub(in crate::jobs) fn take_failure(&self) -> Option<connect::Error> {
        lock(&self.progress).failure.take()
    }

    fn stop(&self) -> connect::Result<()> {
        let running = self.inspect_all()?.into_iter().filter(|found| found.container.is_running);
        let running = running.map(|Inspected { container, .. }| StoppedContainer {
            id: container.id,
            name: container.name,
        });
        let running: Vec<StoppedContainer> = running.collect();
        let failed = |error| self.failed("the note of them cannot be written").caused_by(error);
        // An earlier run may have died, and its containers could not be started.
        let mut containers =
            self.dir.stopped(&self.app).map_err(failed)?.map_or(Vec::new(), |old| old.containers);
        containers.retain(|old| running.iter().all(|container| container.id != old.id));
        containers.extend_from_slice(&running);
        if containers.is_empty() {
            return Ok(());
        }
        let noted = StoppedContainers::new(self.engine.socket().to_owned(), containers);
        self.dir.note_stopped(&self.app, &noted).map_err(failed)?;
        lock(&self.progress).noted = Some(noted);
        for container in &running {
            let stopped = self.engine.stop(&container.id);
            stopped.map_err(|error| self.failed("the engine refuses").caused_by(error))?;
        }
        Ok(())
    }

    /// Returns all containers, each once.
    fn inspect_all(&self) -> connect::Result<Vec<Inspected>> {
        let own = host::host_name();
        let mut all = Vec::<Inspected>::new();
        for name in &self.names {
            let found = self.engine.inspect(name).map_err(|error| {
                let hint = error.hint().unwrap_or_default();
                self.failed("one cannot be found").caused_by(error).hint(hint)
            })?;
            if found.is_removed_when_stopped {
                let why = format!("the engine would remove `{name}`, which was made with `--rm`");
                return Err(self.failed(&why));
            }
            if own.len() >= ID_LEN_MIN && found.container.id.starts_with(&own) {
                return Err(self.failed(&format!("`{name}` is the one in which this program runs")));
            }
            if all.iter().all(|other| other.container.id != found.container.id) {
                all.push(found);
            }
        }
        Ok(all)
    }

    fn failed(&self, why: &str) -> connect::Error {
        let message = format!("cannot stop the containers of `stop` in [app.{}]: {why}", self.app);
        connect::Error::new(OtherErrorKind::Failed, message)
    }
}

/// The last dump, after which containers are stopped.
struct LastDump {
    dump: Box<dyn Dump>,
    still: Arc<StandStill>,
}

impl Dump for LastDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let Self { dump, still } = *self;
        dump.run(sink)?;
        still.stop().map_err(|failure| {
            let error = io::Error::other(in_words(&failure));
            // It is told in place of that of the dump, which is complete.
            lock(&still.progress).failure = Some(failure);
            error
        })
    }
}

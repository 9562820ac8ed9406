//! The dump of a command's output.

use std::io;

use super::action::{Act, CommandSettings};
use crate::backup::{Dump, FileSink};
use crate::sources::dump_file::DumpFile;
use crate::sources::failure::failed;
use crate::sources::manifest::SharedRecord;
use crate::sources::patient::{Pace, Patient};
use crate::sources::process::Output;

/// A command to run.
pub(super) struct CommandDump {
    pub settings: CommandSettings,
    pub act: Act,
    pub record: SharedRecord,
}

impl Dump for CommandDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let mut file = DumpFile::begin(sink, "")?;
        self.fill(&mut file).map_err(failed(|| {
            format!("cannot dump the output of a command ({})", self.settings.place())
        }))?;
        let written = file.end()?;
        self.record.update(|record| record.files = vec![written]);
        Ok(())
    }
}

impl CommandDump {
    fn fill(&self, file: &mut DumpFile) -> io::Result<()> {
        let running = self.act.start()?;
        let stop = running.stop_flag();
        let mut output = Patient::new(running, stop, Pace::DUMP)?;
        file.fill(&mut output, |_| Ok(()))?;
        output.into_source()?.finish()?;
        let (len, least) = (file.len_bytes(), self.settings.size_min_bytes);
        if len < least {
            return Err(io::Error::other(format!(
                "it succeeded, but wrote {len} bytes, fewer than `min-size` ({least})"
            )));
        }
        Ok(())
    }
}

//! The dump of one range of revisions.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use super::program::{argument, invocation};
use super::ranges::file_name;
use super::stream::DumpScanner;
use crate::backup::{Dump, FileSink};
use crate::sources::dump_file::DumpFile;
use crate::sources::failure::failed;
use crate::sources::manifest::{FileRecord, SharedRecord};
use crate::sources::process::Output;

use crate::sources::runner::Runner;

/// A range of revisions to dump.
pub(super) struct RangeDump {
    pub repository: PathBuf,
    /// Section and key of the configuration.
    pub place: String,
    pub range: RangeInclusive<u64>,
    pub runner: Arc<dyn Runner>,
    pub record: SharedRecord,
}

impl Dump for RangeDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let mut file = DumpFile::begin(sink, "")?;
        self.fill(&mut file).map_err(failed(|| {
            let repository = crate::text::path(&self.repository);
            let (first, last) = (self.range.start(), self.range.end());
            format!("cannot dump revisions {first} to {last} of {repository} ({})", self.place)
        }))?;
        let path = file_name(&self.range);
        let holds = format!("revisions {} to {}", self.range.start(), self.range.end());
        let written = FileRecord { path, holds, ..file.end()? };
        self.record.update(|record| {
            record.files.retain(|file| file.path != written.path);
            record.files.push(written);
            record.files.sort_by(|one, other| one.path.cmp(&other.path));
        });
        Ok(())
    }
}

impl RangeDump {
    fn fill(&self, file: &mut DumpFile) -> io::Result<()> {
        let (first, last) = (self.range.start(), self.range.end());
        let range = format!("{first}:{last}");
        let arguments =
            ["dump", "--quiet", "--incremental", "--revision", &range, argument(&self.repository)?];
        let mut output = self.runner.dump(invocation("svnadmin", &arguments))?;
        let mut scanner = DumpScanner::new(self.range.clone());
        let mut seen = Ok(());
        file.fill(&mut output, |bytes| {
            // Read on after a fault: if the program fails too, its last words say more.
            if seen.is_ok() {
                seen = scanner.look(bytes);
            }
            Ok(())
        })?;
        output.into_source()?.finish()?;
        seen.and_then(|()| scanner.finish()).map_err(io::Error::other)
    }
}

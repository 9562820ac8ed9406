//! Dumps whose time is taken.

use std::io;
use std::time::Instant;

use crate::backup::{Dump, DumpSource, FileSink};
use crate::sources::manifest::SharedRecord;

/// Returns a dump that adds the time it takes to its record, also if it fails.
///
/// The time ends when all was read, so a slow repository makes it longer.
pub(super) fn timed(source: DumpSource, record: &SharedRecord) -> DumpSource {
    let (open, record) = (source.open, record.clone());
    let open = move || {
        let dump = take_time(&record, open)?;
        Ok(Box::new(TimedDump { dump, record }) as Box<dyn Dump>)
    };
    DumpSource { open: Box::new(open), ..source }
}

struct TimedDump {
    dump: Box<dyn Dump>,
    record: SharedRecord,
}

impl Dump for TimedDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let Self { dump, record } = *self;
        take_time(&record, || dump.run(sink))
    }
}

fn take_time<T>(record: &SharedRecord, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    record.update(|record| record.took += began.elapsed());
    result
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backup::FileNumber;

    struct Slow;

    impl Dump for Slow {
        fn run(self: Box<Self>, _: &mut dyn FileSink) -> io::Result<()> {
            std::thread::sleep(Duration::from_millis(20));
            Err(io::Error::other("it dies"))
        }
    }

    struct Nowhere;

    impl FileSink for Nowhere {
        fn begin(&mut self, _: &[u8]) -> io::Result<FileNumber> {
            Ok(FileNumber(0))
        }

        fn write(&mut self, _: FileNumber, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn end(&mut self, _: FileNumber) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_time_of_opening_and_running_is_summed() {
        let record = SharedRecord::default();
        let source = || DumpSource {
            path: b"/x".to_vec(),
            open: Box::new(|| {
                std::thread::sleep(Duration::from_millis(20));
                Ok(Box::new(Slow))
            }),
            known: None,
            cutting: None,
            original: None,
            may_fail: false,
        };
        for least_ms in [40, 80] {
            let dump = (timed(source(), &record).open)().unwrap();
            assert!(dump.run(&mut Nowhere).is_err());
            assert!(record.get().took >= Duration::from_millis(least_ms));
        }
    }
}

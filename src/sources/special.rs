//! Standard input and special files as sources of a backup. Both can be cancelled while they wait.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::process::{fail_if_cancelled, wait_readable};
use crate::backup::{Dump, DumpSource, FileSink};
use crate::monitor::Monitor;
use crate::os::descriptors::is_descriptor;

/// Bytes that are read at once.
const READ_LEN_BYTES: usize = 256 << 10;

/// Returns standard input as the file `name`.
pub fn stdin_source(name: &str, monitor: &Arc<Monitor>) -> DumpSource {
    let reader = StdinReader { monitor: Arc::clone(monitor) };
    source(path_of(name), false, move || Ok(Box::new(ReaderDump(reader))))
}

/// Returns whether a path is read as a stream: a device, a fifo, or an inherited descriptor
/// (`/dev/stdin` is a link, even if it leads to a file).
pub fn is_special(path: &Path) -> bool {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| {
        kind.is_block_device()
            || kind.is_char_device()
            || kind.is_fifo()
            || !kind.is_dir() && is_descriptor(path)
    })
}

/// Returns the content of a special file as a file of the same path, opened when its turn comes.
pub fn file_source(path: &Path, monitor: &Arc<Monitor>) -> io::Result<DumpSource> {
    let (named, monitor) = (path.to_owned(), Arc::clone(monitor));
    let path: PathBuf = std::path::absolute(path)?.components().collect();
    Ok(source(path.into_os_string().into_encoded_bytes(), true, move || {
        // Non-blocking: `poll` waits instead, so that cancellation works.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(&named)?;
        Ok(Box::new(ReaderDump(FileReader { file, monitor })))
    }))
}

fn source(
    path: Vec<u8>,
    may_fail: bool,
    open: impl FnOnce() -> io::Result<Box<dyn Dump>> + Send + 'static,
) -> DumpSource {
    let open = Box::new(open);
    DumpSource { path, open, known: None, cutting: None, original: None, may_fail }
}

/// Returns the path of a stream in the snapshot; its name may lack the first slash.
fn path_of(name: &str) -> Vec<u8> {
    format!("/{}", name.trim_start_matches('/')).into_bytes()
}

/// Fills the dump's one file with what a reader yields.
fn fill(mut reader: impl Read, sink: &mut dyn FileSink) -> io::Result<()> {
    let file = sink.begin(b"")?;
    let mut buffer = vec![0; READ_LEN_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return sink.end(file),
            Ok(len) => sink.write(file, &buffer[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

struct ReaderDump<R>(R);

impl<R: Read + Send> Dump for ReaderDump<R> {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        fill(self.0, sink)
    }
}

struct FileReader {
    file: File,
    monitor: Arc<Monitor>,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            wait_readable(&self.file, || fail_if_cancelled(&self.monitor))?;
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

struct StdinReader {
    monitor: Arc<Monitor>,
}

impl Read for StdinReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        wait_readable(&stdin, || fail_if_cancelled(&self.monitor))?;
        // Not through the standard library's buffer, which `poll` does not see.
        Ok(rustix::io::read(&stdin, buffer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::FileNumber;

    /// Keeps what one file gets, and whether it ended.
    #[derive(Default)]
    struct Kept(Vec<u8>, bool);

    impl FileSink for Kept {
        fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
            assert!(path.is_empty());
            Ok(FileNumber(0))
        }

        fn write(&mut self, _: FileNumber, bytes: &[u8]) -> io::Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self, _: FileNumber) -> io::Result<()> {
            self.1 = true;
            Ok(())
        }
    }

    fn read_all(source: DumpSource) -> io::Result<Vec<u8>> {
        let mut kept = Kept::default();
        (source.open)()?.run(&mut kept)?;
        assert!(kept.1);
        Ok(kept.0)
    }

    #[test]
    fn fifos_are_read_to_their_end() {
        let (folder, monitor) = (tempfile::tempdir().unwrap(), Arc::new(Monitor::default()));
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        assert!(
            is_special(&fifo) && is_special(Path::new("/dev/null")) && !is_special(folder.path())
        );
        let source = file_source(&fifo, &monitor).unwrap();
        assert_eq!(source.path, fifo.as_os_str().as_encoded_bytes());
        let writer = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::write(fifo, [7; 300]).unwrap()
        });
        assert_eq!(read_all(source).unwrap(), [7; 300]);
        writer.join().unwrap();
    }
}

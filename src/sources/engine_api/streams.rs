//! Standard output of a command in a container as a reader, standard input as a writer.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::event::PollFlags;

use super::engine::Engine;
use super::error::{Error, Fault, Result};
use super::exec::Exec;
use super::session::{ENDED_EARLY, Received, Session};
use crate::monitor::Monitor;

/// A reader of the standard output of a command in a container.
///
/// Its end says nothing about the command: only [`finish`](Self::finish) does. Dropped before that,
/// it ends the command, which takes at most ten seconds.
pub struct ExecReader(Session);

impl ExecReader {
    /// Runs a command. Its standard input is empty.
    ///
    /// Each wait ends, with an error, when `monitor` is cancelled.
    pub fn open(engine: &Engine, exec: &Exec, monitor: &Arc<Monitor>) -> Result<Self> {
        Ok(Self(Session::start(engine, exec, false, monitor)?))
    }

    /// Fails unless the command has written all that was read to the end, and ended with code 0.
    ///
    /// A stream ends in the same way when the command has ended and when the engine dies. A command
    /// that still runs ten seconds after that, of which the engine knows nothing, or that outlived
    /// the engine, has failed. One thing cannot be seen: a proxy that cuts the stream between two
    /// frames within ten seconds of a good end. Dumps with a trailer must look for it.
    ///
    /// Engines forget a command five minutes after its end: a reader that is slower than that to
    /// read the last bytes fails.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }

    /// Returns the flag that makes a read fail soon, from any thread.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.0.stop_flag()
    }

    /// Returns the end of the standard error so far, at most 4 KiB.
    pub fn last_words(&self) -> String {
        self.0.last_words()
    }

    /// Ends the command and its children. Fails if they may still run, after at most ten seconds.
    pub fn cancel(self) -> Result<()> {
        self.0.cancel()
    }
}

impl Read for ExecReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.0.receive(buffer)? {
                Received::Output(len) => return Ok(len),
                Received::Other => {}
                Received::End => return Ok(0),
            }
        }
    }
}

/// A writer into the standard input of a command in a container.
///
/// The command's output is received meanwhile and thrown away, but for the last 4 KiB of its
/// standard error: a command that writes a lot never waits for its reader. Dropped before
/// [`finish`](Self::finish), it ends the command, which takes at most ten seconds.
pub struct ExecWriter(Session);

impl ExecWriter {
    /// Runs a command.
    ///
    /// Each wait ends, with an error, when `monitor` is cancelled.
    pub fn create(engine: &Engine, exec: &Exec, monitor: &Arc<Monitor>) -> Result<Self> {
        Ok(Self(Session::start(engine, exec, true, monitor)?))
    }

    /// Ends the input and waits for the command. Fails unless it ended with code 0.
    ///
    /// Some hundred KiB may wait in buffers: a command that leaves no more than that, and ends with
    /// code 0, has not failed.
    pub fn finish(mut self) -> Result<()> {
        match self.0.connection.close_writing() {
            Ok(()) => {}
            // It has ended already: its exit code says more.
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(fault) => return Err(self.0.fault(fault)),
        }
        self.receive_to_end()?;
        self.0.finish()
    }

    /// Ends the command and its children. Fails if they may still run, after at most ten seconds.
    pub fn cancel(self) -> Result<()> {
        self.0.cancel()
    }

    fn receive_to_end(&mut self) -> Result<()> {
        let mut scrap = [0; 4 << 10];
        while self.0.receive(&mut scrap)? != Received::End {}
        Ok(())
    }

    /// Makes the error of a command that took no more input: its own, if it has failed.
    fn ended_early(&mut self) -> Error {
        let ended = self.receive_to_end().and_then(|()| self.0.finish());
        ended.err().unwrap_or_else(|| self.0.incomplete(ENDED_EARLY))
    }

    fn write_some(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut scrap = [0; 4 << 10];
        loop {
            while self.0.has_buffered() {
                self.0.receive(&mut scrap)?;
            }
            let ready = self.0.connection.wait(PollFlags::IN | PollFlags::OUT);
            let ready = ready.map_err(|fault| self.0.fault(fault))?;
            // Everything but room to write is something to be received: bytes, the end, an error.
            if ready != PollFlags::OUT && self.0.receive(&mut scrap)? == Received::End {
                return Err(self.ended_early());
            }
            if ready.contains(PollFlags::OUT) {
                match self.0.connection.send_some(bytes) {
                    Ok(Some(len)) => return Ok(len),
                    Ok(None) => {}
                    Err(Fault::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Err(self.ended_early());
                    }
                    Err(fault) => return Err(self.0.fault(fault)),
                }
            }
        }
    }
}

impl Write for ExecWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() { Ok(0) } else { Ok(self.write_some(bytes)?) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Stream of a running command: its frames, its last words, its end.

use std::io::ErrorKind::ConnectionReset;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::cancel::{END_TIME_MAX, Process, end_process, mark};
use super::connection::{Connection, Deadline, Patience};
use super::engine::{Engine, answer_deadline};
use super::error::{Error, Fault, Result};
use super::exec::{Created, Exec, ExecState};
use super::frames::{Channel, FrameParser};
use super::tail::Tail;
use super::witness::Witness;
use crate::monitor::Monitor;
use crate::sources::program_lines::ProgramLines;

/// Bytes that are read at once.
const BUFFER_LEN_BYTES: usize = 64 << 10;
/// Time for an engine to notice the end of a process whose streams have ended. Unit tests play an
/// engine that never does.
const EXIT_CODE_TIME_MAX: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 10_000 });
/// Interval at which it is asked.
const EXIT_CODE_WAIT: Duration = Duration::from_millis(20);

/// End of a command that left some of its input.
pub(super) const ENDED_EARLY: &str = "ended before it had read all of its input";

/// A command that runs, and its stream. Dropped before its end is known, it ends the process.
pub(super) struct Session {
    process: Process,
    witness: Option<Witness>,
    /// The stream; the user's cancellation ends every wait.
    pub connection: Connection,
    parser: FrameParser,
    /// Bytes of the stream that are not parsed yet: those from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    output: Tail,
    errors: Tail,
    lines: ProgramLines,
    is_at_end: bool,
    has_input: bool,
    /// Whether the engine hung up before it had read all of the input.
    is_reset: bool,
    /// Whether the engine put a message of its own into the stream.
    is_broken: bool,
    /// Whether the exit code is known: there is no process to end.
    is_settled: bool,
}

/// What was received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes of standard output, at least one.
    Output(usize),
    /// Something else.
    Other,
    /// The end of the stream.
    End,
}

impl Session {
    /// Runs a command.
    pub(super) fn start(
        engine: &Engine,
        exec: &Exec,
        has_input: bool,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let (exec, marker) = mark(exec)?;
        let deadline = answer_deadline();
        let watched = Some(Arc::clone(monitor));
        let patience = Patience { monitor: watched, ..Patience::until(deadline) };
        // What was not created need not be ended.
        patience.check().map_err(|fault| engine.fault("run a command", fault))?;
        let Created { id, is_docker } = engine.create_exec(&exec, has_input, deadline)?;
        let witness =
            if is_docker { None } else { Some(engine.call_witness(&exec.container, deadline)?) };
        let process = Process {
            engine: engine.clone(),
            container: exec.container.clone(),
            program: exec.command.first().cloned().unwrap_or_default(),
            user: exec.user.clone(),
            id,
            marker,
        };
        let started = engine.start_exec(&exec, &process.id, patience);
        let (mut connection, received) = match started {
            Ok(started) => started,
            Err(error) => {
                // After a refusal nothing runs; after any other failure the process may.
                if !matches!(error, Error::Refused { .. }) {
                    let _ = end_process(&process, END_TIME_MAX);
                }
                return Err(error);
            }
        };
        let lines = ProgramLines::of(&process.program, monitor);
        connection.patience.deadline = None;
        let (end, mut buffer) = (received.len(), received);
        buffer.resize(end.max(BUFFER_LEN_BYTES), 0);
        Ok(Self {
            process,
            witness,
            connection,
            parser: FrameParser::default(),
            buffer,
            start: 0,
            end,
            output: Tail::default(),
            errors: Tail::default(),
            lines,
            is_at_end: false,
            has_input,
            is_reset: false,
            is_broken: false,
            is_settled: false,
        })
    }

    /// Returns whether bytes wait to be parsed, for which the connection need not be asked.
    pub(super) fn has_buffered(&self) -> bool {
        self.start < self.end
    }

    /// Receives the next piece of the stream, and waits for it; standard output goes into `output`,
    /// which must not be empty.
    pub(super) fn receive(&mut self, output: &mut [u8]) -> Result<Received> {
        if self.is_at_end {
            return Ok(Received::End);
        }
        if !self.has_buffered() {
            self.start = 0;
            self.end = 0;
            self.end = match self.connection.read(&mut self.buffer).map_err(Fault::from) {
                Ok(0) => return self.at_end(),
                Ok(len) => len,
                Err(Fault::Io(error)) if self.has_input && error.kind() == ConnectionReset => {
                    self.is_reset = true;
                    return self.at_end();
                }
                Err(fault) => return Err(self.fault(fault)),
            };
        }
        // No piece is longer than the room for it.
        let end = self.end.min(self.start.saturating_add(output.len()));
        let input = &self.buffer[self.start..end];
        let step = match self.parser.next(input) {
            Ok(step) => step,
            Err(error) => return Err(self.fault(Fault::answer(error.to_string()))),
        };
        let piece = &input[..step.len];
        self.start += step.len;
        match step.channel {
            None => {}
            Some(Channel::Output) => {
                output[..piece.len()].copy_from_slice(piece);
                self.output.push(piece);
                return Ok(Received::Output(piece.len()));
            }
            Some(Channel::Error) => {
                self.errors.push(piece);
                self.lines.push(piece);
            }
            Some(Channel::Engine) => {
                self.errors.push(piece);
                self.is_broken = true;
            }
        }
        Ok(Received::Other)
    }

    fn at_end(&mut self) -> Result<Received> {
        if !self.parser.is_between_frames() {
            return Err(self.incomplete("was cut off"));
        }
        self.is_at_end = true;
        Ok(Received::End)
    }

    /// Returns the flag that ends every wait.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.connection.patience.stop)
    }

    /// Returns the end of standard error.
    pub(super) fn last_words(&self) -> String {
        self.errors.text()
    }

    /// Fails unless the stream has ended and the process ended with code 0.
    ///
    /// The engine may notice the end of the process a moment after that of its streams.
    pub(super) fn finish(&mut self) -> Result<()> {
        if !self.is_at_end {
            return Err(self.incomplete("was not read to its end"));
        }
        self.ask_witness()?;
        let code = self.exit_code()?;
        // The engine that told the code must be the one that ran the command.
        self.ask_witness()?;
        self.is_settled = true;
        if self.is_broken {
            return Err(self.incomplete("was broken off by the engine"));
        }
        match code {
            0 if self.is_reset => Err(self.incomplete(ENDED_EARLY)),
            0 => Ok(()),
            code => Err(self.failed(code)),
        }
    }

    fn ask_witness(&mut self) -> Result<()> {
        if self.witness.as_mut().is_none_or(Witness::is_alive) {
            Ok(())
        } else {
            Err(self.incomplete("lost its engine or its container before its end"))
        }
    }

    fn exit_code(&self) -> Result<i64> {
        let patient = Deadline::after(EXIT_CODE_TIME_MAX);
        loop {
            let deadline = answer_deadline();
            match self.process.state(deadline)? {
                ExecState::Ended(code) => return Ok(code),
                ExecState::Unsettled if patient.has_passed() => {
                    return Err(self.incomplete("has closed its output, and did not end"));
                }
                ExecState::Unsettled => {
                    self.connection.patience.check().map_err(|fault| self.fault(fault))?;
                    std::thread::sleep(EXIT_CODE_WAIT);
                }
            }
        }
    }

    /// Ends the process, unless it has ended.
    pub(super) fn cancel(mut self) -> Result<()> {
        self.end_now()
    }

    fn end_now(&mut self) -> Result<()> {
        // The end of its input ends many a process, and the engine reads no more of its output.
        self.connection.close();
        if std::mem::replace(&mut self.is_settled, true) {
            Ok(())
        } else {
            end_process(&self.process, END_TIME_MAX)
        }
    }

    /// Makes the error of a process of which not everything is known.
    pub(super) fn incomplete(&self, why: &'static str) -> Error {
        Error::Incomplete {
            container: self.process.container.clone(),
            program: self.process.program.clone(),
            why,
            last_words: self.last_words(),
        }
    }

    fn failed(&self, code: i64) -> Error {
        let errors = self.last_words();
        // Docker says on standard output why it could not start a command.
        let is_never_started = matches!(code, 126 | 127) && errors.is_empty();
        Error::Failed {
            container: self.process.container.clone(),
            program: self.process.program.clone(),
            code,
            last_words: if is_never_started { self.output.text() } else { errors },
        }
    }

    /// Makes the error of a fault of the stream.
    pub(super) fn fault(&self, fault: Fault) -> Error {
        let Process { engine, program, container, .. } = &self.process;
        engine.fault(&format!("follow `{program}` in container `{container}`"), fault)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.end_now();
    }
}

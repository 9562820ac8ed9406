//! Witness that the engine lived as long as a command.
//!
//! An engine that dies closes the stream of a command as if the command had ended. The command
//! runs on, its output goes nowhere, it ends well, and Podman, started again (by its socket, at the
//! next question), tells code 0 for a dump of which half is missing. So a second connection, opened
//! before the command starts, waits for the end of the container: it breaks if the engine dies.
//! Docker needs none: a daemon that was started again does not know the command.

use super::connection::{Connection, Deadline, Patience};
use super::engine::{Answer, Engine};
use super::error::Result;
use super::http::{AnswerReader, Request};

/// A connection that breaks when the engine dies, and on which something comes when the container
/// stops.
pub(super) struct Witness {
    connection: Connection,
    is_alive: bool,
}

impl Engine {
    /// Calls a witness for a container.
    pub(super) fn call_witness(&self, container: &str, deadline: Deadline) -> Result<Witness> {
        let action = format!("watch container `{container}`");
        let fault = |fault| self.fault(&action, fault);
        let patience = Patience::until(deadline);
        let mut connection = Connection::open(self.socket(), patience).map_err(fault)?;
        let target = format!("/containers/{container}/wait");
        let request = Request { method: "POST", target: &target, body: &[], is_upgrade: false };
        request.send(&mut connection).map_err(fault)?;
        let mut reader = AnswerReader::new(&mut connection);
        // The head comes at once, the body with the container's end.
        let head = reader.read_head().map_err(fault)?;
        if head.status != 200 {
            let body = reader.read_body(&head).map_err(fault)?;
            return Err(self.refusal(&action, &Answer { head, body }));
        }
        let is_alive = reader.into_buffered().is_empty();
        Ok(Witness { connection, is_alive })
    }
}

impl Witness {
    /// Returns whether engine and container have lived all the time.
    pub(super) fn is_alive(&mut self) -> bool {
        // Nothing has come: the only good sign.
        self.is_alive = self.is_alive && matches!(self.connection.receive_some(&mut [0]), Ok(None));
        self.is_alive
    }
}

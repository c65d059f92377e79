//! Which driver a request goes to.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::between::Shared;
use super::web::{Command, Order, Request};

/// Where each driver takes requests.
#[derive(Debug, Clone)]
pub struct Doors {
    doors: Vec<mpsc::Sender<Command>>,
    shared: Arc<Shared>,
}

impl Doors {
    /// One for each driver, and where each takes what came in.
    pub(super) fn new(shared: Arc<Shared>) -> (Self, Vec<mpsc::Receiver<Command>>) {
        let channels = (0..shared.count()).map(|_| mpsc::channel(COMMANDS));
        let (doors, commands) = channels.unzip();
        (Self { doors, shared }, commands)
    }

    /// Hands a request to the driver that it concerns. Of a session that cannot be, any driver says
    /// that it is not there.
    pub(super) fn knock(&self, command: Command) -> Result<(), TrySendError<Command>> {
        let Order::Http(asked) = &command.0 else { return self.send(0, command) };
        let driver = match &asked.0 {
            Request::Create { offer, .. } => self.shared.of_offer(offer),
            Request::Tell { session, .. }
            | Request::Mail { session, .. }
            | Request::Change { session, .. }
            | Request::Poll { session, .. }
            | Request::Delete { session } => self.shared.of_session(session).unwrap_or_default(),
            Request::Status => 0,
        };
        self.send(driver, command)
    }

    /// The hub's status, as JSON; `None` if it is too busy to say, or has ended.
    pub(super) async fn status(&self) -> Option<Bytes> {
        let (tell, told) = oneshot::channel();
        self.send(0, Command(Order::Status(tell))).ok()?;
        told.await.ok()
    }

    fn send(&self, driver: usize, command: Command) -> Result<(), TrySendError<Command>> {
        match self.doors.get(driver) {
            Some(door) => door.try_send(command),
            None => Err(TrySendError::Closed(command)),
        }
    }
}

/// Signaling requests that may wait for one driver.
const COMMANDS: usize = 1024;

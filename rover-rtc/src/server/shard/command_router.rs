//! Which shard a request goes to.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::server::shard::router::HubShared;
use crate::server::web::{CommandKind, HubCommand, HubRequest};

/// Where each shard takes requests.
#[derive(Debug, Clone)]
pub struct CommandRouter {
    router: Vec<mpsc::Sender<HubCommand>>,
    shared: Arc<HubShared>,
}

impl CommandRouter {
    /// One for each shard, and where each takes what came in.
    pub(in crate::server) fn new(
        shared: Arc<HubShared>,
    ) -> (Self, Vec<mpsc::Receiver<HubCommand>>) {
        let channels = (0..shared.count()).map(|_| mpsc::channel(COMMANDS));
        let (router, commands) = channels.unzip();
        (Self { router, shared }, commands)
    }

    /// Hands a request to the shard that it concerns. Of a session that cannot be, any shard says
    /// that it is not there.
    pub(in crate::server) fn route(
        &self,
        command: HubCommand,
    ) -> Result<(), TrySendError<HubCommand>> {
        let CommandKind::Http(asked) = &command.0 else { return self.send(0, command) };
        let shard = match &asked.0 {
            HubRequest::Create { offer, .. } => self.shared.of_offer(offer),
            HubRequest::Send { session, .. }
            | HubRequest::Mailbox { session, .. }
            | HubRequest::SessionChange { session, .. }
            | HubRequest::Poll { session, .. }
            | HubRequest::Delete { session } => self.shared.of_session(session).unwrap_or_default(),
            HubRequest::Status => 0,
        };
        self.send(shard, command)
    }

    /// The hub's status, as JSON; `None` if it is too busy to say, or has ended.
    pub(in crate::server) async fn status(&self) -> Option<Bytes> {
        let (tell, told) = oneshot::channel();
        self.send(0, HubCommand(CommandKind::Status(tell))).ok()?;
        told.await.ok()
    }

    fn send(&self, shard: usize, command: HubCommand) -> Result<(), TrySendError<HubCommand>> {
        match self.router.get(shard) {
            Some(queue) => queue.try_send(command),
            None => Err(TrySendError::Closed(command)),
        }
    }
}

/// Signaling requests that may wait for one shard.
const COMMANDS: usize = 1024;

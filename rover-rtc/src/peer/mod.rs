//! The peer: a link to a hub that keeps itself connected, or to another peer whose offers and
//! answers the application carries itself.
//!
//! ```no_run
//! use rover_rtc::{Peer, PeerConfig};
//!
//! # async fn example() -> Result<(), rover_rtc::WebrtcError> {
//! let peer = Peer::connect(PeerConfig::new("http://127.0.0.1:3000"))?;
//! let test = peer.channel("test").expect("it is a default");
//! test.send("hello").await?;
//! while let Some(message) = test.recv().await {
//!     println!("{} bytes", message.data.len());
//! }
//! # Ok(())
//! # }
//! ```

mod channel;
mod driver;
mod inbox;
mod run;
mod signaling;
mod sockets;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, mpsc, oneshot};

pub use channel::Channel;
pub use run::{PeerOptions, main};

use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::event::Event;
use crate::link::ChannelConfig;
use crate::stats::LinkStats;
use driver::{Command, Driver};
use signaling::Signaling;

/// A connected, or connecting, peer. Dropping it closes it in the background;
/// [`Peer::close`] waits until that is done.
#[derive(Debug)]
pub struct Peer {
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    /// Subscribed before the driver began, so that nothing is missed.
    first_events: Mutex<Option<broadcast::Receiver<Event>>>,
    directory: Directory,
}

/// The channels of a peer, by label.
#[derive(Debug, Clone, Default)]
struct Directory {
    channels: Arc<Mutex<Vec<Channel>>>,
}

/// Events of a peer, from the time it was asked for.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Peer {
    /// Starts a peer of the hub in the settings. It connects by itself, again and again, for as
    /// long as it lives: a hub that is down is [`Event::Trouble`], no error.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Server`] if the hub's URL is none.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect(config: PeerConfig) -> Result<Self, WebrtcError> {
        let signaling = Signaling::new(&config).map_err(|e| WebrtcError::Server(e.to_string()))?;
        let (peer, driver) = Self::new(config, Some(signaling));
        tokio::spawn(driver.run());
        Ok(peer)
    }

    /// Starts a peer that offers. The application carries the offer to the other side and gives
    /// the answer to [`Peer::accept_answer`].
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Network`] without a usable address.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn offer(config: PeerConfig) -> Result<(Self, String), WebrtcError> {
        let (peer, mut driver) = Self::new(config, None);
        let offer = driver.offer()?;
        tokio::spawn(driver.run());
        Ok((peer, offer))
    }

    /// Starts a peer that answers an offer; returns the answer for the other side.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Sdp`] if the offer is not usable, [`WebrtcError::Network`] without a usable
    /// address.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn answer(config: PeerConfig, offer: &str) -> Result<(Self, String), WebrtcError> {
        let (peer, mut driver) = Self::new(config, None);
        let answer = driver.answer(offer)?;
        tokio::spawn(driver.run());
        Ok((peer, answer))
    }

    /// Takes the answer to the offer of [`Peer::offer`].
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Sdp`] if it is not usable, [`WebrtcError::Closed`].
    pub async fn accept_answer(&self, answer: &str) -> Result<(), WebrtcError> {
        let answer = answer.to_owned();
        Ok(self.ask(|reply| Command::AcceptAnswer(answer, reply)).await??)
    }

    /// A channel by its label: one of the settings, or one that the other side has opened.
    #[must_use]
    pub fn channel(&self, label: &str) -> Option<Channel> {
        self.directory.find(label)
    }

    /// Opens a further channel. It can be used at once: what is sent waits until it is open.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub async fn open(&self, config: ChannelConfig) -> Result<Channel, WebrtcError> {
        self.ask(|reply| Command::Open(config, reply)).await
    }

    /// Events from now on; the first call gets them from the start. A reader that falls more than
    /// 1,024 events behind misses the oldest.
    #[must_use]
    pub fn events(&self) -> Events {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        Events { receiver: first.unwrap_or_else(|| self.events.subscribe()) }
    }

    /// Counters and paths as of now.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub async fn stats(&self) -> Result<LinkStats, WebrtcError> {
        self.ask(Command::Stats).await
    }

    /// Sends what is queued, for at most a second, says good-bye and ends.
    pub async fn close(&self) {
        // An error says that it is closed already.
        let _ = self.ask(Command::Close).await;
    }

    fn new(config: PeerConfig, signaling: Option<Signaling>) -> (Self, Driver) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (events, first) = broadcast::channel(EVENTS);
        let directory = Directory::default();
        let driver = Driver::new(config, signaling, receiver, events.clone(), directory.clone());
        let first_events = Mutex::new(Some(first));
        (Self { commands, events, first_events, directory }, driver)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, WebrtcError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| WebrtcError::Closed)?;
        answer.await.map_err(|_| WebrtcError::Closed)
    }
}

impl Events {
    /// The next event; `None` when the peer is gone.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "events missed");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Directory {
    fn add(&self, channel: Channel) {
        self.lock().push(channel);
    }

    fn find(&self, label: &str) -> Option<Channel> {
        self.lock().iter().find(|c| c.label() == label).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        // Pushing and cloning leave nothing half done.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const COMMANDS: usize = 32;
const EVENTS: usize = 1024;

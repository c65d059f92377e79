//! The peer: a link to a hub that keeps itself connected, links with other peers that it finds
//! there, or one with another peer whose offers and answers the application carries itself.
//!
//! ```no_run
//! use rover_rtc::{Peer, PeerConfig};
//!
//! # async fn example() -> Result<(), rover_rtc::WebrtcError> {
//! let mut config = PeerConfig::new("http://127.0.0.1:3000");
//! config.name = Some("rover-1".into());
//! let peer = Peer::connect(config)?;
//! let link = peer.dial("rover-2").await?;
//! let test = link.channel("test").expect("it is a default");
//! test.send("hello").await?;
//! while let Some(message) = test.recv().await {
//!     println!("{} bytes", message.data.len());
//! }
//! # Ok(())
//! # }
//! ```

mod bind_addresses;
mod calls;
mod channel;
mod driver;
mod entry;
mod event_broadcast;
mod frontend;
mod handle;
mod hub_link;
mod inbox;
mod lines;
mod network;
#[cfg(not(feature = "turn"))]
mod no_turn;
mod peer_links;
mod shared_journal;
mod signaling;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::identity::{Fingerprint, Identity, KnownPeers, valid_name};
use crate::journal::{JournalError, JournalStats};
use crate::link::LinkStats;
use crate::link::{ChannelConfig, Mode, STATUS};
use crate::recovery::Escalation;
use crate::rendezvous::DialError;
use crate::rendezvous::{Rendezvous, RendezvousConfig};
use crate::util::{clock, random};
use calls::{Calls, calls};
pub use channel::{Channel, Received};
use driver::{Driver, LinkId, Request};
pub use entry::main;
#[cfg(feature = "cli")]
pub(crate) use entry::{STARTING, send_payloads};
pub use handle::{Events, PeerLink};
use hub_link::HubSession;
#[cfg(feature = "cli")]
pub(crate) use lines::{event_line, message_line};
use peer_links::PeerLinks;
use shared_journal::{HUB_LINK, SharedJournal, WeakJournal};
use signaling::Signaling;

/// A connected, or connecting, peer. Dropping it closes it, and all its links, in the background;
/// [`Peer::close`] waits until that is done.
#[derive(Debug)]
pub struct Peer {
    hub_link: PeerLink,
    /// A peer without a name is never called.
    called: Calls,
    fingerprint: Option<Fingerprint>,
    journal: Option<WeakJournal>,
}

impl Peer {
    /// Starts a peer of the hub in the settings. It connects by itself, again and again, for as
    /// long as it lives: a hub that is down is [`Event::Trouble`](crate::Event::Trouble), no
    /// error. With a name it can call other peers and be called.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Server`] if the hub's URL is none, [`WebrtcError::Identity`] or
    /// [`WebrtcError::Table`] if the state directory or the roster cannot be used,
    /// [`WebrtcError::Dial`] if the name cannot be one.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect(config: PeerConfig) -> Result<Self, WebrtcError> {
        let now = clock::now();
        let named =
            config.name.as_ref().map(|name| NamedIdentity::new(name, &config)).transpose()?;
        let identity = named.as_ref().map(|who| who.identity.clone());
        let signaling = Signaling::new(&config, identity.clone())
            .map_err(|e| WebrtcError::Server(e.to_string()))?;
        let escalation = Escalation::new(now, config.recovery.clone(), random::number());
        let rendezvous = named.map(|who| who.rendezvous(&config));
        let hub_session = Some(Box::new(HubSession { escalation, signaling }));
        let (peer, driver) = Self::new(config, identity, hub_session, rendezvous)?;
        tokio::spawn(Box::new(driver).run());
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
        let (peer, mut driver) = Self::new(config, None, None, None)?;
        let offer = driver.offer()?;
        tokio::spawn(Box::new(driver).run());
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
        let (peer, mut driver) = Self::new(config, None, None, None)?;
        let answer = driver.answer(offer)?;
        tokio::spawn(Box::new(driver).run());
        Ok((peer, answer))
    }

    /// Takes the answer to the offer of [`Peer::offer`].
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Sdp`] if it is not usable, [`WebrtcError::Closed`].
    pub async fn accept_answer(&self, answer: &str) -> Result<(), WebrtcError> {
        let answer = answer.to_owned();
        Ok(self.hub_link.ask(|reply| Request::AcceptAnswer(answer, reply)).await??)
    }

    /// Calls another peer of the hub by its name, and waits until the link is up, for at most
    /// 30 s: see [`Peer::dial_within`].
    ///
    /// # Errors
    ///
    /// See [`Peer::dial_within`].
    pub async fn dial(&self, name: &str) -> Result<PeerLink, WebrtcError> {
        self.dial_within(name, DIAL_PATIENCE).await
    }

    /// Calls another peer by its name. One that is not there yet is waited for. If there is a
    /// link with it already, whoever called, the result is that one; if both call at once, they
    /// get one link. From then on the link keeps itself connected until it is closed.
    ///
    /// Cancelling the future gives up the call.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Dial`], among them [`DialError::TimedOut`] with the last reason known, and
    /// [`DialError::Distrusted`] if the other side is not who it should be;
    /// [`WebrtcError::Closed`].
    pub async fn dial_within(
        &self,
        name: &str,
        patience: Duration,
    ) -> Result<PeerLink, WebrtcError> {
        let name = name.to_owned();
        Ok(self.hub_link.ask(|reply| Request::Dial(name, Some(patience), reply)).await??)
    }

    /// Calls another peer by its name and waits for nothing: the link is there at once, and comes
    /// up when the other peer is there. What is sent meanwhile waits in the outboxes, on a durable
    /// channel on disk. [`PeerLink::events`] tell when it is up.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Dial`] if the name cannot be one or there are too many links;
    /// [`WebrtcError::Closed`].
    pub async fn call(&self, name: &str) -> Result<PeerLink, WebrtcError> {
        let name = name.to_owned();
        Ok(self.hub_link.ask(|reply| Request::Dial(name, None, reply)).await??)
    }

    /// The next link that another peer has called; `None` when the peer has been closed. Links
    /// wait here, up to 16; further callers hear good-bye.
    ///
    /// Cancel safe.
    pub async fn accept(&self) -> Option<PeerLink> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`Peer::accept`], for callers with a waker of their own. All who wait are woken by a
    /// link, which one of them gets.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<PeerLink>> {
        self.called.poll_next(cx)
    }

    /// The link with the hub, or, without a hub, with the other peer.
    #[must_use]
    pub fn hub_link(&self) -> &PeerLink {
        &self.hub_link
    }

    /// All links with other peers: names and counters.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub async fn links(&self) -> Result<Vec<(String, LinkStats)>, WebrtcError> {
        self.hub_link.ask(Request::Links).await
    }

    /// The key by which others know this peer, if it has a name.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// What the journal has counted; `None` without a state directory, and when the peer is closed.
    #[must_use]
    pub fn journal(&self) -> Option<JournalStats> {
        self.journal.as_ref()?.stats()
    }

    /// A channel of the link with the hub, by its label.
    #[must_use]
    pub fn channel(&self, label: &str) -> Option<Channel> {
        self.hub_link.channel(label)
    }

    /// The hub's status, as it sends it every 5 s: JSON texts, of which the newest counts. A peer
    /// without a name has no channel for that: it finds the status among what comes on "test".
    #[must_use]
    pub fn status(&self) -> Option<Channel> {
        self.hub_link.channel(STATUS)
    }

    /// Opens a further channel on the link with the hub.
    ///
    /// # Errors
    ///
    /// See [`PeerLink::open`].
    pub async fn open(&self, config: ChannelConfig) -> Result<Channel, WebrtcError> {
        self.hub_link.open(config).await
    }

    /// Events of the link with the hub, and of calls that were refused.
    #[must_use]
    pub fn events(&self) -> Events {
        self.hub_link.events()
    }

    /// Counters and paths of the link with the hub.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub async fn stats(&self) -> Result<LinkStats, WebrtcError> {
        self.hub_link.stats().await
    }

    /// Sends what is queued, for at most a second, says good-bye on all links and ends.
    pub async fn close(&self) {
        self.hub_link.close().await;
    }

    fn new(
        config: PeerConfig,
        identity: Option<Arc<Identity>>,
        hub_session: Option<Box<HubSession>>,
        mut rendezvous: Option<Box<Rendezvous>>,
    ) -> Result<(Self, Driver), WebrtcError> {
        let wake = Arc::new(Notify::new());
        let shared_journal = SharedJournal::open(&config, &wake)?;
        let journal = shared_journal.as_ref().map(SharedJournal::downgrade);
        config.channels.iter().try_for_each(ChannelConfig::check)?;
        let durable = |c: &&ChannelConfig| c.mode == Mode::Durable && shared_journal.is_none();
        if let Some(channel) = config.channels.iter().find(durable) {
            return Err(WebrtcError::NoJournal(channel.label.clone()));
        }
        if let (Some(rendezvous), Some(shared_journal)) = (&mut rendezvous, shared_journal.clone())
        {
            rendezvous.set_journal_lookup(move |name, last| {
                last.into_iter().for_each(|record| shared_journal.submit(name, record));
                shared_journal.saved(name).map_err(|e| e.to_string())
            });
        }
        let (sender, receiver) = mpsc::channel(COMMANDS);
        let (caller, called) = calls();
        let peer_links = PeerLinks::new(caller, sender.downgrade());
        let fingerprint = identity.as_ref().map(|i| i.fingerprint());
        let shared_journal = shared_journal
            .map(|shared_journal| {
                Ok::<_, JournalError>((shared_journal.saved(HUB_LINK)?, shared_journal))
            })
            .transpose()?;
        let mut driver = Driver::new(
            config,
            identity,
            hub_session,
            rendezvous,
            receiver,
            peer_links,
            (wake, shared_journal),
        );
        let (guard, directory, events) = driver.hub_link.frontend.hold();
        let hub_link = PeerLink {
            owner: LinkId::Hub,
            name: "".into(),
            fingerprint: None,
            commands: sender,
            events,
            directory,
            _guard: guard,
        };
        Ok((Self { hub_link, called, fingerprint, journal }, driver))
    }
}

/// A peer with a name.
struct NamedIdentity {
    name: String,
    identity: Arc<Identity>,
    known: KnownPeers,
}

impl NamedIdentity {
    fn new(name: &str, config: &PeerConfig) -> Result<Self, WebrtcError> {
        if !valid_name(name) {
            return Err(DialError::BadName(name.to_owned()).into());
        }
        let (identity, known) = match &config.state {
            Some(dir) => (Identity::load_or_create(dir)?, KnownPeers::load(dir)?),
            None => (Identity::fresh()?, KnownPeers::in_memory()),
        };
        let known = match &config.roster {
            Some(path) => known.with_roster(path)?,
            None => known,
        };
        Ok(Self { name: name.to_owned(), identity: Arc::new(identity), known })
    }

    fn rendezvous(self, config: &PeerConfig) -> Box<Rendezvous> {
        let Self { name, identity, known } = self;
        let settings = RendezvousConfig {
            name,
            path: config.path.clone(),
            recovery: config.recovery.clone(),
            pace: config.pace,
            channels: config.channels.clone(),
            max_channels: config.max_channels,
            max_message: config.max_message,
            max_links: config.max_links,
            relay: config.relay,
            relay_only: config.relay_only,
        };
        let unix_nanos = u64::try_from(clock::unix_nanos()).unwrap_or_default();
        Box::new(Rendezvous::new(clock::now(), unix_nanos, settings, identity, known))
    }
}

const COMMANDS: usize = 32;

/// How long [`Peer::dial`] waits.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);

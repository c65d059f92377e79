//! The sole owner of [`str0m::Rtc`]: ICE, DTLS and SCTP of one transport.
//!
//! str0m's invariant is *one mutation, then drain `poll_output` to its timeout*. Every method here
//! is one mutation and a full drain, so the invariant cannot be broken from outside. What the
//! drain yields waits in two queues, [`Session::poll_transmit`] and [`Session::poll_event`].
//!
//! The transport's time is the [`PaceClock`]'s; all arguments and results here are real time.

mod clock;
mod crypto;
mod error;
mod negotiation;
pub mod sdp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::SdpPendingOffer;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::DtlsCert;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, IceConnectionState, IceCreds, Input, Output, Rtc};

pub use clock::PaceClock;
pub use error::SdpError;

use crate::identity::Fingerprint;
use crate::path::Via;
use crate::util::spare::spare;
use sdp::CandidatePolicy;

/// How fast a transport's clock runs in each part of its life (`design.md` 4).
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Until ICE has a pair. Default 5: checks are sent every 10 ms instead of every 50 ms.
    pub ice: f64,
    /// During the DTLS handshake, which gives up after some 40 s of its own time. Default 2.
    pub dtls: f64,
    /// Once connected. Default 5: the minimum RTO is 200 ms, a delayed ack 40 ms.
    pub data: f64,
}

impl Pace {
    /// Between peers that both run this library.
    pub const OURS: Self = Self { ice: 5.0, dtls: 2.0, data: 5.0 };
    /// With a foreign stack, whose delayed ack of 200 ms must not meet an RTO as short as that.
    pub const FOREIGN: Self = Self { ice: 5.0, dtls: 2.0, data: 2.0 };
}

/// Settings of a session.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Credentials of this side, from the operating system's random source.
    pub credentials: IceCreds,
    /// The clock's pace.
    pub pace: Pace,
    /// Which remote candidates are used.
    pub candidates: CandidatePolicy,
    /// Largest message in bytes that this side takes. Default 256 KiB.
    pub max_message_size: u32,
    /// The DTLS certificate. Default none: a fresh one.
    pub certificate: Option<DtlsCert>,
    /// The other side's certificate, if it is known. Default none: the one that its description
    /// names.
    pub expected: Option<Fingerprint>,
}

impl SessionConfig {
    /// The defaults with these credentials.
    #[must_use]
    pub fn new(credentials: IceCreds) -> Self {
        Self {
            credentials,
            pace: Pace::OURS,
            candidates: CandidatePolicy::default(),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            certificate: None,
            expected: None,
        }
    }
}

/// What a session tells its owner.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// ICE changed its state. For logs: the path layer knows better what lives.
    Ice(IceConnectionState),
    /// The DTLS handshake is done and the fingerprint matched.
    Connected,
    /// A channel is open: its id, label and DCEP protocol name.
    ChannelOpen(ChannelId, String, String),
    /// A message arrived: channel, whether it is binary, content.
    Message(ChannelId, bool, Vec<u8>),
    /// A channel was closed.
    ChannelClose(ChannelId),
    /// The transport is over, by either side or by an error that the text names.
    Closed(Option<String>),
}

/// The answer to an offer, with what the path layer needs to know of it.
#[derive(Debug)]
pub struct Negotiated {
    /// The answer's text. Empty where this side took an answer.
    pub answer: String,
    /// Credentials of this side from now on.
    pub local: IceCreds,
    /// Credentials of the other side from now on.
    pub remote: IceCreds,
    /// Addresses of the other side's candidates, and what they are.
    pub addresses: Vec<(SocketAddr, Via)>,
}

/// One transport: ICE, DTLS and SCTP without any I/O.
pub struct Session {
    rtc: Rtc,
    clock: PaceClock,
    config: SessionConfig,
    /// In the transport's time.
    deadline: Instant,
    stage: Stage,
    credentials: IceCreds,
    /// The largest message that the other side takes.
    remote_max_message: u32,
    pending: Option<(SdpPendingOffer, Option<IceCreds>)>,
    /// The channel for whose sake SCTP was offered.
    silent: Option<ChannelId>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<SessionEvent>,
    records_sent: u64,
    proofs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ice,
    Dtls,
    Connected,
    Closed,
}

impl Session {
    /// A session that has no candidates and no channel yet.
    #[must_use]
    pub fn new(now: Instant, mut config: SessionConfig) -> Self {
        let pace = config.pace.ice;
        let stun = |d: Duration| d.mul_f64(pace);
        let mut rtc = Rtc::builder()
            .set_crypto_provider(crypto::provider())
            .clear_codecs()
            .set_local_ice_credentials(config.credentials.clone())
            .set_sctp_max_message_size(config.max_message_size)
            // Admission is the outbox's: SCTP must only never refuse what it admits.
            .set_sctp_max_buffered_amount(SCTP_BUFFER + config.max_message_size as usize)
            .set_snap_enabled(true);
        if let Some(certificate) = config.certificate.take() {
            rtc = rtc.set_dtls_cert(certificate);
        }
        rtc.set_initial_stun_rto(stun(STUN_INITIAL_RTO));
        rtc.set_max_stun_rto(stun(STUN_MAX_RTO));
        rtc.set_max_stun_retransmits(STUN_RETRANSMITS);
        let credentials = config.credentials.clone();
        let mut session = Self {
            rtc: rtc.build(now),
            clock: PaceClock::new(now, pace),
            config,
            deadline: now,
            stage: Stage::Ice,
            credentials,
            remote_max_message: sdp::DEFAULT_REMOTE_MESSAGE,
            pending: None,
            silent: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            records_sent: 0,
            proofs: 0,
        };
        if let Some(expected) = session.config.expected {
            session.expect(expected);
        }
        session.drain(now);
        session
    }

    /// Pins the other side's certificate: a description that names another is refused, and so is a
    /// DTLS handshake with another.
    pub fn expect(&mut self, expected: Fingerprint) {
        self.config.expected = Some(expected);
        self.rtc.direct_api().set_remote_fingerprint(expected.into());
    }

    /// The other side's certificate, if it is known: once connected, the one that it has shown.
    #[must_use]
    pub fn expected(&self) -> Option<Fingerprint> {
        self.config.expected
    }

    /// Adds a candidate of this side, to be offered and checked.
    /// Returns the line that tells the other side, if it is new.
    pub fn add_local_candidate(&mut self, now: Instant, candidate: Candidate) -> Option<String> {
        let line = self.rtc.add_local_candidate(candidate).map(Candidate::to_sdp_string);
        self.drain(now);
        line
    }

    /// Takes back a candidate of this side whose address is gone.
    pub fn remove_local_candidate(&mut self, now: Instant, candidate: &Candidate) {
        self.rtc.direct_api().invalidate_candidate(candidate);
        self.drain(now);
    }

    /// Adds a candidate of the other side that arrived after its offer or answer.
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) {
        self.rtc.add_remote_candidate(candidate);
        self.drain(now);
    }

    /// The largest message that the other side takes, in bytes, as its description says.
    #[must_use]
    pub fn remote_max_message(&self) -> u32 {
        self.remote_max_message
    }

    /// Opens a channel on a session that is connected.
    pub fn open(&mut self, now: Instant, channel: ChannelConfig) -> ChannelId {
        let id = self.rtc.direct_api().create_data_channel(channel);
        self.drain(now);
        id
    }

    /// Hands a message to SCTP. False if the channel is not open or SCTP's buffer is full.
    pub fn write(&mut self, now: Instant, id: ChannelId, binary: bool, data: &[u8]) -> bool {
        // What is sent in the same drain must carry the time of now, not of the last input.
        self.step_time(now);
        let written = match self.rtc.channel(id) {
            Some(mut channel) => channel.write(binary, data).unwrap_or(false),
            None => false,
        };
        self.drain(now);
        written
    }

    /// Bytes of a channel that the other side has not acknowledged.
    #[must_use]
    pub fn buffered(&mut self, id: ChannelId) -> usize {
        self.rtc.channel(id).map_or(0, |mut c| c.buffered_amount())
    }

    /// Takes a datagram. The caller has checked where it comes from; false if it is not one that
    /// str0m can read.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Ok(contents) = datagram.try_into() else { return false };
        let receive =
            Receive { proto: Protocol::Udp, source: remote, destination: local, contents };
        let input = Input::Receive(self.clock.at(now), receive);
        // An error here is a datagram that DTLS refused: the sender's fault, not the end of us.
        let taken = self.rtc.handle_input(input).is_ok();
        self.drain(now);
        taken
    }

    /// How often something came that only the other side can have sent: the end of a handshake, a
    /// message, the opening or closing of a channel. A record as such shows nothing: one that
    /// cannot be decrypted is dropped without a word (RFC 6347 section 4.1.2.7).
    #[must_use]
    pub fn proofs(&self) -> u64 {
        self.proofs
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.step_time(now);
        self.drain(now);
    }

    /// When [`Session::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.stage != Stage::Closed).then(|| self.clock.real(self.deadline))
    }

    /// Gives back memory that is of no use while nothing happens.
    pub fn rest(&mut self) {
        spare(&mut self.transmits);
        spare(&mut self.events);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Steps the transport's time from deadline to deadline until a DTLS record goes out, so that
    /// a retransmission which would have waited for a minute leaves at once. A delayed
    /// acknowledgement that is due goes out first, and is none. Bounded in steps and in time. True
    /// if a record went out.
    pub fn warp(&mut self, now: Instant) -> bool {
        if self.stage != Stage::Connected {
            return false; // DTLS would spend its retries
        }
        let before = self.records_sent;
        let start = self.clock.at(now);
        let (acknowledged, end) = (start + DELAYED_ACK, start + WARP_TIME);
        let mut counted = before;
        for _ in 0..WARP_STEPS {
            if self.records_sent != counted || self.deadline > end {
                break;
            }
            let early = self.deadline <= acknowledged;
            self.clock.warp_to(now, self.deadline);
            self.handle_timeout(now);
            if early && self.records_sent == counted + 1 {
                // If it was no acknowledgement, one retransmission too many is what it costs.
                counted += 1;
            }
        }
        self.records_sent != before
    }

    /// Whether DTLS is connected and the transport not over.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.stage == Stage::Connected
    }

    /// Whether the transport is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// Changes the pace that holds once connected.
    pub fn set_pace(&mut self, now: Instant, pace: Pace) {
        self.config.pace = pace;
        self.apply_pace(now);
    }

    /// Slows the clock where the round trip is long: SCTP's timer never waits for less than a
    /// second of its time, and that has to be two round trips. A queue grows faster than SCTP
    /// learns of it, and who sends twice because of it starts over with a window of one packet.
    pub fn follow_rtt(&mut self, now: Instant, rtt: Duration) {
        let most = MIN_RTO.as_secs_f64() / 2.0 / rtt.as_secs_f64().max(1e-3);
        let pace = most.max(1.0).min(self.config.pace.data);
        if self.stage == Stage::Connected && (pace / self.clock.pace() - 1.0).abs() > PACE_STEP {
            self.clock.set_pace(now, pace);
        }
    }

    /// Which candidates of the other side are used.
    #[must_use]
    pub fn candidate_policy(&self) -> CandidatePolicy {
        self.config.candidates
    }

    /// The credentials of this side.
    #[must_use]
    pub fn credentials(&self) -> &IceCreds {
        &self.credentials
    }

    /// The channel's DCEP settings, once known.
    #[must_use]
    pub fn channel_config(&mut self, id: ChannelId) -> Option<ChannelConfig> {
        self.rtc.channel(id).and_then(|c| c.config().cloned())
    }

    /// Says good-bye to the other side (SCTP and DTLS close).
    pub fn close(&mut self, now: Instant) {
        let _ = self.rtc.close();
        self.drain(now);
        self.finish(None);
    }

    fn step_time(&mut self, now: Instant) {
        // An error is a timer of DTLS that gave up; the drain sees that the Rtc is dead.
        let _ = self.rtc.handle_input(Input::Timeout(self.clock.at(now)));
    }

    fn drain(&mut self, now: Instant) {
        let mut errors = 0;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    self.deadline = deadline;
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.records_sent += u64::from(is_record(&transmit.contents));
                    self.transmits.push_back(transmit);
                }
                Ok(Output::Event(event)) => self.on_event(now, event),
                Err(error) => {
                    errors += 1;
                    if !self.rtc.is_alive() || errors >= MAX_ERRORS {
                        return self.finish(Some(error.to_string()));
                    }
                }
            }
        }
        if !self.rtc.is_alive() {
            self.finish(None);
        }
    }

    fn on_event(&mut self, now: Instant, event: str0m::Event) {
        use str0m::Event;
        let proof = matches!(
            event,
            Event::Connected
                | Event::ChannelOpen(..)
                | Event::ChannelData(_)
                | Event::ChannelClose(_)
        );
        self.proofs += u64::from(proof);
        let event = match event {
            Event::IceConnectionStateChange(state) => {
                if state.is_connected() && self.stage == Stage::Ice {
                    self.enter(now, Stage::Dtls);
                }
                SessionEvent::Ice(state)
            }
            Event::Connected => {
                self.enter(now, Stage::Connected);
                SessionEvent::Connected
            }
            Event::ChannelOpen(id, _) if self.silent == Some(id) => return,
            Event::ChannelOpen(id, label) => {
                let protocol = self.channel_config(id).map_or_else(String::new, |c| c.protocol);
                SessionEvent::ChannelOpen(id, label, protocol)
            }
            Event::ChannelData(m) => SessionEvent::Message(m.id, m.binary, m.data),
            Event::ChannelClose(id) => SessionEvent::ChannelClose(id),
            Event::Closed => return self.finish(None),
            _ => return, // media has a transport of its own
        };
        self.events.push_back(event);
    }

    fn enter(&mut self, now: Instant, stage: Stage) {
        if self.stage != Stage::Closed {
            self.stage = stage;
            self.apply_pace(now);
        }
    }

    fn apply_pace(&mut self, now: Instant) {
        let pace = match self.stage {
            Stage::Ice => self.config.pace.ice,
            Stage::Dtls => self.config.pace.dtls,
            Stage::Connected | Stage::Closed => self.config.pace.data,
        };
        self.clock.set_pace(now, pace);
    }

    fn finish(&mut self, reason: Option<String>) {
        if self.stage != Stage::Closed {
            self.stage = Stage::Closed;
            self.events.push_back(SessionEvent::Closed(reason));
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// Whether a datagram is a DTLS record (RFC 7983).
#[must_use]
pub fn is_record(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// A fresh DTLS certificate, to be shared by the transports of one identity. `None` leaves it to
/// each transport to make its own.
#[must_use]
pub fn certificate() -> Option<DtlsCert> {
    crate::util::crypto::provider().dtls_provider.generate_certificate()
}

fn invalid(error: impl std::fmt::Display) -> SdpError {
    SdpError::Invalid(error.to_string())
}

/// What a message may weigh unless configured: libwebrtc's default (RFC 8841 `max-message-size`).
pub const DEFAULT_MAX_MESSAGE_SIZE: u32 = 256 * 1024;

/// The highest stream there is (RFC 8832): no side comes to it by counting.
const SILENT: u16 = 65_534;

/// Most that the outbox ever admits beside one message (`design.md` 4).
const SCTP_BUFFER: usize = 2 * 1024 * 1024;

// ICE's checks in real time; str0m gets them multiplied by the pace.
/// Short, for the first check through a NAT is lost where the other side's is not open yet.
const STUN_INITIAL_RTO: Duration = Duration::from_millis(100);
/// Also how often a working pair is checked by str0m. The path layer's own probes know sooner,
/// so this is only a keep-alive, and idle clients cost little.
const STUN_MAX_RTO: Duration = Duration::from_secs(15);
const STUN_RETRANSMITS: usize = 9;

/// What SCTP waits for an acknowledgement at least, in its own time (sctp-proto, `RTO_MIN`).
const MIN_RTO: Duration = Duration::from_secs(1);

/// Smaller changes of the pace are not worth it.
const PACE_STEP: f64 = 0.2;

/// A warp ends after an SCTP RTO at its maximum of 60 s, and some.
const WARP_TIME: Duration = Duration::from_secs(70);
const WARP_STEPS: usize = 200;

/// Longest that SCTP delays an acknowledgement, in its own time (sctp-proto, `ACK_INTERVAL`).
const DELAYED_ACK: Duration = Duration::from_millis(200);

/// Errors in one drain after which a session counts as dead.
const MAX_ERRORS: usize = 16;

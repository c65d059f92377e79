//! One transport: a [`Session`] over a [`PathSet`].
//!
//! Datagrams go in by [`Transport::handle_packet`] and come out by [`Transport::poll_transmit`];
//! in between STUN is answered, records are routed over the best path, and the transport's clock
//! is warped when a path has died under messages in flight.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::IceCreds;
use str0m::channel::ChannelId;

use crate::path::stun::Generation;
use crate::path::{
    Handled, LocalAddress, Packet, PathConfig, PathEvent, PathSet, StunVerdict, SwitchCause,
    Transmit,
};
use crate::session::SdpError;
use crate::session::sdp::read_candidate;
use crate::session::{Negotiated, Session, SessionConfig, SessionEvent, is_record};
use crate::util::spare::{add, spare};

/// What a transport tells its link.
#[derive(Debug)]
pub enum TransportEvent {
    /// From ICE, DTLS or SCTP.
    Session(SessionEvent),
    /// From the paths.
    Path(PathEvent),
}

/// ICE, DTLS and SCTP over all paths between two ends.
#[derive(Debug)]
pub struct Transport {
    session: Session,
    paths: PathSet,
    outgoing: VecDeque<Transmit>,
    events: VecDeque<TransportEvent>,
    /// Where str0m sent its last record.
    proposed: Option<(SocketAddr, SocketAddr)>,
    warp: Option<Warp>,
    /// Since when nothing has been acknowledged of what SCTP holds.
    stalled_since: Option<Instant>,
    warps: u64,
    refused: u64,
    receiving: bool,
    restart_answer: Option<(IceCreds, String)>,
    /// STUN messages that came before the other side's credentials.
    early: u32,
    call: String,
    locals: Vec<LocalAddress>,
    /// Candidates of the other side that came after its description: since when they are counted,
    /// and how many there were.
    trickled: (Instant, usize),
}

/// Retransmissions to force until acknowledgements move again.
#[derive(Debug, Clone, Copy)]
struct Warp {
    next: Instant,
    tries: u32,
    /// Bytes in SCTP when the last one was forced.
    buffered: usize,
}

impl Transport {
    /// A transport without candidates. `controlling` is true on the side that offers.
    #[must_use]
    pub fn new(
        now: Instant,
        session: SessionConfig,
        paths: PathConfig,
        controlling: bool,
        tie_breaker: u64,
    ) -> Self {
        Self {
            paths: PathSet::new(paths, session.credentials.clone(), controlling, tie_breaker),
            session: Session::new(now, session),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            proposed: None,
            warp: None,
            stalled_since: None,
            warps: 0,
            refused: 0,
            receiving: true,
            restart_answer: None,
            early: 0,
            call: String::new(),
            locals: Vec::new(),
            trickled: (now, 0),
        }
    }

    /// Says which call between two peers this transport belongs to.
    #[must_use]
    pub fn of_call(mut self, call: impl Into<String>) -> Self {
        self.call = call.into();
        self
    }

    /// The call that it belongs to; empty where there is none.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.call
    }

    /// Adds an address under which the other side may find this one. Returns the line that tells
    /// it, where the negotiation has begun without it.
    pub fn add_local(&mut self, now: Instant, local: LocalAddress) -> Option<String> {
        if self.locals.contains(&local) {
            return None;
        }
        add(&mut self.locals, local);
        let line = self.session.add_local_candidate(now, local.candidate()?);
        if local.is_path_end() {
            self.paths.add_local(local.address, local.via);
        }
        self.collect(now);
        line
    }

    /// Takes such an address back: the interface, mapping or relay behind it is gone.
    pub fn remove_local(&mut self, now: Instant, local: LocalAddress) {
        self.locals.retain(|l| *l != local);
        if let Some(candidate) = local.candidate() {
            self.session.remove_local_candidate(now, &candidate);
        }
        if local.is_path_end() {
            self.paths.remove_local(now, local.address);
        }
        self.collect(now);
    }

    /// The addresses under which the other side may find this one.
    #[must_use]
    pub fn locals(&self) -> &[LocalAddress] {
        &self.locals
    }

    /// Adds candidates of the other side (`candidate:...` lines). What the policy leaves out, or
    /// exceeds the number that it allows in a minute, is ignored.
    pub fn add_candidates(&mut self, now: Instant, lines: &[String]) {
        let policy = self.session.candidate_policy();
        let (since, mut count) = self.trickled;
        if now.saturating_duration_since(since) >= TRICKLE_TIME {
            count = 0;
            self.trickled.0 = now;
        }
        for line in lines.iter().take(MAX_LINES) {
            let read = read_candidate(line, policy);
            // All are told once more after an outage; only new ones are counted.
            let news = read.filter(|(_, address, _)| !self.paths.has_remote(*address));
            if let Some((candidate, address, via)) = news.filter(|_| count < policy.max) {
                count += 1;
                // Once connected, ICE has done its work, and would keep them for good.
                if !self.session.is_connected() {
                    self.session.add_remote_candidate(now, candidate);
                }
                self.paths.add_remote(address, via);
            }
        }
        self.trickled.1 = count;
        self.collect(now);
    }

    /// Takes an offer and returns the answer. The same restart offer again gets the same answer:
    /// the first one may have been lost.
    ///
    /// # Errors
    ///
    /// If the offer is not usable.
    pub fn answer(&mut self, now: Instant, offer: &str, new: IceCreds) -> Result<String, SdpError> {
        let policy = self.session.candidate_policy();
        let remote = crate::session::sdp::read(offer, policy)?.credentials;
        if let Some((seen, answer)) = &self.restart_answer
            && *seen == remote
        {
            return Ok(answer.clone());
        }
        let negotiated = self.session.answer(now, offer, new)?;
        self.negotiated(now, &negotiated, false);
        self.restart_answer = Some((remote, negotiated.answer.clone()));
        Ok(negotiated.answer)
    }

    /// Takes the answer to this side's offer.
    ///
    /// # Errors
    ///
    /// If it is not usable, or no offer is open.
    pub fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        let negotiated = self.session.accept_answer(now, answer)?;
        // ICE answers checks that came before the answer one by one, each with its timer's pause
        // of 10 ms; there is nothing to wait for.
        for _ in 0..std::mem::take(&mut self.early).min(MAX_EARLY) {
            self.session.handle_timeout(now);
        }
        self.negotiated(now, &negotiated, true);
        Ok(())
    }

    /// Offers an ICE restart with new credentials and the candidates of now.
    ///
    /// # Errors
    ///
    /// Before the first negotiation.
    pub fn restart_offer(&mut self, now: Instant, new: IceCreds) -> Result<String, SdpError> {
        let offer = self.session.restart_offer(now, new);
        self.collect(now);
        offer
    }

    /// Takes a packet.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        packet: &Packet<'_>,
    ) -> Handled {
        let mut moved = true;
        let taken = match packet {
            Packet::Stun(message, bytes) => {
                match self.paths.handle_stun(now, local, remote, message, bytes.len()) {
                    StunVerdict::Consumed => {
                        moved = false;
                        true
                    }
                    StunVerdict::ForSession => {
                        self.early += u32::from(!self.paths.is_negotiated());
                        self.session.handle_datagram(now, local, remote, bytes)
                    }
                }
            }
            Packet::Record(bytes) if self.paths.accepts_record(local, remote) => {
                self.paths.record_received(local, remote, bytes.len());
                // A duplicate may lie beside its record: after a gap both come at once.
                for number in record_numbers(bytes) {
                    self.paths.record_numbered(now, number);
                }
                // Unread messages fill the inbox: the other side's SCTP will send this again.
                !self.receiving || self.session.handle_datagram(now, local, remote, bytes)
            }
            _ => {
                moved = false;
                false
            }
        };
        self.refused += u64::from(!taken);
        self.collect(now);
        Handled { taken, moved: moved || !self.events.is_empty() }
    }

    /// Counts a datagram that nobody can read.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Lets time pass; false if that was of interest to the paths only, which have nothing to say
    /// about it.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.paths.handle_timeout(now);
        let due = |deadline: Option<Instant>| deadline.is_some_and(|t| t <= now);
        let mut moved = due(self.warp_deadline());
        if due(self.session.poll_timeout()) {
            moved = true;
            self.session.handle_timeout(now);
        }
        self.collect(now);
        moved || !self.events.is_empty()
    }

    /// Forces the retransmissions that are due, given the bytes that SCTP holds and whether any
    /// have been acknowledged since the last call.
    pub fn drive_warp(&mut self, now: Instant, buffered: usize, progress: bool) {
        self.paths.set_outstanding(buffered > 0);
        if progress {
            self.paths.note_delivery(now);
        }
        if progress || buffered == 0 || self.stalled_since.is_none() {
            self.stalled_since = (buffered > 0).then_some(now);
        }
        if self.stall_deadline().is_some_and(|deadline| deadline <= now) {
            // SCTP has backed off, up to a minute of its time, on a path that works.
            self.stalled_since = Some(now);
            self.warp = Some(Warp { next: now, tries: MAX_WARPS - 1, buffered: usize::MAX });
        }
        let Some(warp) = &mut self.warp else { return };
        let moved = buffered < warp.buffered && warp.tries > 0;
        if buffered == 0 || moved || warp.tries >= MAX_WARPS {
            self.warp = None;
            return;
        }
        if warp.next > now {
            return;
        }
        let rtt = self.paths.selected().and_then(|p| p.rtt()).unwrap_or_default();
        warp.next = now + (2 * rtt).max(MIN_WARP_INTERVAL);
        warp.tries += 1;
        warp.buffered = buffered;
        self.warps += 1;
        let sent = self.session.warp(now);
        tracing::debug!(buffered, sent, "clock warped");
        self.collect(now);
    }

    /// When a living path without acknowledgements means that SCTP waits too long.
    fn stall_deadline(&self) -> Option<Instant> {
        let idle = self.warp.is_none() && self.paths.dead_since().is_none();
        let since = self.stalled_since.filter(|_| idle && self.session.is_connected())?;
        let rtt = self.paths.selected()?.rtt()?;
        Some(since + (4 * rtt).max(STALL))
    }

    fn warp_deadline(&self) -> Option<Instant> {
        self.warp.map(|w| w.next).or_else(|| self.stall_deadline())
    }

    /// When [`Transport::handle_timeout`] or [`Transport::drive_warp`] is due.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        [self.session.poll_timeout(), self.paths.poll_timeout(now), self.warp_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends a message. False if SCTP did not take it.
    pub fn write(&mut self, now: Instant, id: ChannelId, binary: bool, data: &[u8]) -> bool {
        let written = self.session.write(now, id, binary, data);
        self.collect(now);
        written
    }

    /// Notes that messages are sent, its own or such as a hub relays: the selected path must prove
    /// itself. Acknowledgements are none, or each message would look like a flow of two.
    pub fn note_use(&mut self, now: Instant) {
        self.paths.message_sent(now);
        self.collect(now);
    }

    /// Notes that a message came in.
    pub fn message_received(&mut self, now: Instant) {
        self.paths.message_received(now);
    }

    /// Takes note of a datagram that is not the transport's own, but comes by one of its paths.
    /// False if none that STUN has validated leads there.
    pub fn accept_foreign(&mut self, local: SocketAddr, remote: SocketAddr, bytes: usize) -> bool {
        let accepted = self.paths.accepts_record(local, remote);
        if accepted {
            self.paths.record_received(local, remote, bytes);
        }
        self.refused += u64::from(!accepted);
        accepted
    }

    /// Stops or resumes taking records; while stopped, the other side keeps what it sends.
    pub fn set_receiving(&mut self, receiving: bool) {
        self.receiving = receiving;
    }

    /// Gives back memory that is of no use while nothing happens.
    pub fn rest(&mut self) {
        spare(&mut self.outgoing);
        spare(&mut self.events);
        self.session.rest();
        self.paths.rest();
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outgoing.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    /// Says good-bye and ends.
    pub fn close(&mut self, now: Instant) {
        self.session.close(now);
        self.collect(now);
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The paths.
    #[must_use]
    pub fn paths(&self) -> &PathSet {
        &self.paths
    }

    /// The operating system refused to send by this way.
    pub fn send_failed(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.paths.send_failed(local, remote);
    }

    /// Tries all paths anew that do not live.
    pub fn look_again(&mut self, now: Instant) {
        self.paths.look_again(now);
        self.collect(now);
    }

    /// Whether DTLS is up and the transport not over.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    /// Datagrams refused, and retransmissions forced.
    #[must_use]
    pub fn counters(&self) -> (u64, u64) {
        (self.refused, self.warps)
    }

    fn negotiated(&mut self, now: Instant, negotiated: &Negotiated, confirmed: bool) {
        let (local, remote) = (negotiated.local.clone(), negotiated.remote.clone());
        self.paths.add_generation(Generation { local, remote }, confirmed);
        for (address, via) in &negotiated.addresses {
            self.paths.add_remote(*address, *via);
        }
        self.trickled = (now, 0);
        self.collect(now);
    }

    /// Moves what session and paths have to say to where the link finds it.
    pub(crate) fn collect(&mut self, now: Instant) {
        while let Some(transmit) = self.session.poll_transmit() {
            let proposed = (transmit.source, transmit.destination);
            let datagram: Vec<u8> = transmit.contents.into();
            if !is_record(&datagram) {
                let (local, remote) = proposed;
                self.paths.check_sent(local, remote, &datagram);
                self.outgoing.push_back(Transmit { local, remote, datagram });
                continue;
            }
            self.proposed = Some(proposed);
            let route = self.paths.route(now, proposed, &datagram);
            if let Some((local, remote)) = route.duplicate {
                let datagram = datagram.clone();
                self.outgoing.push_back(Transmit { local, remote, datagram });
            }
            let (local, remote) = route.path;
            self.outgoing.push_back(Transmit { local, remote, datagram });
        }
        while let Some(event) = self.session.poll_event() {
            if let (SessionEvent::Connected, Some((local, remote))) = (&event, self.proposed) {
                self.paths.connected(now, local, remote);
            }
            self.events.push_back(TransportEvent::Session(event));
        }
        while let Some(event) = self.paths.poll_event() {
            if wants_warp(&event) {
                self.warp = Some(Warp { next: now, tries: 0, buffered: usize::MAX });
            }
            self.events.push_back(TransportEvent::Path(event));
        }
        self.outgoing.extend(std::iter::from_fn(|| self.paths.poll_transmit()));
    }
}

/// Epoch and number of each DTLS 1.2 record in a datagram (RFC 6347 section 4.1).
fn record_numbers(mut datagram: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let (header, rest) = datagram.split_first_chunk::<13>()?;
        let [_, _, _, number @ .., high, low] = *header;
        let length = u16::from_be_bytes([high, low]);
        datagram = rest.get(usize::from(length)..).unwrap_or_default();
        Some(u64::from_be_bytes(number))
    })
}

/// After these, what was in flight is lost, and waiting for its timer helps nobody. A switch away
/// from a path that works is none of them: each forced retransmission costs the congestion window.
fn wants_warp(event: &PathEvent) -> bool {
    use SwitchCause::{CameBack, Died};
    matches!(event, PathEvent::Revived { .. } | PathEvent::Switched { cause: Died | CameBack, .. })
}

/// Lines that are looked at in one go.
const MAX_LINES: usize = 64;

/// Candidates are limited for each of these times.
const TRICKLE_TIME: Duration = Duration::from_secs(60);

/// Early checks answered at once.
const MAX_EARLY: u32 = 16;

/// Longest that SCTP may wait on a path that works, unless four round trips are longer: its own
/// limit is 60 s, or 12 s at pace 5.
const STALL: Duration = Duration::from_millis(500);

/// Between forced retransmissions at least; twice the round-trip time if that is longer.
const MIN_WARP_INTERVAL: Duration = Duration::from_millis(100);

/// A single retransmission may be lost too; but a peer that is gone acknowledges nothing at all.
const MAX_WARPS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_came_together_are_told_apart() {
        let record = |number: u8, length: u8| {
            let header = [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, number, 0, length];
            [&header[..], &vec![0xff; usize::from(length)]].concat()
        };
        let numbers = |datagram: &[u8]| record_numbers(datagram).collect::<Vec<_>>();
        let epoch = 1 << 48;
        let joined = [record(7, 50), record(8, 50), record(7, 50), record(9, 0)].concat();
        assert_eq!(numbers(&joined), [7, 8, 7, 9].map(|number| epoch + number));
        assert_eq!(numbers(&joined[..100]), [7, 8].map(|number| epoch + number));
        assert_eq!((numbers(&joined[..12]), numbers(&[])), (vec![], vec![]));
    }
}

//! The hub as a path between two peers: ChannelData frames (RFC 8656 section 12.4) that come in
//! under one peer's channel number go out under the other's.
//!
//! Sans-IO and small: a table from (owner, number) to (other owner, its number), filled when a
//! call is made and read once per datagram. What is in the frames is encrypted between the peers.

pub(super) mod remote_end;

use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(in crate::server) use crate::server::relay::remote_end::{EndedCall, RemoteEnd};

use crate::server::registry::OwnerId;
use crate::util::token_bucket::TokenBucket;

/// Limits of the relay.
#[derive(Debug, Clone)]
pub(in crate::server) struct RelayLimits {
    /// Whether channels are handed out at all.
    pub(in crate::server) enabled: bool,
    /// Bytes per second of each direction of a call; 0 for no limit.
    pub(in crate::server) rate: u64,
    /// Calls of one owner.
    pub(in crate::server) calls: usize,
}

/// What all calls together came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(in crate::server) struct RelayTotals {
    /// Datagrams passed on.
    pub(in crate::server) datagrams: u64,
    /// Bytes of them, without the frames' headers.
    pub(in crate::server) bytes: u64,
    /// Datagrams that were too many for the rate.
    pub(in crate::server) dropped_rate: u64,
    /// Datagrams for a peer that no path leads to.
    pub(in crate::server) dropped_path: u64,
    /// Frames of no channel, or none that can be read.
    pub(in crate::server) refused: u64,
}

/// Who gets a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Hop {
    pub(in crate::server) to: OwnerId,
    /// The channel's number on that side.
    pub(in crate::server) number: u16,
    /// Whether this is part of a flow, so that the way there must prove itself.
    pub(in crate::server) flows: bool,
}

/// Channels of a call, on the side that asked for them and on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct ChannelNumbers {
    pub(in crate::server) ours: u16,
    pub(in crate::server) theirs: u16,
}

/// The table.
#[derive(Debug)]
pub(in crate::server) struct Relay {
    limits: RelayLimits,
    channels: HashMap<(OwnerId, u16), (PairId, usize)>,
    pairs: HashMap<PairId, Pair>,
    calls: HashMap<(OwnerId, String), PairId>,
    owners: HashMap<OwnerId, Numbering>,
    next: u64,
    totals: RelayTotals,
    /// Calls that are over, and of which the other end's shard does not know yet.
    over: Vec<EndedCall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct PairId(u64);

#[derive(Debug)]
struct Pair {
    call: String,
    ends: [End; 2],
    used: Instant,
    /// What the second end is, if it is not here. Its number is 0 until it is known.
    far: Option<RemoteEnd>,
}

/// One side of a call, and what flows to it.
#[derive(Debug)]
struct End {
    owner: OwnerId,
    number: u16,
    bucket: Option<TokenBucket>,
    flow: Flow,
    counted: RelayTotals,
}

/// Tells a flow of datagrams from single ones, such as the probes of a path on standby.
#[derive(Debug, Clone, Copy)]
struct Flow {
    last: Instant,
    run: u32,
    noted: Option<Instant>,
}

/// Numbers of one owner are handed out in turn: what is late for a call that is over must
/// not reach the next one.
#[derive(Debug)]
struct Numbering {
    next: u16,
    pairs: Vec<PairId>,
}

impl Relay {
    pub(in crate::server) fn new(limits: RelayLimits) -> Self {
        // One number fewer than there are, so that there is always a free one.
        let calls = limits.calls.min(usize::from(LAST - FIRST));
        Self {
            limits: RelayLimits { calls, ..limits },
            channels: HashMap::new(),
            pairs: HashMap::new(),
            calls: HashMap::new(),
            owners: HashMap::new(),
            next: 0,
            totals: RelayTotals::default(),
            over: Vec::new(),
        }
    }

    /// Hands out the channels of a call between two owners; the same ones again if it has some.
    /// `None` if the relay is off, one of them has too many, or the call is somebody else's.
    pub(in crate::server) fn allocate(
        &mut self,
        now: Instant,
        ours: OwnerId,
        theirs: OwnerId,
        call: &str,
    ) -> Option<ChannelNumbers> {
        if !self.limits.enabled || ours == theirs {
            return None;
        }
        let key = |owner| (owner, call.to_owned());
        let known = (self.calls.get(&key(ours)), self.calls.get(&key(theirs)));
        match known {
            (Some(one), Some(two)) if one == two => {
                let ends = &self.pairs.get(one)?.ends;
                let at = usize::from(ends[0].owner != ours);
                return Some(ChannelNumbers { ours: ends[at].number, theirs: ends[1 - at].number });
            }
            (None, None) => {}
            _ => return None,
        }
        if !self.make_room(now, ours) || !self.make_room(now, theirs) {
            return None;
        }
        let id = PairId(self.next);
        self.next += 1;
        let numbers = [self.number(ours, id), self.number(theirs, id)];
        let rate = self.limits.rate;
        let ends = [End::new(now, ours, numbers[0], rate), End::new(now, theirs, numbers[1], rate)];
        for (at, end) in ends.iter().enumerate() {
            self.channels.insert((end.owner, end.number), (id, at));
            self.calls.insert(key(end.owner), id);
        }
        self.pairs.insert(id, Pair { call: call.to_owned(), ends, used: now, far: None });
        Some(ChannelNumbers { ours: numbers[0], theirs: numbers[1] })
    }

    /// Where a frame of this owner goes, with so many bytes in it. `None` if it goes nowhere;
    /// counted.
    pub(in crate::server) fn forward(
        &mut self,
        now: Instant,
        from: OwnerId,
        number: u16,
        bytes: usize,
    ) -> Option<Hop> {
        let known = self.channels.get(&(from, number));
        let known = known.and_then(|(id, at)| Some((self.pairs.get_mut(id)?, 1 - at)));
        let Some((pair, to)) = known else {
            self.totals.refused += 1;
            return None;
        };
        pair.used = now;
        let end = &mut pair.ends[to];
        if end.number == 0 {
            self.totals.dropped_path += 1;
            return None;
        }
        if let Some(bucket) = &mut end.bucket
            && bucket.take(now, bytes as f64).is_err()
        {
            end.counted.dropped_rate += 1;
            self.totals.dropped_rate += 1;
            return None;
        }
        Some(Hop { to: end.owner, number: end.number, flows: end.flow.note(now) })
    }

    /// [`Relay::forward`] of a frame that is still to be parsed, and what is in it.
    #[cfg(test)]
    fn forward_frame<'f>(
        &mut self,
        now: Instant,
        from: OwnerId,
        frame: &'f [u8],
    ) -> Option<(Hop, &'f [u8])> {
        let Some((number, data)) = crate::path::frame::read(frame) else {
            self.refuse();
            return None;
        };
        Some((self.forward(now, from, number, data.len())?, data))
    }

    /// Notes what became of a datagram of [`Relay::forward`].
    pub(in crate::server) fn forwarded(&mut self, hop: Hop, bytes: usize, sent: bool) {
        let end = self
            .channels
            .get(&(hop.to, hop.number))
            .and_then(|(id, at)| self.pairs.get_mut(id).map(|pair| &mut pair.ends[*at].counted));
        for counted in end.into_iter().chain([&mut self.totals]) {
            if sent {
                counted.datagrams += 1;
                counted.bytes += bytes as u64;
            } else {
                counted.dropped_path += 1;
            }
        }
    }

    /// Counts a frame that came from where none may come from.
    pub(in crate::server) fn refuse(&mut self) {
        self.totals.refused += 1;
    }

    /// A call of this owner is over, for both sides.
    pub(in crate::server) fn end(&mut self, owner: OwnerId, call: &str) {
        if let Some(id) = self.calls.get(&(owner, call.to_owned())).copied() {
            self.free(id);
        }
    }

    /// Ends all calls of an owner.
    pub(in crate::server) fn forget(&mut self, owner: OwnerId) {
        let pairs = self.owners.get(&owner).map(|o| o.pairs.clone()).unwrap_or_default();
        pairs.into_iter().for_each(|id| self.free(id));
        self.owners.remove(&owner);
    }

    /// Calls that have channels. One with another shard's peer is counted by one of the two.
    pub(in crate::server) fn len(&self) -> usize {
        let counts = |pair: &&Pair| {
            let far = pair.far.as_ref();
            far.is_none_or(|far| pair.ends[0].owner.shard() < far.shard)
        };
        self.pairs.values().filter(counts).count()
    }

    pub(in crate::server) fn totals(&self) -> RelayTotals {
        self.totals
    }

    /// Room for one more call of this owner: one that nobody has used for a while is given up,
    /// whose sides can ask for a channel again.
    fn make_room(&mut self, now: Instant, owner: OwnerId) -> bool {
        let Some(numbering) = self.owners.get(&owner) else { return self.limits.calls > 0 };
        if numbering.pairs.len() < self.limits.calls {
            return true;
        }
        let used = |id: &PairId| self.pairs.get(id).map(|pair| (pair.used, *id));
        let oldest = numbering.pairs.iter().filter_map(used).min();
        let unused = |since| now.saturating_duration_since(since) > UNUSED;
        let Some((_, id)) = oldest.filter(|(since, _)| unused(*since)) else { return false };
        self.free(id);
        true
    }

    /// A number that none of the owner's calls has. There are more numbers than calls.
    fn number(&mut self, owner: OwnerId, pair: PairId) -> u16 {
        let new = || Numbering { next: FIRST, pairs: Vec::new() };
        let numbering = self.owners.entry(owner).or_insert_with(new);
        numbering.pairs.push(pair);
        loop {
            let number = numbering.next;
            numbering.next = if number == LAST { FIRST } else { number + 1 };
            if !self.channels.contains_key(&(owner, number)) {
                return number;
            }
        }
    }

    fn free(&mut self, id: PairId) {
        let Some(pair) = self.pairs.remove(&id) else { return };
        let here = if pair.far.is_some() { 1 } else { 2 };
        for end in pair.ends.into_iter().take(here) {
            let carried = end.counted;
            tracing::debug!(call = pair.call, to = %end.owner, datagrams = carried.datagrams,
                bytes = carried.bytes, dropped_rate = carried.dropped_rate,
                dropped_path = carried.dropped_path, "relay channel over");
            self.channels.remove(&(end.owner, end.number));
            self.calls.remove(&(end.owner, pair.call.clone()));
            if let Some(numbering) = self.owners.get_mut(&end.owner) {
                numbering.pairs.retain(|pair| *pair != id);
            }
        }
        self.over.extend(pair.far.map(|far| EndedCall { far, call: pair.call }));
    }
}

impl End {
    fn new(now: Instant, owner: OwnerId, number: u16, rate: u64) -> Self {
        let bucket = (rate > 0).then(|| {
            let rate = rate as f64;
            // Room for one datagram of any size, or a low rate would let none through.
            TokenBucket::new(now, (rate * BURST.as_secs_f64()).max(MIN_BURST), rate)
        });
        let flow = Flow { last: now, run: 0, noted: None };
        Self { owner, number, bucket, flow, counted: RelayTotals::default() }
    }
}

impl Flow {
    /// Notes a datagram; true if the path that it goes on is to be told that it is in use.
    fn note(&mut self, now: Instant) -> bool {
        let near = now.saturating_duration_since(self.last) < TOGETHER;
        self.run = if near { self.run.saturating_add(1) } else { 0 };
        self.last = now;
        let fresh = |t: Instant| now.saturating_duration_since(t) < NOTE_INTERVAL;
        let due = self.run >= MIN_RUN && !self.noted.is_some_and(fresh);
        if due {
            self.noted = Some(now);
        }
        due
    }
}

/// RFC 8656 section 12.
const FIRST: u16 = 0x4000;
const LAST: u16 = 0x4fff;

/// How long a pair may send at more than its rate.
const BURST: Duration = Duration::from_millis(250);
const MIN_BURST: f64 = 65_536.0;

/// A call in use has probes at least every 15 s.
const UNUSED: Duration = Duration::from_secs(60);

/// Datagrams of a flow are closer together than this; and a flow has some in a row, for the
/// probes of both sides, one a second each, may happen to be.
const TOGETHER: Duration = Duration::from_millis(300);
const MIN_RUN: u32 = 4;

/// A path stays in use for longer than this after it was told so.
const NOTE_INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;

//! Calls between peers of two shards: each shard has its own end of such a call in its table.

use std::time::Instant;

use super::{End, Pair, PairId, Relay};
use crate::server::registry::OwnerId;

/// The other end of a call, where that belongs to another shard: each has its own end of such a
/// call in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct RemoteEnd {
    pub(in crate::server) shard: usize,
    pub(in crate::server) name: String,
    /// The name of the end that is here.
    pub(in crate::server) of: String,
}

/// A call with another shard's peer that is over.
#[derive(Debug)]
pub(in crate::server) struct EndedCall {
    pub(in crate::server) far: RemoteEnd,
    pub(in crate::server) call: String,
}

impl Relay {
    /// Hands out the channel of a call with a peer of another shard, or the same one again. `None`
    /// as for [`Relay::allocate`].
    pub(in crate::server) fn allocate_half(
        &mut self,
        now: Instant,
        ours: OwnerId,
        far: &RemoteEnd,
        call: &str,
    ) -> Option<u16> {
        if !self.limits.enabled {
            return None;
        }
        let key = (ours, call.to_owned());
        if let Some(id) = self.calls.get(&key) {
            let pair = self.pairs.get(id)?;
            return (pair.far.as_ref() == Some(far)).then_some(pair.ends[0].number);
        }
        if !self.make_room(now, ours) {
            return None;
        }
        let id = PairId(self.next);
        self.next += 1;
        let (number, rate) = (self.number(ours, id), self.limits.rate);
        let ends = [End::new(now, ours, number, rate), End::new(now, ours, 0, rate)];
        self.channels.insert((ours, number), (id, 0));
        self.calls.insert(key, id);
        let far = Some(far.clone());
        self.pairs.insert(id, Pair { call: call.to_owned(), ends, used: now, far });
        Some(number)
    }

    /// Takes note of the other end of a call with another shard's peer; returns the number of
    /// this one.
    pub(in crate::server) fn meet(
        &mut self,
        ours: OwnerId,
        call: &str,
        theirs: OwnerId,
        number: u16,
    ) -> Option<u16> {
        let id = self.calls.get(&(ours, call.to_owned()))?;
        let pair = self.pairs.get_mut(id)?;
        pair.far.as_ref().filter(|far| far.shard == theirs.shard())?;
        (pair.ends[1].owner, pair.ends[1].number) = (theirs, number);
        Some(pair.ends[0].number)
    }

    /// Whether a datagram from another shard's peer can go out under this number.
    pub(in crate::server) fn arrived(&mut self, now: Instant, to: OwnerId, number: u16) -> bool {
        let pair = self.channels.get(&(to, number)).and_then(|(id, _)| self.pairs.get_mut(id));
        match pair.filter(|pair| pair.far.is_some()) {
            Some(pair) => pair.used = now,
            None => {
                self.totals.refused += 1;
                return false;
            }
        }
        true
    }

    /// The other shard hands out no channel: neither does this one, unless there was one before.
    pub(in crate::server) fn give_up(&mut self, owner: OwnerId, call: &str) {
        if let Some(id) = self.calls.get(&(owner, call.to_owned())).copied()
            && self.pairs.get(&id).is_some_and(|p| p.far.is_some() && p.ends[1].number == 0)
        {
            self.free(id);
            self.over.pop();
        }
    }

    /// The other shard says that a call with a peer of this name is over.
    pub(in crate::server) fn is_over(&mut self, owner: OwnerId, name: &str, call: &str) {
        if let Some(id) = self.calls.get(&(owner, call.to_owned())).copied()
            && let Some(pair) = self.pairs.get(&id)
            && pair.far.as_ref().is_some_and(|far| far.name == name)
        {
            self.free(id);
            self.over.pop();
        }
    }

    /// Calls that are over since this was last asked, and of which other shards are to be told.
    pub(in crate::server) fn take_over(&mut self) -> Vec<EndedCall> {
        std::mem::take(&mut self.over)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::RelayLimits;
    use super::*;
    use crate::path::frame;

    /// Of the first shard, and of the second.
    const A: OwnerId = OwnerId(1);
    const B: OwnerId = OwnerId((1 << 48) + 1);
    const C: OwnerId = OwnerId(2);

    fn far(shard: usize, name: &str, of: &str) -> RemoteEnd {
        RemoteEnd { shard, name: name.to_owned(), of: of.to_owned() }
    }

    fn relay(calls: usize) -> (Relay, Instant) {
        let limits = RelayLimits { enabled: true, rate: 0, calls };
        (Relay::new(limits), crate::util::clock::now())
    }

    fn frame(number: u16) -> Vec<u8> {
        let mut datagram = Vec::new();
        frame::write(&mut datagram, number, b"data");
        datagram
    }

    #[test]
    fn both_ends_meet() {
        let ((mut here, now), (mut there, _)) = (relay(64), relay(64));
        let (to_b, to_a) = (far(1, "b", "a"), far(0, "a", "b"));
        let ours = here.allocate_half(now, A, &to_b, "call").unwrap();
        assert_eq!(here.allocate_half(now, A, &to_b, "call"), Some(ours), "the same again");
        assert!(here.forward_frame(now, A, &frame(ours)).is_none(), "nobody there yet");
        let theirs = there.allocate_half(now, B, &to_a, "call").unwrap();
        assert_eq!(there.meet(B, "call", A, ours), Some(theirs));
        assert_eq!(here.meet(A, "call", B, theirs), Some(ours));
        let sent = frame(ours);
        let (hop, data) = here.forward_frame(now, A, &sent).unwrap();
        assert_eq!((hop.to, hop.number, data), (B, theirs, &b"data"[..]));
        assert!(there.arrived(now, B, theirs) && !there.arrived(now, B, theirs + 1));
        let sent = frame(theirs);
        assert_eq!(there.forward_frame(now, B, &sent).unwrap().0.to, A);
        // Counted by one of the two.
        assert_eq!(here.len() + there.len(), 1);
        // A call is between two, wherever they are.
        assert_eq!(here.allocate_half(now, A, &far(1, "c", "a"), "call"), None);
        assert_eq!(here.allocate(now, C, A, "call"), None);
        assert_eq!(here.meet(A, "call", OwnerId(2 << 48), 1), None);

        here.end(A, "call");
        let over = here.take_over();
        assert_eq!((over.len(), &over[0].far, &*over[0].call), (1, &to_b, "call"));
        there.is_over(B, "somebody else", "call");
        assert!(there.arrived(now, B, theirs));
        there.is_over(B, "a", "call");
        assert!(
            !there.arrived(now, B, theirs) && there.forward_frame(now, B, &frame(theirs)).is_none()
        );
        assert!(there.take_over().is_empty() && here.take_over().is_empty(), "no echo");
        assert!(here.channels.is_empty() && here.calls.is_empty() && there.calls.is_empty());
    }

    #[test]
    fn what_the_other_side_refuses_is_given_up() {
        let (mut relay, now) = relay(1);
        let ours = relay.allocate_half(now, A, &far(1, "b", "a"), "call").unwrap();
        relay.give_up(A, "other");
        relay.give_up(A, "call");
        assert!(relay.channels.is_empty() && relay.take_over().is_empty());
        let again = relay.allocate_half(now, A, &far(1, "b", "a"), "call").unwrap();
        assert_ne!(ours, again);
        relay.meet(A, "call", B, 0x4001);
        relay.give_up(A, "call");
        assert!(relay.forward_frame(now, A, &frame(again)).is_some(), "there was one before");
        // Room is made for others, and the other shard is told.
        assert_eq!(relay.allocate_half(now, A, &far(1, "c", "a"), "more"), None);
        let later = now + Duration::from_secs(61);
        assert!(relay.allocate_half(later, A, &far(1, "c", "a"), "more").is_some());
        assert_eq!(relay.take_over()[0].far.name, "b");
        relay.forget(A);
        assert_eq!((relay.take_over().len(), relay.len()), (1, 0));
    }
}

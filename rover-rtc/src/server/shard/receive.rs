//! What a shard does with the messages of others.

use std::time::Instant;

use crate::server::hub::Hub;
use crate::server::hub::status::{HubTotals, StatusRequester};
use crate::server::relay::EndedCall;
use crate::server::shard::message::{ForwardedSignal, ShardMessage};
use crate::server::signaling::ForwardedFrom;
use crate::server::signaling::queue::Recipient;
use crate::signal::hub_messages::FromHub;

impl Hub {
    /// Takes what another shard has to tell.
    pub(in crate::server) fn handle_shard_messages(
        &mut self,
        now: Instant,
        from: usize,
        messages: Vec<ShardMessage>,
    ) {
        for message in messages {
            self.on_shard_message(now, from, message);
        }
        self.relay(now);
    }

    fn on_shard_message(&mut self, now: Instant, from: usize, message: ShardMessage) {
        match message {
            ShardMessage::Interest { label, here } => self.on_interest(now, from, &label, here),
            ShardMessage::Passed { label, message } => self.on_passed(now, &label, message),
            ShardMessage::Undelivered(fanout) => self.give_back(fanout),
            ShardMessage::Signal(signal) => self.on_signal(now, *signal),
            ShardMessage::Text { to, text } => {
                match &text {
                    FromHub::Absent { name, call } => {
                        self.relay.give_up(to, call);
                        self.names.wait_for(to, name);
                    }
                    FromHub::Rejected { call, .. } => self.relay.give_up(to, call),
                    _ => {}
                }
                self.signal_queue.send(Recipient::Owner(to), text);
            }
            ShardMessage::Channel { to, other, call, number } => {
                let Some(number) = number else { return self.relay.give_up(to, &call) };
                if let Some(number) = self.relay.meet(to, &call, other, number) {
                    self.signal_queue.send(Recipient::Owner(to), FromHub::Channel { call, number });
                }
            }
            ShardMessage::EndedCall { name, other, call } => {
                if let Some(owner) = self.names.find(&name) {
                    self.relay.is_over(owner, &other, &call);
                }
            }
            ShardMessage::Evict(client) => self.evict(now, client),
            ShardMessage::Present { name } => {
                for waiting in self.names.take_waiting(&name) {
                    self.signal_queue
                        .send(Recipient::Owner(waiting), FromHub::Present { name: name.clone() });
                }
            }
            ShardMessage::Frames(frames) => {
                frames.into_iter().for_each(|frame| self.on_frame(now, frame));
            }
            ShardMessage::Status { totals, first, asker } => {
                self.collect_status(now, totals, first, asker);
            }
            #[cfg(test)]
            ShardMessage::Panic => panic!("a bug"),
        }
    }

    /// Adds this shard's numbers to those of others; the last one answers.
    pub(in crate::server) fn collect_status(
        &mut self,
        now: Instant,
        mut totals: Box<HubTotals>,
        first: usize,
        asker: StatusRequester,
    ) {
        totals.add(&self.totals(LONG_LIST));
        let next = (self.router.me + 1) % self.router.shared.count();
        if next == first {
            return asker.answer(self.status_of(now, *totals, LONG_LIST));
        }
        self.router.tell(next, ShardMessage::Status { totals, first, asker });
    }

    fn on_signal(&mut self, now: Instant, signal: ForwardedSignal) {
        let ForwardedSignal { from, writer, to, call, signal, begins, number } = signal;
        let foreign = Some(ForwardedFrom { name: writer, number });
        if let Err(reason) = self.hand_over(now, from, foreign, to, &call, signal, begins) {
            self.signal_queue.send(Recipient::Owner(from), FromHub::Rejected { call, reason });
        }
    }

    /// Tells other shards of calls that are over here.
    pub(in crate::server) fn tell_over(&mut self) {
        for over in self.relay.take_over() {
            let EndedCall { far, call } = over;
            let message = ShardMessage::EndedCall { name: far.name, other: far.of, call };
            self.router.tell(far.shard, message);
        }
    }
}

/// Names in the status that is asked for.
const LONG_LIST: usize = 10_000;

//! A link that is closed without a signal message: what is acknowledged before its transport says
//! good-bye.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rover_rtc::link::{ChannelConfig, ChannelId, FinalAck, Link, Mode, Outbox};
use rover_rtc::{Message, PathConfig, Settled};

use crate::net::Edge;
use crate::pair::{ANSWERER, MS, OFFERER, Pair, SECOND};

fn settled(outbox: &Outbox) -> Poll<bool> {
    let settled = outbox.poll_settled(&Context::from_waker(Waker::noop()));
    settled.map(|settled| settled == Settled::Acknowledged)
}

fn connected(seed: u64, edge: Edge) -> Pair {
    let mut pair = Pair::connected(seed, 1, &PathConfig::default(), &edge);
    pair.run_for(SECOND);
    pair
}

/// A channel of both ends that leaves acknowledging to the application.
fn open(pair: &mut Pair, mode: Mode) -> (ChannelId, Outbox) {
    let config = ChannelConfig { manual_ack: true, ..ChannelConfig::of_mode("manual", mode) };
    let [(from, outbox), (to, _)] =
        [OFFERER, ANSWERER].map(|end| pair.ends[end].link.open(pair.now, config.clone()));
    let ready =
        |p: &mut Pair| p.ends[OFFERER].link.is_open(from) && p.ends[ANSWERER].link.is_open(to);
    assert!(pair.run(10 * SECOND, ready));
    (to, outbox)
}

/// The end that receives waits as a driver does: until nothing is to be told that is known, and all
/// that was told has arrived.
fn hasten(pair: &mut Pair) {
    let now = pair.now;
    pair.ends[ANSWERER].link.hasten_acks(now);
    pair.run(5 * SECOND, |p| {
        let link: &mut Link = &mut p.ends[ANSWERER].link;
        !link.owes_acks() && link.is_flushed()
    });
}

fn close(pair: &mut Pair) {
    hasten(pair);
    let now = pair.now;
    pair.ends[ANSWERER].link.close(now);
    pair.run_for(SECOND);
}

fn received(pair: &mut Pair, count: usize) {
    assert!(pair.run(10 * SECOND, |p| p.ends[ANSWERER].messages.len() == count));
}

#[test]
fn what_arrived_is_acknowledged_in_any_weather() {
    for seed in 0..30 {
        let weather = Edge { delay: 15 * MS, jitter: 10 * MS, loss: 0.1, ..Edge::default() };
        let mut pair = connected(seed, weather);
        let (_, outbox) =
            pair.ends[OFFERER].link.channels().map(|c| (c.0, c.2.clone())).next().unwrap();
        (0..20).for_each(|number| pair.say(OFFERER, number));
        assert!(pair.run(10 * SECOND, |p| p.ends[ANSWERER].received.len() == 20));
        close(&mut pair);
        assert_eq!(settled(&outbox), Poll::Ready(true), "seed {seed}");
    }
}

#[test]
fn only_what_the_application_has_acknowledged_is() {
    let mut pair = connected(1, Edge::default());
    let (_, outbox) = open(&mut pair, Mode::Reliable);
    for _ in 0..5 {
        outbox.try_push(pair.now, Message::text("hello")).unwrap();
    }
    received(&mut pair, 5);
    pair.ends[ANSWERER].messages[..2].iter().for_each(|(_, _, message)| message.ack());
    hasten(&mut pair);
    assert_eq!(outbox.held().0, 3);
    // What it acknowledges while the link is being closed does not wait for company, either.
    pair.ends[ANSWERER].messages[2].2.ack();
    pair.run_for(3 * MS);
    assert_eq!(outbox.held().0, 2);
    close(&mut pair);
    pair.ends[OFFERER].link.close(pair.now);
    assert_eq!((settled(&outbox), outbox.held().0), (Poll::Ready(false), 2));
}

#[test]
fn what_is_durable_is_acknowledged_when_the_journal_has_it() {
    let mut pair = connected(1, Edge::default());
    let link = &mut pair.ends[ANSWERER].link;
    link.set_journal(Vec::new());
    let (_, outbox) = open(&mut pair, Mode::Durable);
    outbox.try_push(pair.now, Message::text("hello")).unwrap();
    received(&mut pair, 1);
    pair.run_for(SECOND);
    pair.ends[ANSWERER].messages[0].2.ack();
    let start = pair.now;
    hasten(&mut pair);
    let link = &mut pair.ends[ANSWERER].link;
    assert!(pair.now >= start + 5 * SECOND && link.is_recording() && link.owes_acks());
    assert_eq!((link.final_acks(), settled(&outbox)), (Vec::new(), Poll::Pending));
    while link.poll_record().is_some() {
        link.recorded(pair.now, Ok(()));
    }
    assert_eq!(link.final_acks().len(), 1);
    close(&mut pair);
    assert!(pair.now < start + 8 * SECOND);
    assert_eq!(settled(&outbox), Poll::Ready(true));
}

/// The good-bye of a signal message counts on any transport, and on none; what it cannot know it is
/// not believed.
#[test]
fn last_acknowledgements_need_no_transport() {
    for lost in [false, true] {
        let mut pair = connected(1, Edge::default());
        let (_, outbox) =
            pair.ends[OFFERER].link.channels().map(|c| (c.0, c.2.clone())).next().unwrap();
        (0..3).for_each(|number| pair.say(OFFERER, number));
        assert!(pair.run(SECOND, |p| p.ends[ANSWERER].received.len() == 3));
        let acks = pair.ends[ANSWERER].link.final_acks();
        let [ack] = acks[..] else { panic!("{acks:?}") };
        assert_eq!((ack.received, ack.acked), (3, 3));
        if lost {
            let now = pair.now;
            pair.ends.iter_mut().for_each(|e| e.link.transport().unwrap().close(now));
        }
        let link = &mut pair.ends[OFFERER].link;
        pair.now += Duration::from_millis(1);
        link.pump(pair.now);
        let wrong = [
            FinalAck { epoch: ack.epoch ^ 1, ..ack },
            FinalAck { received: 4, acked: 4, ..ack },
            FinalAck { received: u64::MAX, acked: u64::MAX, ..ack },
            // Acknowledged, but not received.
            FinalAck { received: 0, ..ack },
        ];
        for wrong in wrong {
            link.on_final_acks(pair.now, &[wrong]);
            assert_eq!((settled(&outbox), outbox.held().0), (Poll::Pending, 3), "{wrong:?}");
        }
        link.on_final_acks(pair.now, &[FinalAck { acked: 2, ..ack }]);
        assert_eq!((settled(&outbox), outbox.held().0), (Poll::Pending, 1));
        link.on_final_acks(pair.now, &[ack]);
        link.on_final_acks(pair.now, &[FinalAck { received: 1, acked: 1, ..ack }]);
        assert_eq!(settled(&outbox), Poll::Ready(true));
    }
}

use super::*;
use crate::link::{Message, OutboxConfig};
use crate::peer::{NamedIdentity, Peer};
use crate::recovery::Escalation;
use crate::signal::hub_messages::{CHANNEL, FromHub};

/// A driver without sockets, whose link to a hub ends in the test.
struct Rig {
    now: Instant,
    driver: Driver,
    hub: Link,
    _peer: Peer,
}

impl Rig {
    fn connected() -> Self {
        let now = clock::now();
        let mut config = PeerConfig::new("http://127.0.0.1:9");
        config.name = Some("rover".to_owned());
        config.channels =
            vec![ChannelConfig { priority: Priority::Low, ..ChannelConfig::new("bulk") }];
        let who = NamedIdentity::new("rover", &config).unwrap();
        let identity = who.identity.clone();
        let signaling = super::super::Signaling::new(&config, Some(identity.clone())).unwrap();
        let escalation = Escalation::new(now, config.recovery.clone(), random::number());
        let rendezvous = Some(who.rendezvous(&config));
        let hub_session = Some(Box::new(HubSession { escalation, signaling }));
        let (peer, mut driver) =
            Peer::new(config, Some(identity), hub_session, rendezvous).unwrap();
        let mut hub = Link::new(OutboxConfig::default(), 16);
        let [offer, answer] = [1, 2].map(|side| {
            let session = SessionConfig::new(random::ice_credentials());
            let paths = crate::path::PathConfig::default();
            let mut transport = Transport::new(now, session, paths, side == 1, side);
            transport.add_local(now, LocalAddress::host(([10, 0, 0, side as u8], 4000).into()));
            transport
        });
        let offer = driver.hub_link.link.dial(now, offer).unwrap();
        let answer = hub.answer(now, answer, &offer).unwrap();
        driver.hub_link.link.accept_answer(now, &answer).unwrap();
        let mut rig = Self { now, driver, hub, _peer: peer };
        for _ in 0..1000 {
            rig.turn();
        }
        assert!(rig.driver.hub_link.carries_signals());
        rig
    }

    /// Lets a millisecond pass; returns the bytes of messages that were handed over before any of
    /// them was sent.
    fn turn(&mut self) -> usize {
        self.now += Duration::from_millis(1);
        let (now, hub_link) = (self.now, &mut self.driver.hub_link);
        if hub_link.link.poll_timeout(now).is_some_and(|due| due <= now) {
            hub_link.link.handle_timeout(now);
        }
        self.driver.on_hub_events(now);
        let queued = |driver: &Driver| -> usize {
            let channels = driver.hub_link.link.channels();
            channels.map(|(_, _, outbox)| outbox.len().1).sum()
        };
        let before = queued(&self.driver);
        self.driver.turn_links(now, true);
        let handed = before.saturating_sub(queued(&self.driver));
        let out: Vec<_> =
            std::iter::from_fn(|| self.driver.hub_link.link.poll_transmit()).collect();
        for out in &out {
            self.hub.handle_datagram(now, out.remote, out.local, &out.datagram);
        }
        if self.hub.poll_timeout(now).is_some_and(|due| due <= now) {
            self.hub.handle_timeout(now);
        }
        self.hub.pump(now);
        while self.hub.poll_event().is_some() {}
        let back: Vec<_> = std::iter::from_fn(|| self.hub.poll_transmit()).collect();
        for back in back {
            self.driver.on_datagram(now, back.remote, back.local, &back.datagram);
        }
        handed
    }
}

/// Signal messages do not take all that waits beside them into the same turn.
#[tokio::test]
async fn a_turn_hands_over_a_portion_while_signals_wait() {
    let mut rig = Rig::connected();
    let link = &rig.driver.hub_link.link;
    let bulk = link.outbox(link.channel("bulk").unwrap()).unwrap().clone();
    let (mut most, mut signals) = (0, 0);
    for turn in 0..500u16 {
        while bulk.try_push(rig.now, Message::binary(vec![0; 1000])).is_ok() {}
        // The hub hands out channels for calls that nobody knows: each is given back in a signal
        // message.
        let call = format!("call-{turn}");
        let rendezvous = rig.driver.rendezvous.as_mut().unwrap();
        rendezvous.handle_hub_message(rig.now, FromHub::Channel { call, number: 0x4000 + turn });
        most = most.max(rig.turn());
        let link = &rig.driver.hub_link.link;
        let counters = &link.stats().channels;
        signals = counters.iter().find(|c| c.label == CHANNEL).unwrap().counters.sent;
    }
    assert!(signals > 100, "{signals}");
    // A container is not quite a portion, and two are more.
    assert!(most > 10 * 1024 && most < 33 * 1024, "{most}");
}

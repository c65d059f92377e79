//! Two peers and a hub made of a loop: no sockets, no clock.

use std::time::{Duration, Instant};

use super::*;
use crate::path::Path;
use crate::signal::post::FromHub;

#[test]
fn connects_by_the_hub_alone() {
    let start = crate::util::clock::now();
    let mut peers = ["a", "b"].map(|name| peer(start, name));
    peers[0].dial(start, "b", Duration::from_secs(10)).unwrap();
    let up = |peers: &mut [Rendezvous; 2]| peers.iter_mut().all(|p| p.ties().any(|t| t.is_up()));
    let mut now = start;
    while !up(&mut peers) {
        assert!(now < start + Duration::from_secs(2), "it takes too long");
        turn(now, &mut peers);
        now += Duration::from_millis(5);
    }
    for peer in &mut peers {
        assert!(peer.ties().all(|tie| tie.carrying().is_some_and(Path::is_relayed)));
    }
}

/// Lets both peers do what is due; only what goes through the hub arrives.
fn turn(now: Instant, peers: &mut [Rendezvous; 2]) {
    for (from, to) in [(0, 1), (1, 0)] {
        peers[from].handle_timeout(now);
        peers[from].pump(now);
        while let Some((id, event)) = peers[from].poll_event() {
            if let TieEvent::Wanted { .. } = event {
                let socket = SocketAddr::from(([192, 0, 2, 1 + from as u8], 4000));
                peers[from].begin(now, id, &[LocalAddress::host(socket)]);
            }
        }
        while let Some(parcel) = peers[from].poll_parcel() {
            match parcel {
                ToHub::Send { call, offer, letter, .. } => {
                    if offer {
                        // As the hub does: both have their numbers before the offer arrives.
                        for peer in peers.iter_mut() {
                            let call = call.clone();
                            peer.handle_post(now, FromHub::Channel { call, number: NUMBER });
                        }
                    }
                    peers[to].handle_post(now, FromHub::Deliver { letter });
                }
                parcel => panic!("{parcel:?}"),
            }
        }
        while let Some(transmit) = peers[from].poll_transmit() {
            if let Transmit::Frame(number, datagram) = transmit {
                peers[to].handle_frame(now, number, &datagram);
            }
        }
    }
}

fn peer(now: Instant, name: &str) -> Rendezvous {
    let config = RendezvousConfig {
        name: name.to_owned(),
        path: PathConfig::default(),
        recovery: RecoveryConfig::default(),
        pace: crate::PeerConfig::default().pace,
        channels: vec![ChannelConfig::new("test")],
        max_channels: 8,
        max_links: 8,
        relay: true,
        relay_only: false,
    };
    let identity = Arc::new(Identity::fresh().unwrap());
    let mut peer = Rendezvous::new(now, 0, config, identity, KnownPeers::in_memory());
    peer.set_reachable(now, true);
    peer
}

const NUMBER: u16 = 0x4000;

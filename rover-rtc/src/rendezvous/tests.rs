//! Two peers and a hub made of a loop: no sockets, no clock.

use std::time::{Duration, Instant};

use super::*;
use crate::signal::post::FromHub;

#[test]
fn connects_by_the_hub_alone() {
    let start = crate::util::clock::now();
    let mut peers = ["a", "b"].map(|name| peer(start, name));
    connect(start, &mut peers);
    assert!(peers.iter().all(Rendezvous::is_relayed));
}

#[test]
fn relay_only_tells_no_address() {
    for secretive in [0, 1] {
        let start = crate::util::clock::now();
        let mut peers = ["a", "b"].map(|name| peer(start, name));
        peers[secretive].config.relay_only = true;
        let now = connect(start, &mut peers);
        let own = socket(secretive);
        let knows = |peer: &mut Rendezvous, address: SocketAddr| {
            let transport = peer.ties().next().and_then(|t| t.link().transport()).unwrap();
            let far = transport.paths().iter().any(|p| p.remote() == address);
            far || transport.locals().iter().any(|l| l.address == address)
        };
        let relayed = SocketAddr::from(([203, 0, 113, 9], 50_000));
        let public = SocketAddr::from(([198, 51, 100, 7], 60_000));
        let places = [
            LocalAddress::host(own),
            LocalAddress::reflexive(public, own),
            LocalAddress::turn(relayed, own),
        ];
        // A TURN server's address comes late, as it does; the others are known already.
        peers[secretive].set_places(now, &places, &[own]);
        (0..20).for_each(|i| turn(now + Duration::from_millis(5 * i), &mut peers));
        for peer in &mut peers {
            assert!(!knows(peer, own) && !knows(peer, public), "peer {secretive} is known");
            assert!(knows(peer, relayed));
        }
        // When it is gone, so is its address here.
        peers[secretive].set_places(now, &places[..2], &[own]);
        assert!(!knows(&mut peers[secretive], relayed));
    }
}

/// Lets the first peer call the second, and time pass until they are connected.
fn connect(start: Instant, peers: &mut [Rendezvous; 2]) -> Instant {
    peers[0].dial(start, "b", Duration::from_secs(10)).unwrap();
    let up = |peers: &mut [Rendezvous; 2]| peers.iter_mut().all(|p| p.ties().any(|t| t.is_up()));
    let mut now = start;
    while !up(peers) {
        assert!(now < start + Duration::from_secs(2), "it takes too long");
        turn(now, peers);
        now += Duration::from_millis(5);
    }
    now
}

fn socket(of: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + of as u8], 4000))
}

/// Lets both peers do what is due; only what goes through the hub arrives.
fn turn(now: Instant, peers: &mut [Rendezvous; 2]) {
    for (from, to) in [(0, 1), (1, 0)] {
        peers[from].handle_timeout(now);
        peers[from].pump(now);
        while let Some((id, event)) = peers[from].poll_event() {
            if let TieEvent::Wanted { .. } = event {
                peers[from].begin(now, id, &[LocalAddress::host(socket(from))]);
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
    peer.set_reachable(true);
    peer
}

const NUMBER: u16 = 0x4000;

//! A hub that lies gets no further than a hub that is down, and is found out.

use std::cell::RefCell;
use std::rc::Rc;

use rover_rtc::DialError;
use rover_rtc::identity::{Fingerprint, Identity};
use rover_rtc::signal::hub_messages::FromHub;
use rover_rtc::signal::signed::{Content, SignalMessage, SignedMessage};

use crate::network::{A, B, C, Network, Note};
use crate::pair::{MS, SECOND};

type Change = Box<dyn Fn(&SignalMessage, SignedMessage) -> Vec<(usize, SignedMessage)>>;

/// Makes the hub pass on signal messages as `change` says.
fn lie(network: &mut Network, change: Change) {
    network.hub.lie = Some(Box::new(move |to, text| match text {
        FromHub::Deliver { signal } => {
            let (opened, _) = signal.verify().unwrap();
            let signals = change(&opened, *signal).into_iter();
            let post = signals.map(|(to, l)| (to, FromHub::Deliver { signal: Box::new(l) }));
            let aside = usize::MAX;
            post.map(|(t, p)| (if t == aside { to } else { t }, p)).collect()
        }
        text => vec![(to, text)],
    }));
}

/// To whom the hub was about to deliver it.
const SAME: usize = usize::MAX;

fn with_fingerprint(signal: &SignalMessage, of: Fingerprint) -> SignalMessage {
    let mut signal = signal.clone();
    if let Content::Offer { sdp, .. } | Content::Answer { sdp } = &mut signal.content {
        let start = sdp.find("a=fingerprint:").unwrap();
        let end = start + sdp[start..].find('\r').unwrap();
        sdp.replace_range(start..end, &format!("a=fingerprint:sha-256 {of}"));
    }
    signal
}

fn is(signal: &SignalMessage, what: &str) -> bool {
    match signal.content {
        Content::Offer { .. } => what == "offer",
        Content::Answer { .. } => what == "answer",
        _ => false,
    }
}

/// All that a peer was told about what went wrong.
fn told(network: &Network, who: usize) -> String {
    let notes = network.nodes[who].notes.iter().filter_map(|(_, _, note)| match note {
        Note::Trouble(why) => Some(why.clone()),
        Note::Ended(why) => Some(why.to_string()),
        _ => None,
    });
    notes.chain(network.nodes[who].refusals.clone()).collect::<Vec<_>>().join("\n")
}

/// A dials B through a hub that lies; nobody ever has a link.
fn dial_in_vain(change: Change) -> Network {
    let mut network = Network::new(7, 3);
    lie(&mut network, change);
    network.nodes[A].peers.dial(network.now, "b", 20 * SECOND).unwrap();
    network.talk(A, B, 100 * MS);
    network.run_for(60 * SECOND);
    for node in &network.nodes {
        assert!(node.got.is_empty());
        assert!(node.notes.iter().all(|(_, _, n)| !matches!(n, Note::Up | Note::Called)));
        assert_eq!(node.peers.relay_channels(), 0);
    }
    assert!(network.nodes.iter_mut().all(|p| p.peers.peers().count() == 0));
    assert!(network.nodes[A].ended("b").is_some());
    network
}

#[test]
fn a_changed_signal_is_found_out() {
    for what in ["offer", "answer"] {
        let mallory = Identity::fresh().unwrap();
        let network = dial_in_vain(Box::new(move |signal, signed| {
            if !is(signal, what) {
                return vec![(SAME, signed)];
            }
            let changed = with_fingerprint(signal, mallory.fingerprint());
            let text = serde_json::to_string(&changed).unwrap();
            vec![(SAME, SignedMessage { text, ..signed })]
        }));
        let who = if what == "offer" { B } else { A };
        assert!(told(&network, who).contains("changed on its way"), "{}", told(&network, who));
    }
}

#[test]
fn a_signal_that_the_hub_has_signed_is_found_out() {
    for (what, swap) in [("offer", false), ("answer", false), ("offer", true), ("answer", true)] {
        let mallory = Identity::fresh().unwrap();
        let network = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&network);
        // Who has met nobody trusts the first key; but the description must name the same.
        let network = dial_in_vain(Box::new(move |signal, signed| {
            seen.borrow_mut().push(signal.clone());
            if !is(signal, what) {
                return vec![(SAME, signed)];
            }
            let of = if swap { mallory.fingerprint() } else { fingerprint(signal) };
            let forged = with_fingerprint(signal, of).sign(&mallory);
            vec![(SAME, forged)]
        }));
        let who = if what == "offer" { B } else { A };
        let expected = if swap { "" } else { "another certificate than the one that signed" };
        assert!(told(&network, who).contains(expected), "{what} {swap}: {}", told(&network, who));
    }
}

fn fingerprint(signal: &SignalMessage) -> Fingerprint {
    match &signal.content {
        Content::Offer { sdp, .. } | Content::Answer { sdp } => Fingerprint::in_sdp(sdp).unwrap(),
        _ => unreachable!(),
    }
}

#[test]
fn a_signal_for_another_peer_is_not_taken() {
    let network = dial_in_vain(Box::new(|signal, signed| match is(signal, "offer") {
        true => vec![(C, signed)],
        false => vec![(SAME, signed)],
    }));
    assert!(told(&network, C).contains("mixes up its peers"), "{}", told(&network, C));
    assert!(matches!(network.nodes[A].ended("b"), Some(DialError::Distrusted(_))));
    assert!(told(&network, A).contains("mixes up its peers"), "{}", told(&network, A));
}

/// C answers what A asked B, with its own true key.
#[test]
fn the_answer_of_a_third_is_not_taken() {
    for own_name in [true, false] {
        let mallory = Identity::fresh().unwrap();
        let network = dial_in_vain(Box::new(move |signal, signed| {
            if !is(signal, "answer") {
                return vec![(SAME, signed)];
            }
            let mut forged = with_fingerprint(signal, mallory.fingerprint());
            if own_name {
                forged.from = "c".to_owned();
            }
            vec![(SAME, forged.sign(&mallory))]
        }));
        if own_name {
            assert!(matches!(network.nodes[A].ended("b"), Some(DialError::Distrusted(_))));
            assert!(told(&network, A).contains("c answered a call to b"), "{}", told(&network, A));
        }
    }
}

/// Every signal message comes again and again, in calls that are over too.
#[test]
fn repeated_signals_change_nothing() {
    let mut network = Network::new(3, 3);
    let signals = Rc::new(RefCell::new(Vec::<(usize, FromHub)>::new()));
    let kept = Rc::clone(&signals);
    network.hub.lie = Some(Box::new(move |to, text| {
        kept.borrow_mut().push((to, text.clone()));
        vec![(to, text.clone()), (to, text)]
    }));
    network.dial(A, B);
    assert!(network.run(SECOND, |t| t.is_open(A, B)));
    network.talk(A, B, 20 * MS);
    // The link ends, and is made anew.
    network.run_for(SECOND);
    let id = network.nodes[A].id("b").unwrap();
    network.nodes[A].peers.say_bye(network.now, id);
    network.run_for(100 * MS);
    let id = network.nodes[A].id("b");
    id.into_iter().for_each(|id| network.nodes[A].peers.hang_up(network.now, id));
    network.settle(SECOND);
    assert!(network.nodes.iter_mut().all(|p| p.peers.peers().count() == 0));
    let old = signals.borrow().clone();
    let old = old.into_iter().filter(|(_, t)| matches!(t, FromHub::Deliver { .. }));
    let old: Vec<_> = old.collect();
    network.hub.lie = None;
    for (to, text) in &old {
        network.hub.tell(network.now, *to, text.clone());
    }
    network.run_for(20 * SECOND);
    assert!(network.nodes.iter_mut().all(|p| p.peers.peers().count() == 0), "an old call rings");
    assert!(
        told(&network, B).contains("again") || told(&network, B).contains("old"),
        "{}",
        told(&network, B)
    );
    network.dial(B, A);
    assert!(network.run(SECOND, |t| t.is_open(A, B)));
    network.nodes.iter_mut().for_each(|p| {
        p.got.clear();
        p.streams.clear();
    });
    network.talk(A, B, 20 * MS);
    for _ in 0..5 {
        for (to, text) in &old {
            network.hub.tell(network.now, *to, text.clone());
        }
        network.run_for(SECOND);
    }
    assert!(network.is_open(A, B));
    network.reports().iter().for_each(|r| {
        r.assert_whole();
    });
}

/// Frames of one call arrive under the numbers of another one.
#[test]
fn mixed_up_relay_numbers_do_no_harm() {
    for seed in 0..2 {
        let mut network = Network::new(seed, 3);
        for (one, two) in [(A, B), (B, C), (C, A)] {
            network.dial(one, two);
            network.talk(one, two, 20 * MS);
        }
        network.run_for(3 * SECOND);
        let direct = [(A, B), (B, C), (C, A)];
        assert!(direct.iter().all(|(one, two)| network.is_open(*one, *two)));
        // The relays are all that is left, and lead astray for a while.
        network.net.change_all(|e| e.cut = true);
        network.run_for(2 * SECOND);
        for _ in 0..4 {
            network.hub.mix_up_channels();
            network.run_for(700 * MS);
        }
        let numbers: Vec<_> = direct.iter().map(|_| 0x4000u16).collect();
        for (who, number) in numbers.into_iter().enumerate() {
            for node in 0..3 {
                let call = format!("{who:032x}");
                network.hub.tell(network.now, node, FromHub::Channel { call, number });
            }
        }
        network.run_for(SECOND);
        network.net.change_all(|e| e.cut = false);
        network.run_for(20 * SECOND);
        assert!(direct.iter().all(|(one, two)| network.is_open(*one, *two)), "seed {seed}");
        network.settle(3 * SECOND);
        for (one, two) in direct {
            for (from, to) in [(one, two), (two, one)] {
                let report = network.check(from, to);
                assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
                assert_eq!(report.lost, 0, "{report:?}");
            }
        }
    }
}

/// Thousands of signal messages by keys that nobody knows, and channels of calls that nobody made.
#[test]
fn a_flood_leaves_no_trace() {
    let mut network = Network::talking(5);
    for n in 0..3000u32 {
        let mallory = if n % 100 == 0 { Some(Identity::fresh().unwrap()) } else { None };
        let call = format!("{n:032x}");
        network.hub.tell(network.now, A, FromHub::Channel { call: call.clone(), number: n as u16 });
        let from = if n % 200 == 0 { "b".to_owned() } else { format!("m{n}") };
        let sdp = "v=0\r\n".to_owned();
        let content = Content::Answer { sdp };
        let signal = SignalMessage { from, to: "a".into(), call, number: u64::from(n), content };
        let mut signed = signal.sign(mallory.as_ref().unwrap_or(&network.nodes[B].identity));
        if mallory.is_none() {
            signed.text = signed.text.replace("v=0", "v=1");
        }
        network.hub.tell(network.now, A, FromHub::Deliver { signal: Box::new(signed) });
        if n % 10 == 0 {
            network.run_for(MS);
        }
    }
    network.run_for(15 * SECOND);
    assert!(network.nodes[A].peers.relay_channels() <= 1);
    assert_eq!(network.nodes[A].peers.peers().count(), 1);
    assert!(network.is_open(A, B));
    network.reports().iter().for_each(|r| {
        r.assert_whole();
    });
}

/// Strangers who exist and call take no more links than there are, and only for a while.
#[test]
fn calls_that_come_to_nothing_are_forgotten() {
    let mut network = Network::talking(6);
    let offer = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&offer);
    lie(
        &mut network,
        Box::new(move |signal, signed| {
            if is(signal, "offer") {
                *kept.borrow_mut() = Some(signal.clone());
            }
            vec![(SAME, signed)]
        }),
    );
    network.nodes[B].peers.dial(network.now, "d", SECOND).unwrap_or_else(|e| panic!("{e}"));
    let id = network.nodes[B].id("a").unwrap();
    network.nodes[B].peers.hang_up(network.now, id);
    network.dial(B, A);
    network.run_for(2 * SECOND);
    let template = offer.borrow().clone().expect("B has called again");
    network.hub.lie = None;
    for n in 0..50u32 {
        let mallory = Identity::fresh().unwrap();
        let mut signal = with_fingerprint(&template, mallory.fingerprint());
        // The first one says that it is A itself.
        signal.from = if n == 0 { "a".to_owned() } else { format!("m{n}") };
        signal.call = format!("{n:032x}");
        let signal = Box::new(signal.sign(&mallory));
        network.hub.tell(network.now, A, FromHub::Deliver { signal });
    }
    network.run_for(SECOND);
    assert!(network.nodes[A].peers.peers().count() <= 8);
    assert!(network.nodes[A].id("a").is_none(), "a link with oneself");
    network.run_for(30 * SECOND);
    assert_eq!(network.nodes[A].peers.peers().count(), 1);
    assert!(network.is_open(A, B));
    assert_eq!(network.nodes[A].count("m1", &|n| *n == Note::Called), 0);
}

//! A hub that lies gets no further than a hub that is down, and is found out.

use std::cell::RefCell;
use std::rc::Rc;

use rover_rtc::DialError;
use rover_rtc::identity::{Fingerprint, Identity};
use rover_rtc::signal::letter::{Content, Letter, Sealed};
use rover_rtc::signal::post::FromHub;

use crate::pair::{MS, SECOND};
use crate::town::{A, B, C, Note, Town};

type Change = Box<dyn Fn(&Letter, Sealed) -> Vec<(usize, Sealed)>>;

/// Makes the hub pass on letters as `change` says.
fn lie(town: &mut Town, change: Change) {
    town.hub.lie = Some(Box::new(move |to, text| match text {
        FromHub::Deliver { letter } => {
            let (opened, _) = letter.open().unwrap();
            let letters = change(&opened, *letter).into_iter();
            let post = letters.map(|(to, l)| (to, FromHub::Deliver { letter: Box::new(l) }));
            let aside = usize::MAX;
            post.map(|(t, p)| (if t == aside { to } else { t }, p)).collect()
        }
        text => vec![(to, text)],
    }));
}

/// To whom the hub was about to deliver it.
const SAME: usize = usize::MAX;

fn with_fingerprint(letter: &Letter, of: Fingerprint) -> Letter {
    let mut letter = letter.clone();
    if let Content::Offer { sdp, .. } | Content::Answer { sdp } = &mut letter.content {
        let start = sdp.find("a=fingerprint:").unwrap();
        let end = start + sdp[start..].find('\r').unwrap();
        sdp.replace_range(start..end, &format!("a=fingerprint:sha-256 {of}"));
    }
    letter
}

fn is(letter: &Letter, what: &str) -> bool {
    match letter.content {
        Content::Offer { .. } => what == "offer",
        Content::Answer { .. } => what == "answer",
        _ => false,
    }
}

/// All that a peer was told about what went wrong.
fn told(town: &Town, who: usize) -> String {
    let notes = town.people[who].notes.iter().filter_map(|(_, _, note)| match note {
        Note::Trouble(why) => Some(why.clone()),
        Note::Ended(why) => Some(why.to_string()),
        _ => None,
    });
    notes.chain(town.people[who].refusals.clone()).collect::<Vec<_>>().join("\n")
}

/// A dials B through a hub that lies; nobody ever has a link.
fn dial_in_vain(change: Change) -> Town {
    let mut town = Town::new(7, 3);
    lie(&mut town, change);
    town.people[A].ties.dial(town.now, "b", 20 * SECOND).unwrap();
    town.talk(A, B, 100 * MS);
    town.run_for(60 * SECOND);
    for person in &town.people {
        assert!(person.got.is_empty());
        assert!(person.notes.iter().all(|(_, _, n)| !matches!(n, Note::Up | Note::Called)));
        assert_eq!(person.ties.relay_channels(), 0);
    }
    assert!(town.people.iter_mut().all(|p| p.ties.ties().count() == 0));
    assert!(town.people[A].ended("b").is_some());
    town
}

#[test]
fn a_changed_letter_is_found_out() {
    for what in ["offer", "answer"] {
        let mallory = Identity::fresh().unwrap();
        let town = dial_in_vain(Box::new(move |letter, sealed| {
            if !is(letter, what) {
                return vec![(SAME, sealed)];
            }
            let changed = with_fingerprint(letter, mallory.fingerprint());
            let text = serde_json::to_string(&changed).unwrap();
            vec![(SAME, Sealed { text, ..sealed })]
        }));
        let who = if what == "offer" { B } else { A };
        assert!(told(&town, who).contains("changed on its way"), "{}", told(&town, who));
    }
}

#[test]
fn a_letter_that_the_hub_has_signed_is_found_out() {
    for (what, swap) in [("offer", false), ("answer", false), ("offer", true), ("answer", true)] {
        let mallory = Identity::fresh().unwrap();
        let town = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&town);
        // Who has met nobody trusts the first key; but the description must name the same.
        let town = dial_in_vain(Box::new(move |letter, sealed| {
            seen.borrow_mut().push(letter.clone());
            if !is(letter, what) {
                return vec![(SAME, sealed)];
            }
            let of = if swap { mallory.fingerprint() } else { fingerprint(letter) };
            let forged = with_fingerprint(letter, of).seal(&mallory);
            vec![(SAME, forged)]
        }));
        let who = if what == "offer" { B } else { A };
        let expected = if swap { "" } else { "another certificate than the one that signed" };
        assert!(told(&town, who).contains(expected), "{what} {swap}: {}", told(&town, who));
        println!("signed by the hub, {what}, {swap}: {:?} / {}", told(&town, A), told(&town, B));
    }
}

fn fingerprint(letter: &Letter) -> Fingerprint {
    match &letter.content {
        Content::Offer { sdp, .. } | Content::Answer { sdp } => Fingerprint::in_sdp(sdp).unwrap(),
        _ => unreachable!(),
    }
}

#[test]
fn a_letter_for_another_peer_is_not_taken() {
    let town = dial_in_vain(Box::new(|letter, sealed| match is(letter, "offer") {
        true => vec![(C, sealed)],
        false => vec![(SAME, sealed)],
    }));
    assert!(told(&town, C).contains("mixes up its peers"), "{}", told(&town, C));
    assert!(matches!(town.people[A].ended("b"), Some(DialError::Distrusted(_))));
    assert!(told(&town, A).contains("mixes up its peers"), "{}", told(&town, A));
}

/// C answers what A asked B, with its own true key.
#[test]
fn the_answer_of_a_third_is_not_taken() {
    for own_name in [true, false] {
        let mallory = Identity::fresh().unwrap();
        let town = dial_in_vain(Box::new(move |letter, sealed| {
            if !is(letter, "answer") {
                return vec![(SAME, sealed)];
            }
            let mut forged = with_fingerprint(letter, mallory.fingerprint());
            if own_name {
                forged.from = "c".to_owned();
            }
            vec![(SAME, forged.seal(&mallory))]
        }));
        if own_name {
            assert!(matches!(town.people[A].ended("b"), Some(DialError::Distrusted(_))));
            assert!(told(&town, A).contains("c answered a call to b"), "{}", told(&town, A));
        }
    }
}

/// Every letter comes again and again, in calls that are over too.
#[test]
fn repeated_letters_change_nothing() {
    let mut town = Town::new(3, 3);
    let letters = Rc::new(RefCell::new(Vec::<(usize, FromHub)>::new()));
    let kept = Rc::clone(&letters);
    town.hub.lie = Some(Box::new(move |to, text| {
        kept.borrow_mut().push((to, text.clone()));
        vec![(to, text.clone()), (to, text)]
    }));
    town.dial(A, B);
    assert!(town.run(SECOND, |t| t.is_open(A, B)));
    town.talk(A, B, 20 * MS);
    // The link ends, and is made anew.
    town.run_for(SECOND);
    let id = town.people[A].id("b").unwrap();
    town.people[A].ties.say_bye(town.now, id);
    town.run_for(100 * MS);
    let id = town.people[A].id("b");
    id.into_iter().for_each(|id| town.people[A].ties.hang_up(town.now, id));
    town.settle(SECOND);
    assert!(town.people.iter_mut().all(|p| p.ties.ties().count() == 0));
    let old = letters.borrow().clone();
    let old = old.into_iter().filter(|(_, t)| matches!(t, FromHub::Deliver { .. }));
    let old: Vec<_> = old.collect();
    town.hub.lie = None;
    for (to, text) in &old {
        town.hub.tell(town.now, *to, text.clone());
    }
    town.run_for(20 * SECOND);
    assert!(town.people.iter_mut().all(|p| p.ties.ties().count() == 0), "an old call rings");
    assert!(
        told(&town, B).contains("again") || told(&town, B).contains("old"),
        "{}",
        told(&town, B)
    );
    town.dial(B, A);
    assert!(town.run(SECOND, |t| t.is_open(A, B)));
    town.people.iter_mut().for_each(|p| {
        p.got.clear();
        p.streams.clear();
    });
    town.talk(A, B, 20 * MS);
    for _ in 0..5 {
        for (to, text) in &old {
            town.hub.tell(town.now, *to, text.clone());
        }
        town.run_for(SECOND);
    }
    assert!(town.is_open(A, B));
    town.reports().iter().for_each(|r| {
        r.assert_whole();
    });
}

/// Frames of one call arrive under the numbers of another one.
#[test]
fn mixed_up_relay_numbers_do_no_harm() {
    for seed in 0..5 {
        let mut town = Town::new(seed, 3);
        for (one, two) in [(A, B), (B, C), (C, A)] {
            town.dial(one, two);
            town.talk(one, two, 20 * MS);
        }
        town.run_for(3 * SECOND);
        let direct = [(A, B), (B, C), (C, A)];
        assert!(direct.iter().all(|(one, two)| town.is_open(*one, *two)));
        // The relays are all that is left, and lead astray for a while.
        town.net.change_all(|e| e.cut = true);
        town.run_for(2 * SECOND);
        for _ in 0..4 {
            town.hub.mix_up_channels();
            town.run_for(700 * MS);
        }
        let numbers: Vec<_> = direct.iter().map(|_| 0x4000u16).collect();
        for (who, number) in numbers.into_iter().enumerate() {
            for person in 0..3 {
                let call = format!("{who:032x}");
                town.hub.tell(town.now, person, FromHub::Channel { call, number });
            }
        }
        town.run_for(SECOND);
        town.net.change_all(|e| e.cut = false);
        town.run_for(20 * SECOND);
        assert!(direct.iter().all(|(one, two)| town.is_open(*one, *two)), "seed {seed}");
        town.settle(3 * SECOND);
        for (one, two) in direct {
            for (from, to) in [(one, two), (two, one)] {
                let report = town.check(from, to);
                println!("{report:?}");
                assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
                assert_eq!(report.lost, 0, "{report:?}");
            }
        }
    }
}

/// Thousands of letters by keys that nobody knows, and channels of calls that nobody made.
#[test]
fn a_flood_leaves_no_trace() {
    let mut town = Town::talking(5);
    for n in 0..3000u32 {
        let mallory = if n % 100 == 0 { Some(Identity::fresh().unwrap()) } else { None };
        let call = format!("{n:032x}");
        town.hub.tell(town.now, A, FromHub::Channel { call: call.clone(), number: n as u16 });
        let from = if n % 200 == 0 { "b".to_owned() } else { format!("m{n}") };
        let sdp = "v=0\r\n".to_owned();
        let content = Content::Answer { sdp };
        let letter = Letter { from, to: "a".into(), call, number: u64::from(n), content };
        let mut sealed = letter.seal(mallory.as_ref().unwrap_or(&town.people[B].identity));
        if mallory.is_none() {
            sealed.text = sealed.text.replace("v=0", "v=1");
        }
        town.hub.tell(town.now, A, FromHub::Deliver { letter: Box::new(sealed) });
        if n % 10 == 0 {
            town.run_for(MS);
        }
    }
    town.run_for(15 * SECOND);
    assert!(town.people[A].ties.relay_channels() <= 1);
    assert_eq!(town.people[A].ties.ties().count(), 1);
    assert!(town.is_open(A, B));
    town.reports().iter().for_each(|r| {
        r.assert_whole();
    });
}

/// Strangers who exist and call take no more links than there are, and only for a while.
#[test]
fn calls_that_come_to_nothing_are_forgotten() {
    let mut town = Town::talking(6);
    let offer = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&offer);
    lie(
        &mut town,
        Box::new(move |letter, sealed| {
            if is(letter, "offer") {
                *kept.borrow_mut() = Some(letter.clone());
            }
            vec![(SAME, sealed)]
        }),
    );
    town.people[B].ties.dial(town.now, "d", SECOND).unwrap_or_else(|e| panic!("{e}"));
    let id = town.people[B].id("a").unwrap();
    town.people[B].ties.hang_up(town.now, id);
    town.dial(B, A);
    town.run_for(2 * SECOND);
    let template = offer.borrow().clone().expect("B has called again");
    town.hub.lie = None;
    for n in 0..50u32 {
        let mallory = Identity::fresh().unwrap();
        let mut letter = with_fingerprint(&template, mallory.fingerprint());
        // The first one says that it is A itself.
        letter.from = if n == 0 { "a".to_owned() } else { format!("m{n}") };
        letter.call = format!("{n:032x}");
        let letter = Box::new(letter.seal(&mallory));
        town.hub.tell(town.now, A, FromHub::Deliver { letter });
    }
    town.run_for(SECOND);
    assert!(town.people[A].ties.ties().count() <= 8);
    assert!(town.people[A].id("a").is_none(), "a link with oneself");
    town.run_for(30 * SECOND);
    assert_eq!(town.people[A].ties.ties().count(), 1);
    assert!(town.is_open(A, B));
    assert_eq!(town.people[A].count("m1", &|n| *n == Note::Called), 0);
}

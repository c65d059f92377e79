use super::*;
use crate::path::frame::{is_frame, write};

const A: OwnerId = OwnerId(1);
const B: OwnerId = OwnerId(2);
const C: OwnerId = OwnerId(3);
const MS: Duration = Duration::from_millis(1);

fn start() -> (Relay, Instant) {
    start_with(0)
}

fn start_with(rate: u64) -> (Relay, Instant) {
    let limits = RelayLimits { enabled: true, rate, calls: 64 };
    (Relay::new(limits), crate::util::clock::now())
}

#[test]
fn numbers_are_unique_and_the_same_again() {
    let (mut relay, now) = start();
    let mut seen = std::collections::HashSet::new();
    for n in 0..32 {
        for other in [B, C] {
            let call = format!("call-{n}-{other}");
            let numbers = relay.allocate(now, A, other, &call).unwrap();
            assert!((FIRST..=LAST).contains(&numbers.ours));
            assert!(seen.insert((A, numbers.ours)) && seen.insert((other, numbers.theirs)));
            assert_eq!(relay.allocate(now, A, other, &call), Some(numbers));
            let turned = ChannelNumbers { ours: numbers.theirs, theirs: numbers.ours };
            assert_eq!(relay.allocate(now, other, A, &call), Some(turned));
        }
    }
    assert_eq!(relay.len(), 64);
}

#[test]
fn a_call_is_between_two() {
    let (mut relay, now) = start();
    relay.allocate(now, A, B, "call").unwrap();
    assert_eq!(relay.allocate(now, C, A, "call"), None);
    assert_eq!(relay.allocate(now, B, C, "call"), None);
    assert_eq!(relay.allocate(now, C, C, "other"), None);
    assert_eq!(relay.len(), 1);
}

#[test]
fn frames_cross() {
    let (mut relay, now) = start();
    let numbers = relay.allocate(now, A, B, "call").unwrap();
    for (from, number, to, other) in
        [(A, numbers.ours, B, numbers.theirs), (B, numbers.theirs, A, numbers.ours)]
    {
        let sent = [frame(number, b"data"), b"padding".to_vec()].concat();
        let (hop, data) = relay.forward_frame(now, from, &sent).unwrap();
        assert_eq!((hop.to, hop.number, data), (to, other, &b"data"[..]));
        relay.forwarded(hop, data.len(), true);
    }
    let empty = frame(numbers.ours, b"");
    let (hop, data) = relay.forward_frame(now, A, &empty).unwrap();
    relay.forwarded(hop, data.len(), false);
    let totals = relay.totals();
    assert_eq!((totals.datagrams, totals.bytes, totals.dropped_path), (2, 8, 1));
    // A number is worth nothing in the hands of another.
    assert!(relay.forward_frame(now, C, &frame(numbers.ours, b"data")).is_none());
    assert_eq!(relay.totals().refused, 1);
}

#[test]
fn channels_are_freed_on_both_sides_and_not_given_again_at_once() {
    let (mut relay, now) = start();
    for side in [A, B] {
        let numbers = relay.allocate(now, A, B, "call").unwrap();
        relay.end(C, "call");
        assert_eq!(relay.len(), 1, "not theirs to end");
        relay.end(side, "call");
        assert_eq!((relay.len(), relay.channels.len(), relay.calls.len()), (0, 0, 0));
        assert!(relay.forward_frame(now, A, &frame(numbers.ours, b"late")).is_none());
        let next = relay.allocate(now, A, B, "call").unwrap();
        assert!(next.ours != numbers.ours && next.theirs != numbers.theirs);
        relay.end(side, "call");
    }
    relay.allocate(now, A, B, "one").unwrap();
    relay.allocate(now, C, A, "two").unwrap();
    relay.allocate(now, C, B, "three").unwrap();
    relay.forget(A);
    assert_eq!((relay.len(), relay.channels.len(), relay.calls.len()), (1, 2, 2));
    relay.forget(B);
    assert!(relay.pairs.is_empty() && relay.channels.is_empty() && relay.calls.is_empty());
}

#[test]
fn numbers_wrap_around() {
    let (mut relay, now) = start();
    let kept = relay.allocate(now, A, B, "kept").unwrap();
    for _ in 0..5000 {
        let numbers = relay.allocate(now, A, B, "call").unwrap();
        assert!((FIRST..=LAST).contains(&numbers.ours) && numbers.ours != kept.ours);
        relay.end(A, "call");
    }
}

#[test]
fn one_owner_has_so_many_and_gives_up_what_nobody_uses() {
    let (mut relay, now) = start();
    let first = relay.allocate(now, A, B, "0").unwrap();
    for n in 1..64 {
        relay.allocate(now, A, C, &n.to_string()).unwrap();
    }
    assert_eq!(relay.allocate(now, B, A, "more"), None);
    assert!(relay.forward_frame(now + 50_000 * MS, B, &frame(first.theirs, b"x")).is_some());
    let later = now + 61_000 * MS;
    assert!(relay.allocate(later, B, A, "more").is_some());
    assert_eq!(relay.len(), 64);
    assert!(relay.forward_frame(later, A, &frame(first.ours, b"x")).is_some(), "is in use");

    let limits = RelayLimits { enabled: false, rate: 0, calls: 64 };
    assert_eq!(Relay::new(limits.clone()).allocate(now, A, B, "call"), None);
    let limits = RelayLimits { enabled: true, calls: 0, ..limits };
    assert_eq!(Relay::new(limits).allocate(now, A, B, "call"), None);
}

#[test]
fn each_direction_has_its_rate() {
    let (mut relay, now) = start_with(400_000);
    let numbers = relay.allocate(now, A, B, "call").unwrap();
    let data = [7; 1000];
    let mut send = |from, number, seconds: u32| {
        let mut bytes = 0;
        for ms in 0..1000 * seconds {
            for _ in 0..2 {
                let sent = frame(number, &data);
                bytes +=
                    relay.forward_frame(now + ms * MS, from, &sent).map_or(0, |(_, d)| d.len());
            }
        }
        bytes
    };
    // The burst of a quarter of a second, then the rate.
    let there = send(A, numbers.ours, 2);
    let back = send(B, numbers.theirs, 1);
    assert!((890_000..=902_000).contains(&there), "{there}");
    assert!((490_000..=502_000).contains(&back), "{back}");
    assert_eq!(relay.totals().dropped_rate, (4_000_000 + 2_000_000 - there - back) as u64 / 1000);
}

#[test]
fn a_flow_is_told_from_probes() {
    let (mut relay, now) = start();
    let numbers = relay.allocate(now, A, B, "call").unwrap();
    let mut notes = |every: u32, count: u32, from: u32| {
        let at = |n| now + (from + n * every) * MS;
        let sent = frame(numbers.ours, b"x");
        (0..count).filter(|n| relay.forward_frame(at(*n), A, &sent).unwrap().0.flows).count()
    };
    assert_eq!(notes(500, 100, 0), 0, "single ones");
    let told = notes(10, 100, 100_000);
    assert!((3..=5).contains(&told), "{told} times in a second of a flow");
}

#[test]
fn hostile_frames_do_no_harm() {
    let (mut relay, now) = start_with(1_000_000);
    let numbers = relay.allocate(now, A, B, "call").unwrap();
    let mut passed = 0;
    for first in 0..=255u8 {
        for length in 0..=64usize {
            for rest in [0u8, 0x40, 0xff, length.saturating_sub(4) as u8] {
                let mut bytes = vec![rest; length];
                bytes.iter_mut().take(1).for_each(|b| *b = first);
                bytes.iter_mut().skip(1).take(2).for_each(|b| *b = 0);
                for from in [A, B, C] {
                    let taken = relay.forward_frame(now, from, &bytes);
                    assert!(taken.is_none_or(|(_, data)| data.len() + 4 <= length));
                    passed += u32::from(taken.is_some());
                }
            }
        }
    }
    assert!(passed > 0 && relay.totals().refused > 190_000, "{passed} {:?}", relay.totals());
    // A length over what is there.
    let mut long = frame(numbers.ours, b"data");
    long[3] = 5;
    assert!(relay.forward_frame(now, A, &long).is_none());
    assert!(is_frame(&[0x40]) && is_frame(&[0x4f]) && !is_frame(&[0x50]) && !is_frame(&[]));
}

fn frame(number: u16, data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame, number, data);
    frame
}

//! Two links and what lies between them, in any order of events: what a channel promises holds.
//!
//! `ROVER_RTC_LONG=1` plays twenty times as many stories, others each time.

mod check;
mod hostile;
mod journal;
mod lessons;
mod limits;
mod pair;
mod regressions;
mod vectors;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::link::MAX_MESSAGE;
use crate::util::random;
use world::{CHANNELS, Op, Story, World};

fn op() -> impl Strategy<Value = Op> {
    let (side, channel) = (0..2usize, 0..CHANNELS);
    let small = prop_oneof![Just(0usize), 1..200usize, 1..200usize];
    let size = prop_oneof![6 => small, 2 => 4000..4200usize, 2 => 1..41_000usize];
    let room = prop_oneof![Just(0usize), Just(1), 1..5000usize, 5000..70_000usize, Just(1 << 24)];
    let send = (side.clone(), channel.clone(), size, 0..4u8)
        .prop_map(|(side, channel, size, key)| Op::Send { side, channel, size, key });
    let room = (side.clone(), channel.clone(), room).prop_map(|(side, channel, bytes)| Op::Room {
        side,
        channel,
        bytes,
    });
    prop_oneof![
        24 => send,
        2 => (side.clone(), channel).prop_map(|(side, channel)| Op::Open { side, channel }),
        4 => room,
        14 => (1..20u8).prop_map(|steps| Op::Run { steps }),
        2 => any::<bool>().prop_map(|taking| Op::Cut { taking }),
        1 => side.clone().prop_map(|side| Op::Detach { side }),
        5 => side.clone().prop_map(|side| Op::Attach { side }),
        1 => side.clone().prop_map(|side| Op::Restart { side }),
        1 => (side, takes()).prop_map(|(side, bytes)| Op::Takes { side, bytes }),
    ]
}

fn takes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(100usize), Just(4096), Just(20_000), Just(MAX_MESSAGE - 1)]
}

fn story() -> impl Strategy<Value = Story> {
    let limit = prop_oneof![Just(1200usize), Just(20_000), Just(300_000)];
    let faulty = prop_oneof![Just(0u8), Just(2), Just(8)];
    let opened = prop_oneof![Just([127u8, 127]), any::<[u8; 2]>()];
    let ops = prop::collection::vec(op(), 10..120);
    let takes = prop_oneof![2 => Just([MAX_MESSAGE; 2]), 1 => [takes(), takes()]];
    (any::<u64>(), limit, faulty, opened, takes, ops).prop_map(
        |(seed, limit, faulty, opened, takes, mut ops)| {
            ops.splice(0..0, [Op::Attach { side: 0 }, Op::Attach { side: 1 }]);
            Story { seed, limit, faulty, opened, takes, ops }
        },
    )
}

#[test]
fn any_story_ends_well() {
    let long = std::env::var("ROVER_RTC_LONG").is_ok();
    let cases = if long { 20 * STORIES } else { STORIES };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut seed = [7; 32];
    if long {
        seed[..8].copy_from_slice(&random::bytes::<8>());
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let played = TestRunner::new_with_rng(config, rng)
        .run(&story(), |story| World::play(&story).map_err(TestCaseError::fail));
    if let Err(failure) = played {
        panic!("seed {seed:?}: {failure}");
    }
}

/// Stories that are played.
const STORIES: u32 = 10_000;

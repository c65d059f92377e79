//! Stories that once ended badly, as short as they could be made.

use super::world::{Op, Story, World};
use crate::link::MAX_MESSAGE;

const ALL: [u8; 2] = [127, 127];

fn play(opened: [u8; 2], ops: Vec<Op>) {
    for seed in 1..40 {
        let takes = [MAX_MESSAGE; 2];
        let story = Story { seed, limit: 20_000, faulty: 2, opened, takes, ops: ops.clone() };
        if let Err(error) = World::play(&story) {
            panic!("{error}\n{story:?}");
        }
    }
}

fn send(side: usize, channel: usize, size: usize, key: u8) -> Op {
    Op::Send { side, channel, size, key }
}

#[test]
fn the_last_values_are_acknowledged_in_any_order() {
    let values = [send(0, 3, 6527, 2), send(0, 3, 16, 3)];
    play(ALL, values.into());
}

#[test]
fn a_large_value_survives_a_small_one_of_another_key() {
    play([63, 24], vec![send(0, 3, 18_936, 0), send(0, 3, 0, 1)]);
}

#[test]
fn datagrams_that_find_room_again_are_not_acknowledged() {
    let attach = [Op::Attach { side: 0 }, Op::Attach { side: 1 }];
    let mut ops = Vec::from(attach);
    ops.extend([send(0, 4, 8, 0), Op::Run { steps: 19 }]);
    ops.extend([0, 1 << 24].map(|bytes| Op::Room { side: 1, channel: 4, bytes }));
    ops.push(Op::Run { steps: 19 });
    play(ALL, ops);
}

#[test]
fn a_number_that_was_skipped_is_given_to_nobody_else() {
    let mut ops = vec![Op::Attach { side: 0 }, Op::Attach { side: 1 }, send(0, 2, 8, 0)];
    ops.extend([Op::Run { steps: 40 }, Op::Restart { side: 0 }, send(0, 2, 8, 0)]);
    play(ALL, ops);
}

#[test]
fn a_window_that_opens_a_little_is_told() {
    let room = |bytes| Op::Room { side: 1, channel: 0, bytes };
    let mut ops = vec![room(0), Op::Attach { side: 0 }, Op::Attach { side: 1 }];
    ops.extend([send(0, 0, 30_000, 0), Op::Run { steps: 20 }, room(5000)]);
    play(ALL, ops);
}

//! The journal on disk: order and limits, crashes, damage, and disks that fail.
//!
//! The tests of real disks need Linux, root, `mkfs.ext4` (e2fsprogs), `mount` and `losetup`
//! (util-linux), and loop devices; without them they fail and say so. What is mounted is below the
//! build's own directory, and unmounted again.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, not a library"
)]

mod crash;
mod damage;
mod disk;
mod faults;
mod kill;
mod order;
mod rig;
#[path = "../support/scratch.rs"]
mod scratch;
#[cfg(target_os = "linux")]
mod volume;

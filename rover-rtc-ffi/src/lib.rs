//! The C interface of rover-rtc: `include/rover_rtc.h` is made of this crate.
//!
//! What a C program sees is said there, item by item. Inside:
//!
//! | module | what it is |
//! |---|---|
//! | `handle` | handles: numbers that stand for what the program has, checked at each use |
//! | `object` | what they stand for: peers, links, channels |
//! | `guard` | around each function: no panic gets out, errors are remembered |
//! | `status` | what functions return |
//! | `config`, `text` | what comes from C, checked and copied |
//! | the others | the functions, by what they are about |

#![allow(unsafe_code, reason = "C hands over pointers; each module says what it relies on")]
#![allow(unreachable_pub, reason = "C reaches what is public, and cbindgen wants it to be")]
#![allow(non_camel_case_types, reason = "types are named as C sees them")]

mod channel;
mod config;
mod event;
mod guard;
mod handle;
mod link;
mod log;
mod object;
mod peer;
mod server;
mod stats;
mod status;
mod text;
mod version;

//! `rover-rtc bench load`: many clients of one hub in this process. In pairs they send each other
//! messages through it at a steady rate; or they only hold their links.
//!
//! | file | what it does |
//! |---|---|
//! | `options.rs` | the arguments |
//! | `shared.rs` | what all threads share |
//! | `run.rs` | from the first client to the report |
//! | `worker.rs` | the thread that has a share of the clients |
//! | `join.rs` | from places to clients whose channels can be used |
//! | `fleet.rs` | the clients of a thread, and what wakes each |
//! | `client.rs` | one client: a link on a socket of its own |
//! | `pace.rs` | which client sends when |
//! | `recorder.rs` | what comes, while it comes |
//! | `tally.rs` | what came of what was sent |
//! | `hub.rs` | CPU time and memory of the hub's process |
//! | `report.rs`, `progress.rs` | what is shown |

mod client;
mod fleet;
mod hub;
mod join;
mod options;
mod pace;
mod progress;
mod recorder;
mod report;
mod run;
mod shared;
mod tally;
mod worker;

pub(super) use options::LoadOptions;
pub(super) use run::main;

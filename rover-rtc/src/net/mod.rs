//! UDP sockets, the fault layer, the interface scan and watch: everything that touches the network
//! card.
//!
//! Half of the cost of a data channel is system calls per datagram, so nothing here handles one
//! datagram at a time. A driver owns one [`SocketSet`] with one socket per interface address, and
//! one [`RecvBatch`] or its thread's, and turns like this:
//!
//! 1. [`SocketSet::poll_recv`] fills the batch with one `recvmmsg`, GRO included; each datagram
//!    of [`RecvBatch::arrivals`] goes to the transports.
//! 2. What the transports answer goes to [`SocketSet::send`], which only queues.
//! 3. One [`SocketSet::flush`] ends the turn. It sends runs of equal datagrams to the same
//!    destination with one GSO call each, and the delayed datagrams that are due.
//! 4. The driver sleeps until a socket is readable or [`SocketSet::next_deadline`] is reached.
//!
//! UDP may lose: nothing here retries, waits or blocks. What was lost on this host is counted in
//! [`SocketStats`], and a refusal by the kernel comes back from `flush` as a [`SendFailure`], the
//! earliest sign of a dead path.
//!
//! [`Faults`] lets tests, examples and the demo cut, slow down or thin out a network at run time.
//! No clock is read here: time is an argument wherever it matters. Only [`InterfaceWatch`], which
//! tells when to scan again, waits by itself.

mod batch;
mod delay;
mod error;
mod fault;
#[cfg(feature = "server")]
mod prefix;
mod recv;
mod set;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
mod timer;
mod watch;

pub use crate::util::interfaces::{
    Interface, InterfaceFilter, NoInterface, is_local, scan, select_host_address, usable,
};
pub use error::NetworkError;
pub use fault::{FaultRule, FaultState, Faults, Verdict};
#[cfg(feature = "server")]
pub(crate) use prefix::Prefix;
pub use recv::RecvBatch;
pub use set::{SendFailure, SocketSet};
#[cfg(feature = "turn")]
pub(crate) use socket::pin;
pub use socket::{BindError, UdpSocket};
pub use stats::SocketStats;
pub use timer::FineTimer;
pub use watch::InterfaceWatch;

//! Peers and hubs for programs with a loop of their own: no runtime, no callback, a descriptor to
//! poll.
//!
//! A [`Peer`] here has a thread, on which the library works, and a queue, from which the program
//! pulls when it likes: [`Peer::next`] tells what has happened, [`Channel::recv`] gives out
//! messages. The queue's descriptor ([`Peer::fd`]) is readable exactly while the queue is not
//! empty, so it fits into any epoll set; a program without one waits in [`Peer::wait`]. C and
//! Python are bound to this.
//!
//! [`Peer`], [`Link`] and [`Channel`] deref to what asynchronous programs use; what waits there,
//! and has to be pulled here, has a method of the same name.
//!
//! ```no_run
//! use rover_rtc::{Message, PeerConfig, pull};
//!
//! # fn main() -> Result<(), rover_rtc::WebrtcError> {
//! let peer = pull::Peer::connect(PeerConfig::new("http://127.0.0.1:3000"))?;
//! let test = peer.hub_link().channel("test").expect("a default channel");
//! test.try_send(Message::text("hello, hub"))?;
//! while peer.wait(None) {
//!     while let Some(event) = peer.next() {
//!         if let pull::Event::Readable(channel) = event {
//!             while let Some(message) = channel.try_recv() {
//!                 println!("{} bytes on {}", message.data.len(), channel.label());
//!             }
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod ahead;
mod channel;
mod leadership;
mod link;
mod notifier;
mod peer;
mod queue;
#[cfg(feature = "server")]
mod server;
mod wait;
mod worker;

pub use crate::peer::Received;
pub use channel::Channel;
pub use link::Link;
pub use notifier::EventNotifier;
pub use peer::{Event, Peer};
#[cfg(feature = "server")]
pub use server::Server;

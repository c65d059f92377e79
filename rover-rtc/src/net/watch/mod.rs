//! Tells a driver that the interfaces of this host, their addresses or its routes have changed.
//!
//! It is only a trigger, and it waits by itself. The truth is what [`scan`](super::scan) finds
//! then, so nothing here reads what a message of the kernel says, and a lost one does no harm.

mod shared;

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tracing::warn;

use self::shared::Ear;
use crate::util::clock;

/// Waits for changes of this host's interfaces, addresses and routes
///
/// On Linux the kernel tells of them at once (rtnetlink). Elsewhere, and where a sandbox refuses
/// that, all that is left is the time: see [`FALLBACK`](Self::FALLBACK).
///
/// A driver makes the watch first and scans then, so that no change falls between the two, and
/// scans again after each [`changed`](Self::changed).
#[derive(Debug)]
pub struct InterfaceWatch {
    /// `None` where the kernel does not tell
    messages: Option<Ear>,
    /// When to report whether or not anything was heard
    fallback: Interval,
    /// When the burst under way is reported; outlives a call of `changed` that was cancelled
    due: Option<Instant>,
}

impl InterfaceWatch {
    /// The longest time between two reports, 5 s
    ///
    /// So a message that the kernel had no room for only delays, and so does a system that sends
    /// none. A scan each time costs little: 20 microseconds with four addresses.
    pub const FALLBACK: Duration = Duration::from_secs(5);

    /// Begins to watch; where the kernel refuses, this is logged as a warning
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled, like every tokio socket.
    #[must_use]
    pub fn new() -> Self {
        let messages =
            Ear::new().inspect_err(|error| warn!(%error, "changes of interfaces are noticed late"));
        Self::with(messages.ok(), Self::FALLBACK)
    }

    /// Waits until something may have changed since the last report, or for
    /// [`FALLBACK`](Self::FALLBACK); true if the kernel told of a change
    ///
    /// Changes come in bursts (a link that goes down takes its addresses and routes with it).
    /// What follows the first message within 10 ms makes one report with it.
    ///
    /// Cancel safe: what was heard by a call that was dropped is reported by the next one, no
    /// later than that call would have done.
    pub async fn changed(&mut self) -> bool {
        if self.due.is_none() {
            // Both futures end in the moment in which they take something, so none is lost.
            let heard = tokio::select! {
                () = arrived(&mut self.messages) => true,
                _ = self.fallback.tick() => false,
            };
            if !heard {
                return false;
            }
        }
        let due = *self.due.get_or_insert_with(|| Instant::from_std(clock::now() + BURST));
        sleep_until(due).await;
        // What arrives after this is for the next report, for the scan may not see it.
        if let Some(messages) = &mut self.messages {
            messages.forget();
        }
        self.due = None;
        self.fallback.reset();
        true
    }

    fn with(messages: Option<Ear>, fallback: Duration) -> Self {
        let first = Instant::from_std(clock::now() + fallback);
        let mut fallback = interval_at(first, fallback);
        // A driver that was busy for long wants one report, not all that it has missed.
        fallback.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { messages, fallback, due: None }
    }
}

impl Default for InterfaceWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for a message, for good if there cannot be any
async fn arrived(messages: &mut Option<Ear>) {
    if let Some(open) = messages {
        if open.arrived().await.is_ok() {
            return;
        }
        *messages = None;
    }
    std::future::pending().await
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel {
    //! The kernel's messages about links, addresses and routes, by rtnetlink(7).

    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
    use tokio::io::{Interest, unix::AsyncFd};

    /// A socket that gets a message for each change
    #[derive(Debug)]
    pub(super) struct Messages(AsyncFd<OwnedFd>);

    impl Messages {
        pub(super) fn subscribe() -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // No protocol means NETLINK_ROUTE, which is number 0.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            #[allow(
                deprecated,
                reason = "its replacement is unsafe, for types that lie about their descriptor; \
                          an OwnedFd cannot"
            )]
            let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
            Ok(Self(socket))
        }

        /// Waits for a message and takes it
        pub(super) async fn arrived(&self) -> io::Result<()> {
            self.0.async_io(Interest::READABLE, take).await
        }

        /// Takes all messages that are there
        pub(super) fn drain(&self) {
            // What is beyond the limit, or an error, is found by the next `arrived`.
            let mut turns = 0..MAX_DRAINED;
            while turns.next().is_some() && self.0.try_io(Interest::READABLE, take).is_ok() {}
        }
    }

    /// Takes one message, unread
    fn take(socket: &OwnedFd) -> io::Result<()> {
        // The rest of a message that does not fit is discarded by the kernel.
        match recv(socket, &mut [0; 1][..], RecvFlags::empty()) {
            // The kernel has dropped messages, so there were some.
            Ok(_) | Err(Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Messages taken in one turn, so that a flood does not hold up the driver
    const MAX_DRAINED: usize = 4096;

    /// From linux/rtnetlink.h: `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`,
    /// `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE`
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod kernel {
    //! Nothing tells here.

    use std::io;

    #[derive(Debug)]
    pub(super) enum Messages {}

    impl Messages {
        pub(super) fn subscribe() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        #[allow(clippy::unused_async, reason = "as where something tells")]
        pub(super) async fn arrived(&self) -> io::Result<()> {
            match *self {}
        }

        pub(super) fn drain(&self) {
            match *self {}
        }
    }
}

/// How long a burst may last: a link that goes down with its addresses and routes was seen to take
/// 3 ms, and 10 ms are little beside the 50 ms between two probes
const BURST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    // What the kernel tells is tested in network namespaces: see tests/netns/watch.rs.

    #[tokio::test]
    async fn without_messages_time_is_enough() {
        let start = clock::now();
        let mut watch = InterfaceWatch::with(None, 2 * BURST);
        for count in 1..=3 {
            watch.changed().await;
            assert!(start.elapsed() >= 2 * BURST * count);
        }
    }

    #[tokio::test]
    async fn a_report_survives_cancelled_calls() {
        let mut watch = InterfaceWatch::with(None, 4 * BURST);
        let report = async { while timeout(BURST / 10, watch.changed()).await.is_err() {} };
        timeout(PATIENCE, report).await.expect("a report");
    }

    #[tokio::test]
    async fn a_driver_that_was_busy_gets_one_report() {
        let mut watch = InterfaceWatch::with(None, 10 * BURST);
        sleep_until(Instant::from_std(clock::now() + 25 * BURST)).await;
        watch.changed().await;
        assert!(timeout(5 * BURST, watch.changed()).await.is_err());
    }

    #[tokio::test]
    async fn a_burst_that_was_heard_is_reported_by_the_next_call() {
        let mut watch = InterfaceWatch::with(None, InterfaceWatch::FALLBACK);
        watch.due = Some(Instant::from_std(clock::now()));
        timeout(PATIENCE, watch.changed()).await.expect("a report");
        assert!(watch.due.is_none());
    }

    /// Less than the fallback, which would report anyhow
    const PATIENCE: Duration = Duration::from_secs(2);
}

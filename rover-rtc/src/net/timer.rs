//! A driver's timer, good to a tenth of a millisecond where that matters.
//!
//! tokio's timers, and its wait for sockets, count whole milliseconds and round up: what is due in
//! half of one comes after one or two. For what is due soon the kernel's own timer is used.

use std::time::{Duration, Instant};

/// Sleeps until a deadline that changes with each turn of a driver
#[derive(Debug, Default)]
pub struct FineTimer {
    kernel: kernel::Timer,
}

impl FineTimer {
    /// Waits until `deadline`; may be dropped, and called again with another one
    pub async fn sleep_until(&mut self, now: Instant, deadline: Instant) {
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return;
        }
        if left > COARSE || self.kernel.sleep(left).await.is_err() {
            tokio::time::sleep_until(deadline.into()).await;
        }
    }

    /// Gives back the kernel's timer, for a driver that is about to sleep long
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}

/// Above this nobody minds two milliseconds more
const COARSE: Duration = Duration::from_millis(5);

#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel {
    use std::future::poll_fn;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Poll, ready};
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    /// Made when it is first needed: most drivers sleep long
    #[derive(Debug, Default)]
    pub(super) struct Timer(Option<AsyncFd<OwnedFd>>);

    impl Timer {
        /// Waits for so long; an error means that there are no such timers
        pub(super) async fn sleep(&mut self, time: Duration) -> io::Result<()> {
            let timer = match &mut self.0 {
                Some(timer) => timer,
                none => none.insert(create()?),
            };
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: time.try_into().map_err(io::Error::other)?,
            };
            // Whatever it was set to before is forgotten, also if it has run out unread.
            timerfd_settime(&*timer, TimerfdTimerFlags::empty(), &once)?;
            // In a driver's task for good, so it is to be small: `async_io` takes 200 bytes more.
            poll_fn(|cx| {
                loop {
                    let mut ready = ready!(timer.poll_read_ready(cx))?;
                    if let Ok(expired) = ready.try_io(|timer| expirations(timer.get_ref())) {
                        return Poll::Ready(expired);
                    }
                }
            })
            .await
        }
    }

    fn create() -> io::Result<AsyncFd<OwnedFd>> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "its replacement is unsafe, for types that lie about their descriptor; an \
                      OwnedFd cannot"
        )]
        AsyncFd::with_interest(timer, Interest::READABLE)
    }

    fn expirations(timer: &OwnedFd) -> io::Result<()> {
        rustix::io::read(timer, &mut [0; 8])?;
        Ok(())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod kernel {
    use std::io;
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(super) struct Timer;

    impl Timer {
        #[allow(clippy::unused_async, reason = "as where there are such timers")]
        pub(super) async fn sleep(&mut self, _: Duration) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock;

    #[tokio::test]
    async fn sleeps_no_less_and_may_be_dropped() {
        let mut timer = FineTimer::default();
        for micros in [0, 300, 4_000, 8_000] {
            let start = clock::now();
            let deadline = start + Duration::from_micros(micros);
            timer.sleep_until(start, deadline).await;
            assert!(clock::now() >= deadline, "{micros}");
            // One that is given up does not end the next one.
            let short = start + Duration::from_micros(micros / 2);
            let given_up = tokio::time::timeout(Duration::ZERO, timer.sleep_until(start, short));
            let _ = given_up.await;
        }
    }
}

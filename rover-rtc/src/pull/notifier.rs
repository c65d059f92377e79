//! An event notifier: a flag that an event loop can wait for.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// A flag with a descriptor that is readable exactly while the flag is set: what eventfd is on
/// Linux, and elsewhere known as a self-pipe.
///
/// Threads that set and clear it wait for nothing. It has no descriptor, and costs no system call,
/// before somebody asks for one. As a waker it sets the flag.
#[derive(Debug, Default)]
pub struct EventNotifier {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_set: bool,
    /// Holds one byte while the flag is set, and none else.
    pipe: Option<(PipeReader, PipeWriter)>,
}

impl EventNotifier {
    /// One that is not set.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { is_set: false, pipe: None }) }
    }

    /// Sets the flag. Without effect if it is set.
    pub fn set(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_set, true) {
            state.fill();
        }
    }

    /// Clears the flag. Without effect if it is not set.
    pub fn clear(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_set)
            && let Some((reader, _)) = &mut state.pipe
        {
            // There is one byte in it.
            let _ = reader.read(&mut [0]);
        }
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().is_set
    }

    /// The descriptor: the same each time, to be polled and nothing else, and closed with the
    /// notifier.
    ///
    /// # Errors
    ///
    /// If there are no descriptors left.
    #[cfg(unix)]
    pub fn fd(&self) -> io::Result<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd as _;
        let mut state = self.lock();
        if state.pipe.is_none() {
            state.pipe = Some(io::pipe()?);
            if state.is_set {
                state.fill();
            }
        }
        state.pipe.as_ref().map(|(reader, _)| reader.as_raw_fd()).ok_or(io::ErrorKind::Other.into())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fill(&mut self) {
        if let Some((_, writer)) = &mut self.pipe {
            // The pipe is empty, so this neither blocks nor fails.
            let _ = writer.write(&[1]);
        }
    }
}

impl Wake for EventNotifier {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether the descriptor is readable, as the kernel sees it.
    #[cfg(target_os = "linux")]
    pub(in super::super) fn is_readable(notifier: &EventNotifier) -> bool {
        let fd = notifier.fd().unwrap();
        let text = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        assert!(text.to_string_lossy().starts_with("pipe:"), "{text:?}");
        // A second opening of the same pipe, one that does not block.
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), 0o4000);
        let mut copy = options.open(format!("/proc/self/fd/{fd}")).unwrap();
        match copy.read(&mut [0; 2]) {
            Ok(bytes) => {
                assert_eq!(bytes, 1, "one byte");
                // Put back what the look has taken.
                notifier.lock().fill();
                true
            }
            Err(_) => false,
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn is_readable_exactly_while_it_is_set() {
        for asked_before in [true, false] {
            let notifier = EventNotifier::new();
            if asked_before {
                assert!(!is_readable(&notifier));
            }
            for _ in 0..2 {
                notifier.set();
                assert!(notifier.is_set() && is_readable(&notifier));
            }
            for _ in 0..2 {
                notifier.clear();
                assert!(!notifier.is_set() && !is_readable(&notifier));
            }
            let notifier = Arc::new(notifier);
            std::task::Waker::from(notifier.clone()).wake();
            assert!(is_readable(&notifier));
        }
    }

    #[test]
    #[cfg(unix)]
    fn threads_never_leave_it_wrong() {
        let notifier = EventNotifier::new();
        let fd = notifier.fd().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        notifier.set();
                        notifier.clear();
                    }
                });
            }
        });
        assert!(!notifier.is_set());
        assert_eq!(notifier.fd().unwrap(), fd);
        #[cfg(target_os = "linux")]
        assert!(!is_readable(&notifier));
    }
}

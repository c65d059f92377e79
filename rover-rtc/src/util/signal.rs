//! The signals that end a program.

use std::future::pending;

/// Resolves on SIGINT (Ctrl-C) or SIGTERM. From the call on, not only from the first poll, none is
/// missed and none ends the process by itself.
#[cfg(unix)]
pub fn stop_requested() -> impl Future<Output = ()> {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    async fn receive(signal: Option<Signal>) {
        match signal {
            Some(mut signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }

    let [interrupt, terminate] =
        [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok());
    async {
        tokio::select! {
            () = receive(interrupt) => {}
            () = receive(terminate) => {}
        }
    }
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
pub fn stop_requested() -> impl Future<Output = ()> {
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending().await
        }
    }
}

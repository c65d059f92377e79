//! What the hub does for a client whose connection has degraded.

use std::net::SocketAddr;
use std::time::Instant;

use crate::model::client::Client;

/// Tries to bring a degraded connection back: refreshes the hub's candidates, counts the attempt
/// and resets the failures, and leaves an ICE restart offer for the client to fetch over HTTP (a
/// client without a path cannot be told otherwise). Living paths are not touched.
pub fn attempt_connection_recovery(now: Instant, client: &mut Client, locals: &[SocketAddr]) {
    for local in locals {
        client.add_new_candidate(now, *local);
    }
    client.health().mark_attempt();
    let attempt = client.health().restart_attempts();
    match client.create_ice_restart_offer(now) {
        Ok(offer) => {
            client.set_mail(offer);
            tracing::warn!(id = %client.id(), name = client.name(), attempt, "attempting recovery");
        }
        Err(error) => tracing::debug!(id = %client.id(), attempt, %error, "no restart possible"),
    }
}

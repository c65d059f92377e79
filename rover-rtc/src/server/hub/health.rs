//! What the hub does for clients whose connections have degraded.

use std::net::SocketAddr;
use std::time::Instant;

use crate::health::Verdict;
use crate::model::client::Client;
use crate::server::Hub;

/// Looks at the health of each client, every 5 s by default: tries to recover those for which the
/// rule holds, and forgets those that are gone, with their records.
pub fn check_client_health(now: Instant, hub: &mut Hub) {
    for (id, verdict) in hub.degraded_clients(now) {
        match verdict {
            Verdict::Gone => {
                tracing::info!(%id, "client gone");
                hub.end(now, id);
            }
            Verdict::Recover => hub.recover(now, id),
            Verdict::Fine => {}
        }
    }
}

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
            client.set_restart_offer(offer);
            tracing::warn!(id = %client.id(), name = client.name(), attempt, "attempting recovery");
        }
        Err(error) => tracing::debug!(id = %client.id(), attempt, %error, "no restart possible"),
    }
}

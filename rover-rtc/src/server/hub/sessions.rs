//! Sessions: what clients ask for over HTTP, and what they are answered.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::http::server::{Exchange, Reply};
use crate::model::client::{Client, ClientId};
use crate::net::Prefix;
use crate::server::hub::Hub;
use crate::server::hub::half_open::{HalfOpenLimits, Origin, Refused};
use crate::server::hub::status::StatusRequester;
use crate::server::shard::message::ShardMessage;
use crate::server::spawn_new_client;
use crate::server::web::{CommandKind, HubCommand, HubRequest, SessionChange};
use crate::signal::description::{Description, Failure, Kind, Rover, VERSION};
use crate::util::token_bucket::seconds;

/// Who asks for a session.
#[derive(Debug)]
pub(in crate::server) struct Requester<'a> {
    pub(in crate::server) from: SocketAddr,
    pub(in crate::server) authorization: Option<&'a str>,
}

impl Hub {
    /// Does what signaling asks for, and answers it.
    pub(in crate::server) fn handle_command(&mut self, now: Instant, command: HubCommand) {
        let (request, exchange) = match command.0 {
            CommandKind::Http(asked) => *asked,
            CommandKind::Status(tell) => {
                let asker = StatusRequester::Process(tell);
                return self.collect_status(now, Box::default(), self.router.me, asker);
            }
        };
        match request {
            HubRequest::Create { offer, as_sdp, v1 } => {
                let authorization = exchange.header("Authorization");
                let asker = Requester { from: exchange.remote(), authorization };
                let reply = self.create(now, &offer, as_sdp, v1, &asker);
                exchange.respond(reply);
            }
            HubRequest::SessionChange { session, change } => {
                let reply = self.change(now, &session, change);
                exchange.respond(reply);
            }
            HubRequest::Poll { session, wait } => self.poll(now, &session, wait, exchange),
            HubRequest::Delete { session } => {
                let id = self.sessions.get(&session).copied();
                exchange.respond(match id {
                    Some(id) => {
                        self.end(now, id);
                        Reply::empty(204)
                    }
                    None => unknown_session(),
                });
            }
            HubRequest::Send { session, text } => {
                let reply = self.send_signal(now, &session, &text, &exchange);
                exchange.respond(reply);
            }
            HubRequest::Mailbox { session, wait } => {
                self.poll_mailbox(now, &session, wait, exchange)
            }
            HubRequest::Status => {
                let asker = StatusRequester::Http(Box::new(exchange));
                self.collect_status(now, Box::default(), self.router.me, asker);
            }
        }
        self.relay(now);
    }

    pub(in crate::server) fn create(
        &mut self,
        now: Instant,
        offer: &Description,
        as_sdp: bool,
        v1: bool,
        asker: &Requester<'_>,
    ) -> Reply {
        let token = self.shows_token(asker.authorization);
        let origin = Origin { prefix: Prefix::of(asker.from.ip()), token };
        let limits = HalfOpenLimits::of(&self.config);
        if let Err(refused) = self.router.shared.half_open().check(now, origin, &limits) {
            return refuse(origin, refused);
        }
        if self.router.clients(self.clients.len()) >= self.config.max_clients {
            return refuse(origin, Refused::Full);
        }
        let claim = match self.admit(now, offer, asker) {
            Ok(claim) => claim,
            Err(reply) => return reply,
        };
        let made =
            catch_unwind(AssertUnwindSafe(|| spawn_new_client(now, self, offer, asker.from)));
        let (mut client, answer) = match made {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return failure(400, error),
            Err(_) => return failure(400, "the offer cannot be used"),
        };
        if let Some(mark) = self.router.shared.session_suffix(self.router.me) {
            client.suffix_session(&mark);
        }
        let (id, session) = (client.id(), client.session().to_owned());
        let etag = etag(&client);
        self.sessions.insert(session.clone(), id);
        client.link().set_waker(self.broker.waker(id));
        self.clients.insert(id, client);
        self.half_open.insert(id);
        let evicted = self.router.shared.half_open().add(id, self.router.me, origin, &limits);
        match evicted {
            Some((shard, evicted)) if shard == self.router.me => self.evict(now, evicted),
            Some((shard, evicted)) => self.router.tell(shard, ShardMessage::Evict(evicted)),
            None => {}
        }
        if let Some(claim) = claim {
            self.names.add_claim(id, claim);
        }
        self.find_by_ufrag(id);
        self.with_client(now, id, |_, _| ());
        let reply = if as_sdp {
            Reply::typed(201, "application/sdp", answer)
        } else {
            let session = Some(session.clone());
            let ours = Rover { version: VERSION, session, ..Rover::default() };
            let ours = offer.rover.is_some().then_some(ours);
            let status = if v1 { 201 } else { 200 };
            Reply::json(status, &Description::answer(answer, ours))
        };
        reply.header("Location", format!("/v1/sessions/{session}")).header("ETag", etag)
    }

    fn change(&mut self, now: Instant, session: &str, change: SessionChange) -> Reply {
        let Some(id) = self.sessions.get(session).copied() else { return unknown_session() };
        let reply = self.with_client(now, id, |client, _| match change {
            SessionChange::Description(d) if d.kind == Kind::Offer => {
                match client.answer_restart(now, &d.sdp) {
                    Ok(answer) => Reply::json(200, &Description::answer(answer, None))
                        .header("ETag", etag(client)),
                    Err(error) => failure(400, error),
                }
            }
            SessionChange::Description(d) => match client.accept_restart(now, &d.sdp) {
                Ok(()) => Reply::empty(204),
                Err(error) => failure(409, error),
            },
            SessionChange::Candidates { lines, tag } => {
                let expected = etag(client);
                match tag {
                    Some(tag) if tag != expected && tag != "*" => {
                        failure(412, "the session has been restarted since")
                    }
                    _ => {
                        client.link().add_candidates(now, &lines);
                        Reply::empty(204)
                    }
                }
            }
        });
        self.find_by_ufrag(id);
        reply.unwrap_or_else(|| failure(400, "the session description cannot be used"))
    }

    fn poll(&mut self, now: Instant, session: &str, wait: Duration, exchange: Exchange) {
        let Some(id) = self.sessions.get(session).copied() else {
            return exchange.respond(unknown_session());
        };
        // A newer poll takes the place of an older one.
        if let Some((_, old)) = self.polls.insert(id, (now + wait, exchange)) {
            old.respond(Reply::empty(204));
        }
        self.deliver_offer(id);
    }

    /// Hands an offer that waits for a client to a request that waits for one.
    pub(in crate::server) fn deliver_offer(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if self.polls.get(&id).is_none_or(|(_, exchange)| exchange.is_abandoned()) {
            return;
        }
        let Some(offer) = client.take_restart_offer() else { return };
        if let Some((_, exchange)) = self.polls.remove(&id) {
            exchange.respond(Reply::json(200, &Description::offer(offer, None)));
        }
    }

    /// Ends what has waited too long.
    pub(in crate::server) fn tidy(&mut self, now: Instant) {
        let half_open_time = self.config.half_open_time;
        let stale = |c: &Client| {
            !c.is_connected() && now.saturating_duration_since(c.created()) > half_open_time
        };
        let mut stale: Vec<_> =
            self.clients.values().filter(|c| stale(c)).map(Client::id).collect();
        stale.retain(|id| !self.calls(now, *id));
        for id in stale {
            tracing::debug!(%id, "never connected");
            self.remove(now, id);
        }
        let over =
            |(until, exchange): &(Instant, Exchange)| *until <= now || exchange.is_abandoned();
        let over: Vec<_> = self.polls.iter().filter(|(_, p)| over(p)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some((_, exchange)) = self.polls.remove(&id) {
                exchange.respond(Reply::empty(204));
            }
        }
        self.tidy_names(now);
        self.tidy_signal_queue(now);
        self.tidy_expected(now);
        self.publish();
    }
}

/// What tells a restarted session from the one before (RFC 9725 section 4.3.1).
fn etag(client: &Client) -> String {
    format!("\"{}\"", client.ufrags().last().map_or("", String::as_str))
}

/// Why there is no session, and when to try again.
fn refuse(origin: Origin, refused: Refused) -> Reply {
    let prefix = origin.prefix;
    let (status, reason, wait) = match refused {
        Refused::Rate(wait) => (429, format!("too many offers come from {prefix}"), seconds(wait)),
        Refused::Share => {
            let reason = format!("too many sessions of {prefix} have an answer and no connection");
            (429, reason, 1)
        }
        Refused::Full => (503, "the hub is busy, try again in a moment".to_owned(), 1),
    };
    failure(status, reason).header("Retry-After", wait.to_string())
}

pub(in crate::server) fn failure(status: u16, error: impl ToString) -> Reply {
    Reply::json(status, &Failure { error: error.to_string() })
}

pub(in crate::server) fn unknown_session() -> Reply {
    failure(404, "no such session: it has ended, or the hub was restarted")
}

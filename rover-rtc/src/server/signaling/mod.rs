//! Signal messages between named peers, and what the hub says to each about the others.
//!
//! A peer is told by its link while that works and the peer does not call over HTTP; else what is
//! for it waits in its mailbox for such a call.

pub(super) mod mailbox;
pub(super) mod queue;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::http::server::{Exchange, Reply};
use crate::identity::{Fingerprint, valid_name};
use crate::link::Message;
use crate::model::client::ClientId;
use crate::server::hub::Hub;
use crate::server::hub::sessions::{failure, unknown_session};
use crate::server::registry::registration::Proof;
use crate::server::registry::{Owner, OwnerId};
use crate::server::relay::RemoteEnd;
use crate::server::shard::router::{ForwardedSignal, ShardMessage};
use crate::server::signaling::queue::Recipient;
use crate::signal::hub_messages::{CHANNEL, FromHub, MAX_TEXT, PROOF_HEADER, ToHub};
use crate::signal::signed::{Content, SignalMessage, SignedMessage};
use crate::util::token_bucket::seconds;

/// The writer of a signal message that came from another shard.
#[derive(Debug)]
pub(in crate::server) struct ForwardedFrom {
    pub(in crate::server) name: String,
    /// Its channel of the call.
    pub(in crate::server) number: Option<u16>,
}

impl Hub {
    /// A text that came by a client's link.
    pub(in crate::server) fn on_text(&mut self, now: Instant, client: ClientId, message: &Message) {
        self.uses_link(client);
        let Some(asked) = Some(message).filter(|m| !m.binary).and_then(|m| read(&m.data)) else {
            self.signal_queue.malformed += 1;
            return;
        };
        self.ask(now, client, asked);
    }

    /// A text that came over HTTP.
    pub(in crate::server) fn send_signal(
        &mut self,
        now: Instant,
        session: &str,
        text: &[u8],
        exchange: &Exchange,
    ) -> Reply {
        let client = match self.caller(now, session, exchange) {
            Ok(client) => client,
            Err(reply) => return reply,
        };
        let Some(asked) = read(text) else {
            self.signal_queue.malformed += 1;
            return failure(400, "this is nothing that a hub can be asked for");
        };
        if self.names.owner_of(client).is_none() {
            return failure(409, self.why_not(client));
        }
        self.ask(now, client, asked);
        Reply::empty(204)
    }

    /// A call over HTTP that waits for something to come.
    pub(in crate::server) fn poll_mailbox(
        &mut self,
        now: Instant,
        session: &str,
        wait: Duration,
        exchange: Exchange,
    ) {
        let client = match self.caller(now, session, &exchange) {
            Ok(client) => client,
            Err(reply) => return exchange.respond(reply),
        };
        // A newer one takes the place of an older one.
        if let Some((_, old)) = self.signal_queue.polls.insert(client, (now + wait, exchange)) {
            old.respond(Reply::empty(204));
        }
        self.tell_standing(now, client);
        self.signal_queue.touched.extend(self.names.owner_of(client));
    }

    /// Tells a client something: in answer to its call, or by its link. False if neither can be.
    pub(in crate::server) fn tell_client(
        &mut self,
        now: Instant,
        client: ClientId,
        text: &FromHub,
    ) -> bool {
        if let Some(exchange) = self.signal_queue.take_poll(client) {
            exchange.respond(Reply::json(200, &[text]));
            return true;
        }
        let can_be_told = self.clients.get(&client).is_some_and(|c| c.can_be_told());
        can_be_told && self.tell_by_link(now, client, json(text))
    }

    /// Who uses its link does not wait for its mail over HTTP.
    pub(in crate::server) fn uses_link(&mut self, client: ClientId) {
        let Some(id) = self.names.owner_of(client) else { return };
        self.take_over(id, client, Proof::Signature);
        self.signal_queue.touched.insert(id);
        if let Some(owner) = self.names.owner(id)
            && owner.called.is_some_and(|(_, by)| !self.signal_queue.has_poll(by))
        {
            owner.called = None;
        }
    }

    /// Takes one thing further; false if there is nothing more.
    pub(in crate::server) fn turn_signal_queue(&mut self, now: Instant) -> bool {
        if let Some((to, text)) = self.signal_queue.queue.pop_front() {
            match to {
                Recipient::Owner(id) if !self.router.has(id) => {
                    self.router.tell(id.shard(), ShardMessage::Text { to: id, text });
                }
                Recipient::Owner(id) => {
                    self.signal_queue.signals += u64::from(matches!(text, FromHub::Deliver { .. }));
                    if let Some(owner) = self.names.owner(id) {
                        owner.mailbox.push(json(&text));
                        self.signal_queue.touched.insert(id);
                    }
                }
                Recipient::Client(client) => {
                    self.signal_queue.dropped += u64::from(!self.tell_client(now, client, &text));
                }
            }
            return true;
        }
        let touched = self.signal_queue.touched.pop_first();
        if let Some(owner) = touched {
            self.empty_mailbox(now, owner);
        }
        touched.is_some()
    }

    /// Answers calls that have waited long enough, and looks for ways to those who have mail.
    pub(in crate::server) fn tidy_signal_queue(&mut self, now: Instant) {
        let over =
            |(until, exchange): &(Instant, Exchange)| *until <= now || exchange.is_abandoned();
        let polls = self.signal_queue.polls.iter();
        let over: Vec<_> = polls.filter(|(_, poll)| over(poll)).map(|(id, _)| *id).collect();
        for client in over {
            if let Some((_, exchange)) = self.signal_queue.polls.remove(&client) {
                exchange.respond(Reply::empty(204));
            }
        }
        self.signal_queue.touched.extend(self.names.with_pending());
        self.signal_queue.tidy(now);
    }

    /// Does what a client asks for.
    fn ask(&mut self, now: Instant, client: ClientId, asked: ToHub) {
        let Some(from) = self.names.owner_of(client) else {
            let (ToHub::Send { call, .. } | ToHub::Relay { call, .. }) = asked else { return };
            let reason = self.why_not(client);
            return self
                .signal_queue
                .send(Recipient::Client(client), FromHub::Rejected { call, reason });
        };
        let (to, call, signal, begins) = match asked {
            ToHub::End { call } => {
                self.relay.end(from, &call);
                return self.tell_over();
            }
            ToHub::Relay { to, call } => (to, call, None, true),
            ToHub::Send { to, call, offer, signal } => (to, call, Some(signal), offer),
        };
        if let Err(reason) = self.pass(now, from, to, &call, signal, begins) {
            self.signal_queue.send(Recipient::Owner(from), FromHub::Rejected { call, reason });
        }
    }

    /// Passes a signal message on to where its reader belongs.
    fn pass(
        &mut self,
        now: Instant,
        from: OwnerId,
        name: String,
        call: &str,
        signal: Option<Box<SignedMessage>>,
        begins: bool,
    ) -> Result<(), String> {
        if !valid_name(&name) {
            return Err("nobody can have this name".to_owned());
        }
        let allowed = self.names.owner(from).map_or(Ok(()), |o| o.signals.take(now, 1.0));
        allowed.map_err(|wait| format!("too many signal messages: wait {} s", seconds(wait)))?;
        if let Some(signal) = &signal
            && let Some(owner) = self.names.owner(from)
        {
            check_writer(owner, signal, &name, call, begins)?;
        }
        let shard = self.router.shared.of_name(&name);
        if shard == self.router.me {
            return self.hand_over(now, from, None, name, call, signal, begins);
        }
        let Some(writer) = self.names.owner(from).map(|owner| owner.name.clone()) else {
            return Ok(());
        };
        let far = RemoteEnd { shard, name, of: writer.clone() };
        let number = if begins { self.relay.allocate_half(now, from, &far, call) } else { None };
        // Room was made, perhaps.
        self.tell_over();
        let (to, call) = (far.name, call.to_owned());
        let signal = ForwardedSignal { from, writer, to, call, signal, begins, number };
        self.router.tell(shard, ShardMessage::Signal(Box::new(signal)));
        Ok(())
    }

    /// Gives a signal message to its reader, and hands out the channels of a call that begins.
    #[allow(clippy::too_many_arguments, reason = "a signal message's envelope")]
    pub(in crate::server) fn hand_over(
        &mut self,
        now: Instant,
        from: OwnerId,
        foreign: Option<ForwardedFrom>,
        name: String,
        call: &str,
        signal: Option<Box<SignedMessage>>,
        begins: bool,
    ) -> Result<(), String> {
        let Some(to) = self.names.find(&name) else {
            // Who asks for a channel again asks for no more: the other side asks when it is back.
            if signal.is_some() {
                if foreign.is_none() {
                    self.names.wait_for(from, &name);
                }
                let absent = FromHub::Absent { name, call: call.to_owned() };
                self.signal_queue.send(Recipient::Owner(from), absent);
            } else if foreign.is_some() {
                self.tell_channel(from, from, call, None);
            }
            return Ok(());
        };
        if begins {
            let per_minute = self.config.offers_per_minute;
            let counted = self.signal_queue.count_offer(now, (from, to), call, per_minute);
            counted
                .map_err(|wait| format!("too many calls to {name}: wait {} s", seconds(wait)))?;
            if let Some(writer) = foreign {
                self.meet(now, from, &writer, to, call);
            } else if let Some(numbers) = self.relay.allocate(now, from, to, call) {
                for (end, number) in [(from, numbers.ours), (to, numbers.theirs)] {
                    let channel = FromHub::Channel { call: call.to_owned(), number };
                    self.signal_queue.send(Recipient::Owner(end), channel);
                }
            }
            self.tell_over();
        }
        if let Some(signal) = signal {
            self.signal_queue.send(Recipient::Owner(to), FromHub::Deliver { signal });
        }
        Ok(())
    }

    /// Hands out this end of a call that another shard's peer begins, and says so there.
    fn meet(
        &mut self,
        now: Instant,
        from: OwnerId,
        writer: &ForwardedFrom,
        to: OwnerId,
        call: &str,
    ) {
        let Some(of) = self.names.owner(to).map(|owner| owner.name.clone()) else { return };
        let far = RemoteEnd { shard: from.shard(), name: writer.name.clone(), of };
        let ours = writer.number.and_then(|number| {
            let ours = self.relay.allocate_half(now, to, &far, call)?;
            self.relay.meet(to, call, from, number);
            Some(ours)
        });
        if let Some(number) = ours {
            let channel = FromHub::Channel { call: call.to_owned(), number };
            self.signal_queue.send(Recipient::Owner(to), channel);
        }
        self.tell_channel(from, to, call, ours);
    }

    fn tell_channel(&mut self, to: OwnerId, other: OwnerId, call: &str, number: Option<u16>) {
        let note = ShardMessage::Channel { to, other, call: call.to_owned(), number };
        self.router.tell(to.shard(), note);
    }

    /// Who calls over HTTP, if the call shows that it is the session's own peer.
    fn caller(
        &mut self,
        now: Instant,
        session: &str,
        exchange: &Exchange,
    ) -> Result<ClientId, Reply> {
        let Some(client) = self.sessions.get(session).copied() else {
            return Err(unknown_session());
        };
        let Some(claim) = self.names.claim(client) else {
            let reason = "this session asked for no name: offer a rover block with name and \
                          certificate";
            return Err(failure(409, reason));
        };
        if !exchange.header(PROOF_HEADER).is_some_and(|proof| claim.verify(session, proof)) {
            let reason = "a Rover-Proof is due: the session's id, signed with the certificate's \
                          key, in base64";
            return Err(failure(401, reason).header("WWW-Authenticate", PROOF_HEADER));
        }
        claim.called = Some(now);
        self.is_heard(client);
        self.prove(now, client, Proof::Signature);
        if let Some(owner) = self.names.owner_of(client).and_then(|id| self.names.owner(id)) {
            owner.called = Some((now, client));
        }
        Ok(client)
    }

    fn why_not(&mut self, client: ClientId) -> String {
        let refusal = self.names.claim(client).and_then(|claim| claim.refusal.clone());
        refusal.unwrap_or_else(|| {
            "only named peers can send signal messages: offer a rover block with name and certificate"
                .to_owned()
        })
    }

    /// Hands out what waits for an owner, if there is a way.
    fn empty_mailbox(&mut self, now: Instant, id: OwnerId) {
        let Some(owner) = self.names.owner(id).filter(|owner| !owner.mailbox.is_empty()) else {
            return;
        };
        let used = owner.client;
        if let Some((at, by)) = owner.called {
            if let Some(exchange) = self.signal_queue.take_poll(by) {
                let texts = owner.mailbox.take().unwrap_or_default();
                return exchange.respond(Reply::typed(200, "application/json", texts));
            }
            if now.saturating_duration_since(at) < CALLS_AGAIN {
                return;
            }
        }
        let Some(client) = used else { return };
        while self.clients.get(&client).is_some_and(|c| c.can_be_told()) {
            let text = self.names.owner(id).and_then(|owner| owner.mailbox.pop());
            let Some(text) = text else { break };
            if !self.tell_by_link(now, client, text) {
                self.signal_queue.dropped += 1;
            }
        }
    }

    fn tell_by_link(&mut self, now: Instant, client: ClientId, text: String) -> bool {
        let message = Message::text(text);
        let sent = self.with_client(now, client, |c, _| c.send_message(now, CHANNEL, message));
        matches!(sent, Some(Ok(())))
    }
}

/// Refuses a signal message that is not by who sends it, or says another thing than its envelope:
/// nobody can be met for the first time under the name of somebody else. What cannot be read is the
/// reader's to refuse, who reads it by the same means.
fn check_writer(
    owner: &Owner,
    signal: &SignedMessage,
    to: &str,
    call: &str,
    offer: bool,
) -> Result<(), String> {
    let certificate = BASE64.decode(&signal.certificate);
    if certificate.is_ok_and(|der| Fingerprint::of(&der) != owner.fingerprint) {
        return Err(format!(
            "the signal message is not signed by the key that has the name {}",
            owner.name
        ));
    }
    let Ok(inner) = serde_json::from_str::<SignalMessage>(&signal.text) else { return Ok(()) };
    let offers = matches!(inner.content, Content::Offer { .. });
    if inner.from != owner.name || inner.to != to || inner.call != call || offers != offer {
        return Err("the signal message says another thing than what was asked for it".to_owned());
    }
    Ok(())
}

/// What a text asks for; `None` if it makes no sense.
fn read(text: &[u8]) -> Option<ToHub> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let asked: ToHub = serde_json::from_slice(text).ok()?;
    let (ToHub::Send { call, .. } | ToHub::Relay { call, .. } | ToHub::End { call }) = &asked;
    (1..=MAX_CALL).contains(&call.len()).then_some(asked)
}

fn json(text: &FromHub) -> String {
    serde_json::to_string(text).expect("strings and numbers have a JSON form")
}

/// Who has called over HTTP is expected to call again within this time.
const CALLS_AGAIN: Duration = Duration::from_secs(5);

/// The longest name of a call: twice what 128 bits take in hexadecimal.
const MAX_CALL: usize = 64;

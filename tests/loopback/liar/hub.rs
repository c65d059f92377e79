//! A hub whose strings a test holds: it serves real peers, does with their signal messages what the
//! test says, and keeps all that it handles. It is made of the library's public parts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rover_rtc::Fingerprint;
use rover_rtc::http::server::{HttpLimits, HttpServer};
use rover_rtc::identity::Identity;
use rover_rtc::signal::hub_messages::FromHub;
use rover_rtc::signal::signed::{Content, SignedMessage};
use tokio::sync::mpsc;

use super::serve::{Hub, IMPOSTOR};

/// A signal message that a peer wants passed on.
#[derive(Debug, Clone)]
pub struct Posted {
    pub from: String,
    pub to: String,
    pub call: String,
    pub signal: SignedMessage,
}

/// What the hub does with it.
pub enum Act {
    /// Gives somebody this signal message.
    Deliver(String, SignedMessage),
    /// Answers the offer itself, in the name of who was called, with this key.
    Answer(Arc<Identity>),
}

/// What becomes of signal messages.
pub type Rule = Box<dyn FnMut(&Posted) -> Vec<Act> + Send>;

/// What the hub has handled.
#[derive(Default)]
pub struct Seen {
    pub signals: Vec<Posted>,
    /// The JSON texts on the peers' own channels, and other messages for the hub.
    pub texts: Vec<Vec<u8>>,
    /// What was in the frames.
    pub frames: Vec<Vec<u8>>,
    /// All datagrams, as they came.
    pub datagrams: Vec<Vec<u8>>,
    /// Messages of peers that took the hub for another one.
    pub overheard: Vec<Vec<u8>>,
}

pub enum Order {
    Say(String, String),
    Frame(String, Vec<u8>),
}

/// The test's side of it; the hub ends when it is dropped.
pub struct FalseHub {
    pub url: String,
    pub seen: Arc<Mutex<Seen>>,
    rule: Arc<Mutex<Rule>>,
    orders: mpsc::UnboundedSender<Order>,
}

/// Passes signal messages on as they are.
pub fn honest() -> Rule {
    Box::new(|posted| vec![Act::Deliver(posted.to.clone(), posted.signal.clone())])
}

impl FalseHub {
    pub async fn new() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let handler = move |exchange| drop(sender.send(exchange));
        let http = HttpServer::bind(place, HttpLimits::default(), handler).await.unwrap();
        let url = format!("http://{}", http.local_addr());
        let (orders, ordered) = mpsc::unbounded_channel();
        let (seen, rule) = (Arc::default(), Arc::new(Mutex::new(honest())));
        let hub = Hub::new(Arc::clone(&seen), Arc::clone(&rule));
        tokio::spawn(hub.run(http, requests, ordered));
        Self { url, seen, rule, orders }
    }

    /// What becomes of signal messages from now on.
    pub fn rule(&self, rule: impl FnMut(&Posted) -> Vec<Act> + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Honest from now on.
    pub fn repent(&self) {
        *self.rule.lock().unwrap() = honest();
    }

    /// Tells a peer something, on its own link to the hub.
    pub fn say(&self, to: &str, text: impl Into<String>) {
        self.orders.send(Order::Say(to.to_owned(), text.into())).unwrap();
    }

    /// Tells a peer something on the link that it has with the hub in another's name.
    pub fn say_as_impostor(&self, text: impl Into<String>) {
        self.say(IMPOSTOR, text);
    }

    pub fn deliver(&self, to: &str, signal: &SignedMessage) {
        let text = FromHub::Deliver { signal: Box::new(signal.clone()) };
        self.say(to, serde_json::to_string(&text).unwrap());
    }

    /// Sends a peer a datagram by the path that carries its link to the hub.
    pub fn datagram(&self, to: &str, datagram: impl Into<Vec<u8>>) {
        self.orders.send(Order::Frame(to.to_owned(), datagram.into())).unwrap();
    }

    /// The signal messages that were posted so far whose contents are of a kind.
    pub fn signals(&self, kind: impl Fn(&Content) -> bool) -> Vec<Posted> {
        let seen = self.seen.lock().unwrap();
        let of_kind = |p: &&Posted| kind(&p.signal.verify().unwrap().0.content);
        seen.signals.iter().filter(of_kind).cloned().collect()
    }
}

/// The key under which the SDP of a posted signal message was written.
pub fn key_of(signal: &SignedMessage) -> Fingerprint {
    signal.verify().unwrap().1
}

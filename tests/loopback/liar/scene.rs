//! Rovers, whom they trust, and what must be true when their hub lies.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rover_rtc::identity::Identity;
use rover_rtc::peer::Events;
use rover_rtc::{DialError, Event, Peer, PeerConfig, PeerLink, WebrtcError};
use tokio::time::timeout;

use super::hub::FalseHub;
use crate::recovery::HERE;

/// Within this time something is found, or works.
pub const SOON: Duration = Duration::from_secs(8);

/// By what a rover knows others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Roster,
    /// An honest meeting before.
    Met,
}

pub const BOTH: [Trust; 2] = [Trust::Roster, Trust::Met];

/// A hub and the state of its rovers, which is removed in the end.
pub struct Scene {
    pub hub: FalseHub,
    trust: Trust,
    dir: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Scene {
    pub async fn new(trust: Trust) -> Self {
        rover_rtc::util::init_log("off");
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("liar-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let lines = ["rover-1", "rover-2", "rover-3"].map(|name| {
            let identity = Identity::load_or_create(&dir.join(name)).unwrap();
            format!("{name} {}\n", identity.fingerprint())
        });
        std::fs::write(dir.join("roster"), lines.concat()).unwrap();
        Self { hub: FalseHub::new().await, trust, dir }
    }

    pub fn state(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn rover(&self, name: &str) -> Peer {
        let roster = (self.trust == Trust::Roster).then(|| self.dir.join("roster"));
        rover(&self.hub.url, name, Some(&self.state(name)), roster)
    }

    /// Two rovers that know each other.
    pub async fn pair(&self) -> (Peer, Peer) {
        let (one, two) = (self.rover("rover-1"), self.rover("rover-2"));
        if self.trust == Trust::Met {
            self.meet(&one, &two).await;
        }
        (one, two)
    }

    /// An honest call from one to the other, over before it returns.
    pub async fn meet(&self, one: &Peer, two: &Peer) {
        let call = async { tokio::join!(one.dial("rover-2"), two.accept()) };
        let (called, answered) = timeout(SOON, call).await.expect("an honest call");
        let (called, answered) = (called.unwrap(), answered.unwrap());
        talk(&called, &answered).await;
        called.close().await;
        until(&mut answered.events(), |e| matches!(e, Event::Closed)).await;
    }
}

pub fn rover(url: &str, name: &str, state: Option<&Path>, roster: Option<PathBuf>) -> Peer {
    let mut config = PeerConfig::new(url);
    config.bind = vec![HERE];
    config.name = Some(name.to_owned());
    config.state = state.map(Path::to_owned);
    config.roster = roster;
    Peer::connect(config).unwrap()
}

/// Sends a message each way, and waits for both.
pub async fn talk(one: &PeerLink, two: &PeerLink) {
    for (from, to) in [(one, two), (two, one)] {
        let (from, to) = (from.channel("test").unwrap(), to.channel("test").unwrap());
        from.send("hello").await.unwrap();
        let message = timeout(SOON, to.recv()).await.expect("in time").expect("a message");
        assert_eq!(&message.data[..], b"hello");
    }
}

pub async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.recv().await.expect("the peer lives");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(SOON, found).await.expect("the event comes")
}

/// Waits until a rover says that it has refused something for this reason.
pub async fn refuses(events: &mut Events, why: &str) {
    let refused = |e: &Event| matches!(e, Event::Trouble(text) if text.contains(why));
    let event = until(events, refused).await;
    eprintln!("refused: {event:?}");
}

/// Waits until a call fails for this reason, long before its patience ends.
pub async fn distrusts(call: impl Future<Output = Result<PeerLink, WebrtcError>>, why: &str) {
    let result = timeout(SOON, call).await.expect("not by time-out");
    let error = result.map(|link| link.name().to_owned()).expect_err("no link");
    assert!(matches!(error, WebrtcError::Dial(DialError::Distrusted(_))), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(why), "{text}");
    eprintln!("distrusted: {text}");
}

/// No link of this rover has ever been up, or none more than these.
pub async fn never_up(rover: &Peer) {
    for (name, stats) in rover.links().await.unwrap() {
        assert_eq!((stats.transports, stats.messages_received), (0, 0), "a link with {name}");
    }
    let called = timeout(Duration::from_millis(20), rover.accept()).await;
    assert!(called.is_err(), "nobody has called");
}

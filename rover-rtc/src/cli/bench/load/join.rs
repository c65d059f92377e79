//! From places to clients whose channels can be used.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rover_rtc::http::client::SignalClient;
use rover_rtc::net::InterfaceFilter;
use rover_rtc::util::clock;
use tokio::sync::mpsc;

use super::client::Client;
use super::fleet::Fleet;
use super::shared::Shared;

/// A client that is to be there.
#[derive(Debug)]
pub(super) struct Slot {
    /// Among all that are measured; one that will not read is none of them.
    pub(super) index: Option<usize>,
    /// The channel.
    pub(super) label: String,
}

/// A client that is not there yet.
#[derive(Debug)]
struct Attempt {
    place: usize,
    /// When the first one began, and this one.
    since: Instant,
    began: Instant,
    has_failed: bool,
    /// What it was the last time.
    trouble: Option<String>,
}

/// Connects all; some at a time. An error says what the last trouble was.
pub(super) async fn join_all(
    shared: &Shared,
    slots: &[Slot],
    fleet: &mut Fleet,
) -> Result<(), String> {
    let options = &shared.options;
    let signaling = SignalClient::new(&options.server, None, InterfaceFilter::default());
    let signaling = signaling.map_err(|e| e.to_string())?;
    let (tell, mut answers) = mpsc::unbounded_channel();
    let dial = |now: Instant, place: usize, fleet: &mut Fleet| {
        let Slot { index, label } = &slots[place];
        let (client, offer) = Client::new(now, options, label, index.is_some())?;
        fleet.put(place, client);
        let (signaling, tell, ready) = (signaling.clone(), tell.clone(), fleet.ready());
        tokio::spawn(async move {
            let _ = tell.send((place, now, signaling.create(&offer).await));
            ready.push(None);
        });
        Ok::<_, String>(())
    };
    let at_once = (AT_ONCE / options.threads).max(1);
    let mut waiting = 0..slots.len();
    let mut attempts: Vec<Attempt> = Vec::new();
    loop {
        let now = clock::now();
        while attempts.len() < at_once
            && let Some(place) = waiting.next()
        {
            dial(now, place, fleet)?;
            attempts.push(Attempt {
                place,
                since: now,
                began: now,
                has_failed: false,
                trouble: None,
            });
        }
        if attempts.is_empty() {
            return Ok(());
        }
        fleet.serve(&mut |_, _| ());
        while let Ok((place, began, answer)) = answers.try_recv() {
            let own = |a: &&mut Attempt| (a.place, a.began) == (place, began);
            let Some(attempt) = attempts.iter_mut().find(own) else { continue };
            match answer {
                Ok(answer) => {
                    fleet.get(place).into_iter().for_each(|c| c.accept(now, &answer));
                    fleet.turn(now, place, &mut |_, _| ());
                }
                Err(error) => attempt.fail(error.to_string()),
            }
        }
        attempts.retain(|attempt| {
            let open = fleet.get(attempt.place).is_some_and(|client| client.is_open());
            shared.joined.fetch_add(usize::from(open), Ordering::Relaxed);
            !open
        });
        for attempt in &mut attempts {
            if let Some(why) = fleet.get(attempt.place).and_then(Client::take_failure) {
                attempt.fail(why);
            }
            if now.saturating_duration_since(attempt.since) > PATIENCE {
                let why = attempt.trouble.as_deref().unwrap_or("it does not answer");
                return Err(explain(shared, why));
            }
            let patience = if attempt.has_failed { PAUSE } else { ATTEMPT };
            if now.saturating_duration_since(attempt.began) > patience {
                dial(now, attempt.place, fleet)?;
                (attempt.began, attempt.has_failed) = (now, false);
            }
        }
        fleet.wait(now + LOOK_INTERVAL).await;
    }
}

impl Attempt {
    fn fail(&mut self, why: String) {
        (self.has_failed, self.trouble) = (true, Some(why));
    }
}

fn explain(shared: &Shared, why: &str) -> String {
    let options = &shared.options;
    format!(
        "a client got no connection to the hub at {} within {} s: {why}; look whether it runs, has \
         room for all clients (10,000) and can be reached by UDP from {}",
        options.server,
        PATIENCE.as_secs(),
        options.bind
    )
}

/// Clients that connect at the same time: fewer than the hub's limit of half-open ones.
const AT_ONCE: usize = 25;

/// For one connection. It would be there in some milliseconds, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Then it is tried again.
const ATTEMPT: Duration = Duration::from_secs(10);

/// After trouble.
const PAUSE: Duration = Duration::from_secs(1);

const LOOK_INTERVAL: Duration = Duration::from_millis(50);

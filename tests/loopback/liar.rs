//! A hub that lies gets no further than a hub that is down: real peers, real sockets, and a hub
//! that changes, forges, repeats and mixes up what it should pass on.
//!
//! Each lie is told to rovers that have a roster, and to rovers that met honestly before. What
//! nobody can find out, a lie at the first meeting without a roster, is shown at the end.

pub mod hub;
pub mod scene;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use rover_rtc::event::Event;
use rover_rtc::identity::Identity;
use rover_rtc::signal::signed::{Content, SignalMessage, SignedMessage};
use tokio::time::timeout;

use hub::{Act, Posted, key_of};
use scene::{BOTH, SOON, Scene, Trust, distrusts, never_up, refuses, talk, until};

fn is_offer(content: &Content) -> bool {
    matches!(content, Content::Offer { .. })
}

fn is_answer(content: &Content) -> bool {
    matches!(content, Content::Answer { .. })
}

/// Changes signal messages of a kind on their way.
fn changing(
    kind: impl Fn(&Content) -> bool + Send + 'static,
    change: impl Fn(&SignedMessage) -> SignedMessage + Send + 'static,
) -> impl FnMut(&Posted) -> Vec<Act> + Send + 'static {
    move |posted| {
        let is_one = kind(&posted.signal.verify().unwrap().0.content);
        let signal = if is_one { change(&posted.signal) } else { posted.signal.clone() };
        vec![Act::Deliver(posted.to.clone(), signal)]
    }
}

/// The signal message with another text, under its old signature.
fn rewritten(signal: &SignedMessage, change: impl Fn(&str) -> String) -> SignedMessage {
    let text = change(&signal.text);
    assert_ne!(text, signal.text, "it is a change");
    SignedMessage { text, ..signal.clone() }
}

/// The signal message with another session description, signed by another key.
fn forged(
    signal: &SignedMessage,
    key: &Identity,
    change: impl Fn(&str) -> String,
) -> SignedMessage {
    let (signal, _) = signal.verify().unwrap();
    let content = match signal.content {
        Content::Offer { sdp, redundancy } => Content::Offer { sdp: change(&sdp), redundancy },
        Content::Answer { sdp } => Content::Answer { sdp: change(&sdp) },
        other => other,
    };
    SignalMessage { content, ..signal }.sign(key)
}

/// Names another certificate in a session description, or in a signal message that holds one.
fn named(text: &str, from: &SignedMessage, key: &Identity) -> String {
    text.replace(&key_of(from).to_string(), &key.fingerprint().to_string())
}

/// The value of an attribute with its first character changed.
fn spoilt(text: &str, attribute: &str) -> String {
    let at = text.find(attribute).expect("it is there") + attribute.len();
    let new = if text[at..].starts_with('A') { "B" } else { "A" };
    format!("{}{new}{}", &text[..at], &text[at + 1..])
}

/// Other ports in all candidates, as of another host.
fn moved(text: &str) -> String {
    assert!(text.contains(" typ host"), "it has candidates");
    text.replace(" typ host", "9 typ host").replace("127.0.0.1", "127.0.0.9")
}

/// An offer that was changed is refused by who was called; the call waits, and comes up as soon as
/// the hub is honest.
async fn a_changed_offer_is_refused(
    change: fn(&SignedMessage, &Identity) -> SignedMessage,
    why: &str,
) {
    for trust in BOTH {
        let scene = Scene::new(trust).await;
        let (one, two) = scene.pair().await;
        let key = Identity::fresh().unwrap();
        scene.hub.rule(changing(is_offer, move |signal| change(signal, &key)));
        let mut events = two.events();
        let mut call = Box::pin(one.dial("rover-2"));
        tokio::select! {
            link = &mut call => panic!("{trust:?}: {link:?}"),
            () = refuses(&mut events, why) => {}
        }
        never_up(&one).await;
        never_up(&two).await;
        scene.hub.repent();
        let honest = async { tokio::join!(call, two.accept()) };
        let (called, answered) = timeout(SOON, honest).await.expect("an honest call");
        talk(&called.unwrap(), &answered.unwrap()).await;
    }
}

/// An answer that was changed ends the call, and the error says why.
async fn a_changed_answer_ends_the_call(
    change: fn(&SignedMessage, &Identity) -> SignedMessage,
    why: &str,
) {
    for trust in BOTH {
        let scene = Scene::new(trust).await;
        let (one, two) = scene.pair().await;
        let key = Identity::fresh().unwrap();
        scene.hub.rule(changing(is_answer, move |signal| change(signal, &key)));
        distrusts(one.dial("rover-2"), why).await;
        never_up(&one).await;
        never_up(&two).await;
        scene.hub.repent();
        scene.meet(&one, &two).await;
    }
}

const CHANGED: &str = "a signal message was changed on its way through the hub";
const OTHER_KEY: [&str; 2] =
    ["the key of rover-1 is not the one expected", "the key of rover-2 is not the one expected"];

fn swap_and_keep_signature(signal: &SignedMessage, key: &Identity) -> SignedMessage {
    rewritten(signal, |text| named(text, signal, key))
}

fn swap_and_sign(signal: &SignedMessage, key: &Identity) -> SignedMessage {
    forged(signal, key, |sdp| named(sdp, signal, key))
}

/// The liar's certificate beside the signal message, so that its key would be believed.
fn swap_certificate(signal: &SignedMessage, key: &Identity) -> SignedMessage {
    let certificate = forged(signal, key, str::to_owned).certificate;
    SignedMessage { certificate, ..signal.clone() }
}

#[tokio::test]
async fn another_fingerprint_in_the_text() {
    a_changed_offer_is_refused(swap_and_keep_signature, CHANGED).await;
    a_changed_answer_ends_the_call(swap_and_keep_signature, CHANGED).await;
}

#[tokio::test]
async fn another_fingerprint_signed_by_its_key() {
    a_changed_offer_is_refused(swap_and_sign, OTHER_KEY[0]).await;
    a_changed_answer_ends_the_call(swap_and_sign, OTHER_KEY[1]).await;
}

#[tokio::test]
async fn another_certificate_beside_the_signal() {
    a_changed_offer_is_refused(swap_certificate, CHANGED).await;
    a_changed_answer_ends_the_call(swap_certificate, CHANGED).await;
}

#[tokio::test]
async fn other_credentials_in_the_text() {
    fn user(signal: &SignedMessage, _: &Identity) -> SignedMessage {
        rewritten(signal, |text| spoilt(text, "a=ice-ufrag:"))
    }
    fn password(signal: &SignedMessage, _: &Identity) -> SignedMessage {
        rewritten(signal, |text| spoilt(text, "a=ice-pwd:"))
    }
    a_changed_offer_is_refused(user, CHANGED).await;
    a_changed_answer_ends_the_call(password, CHANGED).await;
}

#[tokio::test]
async fn other_candidates_in_the_text() {
    fn candidates(signal: &SignedMessage, _: &Identity) -> SignedMessage {
        rewritten(signal, moved)
    }
    a_changed_offer_is_refused(candidates, CHANGED).await;
    a_changed_answer_ends_the_call(candidates, CHANGED).await;
}

#[tokio::test]
async fn an_answer_of_the_hub_itself() {
    for trust in BOTH {
        let scene = Scene::new(trust).await;
        let (one, two) = scene.pair().await;
        let key = Arc::new(Identity::fresh().unwrap());
        let answering = Arc::clone(&key);
        scene.hub.rule(move |_| vec![Act::Answer(Arc::clone(&answering))]);
        distrusts(one.dial("rover-2"), OTHER_KEY[1]).await;
        never_up(&one).await;
        assert!(scene.hub.seen.lock().unwrap().overheard.is_empty());
        scene.hub.repent();
        scene.meet(&one, &two).await;
    }
}

#[tokio::test]
async fn an_old_offer_again() {
    for trust in BOTH {
        let scene = Scene::new(trust).await;
        let (one, two) = (scene.rover("rover-1"), scene.rover("rover-2"));
        let mut events = two.events();
        scene.meet(&one, &two).await;
        let old = scene.hub.signals(is_offer).remove(0).signal;
        scene.hub.deliver("rover-2", &old);
        refuses(&mut events, "an old signal message of rover-1 was replayed").await;
        never_up(&two).await;

        // After a restart with the same state, too.
        two.close().await;
        drop((two, events));
        let two = scene.rover("rover-2");
        let mut events = two.events();
        until(&mut events, |e| matches!(e, Event::ChannelOpen(..))).await;
        scene.hub.deliver("rover-2", &old);
        refuses(&mut events, "an old signal message of rover-1 was replayed").await;
        never_up(&two).await;
        scene.meet(&one, &two).await;
    }
}

/// While its call is up an offer may well come again: it changes nothing.
#[tokio::test]
async fn old_signals_of_a_living_link() {
    let scene = Scene::new(Trust::Roster).await;
    let (one, two) = (scene.rover("rover-1"), scene.rover("rover-2"));
    let call = async { tokio::join!(one.dial("rover-2"), two.accept()) };
    let (called, answered) = timeout(SOON, call).await.unwrap();
    let (called, answered) = (called.unwrap(), answered.unwrap());
    talk(&called, &answered).await;
    let signals = scene.hub.signals(|_| true);
    for posted in signals.iter().cycle().take(50) {
        scene.hub.deliver(&posted.to, &posted.signal);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    talk(&called, &answered).await;
    for link in [&called, &answered] {
        assert_eq!(link.stats().await.unwrap().transports, 1, "no new transport");
    }
}

#[tokio::test]
async fn a_call_to_another_rover() {
    for trust in BOTH {
        let scene = Scene::new(trust).await;
        let (one, two) = scene.pair().await;
        let three = scene.rover("rover-3");
        let mut events = three.events();
        until(&mut events, |e| matches!(e, Event::ChannelOpen(..))).await;
        scene.hub.rule(|posted| {
            let to = if posted.to == "rover-2" { "rover-3" } else { &posted.to };
            vec![Act::Deliver(to.to_owned(), posted.signal.clone())]
        });
        distrusts(one.dial("rover-2"), "this is rover-3, not rover-2").await;
        refuses(&mut events, "delivered a signal message of rover-1 for rover-2 to rover-3").await;
        for rover in [&one, &two, &three] {
            never_up(rover).await;
        }
        scene.hub.repent();
        scene.meet(&one, &two).await;
    }
}

/// Two calls at once, and their answers change places.
#[tokio::test]
async fn answers_that_change_places() {
    for trust in BOTH {
        let scene = Scene::new(trust).await;
        let (one, two) = scene.pair().await;
        let three = scene.rover("rover-3");
        let mut events = [one.events(), three.events()];
        for events in &mut events {
            until(events, |e| matches!(e, Event::ChannelOpen(..))).await;
        }
        // Rover 1 calls 2, and 2 calls 3.
        scene.hub.rule(|posted| {
            let answer = is_answer(&posted.signal.verify().unwrap().0.content);
            let to = match (posted.from.as_str(), answer) {
                ("rover-2", true) => "rover-3",
                ("rover-3", true) => "rover-1",
                _ => &posted.to,
            };
            vec![Act::Deliver(to.to_owned(), posted.signal.clone())]
        });
        let [one_events, three_events] = &mut events;
        let patience = Duration::from_secs(3);
        let (call, other, ..) = tokio::join!(
            one.dial_within("rover-2", patience),
            two.dial_within("rover-3", patience),
            refuses(one_events, "delivered a signal message of rover-3 for rover-2 to rover-1"),
            refuses(three_events, "delivered a signal message of rover-2 for rover-1 to rover-3"),
        );
        let error = call.unwrap_err().to_string();
        assert!(error.contains("it mixes up its peers"), "{error}");
        // Nothing at all has come to this one.
        assert!(other.is_err());
        for rover in [&one, &two, &three] {
            never_up(rover).await;
        }
        scene.hub.repent();
        scene.meet(&one, &two).await;
    }
}

/// Without a roster, whoever is there first is believed: nobody can find out, until the real one
/// comes, or somebody compares fingerprints.
#[tokio::test]
async fn at_the_first_meeting_a_lie_is_believed() {
    let scene = Scene::new(Trust::Met).await;
    let (one, two) = (scene.rover("rover-1"), scene.rover("rover-2"));
    let key = Arc::new(Identity::fresh().unwrap());
    let answering = Arc::clone(&key);
    scene.hub.rule(move |posted| {
        let offers = is_offer(&posted.signal.verify().unwrap().0.content);
        if offers { vec![Act::Answer(Arc::clone(&answering))] } else { Vec::new() }
    });
    let link = timeout(SOON, one.dial("rover-2")).await.unwrap().unwrap();
    assert_eq!(link.fingerprint(), Some(key.fingerprint()), "which is there to be compared");
    assert_ne!(link.fingerprint(), two.fingerprint());
    link.channel("test").unwrap().send("for rover-2 only").await.unwrap();
    let heard = async {
        while !scene.hub.seen.lock().unwrap().overheard.iter().any(|m| m == b"for rover-2 only") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, heard).await.expect("the hub reads it");
    link.close().await;
    never_up(&two).await;

    // From then on the real one is the liar.
    scene.hub.repent();
    distrusts(one.dial("rover-2"), OTHER_KEY[1]).await;
}

//! The hub goes away and comes back.

use std::time::Duration;

use super::role::time;
use super::scene::{Flow, Scene, pause};

#[test]
fn hub_killed() {
    restart("hub_killed", false);
}

#[test]
fn hub_restarted() {
    restart("hub_restarted", true);
}

fn restart(name: &'static str, clean: bool) {
    let Some(mut scene) = Scene::begin(name) else { return };
    let stopping = time();
    scene.stop_hub(clean);
    pause(1000);
    if clean {
        let said = |f| {
            let log = scene.received(f);
            log.events.iter().any(|(t, e)| *t > stopping && e.starts_with("Disconnected"))
        };
        assert!(Flow::BOTH.into_iter().all(said), "no good-bye");
    }
    scene.start_hub();
    let back = time();
    scene.wait("messages after the restart", Duration::from_secs(15), |s| {
        Flow::BOTH.iter().all(|f| s.received(*f).next_after(back).is_some())
    });
    pause(500);
    let first = Flow::BOTH.map(|f| scene.received(f).next_after(back).unwrap());
    scene.say(&format!("first message up {:?}, down {:?}", first[0], first[1]));
    let counts = scene.end();
    // What the hub had taken is gone with it, and messages to a client that is not back yet have
    // nobody to go to: acknowledgements from end to end come with the delivery modes.
    assert!(counts.iter().all(|c| c.duplicated + c.reordered == 0), "{counts:?}");
    assert!(first.iter().all(|f| *f <= Duration::from_millis(2500)), "{first:?}");
}

//! The acts, in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rover_rtc::util::clock;
use rover_rtc::{Redundancy, WebrtcError};
use tokio::time::sleep_until;

use super::fleet::{APART, HubTask, NETWORKS, Rover, SECOND};
use super::report::{Promise, Report};
use super::stream::{Record, Stream};

/// The stage: hub, rovers, the messages between them, and the time since the beginning.
struct Stage {
    hub: HubTask,
    rovers: [Rover; 2],
    streams: [Stream; 2],
    begin: Instant,
    act: u8,
    talk: bool,
}

/// Plays all acts; `talk` prints the timeline.
pub(super) async fn play(talk: bool) -> Result<Vec<Report>, WebrtcError> {
    let begin = clock::now();
    let mut reports = Vec::new();

    let mut stage = Stage::set(begin, talk, Redundancy::Auto).await?;
    reports.push(stage.steady().await);
    reports.push(stage.failover("failover", FAILOVER).await?);
    stage.leave().await;

    let mut stage = Stage::set(begin, talk, Redundancy::Always).await?;
    reports.push(stage.failover("failover_redundant", FAILOVER_REDUNDANT).await?);
    stage.leave().await;

    let mut stage = Stage::set(begin, talk, Redundancy::Auto).await?;
    reports.push(stage.outage().await);
    let (restart, stage) = stage.hub_restart().await?;
    reports.push(restart);
    stage.leave().await;

    let mut stage = Stage::set_apart(begin, talk).await?;
    reports.push(stage.failover("rovers_failover", FAILOVER).await?);
    reports.push(stage.relayed().await?);
    let (dead, stage) = stage.hub_dead().await?;
    reports.push(dead);
    stage.leave().await;
    Ok(reports)
}

impl Stage {
    async fn set(begin: Instant, talk: bool, redundancy: Redundancy) -> Result<Self, WebrtcError> {
        let hub = HubTask::start(&NETWORKS, 0).await?;
        let address = hub.address;
        let rovers = Self::rovers(address, redundancy).await?;
        let stage = Self::with(begin, talk, hub, rovers);
        stage.say(format!(
            "hub at http://{address}, rover-1 and rover-2 connected over {} and {}, redundancy {redundancy:?}",
            NETWORKS[0], NETWORKS[1]
        ));
        Ok(stage)
    }

    /// The rovers talk to each other, and the hub is on a network of its own.
    async fn set_apart(begin: Instant, talk: bool) -> Result<Self, WebrtcError> {
        let hub = HubTask::start(&[APART], 0).await?;
        let address = hub.address;
        let [mut one, mut two] = Self::rovers(address, Redundancy::Auto).await?;
        Rover::link(&mut one, &mut two).await?;
        let kind = one.kind().await?;
        let stage = Self::with(begin, talk, hub, [one, two]);
        stage.say(format!(
            "hub at http://{address}; rover-1 has called rover-2, path {kind}, encrypted end to end"
        ));
        Ok(stage)
    }

    async fn rovers(hub: SocketAddr, redundancy: Redundancy) -> Result<[Rover; 2], WebrtcError> {
        Ok([
            Rover::start("rover-1", hub, redundancy).await?,
            Rover::start(SECOND, hub, redundancy).await?,
        ])
    }

    fn with(begin: Instant, talk: bool, hub: HubTask, rovers: [Rover; 2]) -> Self {
        let [one, two] = [&rovers[0].channel, &rovers[1].channel].map(Clone::clone);
        let streams = [Stream::start(one.clone(), two.clone()), Stream::start(two, one)];
        Self { hub, rovers, streams, begin, act: 0, talk }
    }

    async fn leave(self) {
        drop(self.streams);
        for rover in self.rovers {
            rover.stop().await;
        }
        self.hub.stop().await;
    }

    async fn steady(&mut self) -> Report {
        self.raise("steady", "100 messages a second each way");
        wait(4.0).await;
        self.fall("steady", STEADY, None).await
    }

    async fn failover(
        &mut self,
        name: &'static str,
        promise: Promise,
    ) -> Result<Report, WebrtcError> {
        self.raise(name, "the network that carries dies without a word");
        wait(2.0).await;
        let network = self.rovers[0].carrying().await?;
        self.rovers[0].cut(network);
        self.say(format!("  {network} of rover-1 is cut"));
        wait(3.0).await;
        let now = self.rovers[0].carrying().await?;
        self.say(format!("  rover-1 is carried by {now}; {network} is restored"));
        self.rovers[0].heal();
        wait(2.0).await;
        Ok(self.fall(name, promise, None).await)
    }

    async fn outage(&mut self) -> Report {
        self.raise("outage_5s", "both networks of rover-1 die for 5 s");
        wait(2.0).await;
        NETWORKS.iter().for_each(|n| self.rovers[0].cut(*n));
        self.say("  both networks of rover-1 are cut");
        wait(5.0).await;
        self.rovers[0].heal();
        let healed = clock::now();
        self.say("  both are restored");
        wait(2.0).await;
        self.fall("outage_5s", OUTAGE, Some(healed)).await
    }

    async fn hub_restart(mut self) -> Result<(Report, Self), WebrtcError> {
        self.raise("hub_restart", "the hub is restarted");
        wait(2.0).await;
        let port = self.hub.address.port();
        self.hub.stop().await;
        tell(self.talk, self.begin, "  the hub is down");
        wait(1.0).await;
        self.hub = HubTask::start(&NETWORKS, port).await?;
        let back = clock::now();
        self.say("  the hub is back");
        wait(4.0).await;
        let report = self.fall("hub_restart", HUB_RESTART, Some(back)).await;
        Ok((report, self))
    }

    async fn relayed(&mut self) -> Result<Report, WebrtcError> {
        self.raise("rovers_relayed", "no direct path is left between the rovers");
        wait(2.0).await;
        self.rovers[0].cut_direct();
        self.say("  all direct paths are cut");
        wait(3.0).await;
        let kind = self.rovers[0].kind().await?;
        self.rovers[0].heal();
        self.say(format!("  path now: {kind}; direct paths are restored"));
        wait(3.0).await;
        let kind = self.rovers[0].kind().await?;
        self.say(format!("  path now: {kind}"));
        Ok(self.fall("rovers_relayed", RELAYED, None).await)
    }

    async fn hub_dead(mut self) -> Result<(Report, Self), WebrtcError> {
        self.raise("rovers_without_hub", "the hub is gone, and then a network");
        wait(1.0).await;
        let port = self.hub.address.port();
        self.hub.stop().await;
        tell(self.talk, self.begin, "  the hub is down");
        wait(1.0).await;
        let network = self.rovers[0].carrying().await?;
        self.rovers[0].cut(network);
        tell(self.talk, self.begin, format!("  {network} of rover-1 is cut"));
        wait(2.0).await;
        self.rovers[0].heal();
        self.hub = HubTask::start(&[APART], port).await?;
        self.say("  the hub is back, and so is the network");
        wait(1.0).await;
        let report = self.fall("rovers_without_hub", FAILOVER, None).await;
        Ok((report, self))
    }

    fn raise(&mut self, name: &str, what: &str) {
        self.act += 1;
        self.streams.iter().for_each(|s| s.begin(self.act));
        self.say(format!("{name}: {what}"));
    }

    /// Ends an act: sends no more, waits for what is under way, and counts.
    async fn fall(&self, name: &'static str, promise: Promise, healed: Option<Instant>) -> Report {
        self.streams.iter().for_each(Stream::pause);
        let end = clock::now() + PATIENCE;
        while clock::now() < end && !self.records().iter().all(Record::is_whole) {
            wait(0.05).await;
        }
        let records = self.records();
        // In the direction that was worse off.
        let back = healed.and_then(|healed| {
            let back: Option<Vec<_>> = records.iter().map(|r| r.first_after(healed)).collect();
            Some(back?.into_iter().max()? - healed)
        });
        let report = Report::new(name, promise, &records, back);
        self.say(format!("  {}", report.summary()));
        report
    }

    fn records(&self) -> [Record; 2] {
        [self.streams[0].record(), self.streams[1].record()]
    }

    fn say(&self, what: impl std::fmt::Display) {
        tell(self.talk, self.begin, what);
    }
}

#[allow(clippy::print_stdout, reason = "the command line")]
fn tell(talk: bool, begin: Instant, what: impl std::fmt::Display) {
    if talk {
        println!("[{:6.2} s] {what}", begin.elapsed().as_secs_f64());
    }
}

async fn wait(seconds: f64) {
    sleep_until((clock::now() + Duration::from_secs_f64(seconds)).into()).await;
}

const fn gap(ms: u64) -> Promise {
    Promise { longest_gap: Some(Duration::from_millis(ms)), back_after: None, whole: true }
}

const STEADY: Promise = gap(300);
const FAILOVER: Promise = gap(300);
const FAILOVER_REDUNDANT: Promise = gap(40);
const OUTAGE: Promise = gap(5300);
const RELAYED: Promise = gap(500);

/// What a hub had not passed on when it went down is lost until links replay it.
const HUB_RESTART: Promise =
    Promise { longest_gap: None, back_after: Some(Duration::from_secs(2)), whole: false };

/// How long an act waits for its last messages.
const PATIENCE: Duration = Duration::from_secs(3);

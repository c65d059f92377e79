//! The acts, in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rover_rtc::util::clock;
use rover_rtc::{ChannelConfig, Mode, Redundancy, WebrtcError};
use tokio::time::sleep_until;

use super::bulk;
use super::fleet::{APART, FIRST, HubTask, NETWORKS, Rover, RoverConfig, SECOND};
use super::report::{Bulk, Promise, Report};
use super::scratch::Scratch;
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

    let mut stage = Stage::set_apart(begin, talk, |_| ()).await?;
    reports.push(stage.failover("rovers_failover", FAILOVER).await?);
    reports.push(stage.relayed().await?);
    let (dead, stage) = stage.hub_dead().await?;
    reports.push(dead);
    stage.leave().await;

    let scratch = Scratch::new()?;
    let durable = |rover: &mut RoverConfig| Stage::with_journal(&scratch, rover);
    let (restart, stage) = Stage::set_apart(begin, talk, durable).await?.restart(durable).await?;
    reports.push(restart);
    stage.leave().await;

    let mut stage = Stage::set_apart(begin, talk, |r| r.channels.extend(bulk::channels())).await?;
    reports.push(stage.bulk_with_commands().await?);
    stage.leave().await;
    Ok(reports)
}

impl Stage {
    async fn set(begin: Instant, talk: bool, redundancy: Redundancy) -> Result<Self, WebrtcError> {
        let hub = HubTask::start(&NETWORKS, 0).await?;
        let address = hub.address;
        let rovers = Self::rovers(address, |rover| rover.redundancy = redundancy).await?;
        let stage = Self::with(begin, talk, hub, rovers);
        stage.say(format!(
            "hub at http://{address}, rover-1 and rover-2 connected over {} and {}, redundancy {redundancy:?}",
            NETWORKS[0], NETWORKS[1]
        ));
        Ok(stage)
    }

    /// The rovers talk to each other, and the hub is on a network of its own.
    async fn set_apart(
        begin: Instant,
        talk: bool,
        change: impl Fn(&mut RoverConfig),
    ) -> Result<Self, WebrtcError> {
        let hub = HubTask::start(&[APART], 0).await?;
        let address = hub.address;
        let [mut one, mut two] = Self::rovers(address, change).await?;
        Rover::link(&mut one, &mut two).await?;
        let kind = one.kind().await?;
        let stage = Self::with(begin, talk, hub, [one, two]);
        stage.say(format!(
            "hub at http://{address}; rover-1 has called rover-2, path {kind}, encrypted end to end"
        ));
        Ok(stage)
    }

    async fn rovers(
        hub: SocketAddr,
        change: impl Fn(&mut RoverConfig),
    ) -> Result<[Rover; 2], WebrtcError> {
        let [one, two] = [FIRST, SECOND].map(|name| {
            let mut rover = RoverConfig::new(name, hub);
            change(&mut rover);
            rover
        });
        Ok([Rover::start(one).await?, Rover::start(two).await?])
    }

    /// A rover that keeps a journal; the first can be killed.
    fn with_journal(scratch: &Scratch, rover: &mut RoverConfig) {
        rover
            .channels
            .iter_mut()
            .for_each(|c| *c = ChannelConfig::of_mode(&*c.label, Mode::Durable));
        rover.state = Some(scratch.path(rover.name));
        rover.mortal = rover.name == FIRST;
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
        let network = self.rovers[0].selected().await?;
        self.rovers[0].cut(network);
        self.say(format!("  {network} of rover-1 is cut"));
        wait(3.0).await;
        let now = self.rovers[0].selected().await?;
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
        let network = self.rovers[0].selected().await?;
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

    async fn restart(
        mut self,
        durable: impl Fn(&mut RoverConfig),
    ) -> Result<(Report, Self), WebrtcError> {
        self.raise("restart_rover", "the process of a rover dies, with messages on their way");
        wait(2.0).await;
        let Self { hub, rovers: [one, two], mut streams, begin, act, talk } = self;
        // What its application sends and takes ends with the process.
        streams[0].stop_sending(&one.channel).await;
        streams[1].stop_receiving();
        one.kill().await;
        tell(talk, begin, "  rover-1 was killed");
        wait(1.0).await;
        let mut config = RoverConfig::new(FIRST, hub.address);
        durable(&mut config);
        let born = clock::now();
        let mut one = Rover::start(config).await?;
        one.call_again(SECOND).await?;
        streams[0].send_on(one.channel.clone());
        streams[1].receive_on(one.channel.clone());
        let stage = Self { hub, rovers: [one, two], streams, begin, act, talk };
        stage.say("  rover-1 runs again, with what its journal knows");
        wait(3.0).await;
        let report = stage.fall("restart_rover", RESTART, Some(born)).await;
        Ok((report, stage))
    }

    /// The numbered messages are commands of one rover, and a file goes the same way.
    async fn bulk_with_commands(&mut self) -> Result<Report, WebrtcError> {
        let [one, two] = &self.rovers;
        let ends = |label| Ok::<_, WebrtcError>((one.channel(label)?, two.channel(label)?));
        let (commands, bulk) = (ends(bulk::COMMANDS)?, ends(bulk::BULK)?);
        self.act += 1;
        self.say("bulk_with_commands: 50 MB, and 50 commands a second beside it");
        let stream = Stream::every(bulk::COMMAND_INTERVAL, commands.0, commands.1);
        stream.begin(self.act);
        let rate = bulk::transfer(bulk.0, bulk.1).await;
        let record = settled(std::slice::from_ref(&stream)).await;
        let bulk = rate.zip(record[0].p99()).map(|(rate, p99)| Bulk { rate, p99 });
        let report = Report::new("bulk_with_commands", BULK, &record, None).with_bulk(bulk);
        self.say(format!("  {}", report.summary()));
        Ok(report)
    }

    fn raise(&mut self, name: &str, what: &str) {
        self.act += 1;
        self.streams.iter().for_each(|s| s.begin(self.act));
        self.say(format!("{name}: {what}"));
    }

    /// Ends an act: sends no more, waits for what is under way, and counts.
    async fn fall(&self, name: &'static str, promise: Promise, healed: Option<Instant>) -> Report {
        let records = settled(&self.streams).await;
        // In the direction that was worse off.
        let back = healed.and_then(|healed| {
            let back: Option<Vec<_>> = records.iter().map(|r| r.first_after(healed)).collect();
            Some(back?.into_iter().max()? - healed)
        });
        let report = Report::new(name, promise, &records, back);
        self.say(format!("  {}", report.summary()));
        report
    }

    fn say(&self, what: impl std::fmt::Display) {
        tell(self.talk, self.begin, what);
    }
}

/// Sends no more, waits for what is under way, and returns what was recorded.
async fn settled(streams: &[Stream]) -> Vec<Record> {
    streams.iter().for_each(Stream::pause);
    let end = clock::now() + PATIENCE;
    loop {
        let records: Vec<_> = streams.iter().map(Stream::record).collect();
        if clock::now() >= end || records.iter().all(Record::is_whole) {
            return records;
        }
        wait(0.05).await;
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
    Promise { longest_gap: Some(Duration::from_millis(ms)), back_after: None, p99: None }
}

const STEADY: Promise = gap(300);
const FAILOVER: Promise = gap(300);
const FAILOVER_REDUNDANT: Promise = gap(40);
const OUTAGE: Promise = gap(5300);
const RELAYED: Promise = gap(500);

const HUB_RESTART: Promise =
    Promise { longest_gap: None, back_after: Some(Duration::from_secs(2)), p99: None };

/// From the start of the new process.
const RESTART: Promise =
    Promise { longest_gap: None, back_after: Some(Duration::from_secs(1)), p99: None };

const BULK: Promise =
    Promise { longest_gap: None, back_after: None, p99: Some(Duration::from_millis(250)) };

/// How long an act waits for its last messages.
const PATIENCE: Duration = Duration::from_secs(3);

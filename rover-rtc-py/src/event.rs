//! What has happened to a peer, as Python pulls it.

use pyo3::prelude::*;
use rover_rtc::event::{Event as Inner, Recovery};
use rover_rtc::pull;

use crate::link::Link;
use crate::words::{cause_name, path_name, reason_name, state_name};

/// An event for Python: a tuple that begins with its kind, a name of the C interface
/// (`ROVER_RTC_EVENT_...`).
#[derive(IntoPyObject)]
pub(crate) enum Event {
    /// ("READABLE" or "SEND_READY", the channel's number)
    Channel(&'static str, usize),
    /// ("CALLED", the link)
    Called(&'static str, Link),
    /// (kind, the link, label of the channel, number, number, text, text)
    Link(&'static str, Link, Option<String>, Option<u64>, u64, String, String),
}

/// What is told of a link: kind, number, number, text, text.
type Told = (&'static str, Option<u64>, u64, String, String);

impl Event {
    /// None for what is of no use in Python.
    pub(crate) fn of(event: pull::Event) -> Option<Self> {
        Some(match event {
            pull::Event::Readable(channel) => Self::Channel("READABLE", channel.tag()),
            pull::Event::Room(channel) => Self::Channel("SEND_READY", channel.tag()),
            pull::Event::Called(link) => Self::Called("CALLED", Link::new(link)),
            pull::Event::Link(link, channel, event) => {
                let (kind, value, other, text, more) = of_link(event)?;
                let label = channel.map(|channel| channel.label().to_owned());
                Self::Link(kind, Link::new(link), label, value, other, text, more)
            }
            _ => return None,
        })
    }
}

fn of_link(event: Inner) -> Option<Told> {
    let plain = |kind| (kind, None, 0, String::new(), String::new());
    let number = |kind, value| (kind, Some(value), 0, String::new(), String::new());
    let text = |kind, text| (kind, None, 0, text, String::new());
    Some(match event {
        Inner::IceConnectionStateChange(state) => text("STATE", state_name(state).to_owned()),
        Inner::ChannelOpen(..) => plain("CHANNEL_OPEN"),
        Inner::ChannelClosed(_) => plain("CHANNEL_CLOSED"),
        Inner::Progress { bytes, total, .. } => {
            ("PROGRESS", Some(bytes as u64), total as u64, String::new(), String::new())
        }
        Inner::Gap { lost, .. } => ("GAP", lost, 0, String::new(), String::new()),
        Inner::Dropped { messages, why, .. } => ("DROPPED", Some(messages), 0, why, String::new()),
        Inner::Resumed { replayed } => number("RESUMED", replayed),
        Inner::PeerRestarted => plain("PEER_RESTARTED"),
        Inner::PathSwitch { path, kind, cause } => {
            let path_text = format!("{} {}", path.0, path.1);
            let why = format!("{} {}", path_name(kind), cause_name(cause));
            ("PATH_SWITCH", None, 0, path_text, why)
        }
        Inner::Outage => plain("OUTAGE"),
        Inner::Recovered { outage, by } => {
            let us = u64::try_from(outage.as_micros()).unwrap_or(u64::MAX);
            let new = u64::from(by == Recovery::Transport);
            ("RECOVERED", Some(us), new, String::new(), String::new())
        }
        Inner::Restarting => plain("RESTARTING"),
        Inner::Dialing(times) => number("DIALING", u64::from(times)),
        Inner::Trouble(why) => text("TROUBLE", why),
        Inner::Disconnected(why) => {
            // Whether the link itself is over.
            let ends = u64::from(why.reason.ends_link());
            ("DISCONNECTED", None, ends, why.text, reason_name(why.reason).to_owned())
        }
        Inner::Closed => plain("CLOSED"),
        // Offers and answers are for who debugs signaling.
        _ => return None,
    })
}

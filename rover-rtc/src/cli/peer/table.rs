//! Links and their paths as lines of text.

use super::meter::{PathRow, Row, speed};
use rover_rtc::path::PathState;

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableLine {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How a line looks where that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// A heading, or a link.
    Bold,
    /// What stands by.
    Dim,
}

/// The table: a line for each link, and one for each of its paths.
pub(super) fn table(rows: &[Row]) -> Vec<TableLine> {
    let mut lines = vec![
        line(
            Style::Dim,
            link_line("LINK", "STATE", "SENT", "RECEIVED", "QUEUED", "SWITCHES", "OUTAGES"),
        ),
        line(Style::Dim, path_line(" ", "PATH", "KIND", "RTT", "LOSS", "OUT", "IN")),
    ];
    for row in rows {
        let stats = &row.stats;
        let text = link_line(
            row.title(),
            &row.state(),
            &stats.messages_sent.to_string(),
            &stats.messages_received.to_string(),
            &stats.messages_queued.to_string(),
            &row.switches(),
            &row.outages(),
        );
        lines.push(line(Style::Bold, text));
        lines.extend(row.paths.iter().filter(|p| is_shown(p)).map(|path| {
            let style = if path.stats.selected { Style::Plain } else { Style::Dim };
            let mark = if path.stats.selected { ">" } else { " " };
            let dead = path.stats.state == PathState::Dead;
            let rtt = if dead { "dead".to_owned() } else { path.rtt() };
            let (kind, loss) = (path.stats.kind.to_string(), path.loss());
            let (out, into) = (speed(path.rates.0), speed(path.rates.1));
            line(style, path_line(mark, &path.ends(), &kind, &rtt, &loss, &out, &into))
        }));
    }
    lines
}

/// A link in one line.
pub(super) fn one_line(row: &Row) -> String {
    let way = row.paths.first().filter(|p| p.stats.selected).map(|path| {
        let (kind, ends, rtt, loss) = (path.stats.kind, path.ends(), path.rtt(), path.loss());
        let (out, into) = (speed(path.rates.0), speed(path.rates.1));
        format!(", {kind} {ends}, RTT {rtt}, loss {loss}, out {out}, in {into}")
    });
    format!(
        "Link: {} {}{}, sent {}, received {}, switches {}, outages {}",
        row.title(),
        row.state(),
        way.unwrap_or_default(),
        row.stats.messages_sent,
        row.stats.messages_received,
        row.switches(),
        row.outages(),
    )
}

/// Pairs of addresses that never worked say nothing, and are many.
fn is_shown(path: &PathRow) -> bool {
    path.stats.selected || path.stats.state != PathState::Unproven
}

fn line(style: Style, text: String) -> TableLine {
    TableLine { text: text.trim_end().to_owned(), style }
}

fn link_line(
    name: &str,
    state: &str,
    sent: &str,
    received: &str,
    queued: &str,
    switches: &str,
    outages: &str,
) -> String {
    format!("{name:<16} {state:<11} {sent:>9} {received:>9} {queued:>7}   {switches:<14} {outages}")
}

fn path_line(
    mark: &str,
    ends: &str,
    kind: &str,
    rtt: &str,
    loss: &str,
    out: &str,
    into: &str,
) -> String {
    format!("  {mark} {ends:<44} {kind:<9} {rtt:>9} {loss:>8} {out:>11} {into:>11}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::meter::Meter;
    use super::super::meter::tests::link;
    use super::*;
    use rover_rtc::link::LinkStats;
    use rover_rtc::path::SwitchCause;
    use rover_rtc::util::clock;

    fn rows() -> Vec<Row> {
        let stats = LinkStats {
            switches: 2,
            last_switch: Some(SwitchCause::Died),
            outages: 1,
            last_outage: Some(Duration::from_millis(1500)),
            longest_outage: Duration::from_millis(1500),
            messages_sent: 7,
            ..link(100)
        };
        let links = vec![(None, LinkStats::default()), (Some("rover-2".to_owned()), stats)];
        Meter::default().rows(clock::now(), links)
    }

    #[test]
    fn each_link_has_its_paths_below_it() {
        let lines = table(&rows());
        let words = |i: usize| lines[i].text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(2), "hub connecting 0 0 0 0 0");
        assert_eq!(words(3), "rover-2 up 7 0 0 2 (Died) 1 (longest 1.5 s, last 1.5 s)");
        assert_eq!(words(4), "> 10.0.0.1:1 -> 10.0.0.2:3 direct 1.2 ms 2.0 % 0 B/s 0 B/s");
        assert_eq!(words(5), "by the hub's relay hub 1.2 ms 2.0 % 0 B/s 0 B/s");
        let styles: Vec<_> = lines.iter().map(|l| l.style).collect();
        use Style::{Bold, Dim, Plain};
        assert_eq!(styles, [Dim, Dim, Bold, Bold, Plain, Dim]);
    }

    #[test]
    fn a_line_tells_all_of_a_link() {
        let rows = rows();
        assert_eq!(
            one_line(&rows[0]),
            "Link: hub connecting, sent 0, received 0, switches 0, outages 0"
        );
        assert_eq!(
            one_line(&rows[1]),
            "Link: rover-2 up, direct 10.0.0.1:1 -> 10.0.0.2:3, RTT 1.2 ms, loss 2.0 %, out 0 B/s, \
             in 0 B/s, sent 7, received 0, switches 2 (Died), outages 1 (longest 1.5 s, last 1.5 s)"
        );
    }
}

//! What a mirror does at this moment: it publishes that as a state, on a channel of its own.

use serde::{Deserialize, Serialize};

use crate::sink::Report;
use crate::source::SinkReport;

/// The namespace of the statuses of this host's mirrors.
pub const NAMESPACE: &str = "tearless-mirror";

/// The state of a mirror. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MirrorState {
    /// This host, as others see it.
    pub host: String,
    /// Since when the mirror runs.
    pub up: f64,
    /// Number of links to other hosts.
    pub links: u64,
    /// Hosts that can be asked at this moment.
    pub hosts: Vec<String>,
    /// Names that more than one mirror has taken: their states may be of either.
    pub duplicates: Vec<String>,
    /// Number of this host's channels that others may read.
    pub published: u64,
    /// The mirrors of other hosts that read them.
    pub sinks: Vec<SinkState>,
    /// The hosts that are mirrored here.
    pub origins: Vec<OriginState>,
    /// The last request that was refused, because it was no message of a mirror.
    pub refused: Option<String>,
}

/// A mirror of another host that reads this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkState {
    /// Its host.
    pub host: String,
    /// Replies that were sent.
    pub rounds: u64,
    /// Their bytes.
    pub bytes: u64,
    /// States that were sent.
    pub states: u64,
    /// Pieces of large states that were sent.
    pub pieces: u64,
    /// Publications that were overwritten before they could be sent.
    pub conflated: u64,
    /// Channels with a state that is not sent yet.
    pub waiting: u64,
}

/// An origin that is mirrored here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OriginState {
    /// The host.
    pub host: String,
    /// Whether there has been no news for too long.
    pub unreachable: bool,
    /// Since the last news.
    pub silent: Option<f64>,
    /// Fastest way there and back of late.
    pub round_trip: Option<f64>,
    /// Number of its channels that are mirrored here.
    pub channels: u64,
    /// Replies that have come.
    pub rounds: u64,
    /// Their bytes.
    pub bytes: u64,
    /// States that were published here.
    pub applied: u64,
    /// States that were not newer than what was here.
    pub ignored: u64,
    /// Large states that were asked for in pieces.
    pub pulled: u64,
    /// Requests without a valid reply.
    pub failed: u64,
    /// Channels that are not mirrored, and why: the first of them.
    pub refused: Vec<String>,
    /// What went wrong last.
    pub trouble: Option<String>,
}

impl From<&SinkReport> for SinkState {
    fn from(report: &SinkReport) -> SinkState {
        let SinkReport { host, rounds, bytes, states, pieces, conflated, waiting } = report.clone();
        SinkState { host, rounds, bytes, states, pieces, conflated, waiting }
    }
}

impl From<&Report> for OriginState {
    fn from(report: &Report) -> OriginState {
        let report = report.clone();
        OriginState {
            host: report.origin,
            unreachable: report.is_unreachable,
            silent: report.silent.map(|it| it.as_secs_f64()),
            round_trip: report.round_trip.map(|it| it.as_secs_f64()),
            channels: report.channels,
            rounds: report.rounds,
            bytes: report.bytes,
            applied: report.applied,
            ignored: report.ignored,
            pulled: report.pulled,
            failed: report.failed,
            refused: report.refused,
            trouble: report.trouble,
        }
    }
}

impl MirrorState {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{}: up {}, {} links, hosts: {}",
            self.host,
            seconds(self.up),
            self.links,
            if self.hosts.is_empty() { "none".into() } else { self.hosts.join(" ") }
        )];
        if !self.duplicates.is_empty() {
            lines.push(format!("more than one mirror is called: {}", self.duplicates.join(" ")));
        }
        lines.extend(self.refused.iter().map(|why| format!("refused a request: {why}")));
        lines.push(format!("publishes {} channels for {} mirrors", self.published, self.sinks.len()));
        for it in &self.sinks {
            lines.push(format!(
                "  {}: {} states and {} pieces in {} rounds, {} bytes; {} overwritten before, {} waiting",
                it.host, it.states, it.pieces, it.rounds, it.bytes, it.conflated, it.waiting
            ));
        }
        lines.push(format!("mirrors {} hosts", self.origins.len()));
        for it in &self.origins {
            let how = if it.unreachable { "UNREACHABLE" } else { "reachable" };
            let silent = it.silent.map_or("no news yet".into(), |time| format!("news {} ago", seconds(time)));
            let trip = it.round_trip.map_or(String::new(), |time| format!(", round trip {}", seconds(time)));
            lines.push(format!(
                "  {}: {how}, {silent}{trip}; {} channels, {} states ({} not newer, {} in pieces), {} bytes, {} failed",
                it.host, it.channels, it.applied, it.ignored, it.pulled, it.bytes, it.failed
            ));
            lines.extend(it.trouble.iter().map(|why| format!("    last trouble: {why}")));
            lines.extend(it.refused.iter().map(|why| format!("    not mirrored: {why}")));
        }
        lines.join("\n")
    }

    /// For Prometheus, by the text file collector of its node exporter, for example.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            text += &format!("# HELP tearless_mirror_{name} {help}\n# TYPE tearless_mirror_{name} {kind}\n");
            for (labels, value) in samples {
                text += &format!("tearless_mirror_{name}{labels} {value}\n");
            }
        };
        family("up_seconds", "gauge", "Since when the mirror runs.", &[(String::new(), self.up)]);
        family("links", "gauge", "Links to other hosts.", &[(String::new(), self.links as f64)]);
        family(
            "published",
            "gauge",
            "Channels that others may read.",
            &[(String::new(), self.published as f64)],
        );
        let sinks = |value: fn(&SinkState) -> f64| -> Vec<(String, f64)> {
            self.sinks.iter().map(|it| (label("sink", &it.host), value(it))).collect()
        };
        family("sent_bytes_total", "counter", "Bytes sent to a mirror.", &sinks(|it| it.bytes as f64));
        family("sent_states_total", "counter", "States sent to a mirror.", &sinks(|it| it.states as f64));
        family(
            "conflated_total",
            "counter",
            "Publications overwritten before they were sent.",
            &sinks(|it| it.conflated as f64),
        );
        family(
            "waiting",
            "gauge",
            "Channels with a state that is not sent yet.",
            &sinks(|it| it.waiting as f64),
        );
        let origins = |value: fn(&OriginState) -> Option<f64>| -> Vec<(String, f64)> {
            self.origins.iter().filter_map(|it| Some((label("origin", &it.host), value(it)?))).collect()
        };
        family(
            "unreachable",
            "gauge",
            "Whether there is no news of an origin.",
            &origins(|it| Some(f64::from(u8::from(it.unreachable)))),
        );
        family("silent_seconds", "gauge", "Since the last news of an origin.", &origins(|it| it.silent));
        family("round_trip_seconds", "gauge", "Fastest round trip of late.", &origins(|it| it.round_trip));
        family(
            "channels",
            "gauge",
            "Channels of an origin mirrored here.",
            &origins(|it| Some(it.channels as f64)),
        );
        family(
            "received_bytes_total",
            "counter",
            "Bytes from an origin.",
            &origins(|it| Some(it.bytes as f64)),
        );
        family("applied_total", "counter", "States published here.", &origins(|it| Some(it.applied as f64)));
        family(
            "ignored_total",
            "counter",
            "States that were not newer.",
            &origins(|it| Some(it.ignored as f64)),
        );
        family(
            "pulled_total",
            "counter",
            "Large states that came in pieces.",
            &origins(|it| Some(it.pulled as f64)),
        );
        family(
            "failed_total",
            "counter",
            "Requests without a valid reply.",
            &origins(|it| Some(it.failed as f64)),
        );
        family(
            "refused",
            "gauge",
            "Channels that are not mirrored, at most 16.",
            &origins(|it| Some(it.refused.len() as f64)),
        );
        text
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}

fn seconds(time: f64) -> String {
    match time {
        time if time < 0.001 => format!("{:.0} us", time * 1e6),
        time if time < 1.0 => format!("{:.1} ms", time * 1e3),
        time if time < 120.0 => format!("{time:.1} s"),
        time => format!("{:.0} min", time / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_to_people_and_to_prometheus() {
        let origin = OriginState {
            host: "a\"\n".into(),
            unreachable: true,
            silent: Some(4.5),
            refused: vec!["fleet/x: no memory".into()],
            ..OriginState::default()
        };
        let state = MirrorState { host: "b".into(), origins: vec![origin], ..MirrorState::default() };
        assert!(state.text().contains("UNREACHABLE, news 4.5 s ago"), "{}", state.text());
        assert!(state.text().contains("not mirrored: fleet/x: no memory"));
        let text = state.prometheus();
        assert!(text.contains("tearless_mirror_unreachable{origin=\"a\\\"\\n\"} 1\n"), "{text}");
    }
}

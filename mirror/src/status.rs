//! What a mirror does at this moment: it publishes that as a state, on a channel of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The namespace of the statuses of this host's mirrors.
pub const NAMESPACE: &str = "tearless-mirror";

/// Clocks that a service sets differ by less, in seconds.
const MAX_CLOCK_DIFFERENCE: f64 = 0.5;

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
    /// Requests that could not be decoded.
    pub undecodable: u64,
    /// Why the last of them could not.
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
    /// How old states were when they replaced earlier ones here, on the average of the last minute:
    /// their age at the origin, and about how long they were under way.
    pub lag: Option<f64>,
    /// The oldest of them.
    pub max_lag: Option<f64>,
    /// How much the origin's clock is ahead of this host's, or behind if it is negative, give or
    /// take half of the round trip.
    pub clock_ahead: Option<f64>,
    /// Number of its channels that are mirrored here.
    pub channels: u64,
    /// Memory that they count for, in bytes.
    pub memory: u64,
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

impl OriginState {
    /// For people, if the clocks differ by more than what they may, and by more than is measured.
    fn clock(&self) -> Option<String> {
        let ahead = self.clock_ahead?;
        let give_or_take = self.round_trip? / 2.0;
        let is_much = ahead.abs() > MAX_CLOCK_DIFFERENCE + give_or_take;
        let which = if ahead > 0.0 { "ahead of" } else { "behind" };
        is_much.then(|| {
            format!("    its clock is {} {which} this host's: is one of them not set?", seconds(ahead.abs()))
        })
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
            if self.hosts.is_empty() { "none".into() } else { shown(&self.hosts.join(" ")) }
        )];
        if !self.duplicates.is_empty() {
            lines.push(format!("more than one mirror is called: {}", shown(&self.duplicates.join(" "))));
        }
        let last = self.refused.iter();
        lines.extend(last.map(|why| format!("requests not decoded: {}, the last: {why}", self.undecodable)));
        lines.push(format!("publishes {} channels for {} mirrors", self.published, self.sinks.len()));
        for it in &self.sinks {
            lines.push(format!(
                "  {}: {} states and {} pieces in {} rounds, {} bytes; {} overwritten before, {} waiting",
                shown(&it.host),
                it.states,
                it.pieces,
                it.rounds,
                it.bytes,
                it.conflated,
                it.waiting
            ));
        }
        lines.push(format!("mirrors {} hosts", self.origins.len()));
        for it in &self.origins {
            let how = match (it.unreachable, it.silent) {
                (true, _) => "UNREACHABLE",
                (false, Some(_)) => "reachable",
                (false, None) => "no answer",
            };
            let silent = it.silent.map_or("no news yet".into(), |time| format!("news {} ago", seconds(time)));
            let trip = it.round_trip.map_or(String::new(), |time| format!(", round trip {}", seconds(time)));
            let lag = it.lag.zip(it.max_lag).map_or(String::new(), |(lag, max)| {
                format!(", lag {}, at most {}", seconds(lag), seconds(max))
            });
            lines.push(format!(
                "  {}: {how}, {silent}{trip}{lag}; {} channels, {} states ({} not newer, {} in pieces), {} bytes, {} failed",
                shown(&it.host), it.channels, it.applied, it.ignored, it.pulled, it.bytes, it.failed
            ));
            lines.extend(it.clock());
            lines.extend(it.trouble.iter().map(|why| format!("    last trouble: {}", shown(why))));
            lines.extend(it.refused.iter().map(|why| format!("    not mirrored: {}", shown(why))));
        }
        lines.join("\n")
    }
}

/// The statuses for Prometheus, by the text file collector of its node exporter, for example; each
/// with whether its mirror runs. Of one that was killed, the numbers would be old: it has none.
#[must_use]
pub fn prometheus(states: &[(bool, MirrorState)]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<(Vec<(&str, &str)>, f64)>| {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        text += &format!("# HELP tearless_mirror_{name} {help}\n# TYPE tearless_mirror_{name} {kind}\n");
        // A host that has restarted has two for a while: a label set has one sample.
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (labels, value) in samples {
            *sums.entry(label_set(&labels)).or_default() += value;
        }
        for (labels, value) in sums {
            text += &format!("tearless_mirror_{name}{labels} {value}\n");
        }
    };
    let alive = states.iter().map(|(alive, it)| (vec![("mirror", &*it.host)], f64::from(u8::from(*alive))));
    family("alive", "1 if the mirror runs, otherwise it has no other number.", alive.collect());
    let states: Vec<&MirrorState> = states.iter().filter(|(alive, _)| *alive).map(|(_, it)| it).collect();
    let mut mirrors = |name, help, value: fn(&MirrorState) -> f64| {
        family(name, help, states.iter().map(|it| (vec![("mirror", &*it.host)], value(it))).collect());
    };
    mirrors("up_seconds", "Since when the mirror runs.", |it| it.up);
    mirrors("links", "Links to other hosts.", |it| it.links as f64);
    mirrors("hosts", "Hosts that can be asked.", |it| it.hosts.len() as f64);
    mirrors("duplicates", "Names that more than one mirror has.", |it| it.duplicates.len() as f64);
    mirrors("published", "Channels that others may read.", |it| it.published as f64);
    mirrors("undecodable_total", "Requests that could not be decoded.", |it| it.undecodable as f64);
    let mut sinks = |name, help, value: fn(&SinkState) -> f64| {
        let of = |it: &MirrorState| {
            it.sinks.iter().map(|sink| (sink.host.clone(), value(sink))).collect::<Vec<_>>()
        };
        let all: Vec<_> = states.iter().map(|it| (&*it.host, of(it))).collect();
        let samples = all.iter().flat_map(|(mirror, of)| {
            of.iter().map(move |(sink, value)| (vec![("mirror", *mirror), ("sink", &**sink)], *value))
        });
        family(name, help, samples.collect());
    };
    sinks("sent_bytes_total", "Bytes sent to a mirror.", |it| it.bytes as f64);
    sinks("sent_rounds_total", "Rounds sent to a mirror.", |it| it.rounds as f64);
    sinks("sent_states_total", "States sent to a mirror.", |it| it.states as f64);
    sinks("sent_pieces_total", "Pieces of large states sent to a mirror.", |it| it.pieces as f64);
    sinks("conflated_total", "Publications overwritten before they were sent.", |it| it.conflated as f64);
    sinks("waiting", "Channels with a state that is not sent yet.", |it| it.waiting as f64);
    let mut origins = |name, help, value: fn(&OriginState) -> Option<f64>| {
        let samples = states.iter().flat_map(|it| {
            it.origins.iter().filter_map(move |origin| {
                Some((vec![("mirror", &*it.host), ("origin", &*origin.host)], value(origin)?))
            })
        });
        family(name, help, samples.collect());
    };
    origins("unreachable", "1 if there is no news of an origin.", |it| {
        Some(f64::from(u8::from(it.unreachable || it.silent.is_none())))
    });
    origins("silent_seconds", "Since the last news of an origin.", |it| it.silent);
    origins("round_trip_seconds", "Fastest round trip of late.", |it| it.round_trip);
    origins("lag_seconds", "How old states were when they came, mean of a minute.", |it| it.lag);
    origins("max_lag_seconds", "How old states were when they came, at most.", |it| it.max_lag);
    origins("clock_ahead_seconds", "How much an origin's clock is ahead.", |it| it.clock_ahead);
    origins("channels", "Channels of an origin mirrored here.", |it| Some(it.channels as f64));
    origins("memory_bytes", "Memory that they count for.", |it| Some(it.memory as f64));
    origins("received_rounds_total", "Rounds from an origin.", |it| Some(it.rounds as f64));
    origins("received_bytes_total", "Bytes from an origin.", |it| Some(it.bytes as f64));
    origins("applied_total", "States published here.", |it| Some(it.applied as f64));
    origins("ignored_total", "States that were not newer.", |it| Some(it.ignored as f64));
    origins("pulled_total", "Large states that came in pieces.", |it| Some(it.pulled as f64));
    origins("failed_total", "Requests without a valid reply.", |it| Some(it.failed as f64));
    origins("refused", "Channels that are not mirrored, at most 16.", |it| Some(it.refused.len() as f64));
    text
}

fn label_set(labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", labels.join(","))
}

/// A text of another host, without what a terminal would act upon.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
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
            round_trip: Some(0.2),
            lag: Some(0.0021),
            max_lag: Some(0.25),
            clock_ahead: Some(-3.25),
            refused: vec!["fleet/x: no memory".into()],
            ..OriginState::default()
        };
        let sink = SinkState { host: "c".into(), rounds: 1, bytes: 2, ..SinkState::default() };
        let sinks = vec![sink.clone(), sink];
        let state = MirrorState { host: "b".into(), origins: vec![origin], sinks, ..MirrorState::default() };
        assert!(state.text().contains("UNREACHABLE, news 4.5 s ago"), "{}", state.text());
        assert!(
            state.text().contains("round trip 200.0 ms, lag 2.1 ms, at most 250.0 ms;"),
            "{}",
            state.text()
        );
        assert!(state.text().contains("its clock is 3.2 s behind this host's"), "{}", state.text());
        assert!(state.text().contains("not mirrored: fleet/x: no memory"));
        assert!(!state.text().contains("a\"\n"), "{}", state.text());
        let killed = MirrorState { host: "d".into(), ..state.clone() };
        let text = prometheus(&[(true, state), (false, killed)]);
        assert!(text.contains(r#"tearless_mirror_alive{mirror="b"} 1"#), "{text}");
        assert!(text.contains(r#"tearless_mirror_alive{mirror="d"} 0"#), "{text}");
        assert_eq!(text.matches(r#"mirror="d""#).count(), 1, "{text}");
        assert!(
            text.contains(r#"tearless_mirror_clock_ahead_seconds{mirror="b",origin="a\"\n"} -3.25"#),
            "{text}"
        );
        assert!(text.contains(r#"tearless_mirror_unreachable{mirror="b",origin="a\"\n"} 1"#), "{text}");
        assert!(text.contains(r#"tearless_mirror_sent_bytes_total{mirror="b",sink="c"} 4"#), "{text}");
    }

    /// Without defaults: a number that is added to the status fails to compile here.
    #[test]
    fn prometheus_gets_every_number_of_the_status() {
        let sink = SinkState {
            host: "c".into(),
            rounds: 101,
            bytes: 102,
            states: 103,
            pieces: 104,
            conflated: 105,
            waiting: 106,
        };
        let origin = OriginState {
            host: "a".into(),
            unreachable: true,
            silent: Some(107.0),
            round_trip: Some(108.0),
            lag: Some(109.0),
            max_lag: Some(110.0),
            clock_ahead: Some(111.0),
            channels: 112,
            memory: 113,
            rounds: 114,
            bytes: 115,
            applied: 116,
            ignored: 117,
            pulled: 118,
            failed: 119,
            refused: vec!["fleet/x: no memory".into(); 9],
            trouble: Some("late".into()),
        };
        let state = MirrorState {
            host: "b".into(),
            up: 120.0,
            links: 121,
            hosts: vec!["a".into(); 7],
            duplicates: vec!["a".into(); 8],
            published: 122,
            sinks: vec![sink],
            origins: vec![origin],
            undecodable: 123,
            refused: Some("damaged".into()),
        };
        assert!(state.text().contains("requests not decoded: 123, the last: damaged"), "{}", state.text());
        let text = prometheus(&[(true, state)]);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values: Vec<f64> = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        let mut expected: Vec<f64> = (101..=123).map(f64::from).collect();
        // Alive and unreachable, hosts, duplicates, refused channels.
        expected.extend([7.0, 8.0, 9.0]);
        assert_eq!(values.iter().filter(|it| **it == 1.0).count(), 2, "{text}");
        for value in &expected {
            assert_eq!(values.iter().filter(|it| *it == value).count(), 1, "{value} in {text}");
        }
        assert_eq!(values.len(), expected.len() + 2, "{text}");
    }
}

//! A scrape as text for Prometheus: families of metrics, in the OpenMetrics format.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use super::sample::{Content, Figure, Sample, Scrape};
use crate::health;
use crate::output::printable;

/// The content type of the text, for HTTP.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exposition of a scrape.
pub(super) fn text_of(scrape: &Scrape) -> String {
    let mut text = String::with_capacity(512 * (scrape.samples.len() + 4));
    // Writing to a string can't fail.
    let _ = write_all(&mut text, scrape);
    text
}

/// A family of metrics with one number for each channel: name, help, kind, and the number.
type Family = (&'static str, &'static str, &'static str, fn(&Sample) -> Option<Figure>);

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

const FAMILIES: [Family; 8] = [
    ("tearless_up", "1 if the worker is alive and its state current", GAUGE, |it| {
        Some(whole(it.is_up().into()))
    }),
    ("tearless_publications", "Publications by all writers", COUNTER, |it| Some(whole(it.publications))),
    ("tearless_age_seconds", "Age of the latest publication", GAUGE, |it| it.age.map(seconds)),
    ("tearless_heartbeat_age_seconds", "Age of the heartbeat", GAUGE, |it| it.heartbeat_age.map(seconds)),
    ("tearless_incarnation", "Writers so far", GAUGE, |it| Some(whole(it.incarnation))),
    ("tearless_growths", "Replaced segments", COUNTER, |it| Some(whole(it.growths))),
    ("tearless_state_bytes", "Payload of the latest state", GAUGE, |it| it.bytes.map(|it| whole(it as u64))),
    ("tearless_fields_left_out", "Numbers in the state beyond the limits", GAUGE, |it| match &it.content {
        Content::Fields(fields) => Some(whole(fields.left_out)),
        _ => None,
    }),
];

fn whole(number: u64) -> Figure {
    Figure::Whole(number.into())
}

fn seconds(duration: Duration) -> Figure {
    Figure::Float(duration.as_secs_f64())
}

fn write_all(text: &mut String, scrape: &Scrape) -> fmt::Result {
    let one = Figure::Whole(1);
    let samples = || scrape.samples.iter();
    for (name, help, kind, figure) in FAMILIES {
        let metrics = samples().filter_map(|sample| Some((vec![channel(sample)], figure(sample)?)));
        family(text, (name, help, kind), metrics)?;
    }
    let help = "State of the channel's writer: 1 for the current state";
    let state = |sample: &Sample| ("state", health::word(sample.health));
    let states = samples().map(|sample| (vec![channel(sample), state(sample)], one));
    family(text, ("tearless_writer", help, GAUGE), states)?;
    let help = "Channels without exported fields, and the reason";
    let missing = samples().filter_map(|sample| match sample.content {
        Content::Missing(reason) => Some((vec![channel(sample), ("reason", reason)], one)),
        _ => None,
    });
    family(text, ("tearless_no_fields", help, GAUGE), missing)?;
    let help = "Numbers in the states of the channels, by path; booleans are 0 or 1";
    family(text, ("tearless_field", help, GAUGE), samples().flat_map(fields))?;
    for (name, help, kind, figure) in scrape.own() {
        family(text, (name, help, kind), [(Vec::new(), figure)])?;
    }
    text.write_str("# EOF\n")
}

/// The number of a metric, and its labels.
type Metric<'a> = (Vec<(&'static str, &'a str)>, Figure);

fn channel(sample: &Sample) -> (&'static str, &str) {
    ("channel", &sample.channel)
}

/// The numbers in a state. Those of a last state are marked.
fn fields(sample: &Sample) -> impl Iterator<Item = Metric<'_>> {
    let mark = (!sample.is_up()).then_some(("last_state", "true"));
    let fields = match &sample.content {
        Content::Fields(fields) => &fields.all[..],
        _ => &[],
    };
    fields.iter().map(move |(path, figure)| {
        let labels = [channel(sample), ("field", path.as_str())].into_iter().chain(mark);
        (labels.collect(), *figure)
    })
}

fn family<'a>(
    text: &mut String,
    (name, help, kind): (&str, &str, &str),
    metrics: impl IntoIterator<Item = Metric<'a>>,
) -> fmt::Result {
    let suffix = if kind == COUNTER { "_total" } else { "" };
    writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}")?;
    for (labels, figure) in metrics {
        write!(text, "{name}{suffix}")?;
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            write!(text, "{begin}{label}=\"{}\"", escaped(value))?;
        }
        writeln!(text, "{} {figure}", if labels.is_empty() { "" } else { "}" })?;
    }
    Ok(())
}

impl Scrape {
    /// The exporter's own numbers.
    fn own(&self) -> [(&'static str, &'static str, &'static str, Figure); 6] {
        let (channels, left_out) = (self.samples.len() as u64, self.left_out as u64);
        [
            ("tearless_exporter_listed", "0 if the list is an old one", GAUGE, whole(self.is_listed.into())),
            ("tearless_exporter_channels", "Channels in this scrape", GAUGE, whole(channels)),
            ("tearless_exporter_channels_left_out", "Channels beyond --max-channels", GAUGE, whole(left_out)),
            ("tearless_exporter_scrape_seconds", "Time to read all channels", GAUGE, seconds(self.duration)),
            ("tearless_exporter_scrapes", "Scrapes so far", COUNTER, whole(self.scrapes)),
            ("tearless_exporter_retries", "Reads repeated for a faster writer", COUNTER, whole(self.retries)),
        ]
    }
}

/// A label's value. It may come from shared memory: first it is made [`printable`], without line
/// breaks, then backslashes and quotes are escaped, which the exposition format reserves.
fn escaped(value: &str) -> Cow<'_, str> {
    let text = printable(value);
    match text.contains(['\\', '"']) {
        true => text.replace('\\', r"\\").replace('"', r#"\""#).into(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tearless::hub::Health;

    use super::super::sample::Fields;
    use super::*;

    const FRESH: Option<Health> = Some(Health::Fresh { age: Duration::ZERO });

    fn sample(channel: &str, health: Option<Health>, path: &str) -> Sample {
        let all = vec![(path.into(), Figure::Whole(3))];
        let content = Content::Fields(Arc::new(Fields { all, left_out: 0 }));
        Sample { health, content, ..Sample::unreadable(channel) }
    }

    fn expose(samples: Vec<Sample>) -> String {
        text_of(&Scrape { samples, ..Scrape::default() })
    }

    #[test]
    fn a_field_is_a_gauge_with_the_channel_and_the_path() {
        let text = expose(vec![sample("worker-7", FRESH, "queue.len")]);
        assert!(text.contains("\ntearless_field{channel=\"worker-7\",field=\"queue.len\"} 3\n"), "{text}");
        assert!(text.contains("\ntearless_up{channel=\"worker-7\"} 1\n"), "{text}");
        assert!(text.contains("\n# TYPE tearless_publications counter\n"), "{text}");
        assert!(text.contains("\ntearless_publications_total{channel=\"worker-7\"} 0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn last_states_are_marked() {
        let text = expose(vec![sample("w", Some(Health::Dead { since: None }), "jobs")]);
        assert!(
            text.contains("\ntearless_field{channel=\"w\",field=\"jobs\",last_state=\"true\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("\ntearless_up{channel=\"w\"} 0\n"), "{text}");
        assert!(text.contains("\ntearless_writer{channel=\"w\",state=\"dead\"} 1\n"), "{text}");
    }

    #[test]
    fn hostile_texts_stay_inside_of_their_label() {
        let hostile = "a\"} 1\n# EOF\ntearless_up{channel=\"x\\\u{1b}[2J\u{202e}";
        let text = expose(vec![sample(hostile, FRESH, hostile)]);
        let plain = expose(vec![sample("x", FRESH, "x")]);
        assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
        let label = r#""a\"} 1\\n# EOF\\ntearless_up{channel=\"x\\\\u{1b}[2J\\u{202e}""#;
        assert!(text.contains(&format!("tearless_field{{channel={label},field={label}}} 3\n")), "{text}");
    }

    #[test]
    fn numbers_of_64_bits_are_exact() {
        let sample = Sample { publications: u64::MAX, ..sample("w", FRESH, "x") };
        let text = expose(vec![sample]);
        assert!(text.contains("tearless_publications_total{channel=\"w\"} 18446744073709551615\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

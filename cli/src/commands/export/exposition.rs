//! A scrape as text for Prometheus.

use std::fmt::{self, Write as _};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelValue, LabelValueEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::sample::{Content, Figure, Sample, Scrape};
use crate::health;
use crate::output::printable;

/// The content type of the text, for HTTP.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exposition of a scrape.
pub(super) fn text_of(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    let guess = 512 * (scrape.samples.len() + 4);
    registry.register_collector(Box::new(scrape));
    let mut output = String::with_capacity(guess);
    // Writing to a string can't fail, and the numbers are in range.
    let _ = text::encode(&mut output, &registry);
    output
}

/// A family of metrics with one number for each channel: name, help, kind, and the number.
type Family = (&'static str, &'static str, MetricType, fn(&Sample) -> Option<Figure>);

const GAUGE: MetricType = MetricType::Gauge;
const COUNTER: MetricType = MetricType::Counter;

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
    i64::try_from(number).map_or(Figure::Float(number as f64), Figure::Whole)
}

fn seconds(duration: Duration) -> Figure {
    Figure::Float(duration.as_secs_f64())
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (encoder, one) = (&mut encoder, Figure::Whole(1));
        let samples = || self.samples.iter();
        for (name, help, kind, figure) in FAMILIES {
            let metrics = samples().filter_map(|sample| Some((vec![channel(sample)], figure(sample)?)));
            family(encoder, (name, help, kind), metrics)?;
        }
        let help = "State of the channel's writer: 1 for the current state";
        let state = |sample: &Sample| ("state", Label(health::word(sample.health)));
        let states = samples().map(|sample| (vec![channel(sample), state(sample)], one));
        family(encoder, ("tearless_writer", help, GAUGE), states)?;
        let help = "Channels without exported fields, and the reason";
        let reason = |sample: &Sample| Some(("reason", Label(sample.content.problem()?)));
        let missing = samples().filter_map(|sample| Some((vec![channel(sample), reason(sample)?], one)));
        family(encoder, ("tearless_no_fields", help, GAUGE), missing)?;
        let help = "Numbers in the states of the channels, by path; booleans are 0 or 1";
        family(encoder, ("tearless_field", help, GAUGE), samples().flat_map(fields))?;
        for (name, help, kind, figure) in self.own() {
            family(encoder, (name, help, kind), [(Vec::new(), figure)])?;
        }
        Ok(())
    }
}

/// The number of a metric, and its labels.
type Metric<'a> = (Vec<(&'static str, Label<'a>)>, Figure);

fn channel(sample: &Sample) -> (&'static str, Label<'_>) {
    ("channel", Label(&sample.channel))
}

/// The numbers in a state. Those of a last state are marked.
fn fields(sample: &Sample) -> impl Iterator<Item = Metric<'_>> {
    let mark = (!sample.is_up()).then_some(("last_state", Label("true")));
    let fields = match &sample.content {
        Content::Fields(fields) => &fields.all[..],
        _ => &[],
    };
    fields.iter().map(move |(path, figure)| {
        let labels = [channel(sample), ("field", Label(path))].into_iter().chain(mark);
        (labels.collect(), *figure)
    })
}

fn family<'a>(
    encoder: &mut DescriptorEncoder,
    (name, help, kind): (&str, &str, MetricType),
    metrics: impl IntoIterator<Item = Metric<'a>>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, figure) in metrics {
        match labels.is_empty() {
            // The encoder would write braces.
            true => encode(&mut family, kind, figure)?,
            false => encode(&mut family.encode_family(&labels)?, kind, figure)?,
        }
    }
    Ok(())
}

impl Scrape {
    /// The exporter's own numbers.
    fn own(&self) -> [(&'static str, &'static str, MetricType, Figure); 6] {
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

fn encode(metric: &mut MetricEncoder, kind: MetricType, figure: Figure) -> fmt::Result {
    match (kind, figure) {
        (MetricType::Counter, Figure::Whole(number)) => {
            metric.encode_counter::<NoLabelSet, u64, u64>(&number.unsigned_abs(), None)
        }
        (MetricType::Counter, Figure::Float(number)) => {
            metric.encode_counter::<NoLabelSet, f64, u64>(&number, None)
        }
        (_, figure) => metric.encode_gauge(&figure),
    }
}

/// A label's value. Its text may come from shared memory: first it is made [`printable`], without
/// line breaks, then backslashes and quotes are escaped, which the exposition format reserves. The
/// encoder itself escapes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'a>(pub(super) &'a str);

impl EncodeLabelValue for Label<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let text = printable(self.0);
        match text.contains(['\\', '"']) {
            true => encoder.write_str(&text.replace('\\', r"\\").replace('"', r#"\""#)),
            false => encoder.write_str(&text),
        }
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
        text_of(Scrape { samples, ..Scrape::default() })
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
    fn numbers_beyond_63_bits_are_no_error() {
        let sample = Sample { publications: u64::MAX, ..sample("w", FRESH, "x") };
        let text = expose(vec![sample]);
        assert!(text.contains("tearless_publications_total{channel=\"w\"} 18446744073709553000.0"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

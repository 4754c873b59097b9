//! A scrape as text for Prometheus.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::field::Figure;
use super::label::Label;
use super::sample::{Content, Listing, Sample, Scrape};
use crate::health;

/// What the text is, for whoever gets it by HTTP.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exposition of a scrape.
pub(super) fn text_of(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    let guess = 512 * (scrape.samples.len() + 4);
    registry.register_collector(Box::new(scrape));
    let mut output = String::with_capacity(guess);
    // A string takes everything, and our numbers are in range: there is nothing that could fail.
    let _ = text::encode(&mut output, &registry);
    output
}

/// One family of metrics with one number for a channel.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    figure: fn(&Sample) -> Option<Figure>,
}

const FAMILIES: [Family; 8] = [
    Family {
        name: "tearless_up",
        help: "Whether the worker lives and stands for its state; where it is 0, fields are left out",
        kind: MetricType::Gauge,
        figure: |sample| Some(Figure::Whole(i64::from(sample.is_up()))),
    },
    Family {
        name: "tearless_publications",
        help: "Publications in the channel's life, by all of its writers",
        kind: MetricType::Counter,
        figure: |sample| Some(whole(sample.publications)),
    },
    Family {
        name: "tearless_age_seconds",
        help: "Age of the latest publication",
        kind: MetricType::Gauge,
        figure: |sample| sample.age.map(seconds),
    },
    Family {
        name: "tearless_heartbeat_age_seconds",
        help: "Time since the writer last said that it is at work",
        kind: MetricType::Gauge,
        figure: |sample| sample.heartbeat.map(seconds),
    },
    Family {
        name: "tearless_incarnation",
        help: "Writers that the channel has had, one after the other",
        kind: MetricType::Gauge,
        figure: |sample| Some(whole(sample.incarnation)),
    },
    Family {
        name: "tearless_growths",
        help: "Replacements of a segment by a larger or smaller one",
        kind: MetricType::Counter,
        figure: |sample| Some(whole(sample.growths)),
    },
    Family {
        name: "tearless_state_bytes",
        help: "Payload bytes of the latest state",
        kind: MetricType::Gauge,
        figure: |sample| sample.bytes.map(|bytes| whole(bytes as u64)),
    },
    Family {
        name: "tearless_fields_left_out",
        help: "Numbers in the state beyond the most that are exported, or with too long a path",
        kind: MetricType::Gauge,
        figure: |sample| match &sample.content {
            Content::Fields(fields) => Some(whole(fields.left_out)),
            _ => None,
        },
    },
];

fn whole(number: u64) -> Figure {
    i64::try_from(number).map_or(Figure::Float(number as f64), Figure::Whole)
}

fn seconds(duration: Duration) -> Figure {
    Figure::Float(duration.as_secs_f64())
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in &FAMILIES {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for sample in &self.samples {
                if let Some(figure) = (family.figure)(sample) {
                    let labels = [("channel", Label(&sample.channel))];
                    one(&mut metric, family.kind, &labels, figure)?;
                }
            }
        }
        self.encode_health(&mut encoder)?;
        self.encode_complaints(&mut encoder)?;
        self.encode_fields(&mut encoder)?;
        self.encode_own(&mut encoder)
    }
}

impl Scrape {
    fn encode_health(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "How the channel's writer is: 1 for its state";
        let mut metric = encoder.encode_descriptor("tearless_writer", help, None, MetricType::Gauge)?;
        self.samples.iter().try_for_each(|sample| {
            let labels = [("channel", Label(&sample.channel)), ("state", Label(health::word(sample.health)))];
            metric.encode_family(&labels)?.encode_gauge(&1_i64)
        })
    }

    fn encode_complaints(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Channels whose fields can't be told, and why";
        let mut metric = encoder.encode_descriptor("tearless_no_fields", help, None, MetricType::Gauge)?;
        self.samples.iter().try_for_each(|sample| {
            let Some(reason) = sample.content.complaint() else { return Ok(()) };
            let labels = [("channel", Label(&sample.channel)), ("reason", Label(reason))];
            metric.encode_family(&labels)?.encode_gauge(&1_i64)
        })
    }

    fn encode_fields(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Numbers in the states of the channels, by path; booleans are 0 or 1";
        let mut metric = encoder.encode_descriptor("tearless_field", help, None, MetricType::Gauge)?;
        for sample in &self.samples {
            let Content::Fields(fields) = &sample.content else { continue };
            for field in &fields.all {
                let labels = [("channel", Label(&sample.channel)), ("field", Label(&field.path))];
                let figure = field.figure;
                if sample.is_up() {
                    metric.encode_family(&labels)?.encode_gauge(&figure)?;
                } else {
                    let labels = [labels[0], labels[1], ("last_state", Label("true"))];
                    metric.encode_family(&labels)?.encode_gauge(&figure)?;
                }
            }
        }
        Ok(())
    }

    fn encode_own(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let own: [(&str, &str, MetricType, Figure); 5] = [
            (
                "tearless_exporter_listed",
                "Whether the channels could be listed in this scrape; if not, they are those known before",
                MetricType::Gauge,
                Figure::Whole(i64::from(self.listing == Listing::Present)),
            ),
            (
                "tearless_exporter_channels",
                "Channels of this scrape",
                MetricType::Gauge,
                whole(self.samples.len() as u64),
            ),
            (
                "tearless_exporter_scrape_seconds",
                "What reading all channels took in this scrape",
                MetricType::Gauge,
                seconds(self.duration),
            ),
            ("tearless_exporter_scrapes", "Scrapes so far", MetricType::Counter, whole(self.scrapes)),
            (
                "tearless_exporter_retries",
                "Attempts that were made anew because a writer was faster",
                MetricType::Counter,
                whole(self.retries),
            ),
        ];
        for (name, help, kind, figure) in own {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            encode(&mut metric, kind, figure)?;
        }
        Ok(())
    }
}

fn one(
    metric: &mut MetricEncoder,
    kind: MetricType,
    labels: &impl EncodeLabelSet,
    figure: Figure,
) -> fmt::Result {
    encode(&mut metric.encode_family(labels)?, kind, figure)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::field::{Field, Fields};
    use tearless::Health;

    const FRESH: Option<Health> = Some(Health::Fresh { age: Duration::ZERO });
    use super::*;

    fn sample(channel: &str, health: Option<Health>, path: &str) -> Sample {
        let all = vec![Field { path: path.into(), figure: Figure::Whole(3) }];
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

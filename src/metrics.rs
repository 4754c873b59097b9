//! Statistics and memory for the `metrics` facade (feature `metrics`).
//!
//! Nothing here runs by itself: a program records when it likes, and the recorder that it has
//! installed does the rest.

use ::metrics::{Label, counter, gauge};

use crate::channel::{ReaderStatistics, WriterStatistics};
use crate::clock::nanoseconds;
use crate::hub::HubStatistics;
use crate::syncer::SyncerStatistics;
use crate::usage::{ChannelMemory, MemoryUsage, NamespaceMemory};

/// Labels that a recorder keeps.
fn owned(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| Label::new((*key).to_owned(), (*value).to_owned())).collect()
}

impl WriterStatistics {
    /// Sets the counters of the `metrics` facade, under these labels:
    ///
    /// | counter | unit | of |
    /// |---|---|---|
    /// | `tearless_publications_total` | publications | [`publications`](Self::publications) |
    /// | `tearless_published_bytes_total` | bytes | [`bytes`](Self::bytes) |
    /// | `tearless_growths_total` | publications | [`growths`](Self::growths) |
    /// | `tearless_reused_segments_total` | publications | [`reused`](Self::reused) |
    /// | `tearless_failed_publications_total` | states | [`failed`](Self::failed) |
    /// | `tearless_pinned_slots_total` | slots | [`pinned`](Self::pinned) |
    ///
    /// They are set and not increased, so it may be called as often as one likes. Recorders don't
    /// let counters go back: give every writer of a process labels of its own, for example its
    /// channel and its incarnation, or one that is opened later is not seen until it has done more
    /// than the one before.
    ///
    /// Only with the feature `metrics`.
    pub fn record(&self, labels: &[(&str, &str)]) {
        let labels = owned(labels);
        counter!("tearless_publications_total", labels.clone()).absolute(self.publications);
        counter!("tearless_published_bytes_total", labels.clone()).absolute(self.bytes);
        counter!("tearless_growths_total", labels.clone()).absolute(self.growths);
        counter!("tearless_reused_segments_total", labels.clone()).absolute(self.reused);
        counter!("tearless_failed_publications_total", labels.clone()).absolute(self.failed);
        counter!("tearless_pinned_slots_total", labels).absolute(self.pinned);
    }
}

impl ReaderStatistics {
    /// Sets the counters of the `metrics` facade, under these labels:
    ///
    /// | counter | unit | of |
    /// |---|---|---|
    /// | `tearless_snapshots_total` | snapshots | [`snapshots`](Self::snapshots) |
    /// | `tearless_snapshot_bytes_total` | bytes | [`bytes`](Self::bytes) |
    /// | `tearless_retries_total` | attempts | [`retries`](Self::retries) |
    /// | `tearless_remaps_total` | segments | [`remaps`](Self::remaps) |
    /// | `tearless_give_ups_total` | snapshots | [`give_ups`](Self::give_ups) |
    /// | `tearless_views_total` | views | [`views`](Self::views) |
    /// | `tearless_copied_views_total` | views | [`copied_views`](Self::copied_views) |
    ///
    /// They are set and not increased, so it may be called as often as one likes. Recorders don't
    /// let counters go back: give every reader of a process labels of its own.
    ///
    /// Only with the feature `metrics`.
    pub fn record(&self, labels: &[(&str, &str)]) {
        let labels = owned(labels);
        counter!("tearless_snapshots_total", labels.clone()).absolute(self.snapshots);
        counter!("tearless_snapshot_bytes_total", labels.clone()).absolute(self.bytes);
        counter!("tearless_retries_total", labels.clone()).absolute(self.retries);
        counter!("tearless_remaps_total", labels.clone()).absolute(self.remaps);
        counter!("tearless_give_ups_total", labels.clone()).absolute(self.give_ups);
        counter!("tearless_views_total", labels.clone()).absolute(self.views);
        counter!("tearless_copied_views_total", labels).absolute(self.copied_views);
    }
}

impl HubStatistics {
    /// Sets the counters of the `metrics` facade, under these labels:
    ///
    /// | counter | unit | of |
    /// |---|---|---|
    /// | `tearless_hub_attachments_total` | channels | [`attachments`](Self::attachments) |
    /// | `tearless_hub_slow_queries_total` | queries | [`slow_queries`](Self::slow_queries) |
    /// | `tearless_hub_retries_total` | attempts | [`retries`](Self::retries) |
    /// | `tearless_hub_remaps_total` | segments | [`remaps`](Self::remaps) |
    /// | `tearless_hub_give_ups_total` | queries | [`give_ups`](Self::give_ups) |
    ///
    /// They are set and not increased, so it may be called as often as one likes.
    ///
    /// Only with the feature `metrics`.
    pub fn record(&self, labels: &[(&str, &str)]) {
        let labels = owned(labels);
        counter!("tearless_hub_attachments_total", labels.clone()).absolute(self.attachments);
        counter!("tearless_hub_slow_queries_total", labels.clone()).absolute(self.slow_queries);
        counter!("tearless_hub_retries_total", labels.clone()).absolute(self.retries);
        counter!("tearless_hub_remaps_total", labels.clone()).absolute(self.remaps);
        counter!("tearless_hub_give_ups_total", labels).absolute(self.give_ups);
    }
}

impl SyncerStatistics {
    /// Sets the counters of the `metrics` facade, and a gauge, under these labels:
    ///
    /// | counter | unit | of |
    /// |---|---|---|
    /// | `tearless_sync_ticks_total` | ticks | [`ticks`](Self::ticks) |
    /// | `tearless_sync_published_total` | states | [`published`](Self::published) |
    /// | `tearless_sync_skipped_total` | states | [`skipped`](Self::skipped) |
    /// | `tearless_sync_overruns_total` | ticks | [`overruns`](Self::overruns) |
    /// | `tearless_sync_failed_total` | attempts | [`failed`](Self::failed) |
    /// | `tearless_sync_bytes_total` | bytes | [`bytes`](Self::bytes) |
    /// | `tearless_sync_encode_nanoseconds_total` | nanoseconds | [`encode_time`](Self::encode_time) |
    /// | gauge `tearless_sync_max_encode_seconds` | seconds | [`max_encode_time`](Self::max_encode_time) |
    ///
    /// They are set and not increased, so it may be called as often as one likes; give every syncer
    /// of a process labels of its own.
    ///
    /// Only with the feature `metrics`.
    pub fn record(&self, labels: &[(&str, &str)]) {
        let labels = owned(labels);
        let encoding = nanoseconds(self.encode_time);
        counter!("tearless_sync_ticks_total", labels.clone()).absolute(self.ticks);
        counter!("tearless_sync_published_total", labels.clone()).absolute(self.published);
        counter!("tearless_sync_skipped_total", labels.clone()).absolute(self.skipped);
        counter!("tearless_sync_overruns_total", labels.clone()).absolute(self.overruns);
        counter!("tearless_sync_failed_total", labels.clone()).absolute(self.failed);
        counter!("tearless_sync_bytes_total", labels.clone()).absolute(self.bytes);
        counter!("tearless_sync_encode_nanoseconds_total", labels.clone()).absolute(encoding);
        gauge!("tearless_sync_max_encode_seconds", labels).set(self.max_encode_time.as_secs_f64());
    }
}

impl NamespaceMemory {
    /// Sets the gauges `tearless_memory_bytes` (bytes that have memory) and
    /// `tearless_memory_objects` of the `metrics` facade.
    ///
    /// Their labels: `namespace` always; `kind`, which is `control`, `segment_a`, `segment_b` or
    /// `replaced` and then comes with `channel`, or is `blocks`, `unnamed`, `registry` or `other`.
    /// The gauges of a namespace sum up to [`Self::total`].
    ///
    /// A recorder keeps the gauges of a channel that is gone: see [`Self::record_since`].
    ///
    /// Only with the feature `metrics`.
    pub fn record(&self) {
        for channel in &self.channels {
            self.record_channel(channel);
        }
        let others = [
            ("blocks", self.of_blocks()),
            ("unnamed", self.unnamed),
            ("registry", self.registry),
            ("other", self.other),
        ];
        for (kind, usage) in others {
            set(usage, &[("namespace", &self.namespace), ("kind", kind)]);
        }
    }

    /// Does as [`Self::record`], and sets to 0 the gauges of channels that were there at `earlier`
    /// and are not now.
    ///
    /// Only with the feature `metrics`.
    pub fn record_since(&self, earlier: &NamespaceMemory) {
        let is_gone = |gone: &&ChannelMemory| self.channels.iter().all(|it| it.channel != gone.channel);
        for gone in earlier.channels.iter().filter(is_gone) {
            self.record_channel(&ChannelMemory { channel: gone.channel.clone(), ..ChannelMemory::default() });
        }
        self.record();
    }

    fn record_channel(&self, memory: &ChannelMemory) {
        let kinds = [
            ("control", memory.control),
            ("segment_a", memory.segment_a),
            ("segment_b", memory.segment_b),
            ("replaced", memory.replaced),
        ];
        for (kind, usage) in kinds {
            let labels =
                [("namespace", self.namespace.as_str()), ("channel", &memory.channel), ("kind", kind)];
            set(usage, &labels);
        }
    }
}

/// Gauges are floating-point numbers: exact up to 2^53.
fn set(usage: MemoryUsage, labels: &[(&str, &str)]) {
    let labels = owned(labels);
    gauge!("tearless_memory_bytes", labels.clone()).set(usage.resident as f64);
    gauge!("tearless_memory_objects", labels).set(usage.objects as f64);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;
    use crate::codec::Bytes;
    use crate::namespace::Namespace;

    type Cells = Mutex<BTreeMap<String, Arc<AtomicU64>>>;

    /// Keeps counters as numbers and gauges as the bits of theirs, by name and labels.
    #[derive(Default)]
    struct TestRecorder(Cells);

    impl TestRecorder {
        fn cell(&self, key: &Key) -> Arc<AtomicU64> {
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            Arc::clone(self.0.lock().unwrap().entry(name).or_default())
        }

        fn number(&self, name: &str) -> u64 {
            let cells = self.0.lock().unwrap();
            // Relaxed: one thread.
            cells.get(name).unwrap_or_else(|| panic!("{name} is not among {cells:?}")).load(Ordering::Relaxed)
        }

        fn gauge(&self, name: &str) -> f64 {
            f64::from_bits(self.number(name))
        }
    }

    impl Recorder for TestRecorder {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.cell(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.cell(key))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn hubs_and_syncers_are_recorded_as_they_counted() {
        let hub = HubStatistics { attachments: 1, slow_queries: 2, retries: 3, remaps: 4, give_ups: 5 };
        let syncer = SyncerStatistics {
            ticks: 6,
            published: 7,
            skipped: 8,
            overruns: 9,
            failed: 10,
            bytes: 11,
            encode_time: Duration::from_nanos(12),
            max_encode_time: Duration::from_millis(1500),
            ..SyncerStatistics::default()
        };
        let recorder = TestRecorder::default();
        ::metrics::with_local_recorder(&recorder, || {
            hub.record(&[("fleet", "f")]);
            syncer.record(&[("channel", "c")]);
        });
        let of_hub = ["attachments", "slow_queries", "retries", "remaps", "give_ups"];
        let found = of_hub.map(|name| recorder.number(&format!("tearless_hub_{name}_total{{fleet=f}}")));
        assert_eq!(found, [1, 2, 3, 4, 5]);
        let of_syncer =
            ["ticks", "published", "skipped", "overruns", "failed", "bytes", "encode_nanoseconds"];
        let found =
            of_syncer.map(|name| recorder.number(&format!("tearless_sync_{name}_total{{channel=c}}")));
        assert_eq!(found, [6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(recorder.gauge("tearless_sync_max_encode_seconds{channel=c}"), 1.5);
    }

    #[test]
    fn counters_are_set_to_what_was_counted_however_often() {
        let writer =
            WriterStatistics { publications: 5, bytes: 600, growths: 1, reused: 4, failed: 2, pinned: 8 };
        let reader = ReaderStatistics {
            snapshots: 7,
            bytes: 800,
            retries: 3,
            remaps: 9,
            give_ups: 6,
            views: 10,
            copied_views: 11,
        };
        let recorder = TestRecorder::default();
        ::metrics::with_local_recorder(&recorder, || {
            for _ in 0..2 {
                writer.record(&[("channel", "worker-7"), ("incarnation", "1")]);
                reader.record(&[("channel", "worker-7")]);
            }
        });
        let expected = [
            ("publications", 5),
            ("published_bytes", 600),
            ("growths", 1),
            ("reused_segments", 4),
            ("failed_publications", 2),
            ("pinned_slots", 8),
        ];
        for (name, number) in expected {
            let name = format!("tearless_{name}_total{{channel=worker-7,incarnation=1}}");
            assert_eq!(recorder.number(&name), number, "{name}");
        }
        let expected = [
            ("snapshots", 7),
            ("snapshot_bytes", 800),
            ("retries", 3),
            ("remaps", 9),
            ("give_ups", 6),
            ("views", 10),
            ("copied_views", 11),
        ];
        for (name, number) in expected {
            assert_eq!(
                recorder.number(&format!("tearless_{name}_total{{channel=worker-7}}")),
                number,
                "{name}"
            );
        }
    }

    #[test]
    fn gauges_sum_up_to_the_total_and_go_with_their_channels() {
        let namespace = Namespace::in_process("fleet").unwrap();
        let open = |channel| {
            namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().capacity(5_000).open().unwrap()
        };
        let (mut stays, mut goes) = (open("stays"), open("goes"));
        for writer in [&mut stays, &mut goes] {
            for _ in 0..2 {
                writer.publish(&[1; 10_000]).unwrap();
            }
        }
        let recorder = TestRecorder::default();
        let memory = namespace.memory().unwrap();
        ::metrics::with_local_recorder(&recorder, || memory.record());
        let of = |channel, kind| {
            recorder.gauge(&format!("tearless_memory_bytes{{namespace=fleet,channel={channel},kind={kind}}}"))
        };
        let [control, segment] = [memory.channels[0].control, memory.channels[0].segment_a];
        let [control, segment] = [control, segment].map(|usage| usage.resident as f64);
        assert!(segment > 20_000.0 && control > 10_000.0);
        assert_eq!(
            (of("goes", "control"), of("goes", "segment_a"), of("goes", "replaced")),
            (control, segment, 0.0)
        );
        let bytes: Vec<_> = {
            let cells = recorder.0.lock().unwrap();
            cells.keys().filter(|name| name.starts_with("tearless_memory_bytes")).cloned().collect()
        };
        let sum: f64 = bytes.iter().map(|name| recorder.gauge(name)).sum();
        assert_eq!((sum, bytes.len()), (memory.total().resident as f64, 2 * 4 + 4));
        drop(goes);
        let now = namespace.memory().unwrap();
        ::metrics::with_local_recorder(&recorder, || now.record_since(&memory));
        assert_eq!((of("goes", "segment_a"), of("stays", "segment_a")), (0.0, segment));
        assert_eq!(recorder.gauge("tearless_memory_objects{namespace=fleet,kind=registry}"), 1.0);
    }
}

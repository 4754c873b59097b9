//! Which of all channels a sink wants that has begun. All sinks wait while names are compared, so
//! it is done in parts, and rationed: a hostile sink may begin as often as it likes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Entry;
use super::progress::Progress;

/// In a part, channels are compared with about so many bytes of patterns.
const PART_BYTES: usize = 64 << 10;
/// For each of these bytes so many nanoseconds pass until the next part: more than it takes.
const NANOS: u64 = 10;
/// What was not used of that in this time is used at once.
const BURST: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct Listings {
    /// When the next part is due.
    at: Duration,
    /// Number of the parts so far.
    parts: u64,
}

impl Listings {
    /// Makes the parts that are due, of all sinks in turn: that which has waited longest comes
    /// first, and one that begins again has not waited.
    pub(super) fn go_on<C, A>(
        &mut self,
        now: Duration,
        sinks: &mut BTreeMap<u64, Progress<A>>,
        entries: &BTreeMap<u32, Entry<C>>,
    ) {
        while now >= self.at {
            let sinks = sinks.values_mut().filter(|sink| sink.lists_from.is_some());
            let Some(sink) = sinks.min_by_key(|sink| sink.listed_at) else { return };
            self.parts += 1;
            sink.listed_at = (now, self.parts);
            let from = sink.lists_from.take().unwrap_or_default();
            let count = PART_BYTES.div_ceil(sink.pattern_bytes);
            let mut compared = 0;
            for (key, entry) in entries.range(from..).take(count) {
                if entry.channel.is_some() {
                    sink.add(*key, &entry.description);
                }
                compared += 1;
                sink.lists_from = (compared == count).then_some(key + 1);
            }
            sink.list();
            let cost = Duration::from_nanos((compared * sink.pattern_bytes) as u64 * NANOS);
            self.at = self.at.max(now.saturating_sub(BURST)) + cost;
        }
    }

    /// When to go on, if a sink waits for that.
    pub(super) fn next<A>(&self, sinks: &BTreeMap<u64, Progress<A>>) -> Option<Duration> {
        sinks.values().any(|sink| sink.lists_from.is_some()).then_some(self.at)
    }
}

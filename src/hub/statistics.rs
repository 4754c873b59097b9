//! How often a hub's usual course was not enough.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Hub;
use crate::channel::ReaderStatistics;
/// What a [`Hub`] has had to do beside its usual course, which is one attempt at a channel that is attached to and is not
/// counted: its threads would disturb one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStatistics {
    /// Channels that were attached to, again where they had been made anew.
    pub attachments: u64,
    /// Queries that were not answered at the first attempt.
    pub slow_queries: u64,
    /// Attempts of those that had to be made anew because a writer was faster, or was replacing the segment.
    pub retries: u64,
    /// Segments that those mapped: one for each side that is met, and one more whenever it has been replaced.
    pub remaps: u64,
    /// Queries that were given up after all attempts that the [`RetryPolicy`](crate::options::RetryPolicy) allows.
    pub give_ups: u64,
}

impl HubStatistics {
    /// What has been done since `earlier`, which must be of the same hub; where a number is not greater, 0.
    #[must_use]
    pub fn diff(&self, earlier: &HubStatistics) -> HubStatistics {
        HubStatistics {
            attachments: self.attachments.saturating_sub(earlier.attachments),
            slow_queries: self.slow_queries.saturating_sub(earlier.slow_queries),
            retries: self.retries.saturating_sub(earlier.retries),
            remaps: self.remaps.saturating_sub(earlier.remaps),
            give_ups: self.give_ups.saturating_sub(earlier.give_ups),
        }
    }
}

/// One line.
impl fmt::Display for HubStatistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HubStatistics { attachments, slow_queries, retries, remaps, give_ups } = self;
        write!(
            formatter,
            "{attachments} attachments, {slow_queries} slow queries, {retries} retries, {remaps} \
             remaps, {give_ups} given up"
        )
    }
}

/// The same while it is counted, by all threads. Relaxed: plain counters that order nothing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    attachments: AtomicU64,
    slow_queries: AtomicU64,
    retries: AtomicU64,
    remaps: AtomicU64,
    give_ups: AtomicU64,
}

impl Counts {
    pub(super) fn attached(&self) {
        self.attachments.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a query beside the usual course, by what its reader has done in it.
    pub(super) fn slow_query(&self, done: ReaderStatistics) {
        self.slow_queries.fetch_add(1, Ordering::Relaxed);
        self.retries.fetch_add(done.retries, Ordering::Relaxed);
        self.remaps.fetch_add(done.remaps, Ordering::Relaxed);
        self.give_ups.fetch_add(done.give_ups, Ordering::Relaxed);
    }

    fn read(&self) -> HubStatistics {
        HubStatistics {
            attachments: self.attachments.load(Ordering::Relaxed),
            slow_queries: self.slow_queries.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            remaps: self.remaps.load(Ordering::Relaxed),
            give_ups: self.give_ups.load(Ordering::Relaxed),
        }
    }
}

impl<C> Hub<C> {
    /// What all handles of this hub have done so far beside the usual course.
    #[must_use]
    pub fn statistics(&self) -> HubStatistics {
        self.shared.counts.read()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Namespace, Pod, options::RetryPolicy};
    use std::time::Duration;

    #[test]
    fn what_is_beside_the_usual_course_is_counted_and_the_usual_is_not() {
        let namespace = Namespace::in_process("counted").unwrap();
        let retry = RetryPolicy::default().attempts(1).deadline(Duration::ZERO);
        let hub = namespace.hub_builder().codec::<Pod>().retry_policy(retry).open();
        let mut writer = namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
        assert!(hub.get::<u64>("worker").unwrap_err().is_empty());
        let empty = hub.statistics();
        assert_eq!((empty.attachments, empty.slow_queries, empty.remaps), (1, 1, 0));
        for number in 0..10 {
            writer.publish(&number).unwrap();
            assert_eq!(*hub.get::<u64>("worker").unwrap(), number);
        }
        let later = hub.statistics().diff(&empty);
        // A side each, and the look that found that there was nothing.
        assert_eq!((later.attachments, later.slow_queries, later.remaps, later.give_ups), (0, 2, 2, 0));
        assert_eq!(hub.clone().statistics(), hub.statistics(), "handles share it");
        assert!(hub.statistics().to_string().contains("1 attachments"));
    }
}

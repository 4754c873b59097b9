//! Whether there is news of the origin, or it is unreachable.

use std::time::Duration;

#[derive(Default)]
pub(super) struct News {
    at: Option<Duration>,
    pub(super) is_unreachable: bool,
}

impl News {
    /// For how long there has been none.
    pub(super) fn age(&self, now: Duration) -> Option<Duration> {
        self.at.map(|at| now.saturating_sub(at))
    }

    /// There is some. Returns whether the origin was unreachable before.
    pub(super) fn hear(&mut self, now: Duration) -> bool {
        self.at = Some(now);
        std::mem::take(&mut self.is_unreachable)
    }

    /// Since when the origin has not answered: since the last news, if requests have failed since,
    /// or else since the `oldest` request without a reply. It is not silent while the sink itself
    /// waits: for its turn, or to pay for what has come.
    pub(super) fn silent_since(&self, has_failed: bool, oldest: Option<Duration>) -> Option<Duration> {
        let news_at = self.at?;
        if has_failed { Some(news_at) } else { Some(news_at.max(oldest?)) }
    }
}

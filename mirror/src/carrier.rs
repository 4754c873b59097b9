//! What carries requests to other hosts, and their replies back.

#[cfg(feature = "zenoh")]
pub mod zenoh;

use std::sync::Arc;
use std::time::Duration;

/// Gets the reply to a request; `None` if the carrier knows that none will come.
pub type OnReply = Arc<dyn Fn(Option<Vec<u8>>) + Send + Sync>;

/// Sends the reply to a request of another host. It may be called later, from any thread.
pub type Answer = Box<dyn FnOnce(Vec<u8>) + Send>;

/// Gets the requests of other hosts, and the means to answer each.
pub type OnRequest = Arc<dyn Fn(Vec<u8>, Answer) + Send + Sync>;

/// Carries requests to other hosts, and their replies back. It may lose, repeat, delay and reorder
/// both: what a mirror guarantees does not depend on it.
pub trait Carrier: Send + Sync {
    /// Asks `host`. `reply` is called with what comes back: usually once, within `timeout`.
    fn ask(&self, host: &str, request: Vec<u8>, timeout: Duration, reply: OnReply);

    /// The other hosts that can be asked now, as far as the carrier knows, sorted.
    fn hosts(&self) -> Vec<String>;
}

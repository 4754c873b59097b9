//! What a sink needs of the host that it runs on.

use std::time::Duration;

use crate::message::{Description, Status};

/// The mirrored channels of this host, as the sink writes them.
pub trait Copies {
    /// One of them.
    type Copy: Mirrored;

    /// Creates the copy of a channel of `origin`, or resumes it.
    ///
    /// # Errors
    ///
    /// Why there can be none, for people.
    fn open(&mut self, origin: &str, description: &Description) -> Result<Self::Copy, String>;

    /// Removes what a former mirror left of this origin, but for the channels that are still there.
    fn remove_others(&mut self, origin: &str, is_there: &dyn Fn(&str, &str) -> bool);
}

/// A mirrored channel.
pub trait Mirrored {
    /// The origin's number of its latest state; 0 if it has none.
    fn publication(&self) -> u64;

    /// Publishes a state whose number is higher.
    ///
    /// # Errors
    ///
    /// Why it can't be published, for people.
    fn publish(&mut self, payload: &[u8], publication: u64, age: Option<Duration>) -> Result<(), String>;

    /// How the writer at the origin is.
    fn set_status(&mut self, status: &Status);

    /// There has been no news of the origin for so long; `None`: there is news again.
    fn set_unreachable(&mut self, since: Option<Duration>);

    /// Looks whether the channel is still there, and says that there was news of the origin: about
    /// once a second.
    ///
    /// # Errors
    ///
    /// Why there is no such channel any more, for people.
    fn check(&mut self) -> Result<(), String>;

    /// Removes the channel.
    fn remove(self);
}

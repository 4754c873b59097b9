//! The results of one scrape, as plain data.

use std::sync::Arc;
use std::time::Duration;

use tearless::hub::Health;

use super::field::Fields;
use crate::health;

/// The exported part of a channel's state.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// The state is not exported, or nothing is published yet.
    None,
    /// Its numbers.
    Fields(Arc<Fields>),
    /// Its payload exceeds the exporter's limit.
    TooLarge,
    /// Its payload can't be decoded, for example without a schema.
    Undecodable,
    /// The writer was faster than every attempt.
    Contended,
    /// The payload can't be read.
    Unreadable,
}

impl Content {
    /// Why there are no fields: the value of a label.
    pub(super) fn problem(&self) -> Option<&'static str> {
        match self {
            Content::None | Content::Fields(_) => None,
            Content::TooLarge => Some("too large"),
            Content::Undecodable => Some("undecodable"),
            Content::Contended => Some("contended"),
            Content::Unreadable => Some("unreadable"),
        }
    }
}

/// One channel at one scrape.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) channel: String,
    /// Its worker's health; `None` if the channel cannot be attached to or inspected.
    pub(super) health: Option<Health>,
    /// Number of the last publication.
    pub(super) publications: u64,
    /// Its age.
    pub(super) age: Option<Duration>,
    /// The age of the writer's last heartbeat.
    pub(super) heartbeat_age: Option<Duration>,
    pub(super) incarnation: u64,
    pub(super) growths: u64,
    /// Payload bytes of the latest state.
    pub(super) bytes: Option<usize>,
    pub(super) content: Content,
}

impl Sample {
    /// Whether the worker is alive and the state is current.
    pub(super) fn is_up(&self) -> bool {
        health::is_up(self.health)
    }

    /// A channel that can't be read: only its name is known.
    pub(super) fn unreadable(channel: &str) -> Sample {
        Sample {
            channel: channel.into(),
            health: None,
            publications: 0,
            age: None,
            heartbeat_age: None,
            incarnation: 0,
            growths: 0,
            bytes: None,
            content: Content::None,
        }
    }
}

/// Whether a scrape could list the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listing {
    /// It has the current list.
    #[default]
    Current,
    /// The registry could not be read: the scrape uses the previous list.
    Failed,
}

/// All channels at one scrape, and the exporter's own numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape {
    pub(super) samples: Vec<Sample>,
    pub(super) listing: Listing,
    /// The time of reading all channels.
    pub(super) duration: Duration,
    /// The number of scrapes, including this one.
    pub(super) scrapes: u64,
    /// The number of attempts that were repeated because a writer was faster.
    pub(super) retries: u64,
}

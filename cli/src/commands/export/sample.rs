//! The result of one scrape, as plain data.

use std::sync::Arc;
use std::time::Duration;

use tearless::Health;

use super::field::Fields;
use crate::health;

/// What there is of a channel's state.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// None is wanted, or nothing was published yet.
    None,
    /// Its numbers.
    Fields(Arc<Fields>),
    /// Its payload is beyond what an exporter decodes.
    TooLarge,
    /// The channel does not describe itself, or not rightly.
    Undecodable,
    /// The writer was faster than every attempt.
    Contended,
    /// The payload can't be read.
    Unreadable,
}

impl Content {
    /// Why there are no fields, as a label says it.
    pub(super) fn complaint(&self) -> Option<&'static str> {
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
    /// How its worker is; `None` if the channel cannot be attached to or looked at.
    pub(super) health: Option<Health>,
    /// Number of the last publication.
    pub(super) publications: u64,
    /// How old that is.
    pub(super) age: Option<Duration>,
    /// Age of its writer's last heartbeat.
    pub(super) heartbeat: Option<Duration>,
    pub(super) incarnation: u64,
    pub(super) growths: u64,
    /// Payload bytes of the latest state.
    pub(super) bytes: Option<usize>,
    pub(super) content: Content,
}

impl Sample {
    /// Whether the worker lives and its state is current.
    pub(super) fn is_up(&self) -> bool {
        health::is_up(self.health)
    }

    /// A channel that cannot be read: only its name is known.
    pub(super) fn unreadable(channel: &str) -> Sample {
        Sample {
            channel: channel.into(),
            health: None,
            publications: 0,
            age: None,
            heartbeat: None,
            incarnation: 0,
            growths: 0,
            bytes: None,
            content: Content::None,
        }
    }
}

/// Whether the channels of a scrape are those that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listing {
    /// They are.
    #[default]
    Present,
    /// The list could not be read: they are those that were known before.
    Failed,
}

/// All channels at one scrape, and the exporter's own numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape {
    pub(super) samples: Vec<Sample>,
    /// Whether these are all.
    pub(super) listing: Listing,
    /// How long reading all of them took.
    pub(super) duration: Duration,
    /// Scrapes so far, with this one.
    pub(super) scrapes: u64,
    /// Retries so far because a writer was faster.
    pub(super) retries: u64,
}

//! What one scrape finds out, as plain data.

use std::sync::Arc;
use std::time::Duration;

use super::field::Fields;

/// How a channel's worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It lives.
    Alive,
    /// It lives, but has not given the signs of life that it promised.
    Stalled,
    /// It is stopped by a signal or a debugger.
    Stopped,
    /// It died without closing the channel.
    Dead,
    /// It closed the channel and left its last state.
    Closed,
    /// It can't be told from here: it is in another PID namespace.
    Unknown,
    /// The channel is in the list but can't be attached to, or not be looked at.
    Unreadable,
}

impl Standing {
    /// Whether its state is what the worker stands for now.
    pub(super) fn is_up(self) -> bool {
        self == Standing::Alive
    }

    /// As a label says it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Standing::Alive => "alive",
            Standing::Stalled => "stalled",
            Standing::Stopped => "stopped",
            Standing::Dead => "dead",
            Standing::Closed => "closed",
            Standing::Unknown => "unknown",
            Standing::Unreadable => "unreadable",
        }
    }
}

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
    pub(super) standing: Standing,
    /// Number of the last publication.
    pub(super) publications: u64,
    /// How old that is.
    pub(super) age: Option<Duration>,
    /// How long ago its writer last said that it is at work.
    pub(super) heartbeat: Option<Duration>,
    pub(super) incarnation: u64,
    pub(super) growths: u64,
    /// Payload bytes of the latest state.
    pub(super) bytes: Option<usize>,
    pub(super) content: Content,
}

impl Sample {
    /// A channel of which nothing but its name is known.
    pub(super) fn unreadable(channel: &str) -> Sample {
        Sample {
            channel: channel.into(),
            standing: Standing::Unreadable,
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
    /// Attempts that had to be made anew because a writer was faster, so far.
    pub(super) retries: u64,
}

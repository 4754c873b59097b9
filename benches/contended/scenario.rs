//! The measured scenarios: payload, depth, and pace of the writer; and the published state.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::common::{self, spread};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// 64-bit words of the payload: 8, 128 or 8192.
    pub(crate) words: usize,
    /// `None` for the default.
    pub(crate) depth: Option<usize>,
    pub(crate) pace: Pace,
}

/// How often the writer publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As often as it can.
    FlatOut,
    /// At this rate per second, or as fast as it can.
    Hertz(u32),
}

impl Scenario {
    /// All paces, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Scenario> {
        let paces = [Pace::Hertz(1_000), Pace::Hertz(100_000), Pace::Hertz(1_000_000), Pace::FlatOut];
        let depths = [None, Some(1)];
        [8, 128, 8192].into_iter().flat_map(move |words| {
            depths.into_iter().flat_map(move |depth| paces.map(|pace| Scenario { words, depth, pace }))
        })
    }

    /// `64 B`.
    pub(crate) fn payload(&self) -> String {
        common::size(self.words * 8)
    }

    /// `default` or the number of slots of each segment.
    pub(crate) fn depth(&self) -> String {
        self.depth.map_or_else(|| "default".into(), |depth| depth.to_string())
    }

    /// The name that the filter is matched with: `64 B/default/flat out`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}/{}", self.payload(), self.depth(), self.pace)
    }
}

impl Pace {
    /// The time from one publication to the next.
    pub(crate) fn period(self) -> Option<Duration> {
        match self {
            Pace::FlatOut => None,
            Pace::Hertz(hertz) => Some(Duration::from_secs(1) / hertz),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&match self {
            Pace::FlatOut => "flat out".into(),
            Pace::Hertz(hertz) if *hertz >= 1_000_000 => format!("{} MHz", hertz / 1_000_000),
            Pace::Hertz(hertz) => format!("{} kHz", hertz / 1_000),
        })
    }
}

impl Scenario {
    /// The form for the writer's process: words, depth (0 for the default), hertz (0 for flat out).
    pub(crate) fn to_words(self) -> String {
        let hertz = match self.pace {
            Pace::FlatOut => 0,
            Pace::Hertz(hertz) => hertz,
        };
        format!("{} {} {hertz}", self.words, self.depth.unwrap_or(0))
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let numbers: Vec<usize> = text.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [words, depth, hertz] = numbers[..] else {
            return Err(format!("invalid scenario: {text:?}"));
        };
        let pace = match u32::try_from(hertz).map_err(|error| error.to_string())? {
            0 => Pace::FlatOut,
            hertz => Pace::Hertz(hertz),
        };
        Ok(Scenario { words, depth: (depth > 0).then_some(depth), pace })
    }
}

/// Every word of publication `n`.
pub(crate) fn word_of(publication: u64) -> u64 {
    spread(publication)
}

/// Whether a state is publication `publication`. Compares every word, without a branch for each.
pub(crate) fn is_whole(state: &[u64], publication: u64) -> bool {
    let expected = word_of(publication);
    state.iter().fold(0, |differences, word| differences | (word ^ expected)) == 0
}

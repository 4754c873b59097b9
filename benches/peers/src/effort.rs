//! How long everything is measured, and what is left out.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

/// The options of the command line.
pub(crate) struct Arguments {
    pub(crate) effort: Effort,
    /// Whether the run is too short for its figures to mean anything.
    pub(crate) quick: bool,
    pub(crate) json: PathBuf,
    filter: Option<String>,
}

/// Rounds and times. In each round every peer has a turn, so that a disturbance of the machine
/// affects all alike.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of batches; the median is taken.
    pub(crate) rounds: usize,
    /// The duration of a batch.
    pub(crate) batch: Duration,
    /// Rounds beside a writer.
    pub(crate) contended_rounds: usize,
    /// The duration of a peer's turn in one of these rounds.
    pub(crate) contended: Duration,
    /// The seconds for which a way of frames runs in one of these rounds.
    pub(crate) frames: f64,
    /// How many channels are read in turn.
    pub(crate) channels: usize,
}

const FULL: Effort = Effort {
    rounds: 15,
    batch: Duration::from_millis(10),
    contended_rounds: 5,
    contended: Duration::from_millis(600),
    frames: 4.0,
    channels: 1_000,
};

const QUICK: Effort = Effort {
    rounds: 3,
    batch: Duration::from_micros(300),
    contended_rounds: 1,
    contended: Duration::from_millis(30),
    frames: 0.3,
    channels: 1_000,
};

impl Arguments {
    /// Parses `[--quick] [--json PATH] [FILTER]`. Ends the process with status 2 for anything else.
    pub(crate) fn read() -> Arguments {
        let mut arguments =
            Arguments { effort: FULL, quick: false, json: "target/peers.json".into(), filter: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => (arguments.quick, arguments.effort) = (true, QUICK),
                "--json" => match words.next() {
                    Some(path) => arguments.json = path.into(),
                    None => refuse("--json needs a path"),
                },
                word if word.starts_with('-') => refuse(&format!("unknown option '{word}'")),
                _ if arguments.filter.is_some() => refuse("there may be one filter only"),
                _ => arguments.filter = Some(word),
            }
        }
        arguments
    }

    /// Whether the figure called `id` is to be measured.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| id.contains(filter.as_str()))
    }
}

/// Ends the process for a wrong option.
pub(crate) fn refuse(reason: &str) -> ! {
    eprintln!("peers: {reason}");
    exit(2);
}

//! A state that spans all workers: coins that they pass round a ring.

use std::error::Error;

use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use tearless::hub::{Cut, Hub};

/// The coins of one worker, which it publishes in a channel beside that of its kind.
///
/// Each worker reads how many coins its neighbour in the ring has passed on so far, takes those
/// that it has not taken yet, and passes on one of its own. So coins are neither made nor lost,
/// even when a worker is killed at any moment and its successor resumes the purse that it finds.
#[derive(Clone, Copy, Pod, Zeroable, Serialize)]
#[repr(C)]
pub(crate) struct Purse {
    pub(crate) held: u64,
    passed: u64,
    /// How many of the neighbour's passed coins this worker has taken.
    taken: u64,
}

tearless::describe_pod!(Purse { held, passed, taken });

impl Purse {
    /// The purse that every worker starts with.
    pub(crate) const FULL: Purse = Purse { held: 1_000, passed: 0, taken: 0 };

    /// The channel of the purse of worker `index`.
    pub(crate) fn channel(index: usize) -> String {
        format!("purse-{index}")
    }

    /// Takes what `neighbour` has passed on, and passes on one coin.
    pub(crate) fn turn(&mut self, neighbour: &Purse) {
        self.held += neighbour.passed - self.taken;
        self.taken = neighbour.passed;
        if self.held > 0 {
            self.held -= 1;
            self.passed += 1;
        }
    }
}

/// All coins at one moment.
#[derive(Serialize)]
pub(crate) struct Coins {
    pub(crate) held: u64,
    /// Coins passed on and not taken yet.
    pub(crate) in_flight: u64,
}

impl Coins {
    /// The purses of `workers` workers as of one moment.
    pub(crate) fn cut<C>(hub: &Hub<C>, workers: usize) -> Cut<Purse> {
        hub.with_codec::<tearless::Pod>().cut((0..workers).map(Purse::channel))
    }

    /// Counts the coins of a ring. States of one moment have all of them. States of different
    /// moments would lack some, or show a coin as taken before it was passed on.
    pub(crate) fn count(cut: &Cut<Purse>) -> Result<Coins, Box<dyn Error>> {
        let mut purses = Vec::with_capacity(cut.states.len());
        for purse in &cut.states {
            purses.push(**purse.state.as_ref().map_err(|error| format!("{}: {error}", purse.channel))?);
        }
        let mut coins = Coins { held: 0, in_flight: 0 };
        for (index, purse) in purses.iter().enumerate() {
            let neighbour = &purses[(index + purses.len() - 1) % purses.len()];
            coins.held += purse.held;
            coins.in_flight += neighbour.passed.checked_sub(purse.taken).ok_or_else(|| {
                format!("{} has taken coins that its neighbour has not passed on", cut.states[index].channel)
            })?;
        }
        let all = Purse::FULL.held * purses.len() as u64;
        if coins.held + coins.in_flight != all {
            let Coins { held, in_flight } = coins;
            return Err(format!("{held} coins held, {in_flight} in flight, but {all} in all").into());
        }
        Ok(coins)
    }
}

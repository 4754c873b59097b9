//! A writer process: publishes as fast as it can, grows and shrinks, until its parent ends or kills
//! it.

use tearless::Namespace;

use super::channel::TestWriter;
use super::combination::{COMBINATIONS, Combination};
use super::content::{Content, Sizes, scramble};
use crate::child::{self, Lifetime, READY, text};

/// Publications of one channel of mixed sizes in a row. A process spends about as long on each of
/// its channels.
const MIXED_BURST: u32 = 64;
/// Publications of one channel of small payloads in a row.
const SMALL_BURST: u32 = 1024;

/// On average, one in this many publications is preceded by `shrink_to_fit`, so that the channel
/// keeps growing.
const SHRINK_EVERY: u64 = 1024;

/// The channels of a writer process, and which life of the process this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) index: usize,
    pub(super) writers: usize,
    pub(super) life: u64,
}

/// One channel of this process.
struct Publisher {
    channel: &'static str,
    writer: TestWriter,
    content: Content,
    burst: u32,
}

impl Publisher {
    fn open(index: usize, namespace: &Namespace, seed: u64) -> Result<Publisher, String> {
        let Combination { channel, sizes, .. } = COMBINATIONS[index];
        let writer = COMBINATIONS[index].writer(namespace).map_err(text)?;
        let burst = if sizes == Sizes::Mixed { MIXED_BURST } else { SMALL_BURST };
        Ok(Publisher { channel, writer, content: Combination::content(index, seed), burst })
    }

    fn publish(&mut self, life: u64) -> Result<(), String> {
        let next = self.writer.publication() + 1;
        if scramble(life, next).is_multiple_of(SHRINK_EVERY) {
            self.writer.shrink_to_fit();
        }
        match self.writer.publish(self.content, next, life) {
            Ok(number) if number == next => Ok(()),
            Ok(number) => Err(format!("{}: published as {number}, not as {next}", self.channel)),
            Err(error) => Err(format!("{}: publication {next}: {error}", self.channel)),
        }
    }
}

/// Publishes on the channels of its share, and closes them at the end.
///
/// # Errors
///
/// A message: an operation failed.
pub(super) fn run(share: Share, namespace: &Namespace, seed: u64, lifetime: &Lifetime) -> Result<(), String> {
    let mut publishers = (share.index..COMBINATIONS.len())
        .step_by(share.writers)
        .map(|index| Publisher::open(index, namespace, seed))
        .collect::<Result<Vec<_>, String>>()?;
    child::say(READY);
    while !lifetime.is_over() {
        for publisher in &mut publishers {
            for _ in 0..publisher.burst {
                publisher.publish(share.life)?;
            }
        }
    }
    publishers.into_iter().try_for_each(|publisher| publisher.writer.close().map_err(text))
}

//! A writer process: publishes as fast as it can, grows and shrinks, until its parent ends or kills
//! it.

use serde::{Deserialize, Serialize};
use tearless::{Bytes, Encode, Namespace, Pod, Writer, error::PublishError};

use super::combination::{COMBINATIONS, Combination, Plain};
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

/// The channels of a writer process: every one whose number leaves `index` when divided by
/// `writers`. `life` is 1 for the first process with that share, and increases by one with each
/// successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Share {
    pub(super) index: usize,
    pub(super) writers: usize,
    pub(super) life: u64,
}

/// One channel of this process, whatever the type of its states.
trait Publish {
    /// Publishes several times in a row.
    fn burst(&mut self, life: u64) -> Result<(), String>;

    fn close(self: Box<Self>) -> Result<(), String>;
}

/// Publishes the state in a payload.
type PublishPayload<T, C> = fn(&mut Writer<T, C>, &[u8]) -> Result<u64, PublishError>;

struct Publisher<T: ?Sized, C> {
    channel: &'static str,
    writer: Writer<T, C>,
    content: Content,
    payload: Vec<u8>,
    publish: PublishPayload<T, C>,
    burst: u32,
}

impl<T: ?Sized + 'static, C: Encode<T> + 'static> Publisher<T, C> {
    fn open(
        index: usize,
        namespace: &Namespace,
        seed: u64,
        publish: PublishPayload<T, C>,
    ) -> Result<Box<dyn Publish>, String> {
        let Combination { channel, sizes, .. } = COMBINATIONS[index];
        let writer = COMBINATIONS[index].writer(namespace).map_err(text)?;
        let burst = if sizes == Sizes::Mixed { MIXED_BURST } else { SMALL_BURST };
        let content = Combination::content(index, seed);
        Ok(Box::new(Publisher { channel, writer, content, payload: Vec::new(), publish, burst }))
    }
}

impl<T: ?Sized, C: Encode<T>> Publish for Publisher<T, C> {
    fn burst(&mut self, life: u64) -> Result<(), String> {
        for _ in 0..self.burst {
            let next = self.writer.publication() + 1;
            if scramble(life, next).is_multiple_of(SHRINK_EVERY) {
                self.writer.shrink_to_fit();
            }
            self.content.write(next, life, &mut self.payload);
            match (self.publish)(&mut self.writer, &self.payload) {
                Ok(number) if number == next => {}
                Ok(number) => return Err(format!("{}: published as {number}, not as {next}", self.channel)),
                Err(error) => return Err(format!("{}: publication {next}: {error}", self.channel)),
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), String> {
        self.writer.close().map_err(text)
    }
}

fn open(index: usize, namespace: &Namespace, seed: u64) -> Result<Box<dyn Publish>, String> {
    match COMBINATIONS[index].sizes {
        Sizes::Plain => Publisher::<Plain, Pod>::open(index, namespace, seed, |writer, payload| {
            writer.publish(&bytemuck::pod_read_unaligned(payload))
        }),
        Sizes::Tiny | Sizes::Mixed => Publisher::<[u8], Bytes>::open(index, namespace, seed, Writer::publish),
    }
}

/// Publishes on the channels of its share, and closes them at the end.
///
/// # Errors
///
/// A message: an operation failed.
pub(super) fn run(share: Share, namespace: &Namespace, seed: u64, lifetime: &Lifetime) -> Result<(), String> {
    let own = (share.index..COMBINATIONS.len()).step_by(share.writers.max(1));
    let publishers = own.map(|index| open(index, namespace, seed));
    let mut publishers = publishers.collect::<Result<Vec<_>, String>>()?;
    child::say(READY);
    while !lifetime.is_over() {
        publishers.iter_mut().try_for_each(|publisher| publisher.burst(share.life))?;
    }
    publishers.into_iter().try_for_each(|publisher| publisher.close())
}

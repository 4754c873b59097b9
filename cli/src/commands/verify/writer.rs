//! A writer process: publishes flat out, grows and shrinks, until it is told to end or is killed.

use tearless::{Bytes, Namespace, Writer};

use super::content::{Content, scramble};
use super::run::{RUNS, Run};
use crate::child::{self, Lifetime, READY, text};

/// Publications in a row of one channel.
const BURST: u32 = 64;

/// One in so many publications is preceded by `shrink_to_fit`, so that growth never ends.
const SHRINK_EVERY: u64 = 1024;

/// Which channels a writer process has, and which life of it this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) index: usize,
    pub(super) writers: usize,
    pub(super) life: u64,
}

struct Channel {
    writer: Writer<[u8], Bytes>,
    content: Content,
    payload: Vec<u8>,
}

impl Channel {
    fn publish(&mut self, life: u64) -> Result<(), String> {
        let next = self.writer.publication() + 1;
        if scramble(life, next).is_multiple_of(SHRINK_EVERY) {
            self.writer.shrink_to_fit();
        }
        self.content.write(next, life, &mut self.payload);
        match self.writer.publish(&self.payload) {
            Ok(number) if number == next => Ok(()),
            Ok(number) => Err(format!("{}: published as {number}, not as {next}", self.writer.channel())),
            Err(error) => Err(format!("{}: publication {next}: {error}", self.writer.channel())),
        }
    }
}

/// Publishes on the channels of its share, and closes them at the end.
///
/// # Errors
///
/// What went wrong, in words.
pub(super) fn run(share: Share, namespace: &Namespace, seed: u64, lifetime: &Lifetime) -> Result<(), String> {
    let mut channels = (share.index..RUNS.len())
        .step_by(share.writers)
        .map(|run| {
            let writer = RUNS[run].writer(namespace).map_err(text)?;
            Ok(Channel { writer, content: Run::content(run, seed), payload: Vec::new() })
        })
        .collect::<Result<Vec<_>, String>>()?;
    child::say(READY);
    while !lifetime.is_over() {
        for channel in &mut channels {
            for _ in 0..BURST {
                channel.publish(share.life)?;
            }
        }
    }
    channels.into_iter().try_for_each(|channel| channel.writer.close().map_err(text))
}

//! A worker process with the channels of many workers.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tearless::{Namespace, Pod, Writer};

use super::orders::{Order, Orders, Pace};
use super::{Link, Rate};
use crate::payload::word_of;
use crate::{Failure, measure};

/// The size of the states.
pub(crate) const STATE_WORDS: usize = 32;

/// Publications, or messages, so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The count over all channels.
    pub(crate) updates: u64,
    /// The processor time of the whole process.
    pub(crate) processor_nanos: u64,
}

/// The channel of worker `index`.
pub(crate) fn channel_name(index: usize) -> String {
    format!("worker-{index}")
}

/// Publishes in each of the channels at `rate` until the input ends.
pub(crate) fn run(
    namespace: &Namespace,
    link: Link,
    channels: Range<usize>,
    rate: Rate,
) -> Result<(), Failure> {
    let mut writers = channels.map(|index| open(namespace, index)).collect::<Result<Vec<_>, _>>()?;
    let mut orders = Orders::ready(link)?;
    let mut pace = Pace::new(rate);
    let mut round = 1;
    loop {
        match pace.next(&orders) {
            None => {
                round += 1;
                for writer in &mut writers {
                    writer.publish(&[word_of(round); STATE_WORDS])?;
                }
            }
            Some(Order::Report) => {
                let updates = round * writers.len() as u64;
                orders.say(&Held { updates, processor_nanos: measure::processor_nanos() })?;
            }
            Some(Order::End) => break,
        }
    }
    for writer in writers {
        writer.close()?;
    }
    Ok(())
}

/// The state of one worker.
type State = [u64; STATE_WORDS];

/// One worker's channel, with its first state.
fn open(namespace: &Namespace, index: usize) -> Result<Writer<State, Pod>, Failure> {
    let mut writer = namespace.writer_builder::<State>(&channel_name(index)).codec::<Pod>().open()?;
    writer.publish(&[word_of(1); STATE_WORDS])?;
    Ok(writer)
}

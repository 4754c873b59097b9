//! A worker whose state grows on order.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tearless::{Bytes, Namespace, Writer};

use super::{CHANNEL, Link};
use crate::{Failure, measure};

/// The order: publish a state of `bytes` bytes, once or again and again for some time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Grow {
    pub(crate) bytes: usize,
    pub(crate) on_for: Option<Duration>,
}

/// The answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Grown {
    /// The time of the first publication, and the longest time of the later ones.
    pub(crate) first_nanos: u64,
    pub(crate) max_nanos: u64,
    pub(crate) publications: u64,
    /// The number of segments that the publications replaced.
    pub(crate) growths: u64,
}

/// Carries out orders until the input ends.
pub(crate) fn run(namespace: &Namespace, mut link: Link) -> Result<(), Failure> {
    let mut writer = namespace.writer_builder::<[u8]>(CHANNEL).codec::<Bytes>().open()?;
    let mut state = vec![1; 64];
    writer.publish(&state)?;
    link.say(&"ready")?;
    while let Some(line) = link.next()? {
        let order: Grow = serde_json::from_str(&line)?;
        state.resize(order.bytes, 1);
        link.say(&grow(&mut writer, &state, order.on_for)?)?;
    }
    Ok(writer.close()?)
}

/// Carries out one order.
fn grow(writer: &mut Writer<[u8], Bytes>, state: &[u8], on_for: Option<Duration>) -> Result<Grown, Failure> {
    let before = writer.growths();
    let begin = Instant::now();
    let (first_nanos, result) = measure::once_nanos(|| writer.publish(state));
    result?;
    let mut grown = Grown { first_nanos, max_nanos: 0, publications: 1, growths: 0 };
    while on_for.is_some_and(|span| begin.elapsed() < span) {
        let (took, result) = measure::once_nanos(|| writer.publish(state));
        result?;
        grown.max_nanos = grown.max_nanos.max(took);
        grown.publications += 1;
    }
    grown.growths = writer.growths() - before;
    Ok(grown)
}

//! A worker that reads as fast as it can: one of several that may disturb the writer.

use std::hint::black_box;

use serde::{Deserialize, Serialize};
use tearless::{Namespace, Pod, error::SnapshotError};

use super::orders::{Order, Orders};
use super::{CHANNEL, Link};
use crate::Failure;
use crate::common::boxed;
use crate::payload::{Job, with_words};

/// The work of this process so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Reads {
    pub(crate) reads: u64,
}

/// Reads until the input ends.
pub(crate) fn run(namespace: &Namespace, link: Link, words: usize) -> Result<(), Failure> {
    with_words(words, ReadingOn { namespace, link })
}

/// The reader and its counts.
struct ReadingOn<'a> {
    namespace: &'a Namespace,
    link: Link,
}

impl Job for ReadingOn<'_> {
    type Output = Result<(), Failure>;

    fn run<const WORDS: usize>(self) -> Self::Output {
        let builder = self.namespace.reader_builder::<[u64; WORDS]>(CHANNEL).codec::<Pod>();
        let mut reader = builder.open()?;
        let mut state = boxed::<WORDS>(|_| 0);
        let mut reads = 0;
        let mut orders = Orders::ready(self.link)?;
        loop {
            match orders.poll() {
                None => match reader.snapshot_into(black_box(&mut state)) {
                    Ok(_) => reads += 1,
                    Err(SnapshotError::Contended { .. }) => {}
                    Err(error) => return Err(error.into()),
                },
                Some(Order::Report) => orders.say(&Reads { reads })?,
                Some(Order::End) => return Ok(()),
            }
        }
    }
}

//! A worker that publishes a plain state at some rate.

use serde::{Deserialize, Serialize};
use tearless::{Namespace, Pod};

use super::orders::{Order, Orders, Pace};
use super::{CHANNEL, Link, Rate};
use crate::common::boxed;
use crate::payload::{Job, with_words, word_of};
use crate::{Failure, measure};

/// The work of this process so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) publications: u64,
    /// Of the whole process.
    pub(crate) processor_nanos: u64,
}

/// Publishes until the input ends. The whole state is filled in before each publication.
pub(crate) fn run(
    namespace: &Namespace,
    link: Link,
    words: usize,
    depth: Option<usize>,
    rate: Rate,
) -> Result<(), Failure> {
    with_words(words, Publishing { namespace, link, depth, rate })
}

/// The writer and its pace.
struct Publishing<'a> {
    namespace: &'a Namespace,
    link: Link,
    depth: Option<usize>,
    rate: Rate,
}

impl Job for Publishing<'_> {
    type Output = Result<(), Failure>;

    fn run<const WORDS: usize>(self) -> Self::Output {
        let mut builder = self.namespace.writer_builder::<[u64; WORDS]>(CHANNEL).codec::<Pod>();
        if let Some(depth) = self.depth {
            builder = builder.slots(2 * depth);
        }
        let mut writer = builder.open()?;
        let mut state = boxed::<WORDS>(|_| word_of(1));
        let mut publications = writer.publish(&state)?;
        let mut orders = Orders::ready(self.link)?;
        let mut pace = Pace::new(self.rate);
        loop {
            match pace.next(&orders) {
                None => {
                    state.fill(word_of(publications + 1));
                    publications = writer.publish(&state)?;
                }
                Some(Order::Report) => {
                    orders.say(&Published { publications, processor_nanos: measure::processor_nanos() })?;
                }
                Some(Order::End) => return Ok(writer.close()?),
            }
        }
    }
}

//! Plain states of different sizes: every word is a function of the publication's number.

use crate::common::spread;

/// A job with a plain state of any size.
pub(crate) trait Job {
    /// The result.
    type Output;

    /// Runs with a state of `WORDS` words.
    fn run<const WORDS: usize>(self) -> Self::Output;
}

/// Runs `job` with a state of `words` words.
///
/// # Panics
///
/// If no experiment has that size.
pub(crate) fn with_words<J: Job>(words: usize, job: J) -> J::Output {
    match words {
        1 => job.run::<1>(),
        8 => job.run::<8>(),
        32 => job.run::<32>(),
        128 => job.run::<128>(),
        512 => job.run::<512>(),
        8_192 => job.run::<8_192>(),
        131_072 => job.run::<131_072>(),
        _ => panic!("there is no experiment with {words} words"),
    }
}

/// Every word of publication `number`.
pub(crate) fn word_of(number: u64) -> u64 {
    spread(number)
}

/// Whether a state is publication `number`. Compares every word, without a branch for each.
pub(crate) fn is_whole(state: &[u64], number: u64) -> bool {
    let expected = word_of(number);
    state.iter().fold(0, |differences, word| differences | (word ^ expected)) == 0
}

//! What a thread does to shared memory, one instruction a step.

use std::fmt;

/// A shared word, by its part in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    Stamp,
    /// Payload, header or generation: everything that stamp or number protect.
    Data,
    /// The number of the latest publication.
    Published,
    /// The counter of announcements.
    Counter,
    /// A pin. The models have one, the channels more.
    Pin,
}

/// A barrier, or an access to a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    operation: String,
    word: Option<Word>,
}

impl Step {
    pub fn barrier(kind: &str) -> Step {
        Step { operation: format!("DMB {}", kind.to_uppercase()), word: None }
    }

    /// A pair of data words counts as two words: the manual promises no more.
    pub fn access(operation: &str, word: Word) -> Step {
        let operation = match (operation, word) {
            ("LDP", Word::Data) => "LDR",
            ("STP", Word::Data) => "STR",
            (other, _) => other,
        };
        Step { operation: operation.to_owned(), word: Some(word) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word {
            None => formatter.write_str(&self.operation),
            Some(word) => write!(formatter, "{} {}", self.operation, format!("{word:?}").to_lowercase()),
        }
    }
}

/// Shows steps in one line.
pub fn show(steps: &[Step]) -> String {
    steps.iter().map(Step::to_string).collect::<Vec<_>>().join(" · ")
}

/// Any number of equal accesses to data, one after the other, is one step: the models have two
/// words of payload, the slots have more. The same with looks at pins.
pub fn merged(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut merged: Vec<Step> = steps.into_iter().collect();
    merged.dedup_by(|next, last| matches!(next.word, Some(Word::Data | Word::Pin)) && next == last);
    merged
}

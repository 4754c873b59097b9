//! Which worker publishes which state, and how. Every kind and every codec is a type; this module
//! maps their names to the types.

use procfs::{LoadAverage, Meminfo};
use serde::de::DeserializeOwned;
use tearless::{Decode, MessagePack, Pod, Postcard};

use super::{
    Sample, Sampled, State, Telling,
    plain::{Processors, Usage},
    samples::{Disks, Network, Pressure, Processes},
};

/// What a worker samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Processors,
    Processes,
    Usage,
    Memory,
    Network,
    Disks,
    Pressure,
    Load,
}

impl Kind {
    /// The kinds, in the order of the workers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Processors,
        Self::Processes,
        Self::Usage,
        Self::Memory,
        Self::Network,
        Self::Disks,
        Self::Pressure,
        Self::Load,
    ];

    /// The kinds of fixed size.
    const PLAIN: [Self; 2] = [Self::Processors, Self::Usage];

    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// How a worker's state becomes bytes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum CodecKind {
    Pod,
    Postcard,
    MessagePack,
}

impl CodecKind {
    pub(crate) const ALL: [Self; 3] = [Self::Pod, Self::Postcard, Self::MessagePack];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Postcard => "postcard",
            Self::MessagePack => "message-pack",
        }
    }
}

/// The value of `--codec`.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    Only(CodecKind),
    Mixed,
}

impl Choice {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut all = CodecKind::ALL.into_iter().map(Self::Only).chain([Self::Mixed]);
        all.find(|choice| choice.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Only(codec) => codec.name(),
            Self::Mixed => "mixed",
        }
    }
}

/// What one worker does.
#[derive(Clone, Copy)]
pub(crate) struct Assignment {
    pub(crate) kind: Kind,
    pub(crate) codec: CodecKind,
}

impl Assignment {
    /// The assignment of worker `index`, counted from zero. Kinds of fixed size are always plain
    /// data. With mixed codecs the others are MessagePack, which is self-describing, except the
    /// table of processes, which is Postcard with a schema.
    pub(crate) fn of(index: usize, choice: Choice) -> Self {
        let kinds: &[Kind] = match choice {
            Choice::Only(CodecKind::Pod) => &Kind::PLAIN,
            _ => &Kind::ALL,
        };
        let kind = kinds[index % kinds.len()];
        let codec = match choice {
            _ if Kind::PLAIN.contains(&kind) => CodecKind::Pod,
            Choice::Only(codec) => codec,
            Choice::Mixed if kind == Kind::Processes => CodecKind::Postcard,
            Choice::Mixed => CodecKind::MessagePack,
        };
        Self { kind, codec }
    }

    /// Runs `job` with the types of this assignment.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        match self.kind {
            Kind::Processors => job.run::<Processors, Pod>(),
            Kind::Usage => job.run::<Usage, Pod>(),
            Kind::Processes => self.run_encoded::<Processes, J>(job),
            Kind::Memory => self.run_encoded::<Meminfo, J>(job),
            Kind::Network => self.run_encoded::<Network, J>(job),
            Kind::Disks => self.run_encoded::<Disks, J>(job),
            Kind::Pressure => self.run_encoded::<Pressure, J>(job),
            Kind::Load => self.run_encoded::<LoadAverage, J>(job),
        }
    }

    fn run_encoded<S: Sample + DeserializeOwned, J: Job>(self, job: J) -> J::Output {
        match self.codec {
            CodecKind::MessagePack => job.run::<Sampled<S>, MessagePack>(),
            // `Assignment::of` never assigns `Pod` to these.
            CodecKind::Postcard | CodecKind::Pod => job.run::<Sampled<S>, Postcard>(),
        }
    }
}

/// Work that is generic over the state and the codec.
pub(crate) trait Job {
    type Output;

    fn run<T: State, C: Telling<T> + Decode<T> + 'static>(self) -> Self::Output;
}

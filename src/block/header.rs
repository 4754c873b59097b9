//! The header of a block: its words as values, and the one validation of a block's object.

use std::num::NonZeroU64;
use std::time::Duration;

use super::BlockError;
use crate::channel::{check_name, owner_of, read_text, write_text};
use crate::clock;
use crate::layout::{self, ObjectNames, PAGE_BYTES, WORD_BYTES, block};
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut, SharedWords, Words};
use crate::object::ObjectError;
use crate::seqlock::ChannelState;
use crate::seqlock::ready::{self, Readiness};

/// The checked full name of a block, and the name of its object.
#[derive(Clone, Debug)]
pub(super) struct BlockName {
    pub(super) namespace: String,
    pub(super) block: String,
    pub(super) object: String,
}

impl BlockName {
    pub(super) fn new(namespace: &str, block: &str) -> Result<BlockName, BlockError> {
        check_name("block", block, block::NAME.max)?;
        let object = ObjectNames::block(namespace, block);
        Ok(BlockName { namespace: namespace.into(), block: block.into(), object })
    }

    pub(super) fn failed(&self, source: ObjectError) -> BlockError {
        BlockError::Object { block: self.block.clone(), source }
    }
}

/// What a header says, copied once. The words may hold anything: the length has been checked
/// against the memory, and the rest is compared or shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) len: usize,
    pub(super) instance: u64,
    pub(super) owner: ProcessIdentity,
    pub(super) created: Option<NonZeroU64>,
    features: u64,
}

/// Why an object is not a block that this version can use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Its creator has not finished it: it is at work, or died.
    NotReady,
    /// Another version of the layout made it.
    OtherVersion(u64),
    /// It is no block, and why not.
    Foreign(String),
}

/// Bytes of an object whose block has `len` bytes; `None` if there are no objects of that size.
pub(super) fn object_bytes(len: usize) -> Option<usize> {
    let contents = len.max(1).checked_next_multiple_of(PAGE_BYTES)?;
    contents.checked_add(PAGE_BYTES).filter(|bytes| isize::try_from(*bytes).is_ok())
}

impl Header {
    /// The header in `memory`, the block's object, if it is ready and of this version of the
    /// layout.
    pub(super) fn read<const W: bool>(memory: &SharedWords<W>) -> Result<Header, Problem> {
        let bytes = memory.len() * WORD_BYTES;
        match ready::check(memory) {
            Readiness::OtherVersion(version) => return Err(Problem::OtherVersion(version)),
            Readiness::Foreign(word) => return Err(Problem::Foreign(format!("it begins with {word:#018x}"))),
            Readiness::NotReady => return Err(Problem::NotReady),
            Readiness::Ready => {}
        }
        let len = memory.load(block::LEN);
        let fits = |len: &usize| object_bytes(*len).is_some_and(|needed| needed <= bytes);
        let Some(len) = usize::try_from(len).ok().filter(fits) else {
            let reason = format!("it has {bytes} bytes, too few for a block of {len} bytes");
            return Err(Problem::Foreign(reason));
        };
        let owner = owner_of(memory);
        // The clock of another boot says nothing here.
        let created = NonZeroU64::new(memory.load(block::CREATED)).filter(|_| owner.other_boot().is_none());
        Ok(Header {
            namespace: read_text(memory, block::NAMESPACE),
            name: read_text(memory, block::NAME),
            label: read_text(memory, block::LABEL),
            len,
            instance: memory.load(block::INSTANCE),
            owner,
            created,
            features: memory.load(block::FEATURES_REQUIRED),
        })
    }

    /// Writes the header of a new block into words of zeroes that only its creator uses, and
    /// declares it ready. The owner's words are there already.
    pub(super) fn publish(memory: &Words, name: &BlockName, label: &str, len: usize, instance: u64) {
        memory.store(block::INSTANCE, instance);
        memory.store(block::LEN, len as u64);
        memory.store(block::CREATED, clock::now());
        write_text(memory, block::NAMESPACE, &name.namespace);
        write_text(memory, block::NAME, &name.block);
        write_text(memory, block::LABEL, label);
        ready::declare(memory);
    }

    /// An error if the header is another block's, whose name has the same hash, or needs what this
    /// version does not know.
    pub(super) fn check(&self, name: &BlockName) -> Result<(), BlockError> {
        let block = || name.block.clone();
        if self.namespace != name.namespace || self.name != name.block {
            let other = format!("{}/{}", self.namespace, self.name);
            return Err(BlockError::NameCollision { block: block(), other });
        }
        match self.features {
            0 => Ok(()),
            bits => Err(BlockError::UnknownFeatures { block: block(), bits }),
        }
    }

    /// Time since the owner created the block.
    pub(super) fn age(&self) -> Option<Duration> {
        self.created.map(clock::age)
    }
}

impl Problem {
    /// The error of an object that can't be used, unless its creator may still finish it.
    pub(super) fn error(self, name: &BlockName, path: String) -> Option<BlockError> {
        let block = || name.block.clone();
        match self {
            Problem::NotReady => None,
            Problem::OtherVersion(found) => {
                Some(BlockError::LayoutVersion { block: block(), found, expected: layout::VERSION })
            }
            Problem::Foreign(reason) => Some(name.failed(ObjectError::Foreign { object: path, reason })),
        }
    }
}

/// Whether the block has lost its name, or is about to.
pub(super) fn is_removed(memory: &impl Memory) -> bool {
    ChannelState::load(memory) == ChannelState::Removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::store_owner;

    fn block_of(len: usize) -> (Words, BlockName) {
        let memory = Words::zeroed(object_bytes(len).unwrap() / WORD_BYTES);
        let name = BlockName::new("fleet", "table").unwrap();
        store_owner(&memory, ProcessIdentity::of_self());
        Header::publish(&memory, &name, "f32[4]", len, 7);
        (memory, name)
    }

    #[test]
    fn what_is_written_is_read() {
        let (memory, name) = block_of(5_000);
        let header = Header::read(&memory).unwrap();
        assert_eq!((&*header.name, &*header.namespace, &*header.label), ("table", "fleet", "f32[4]"));
        assert_eq!((header.len, header.instance, header.owner), (5_000, 7, ProcessIdentity::of_self()));
        header.check(&name).unwrap();
        let other = BlockName { block: "other".into(), ..name };
        assert!(matches!(header.check(&other), Err(BlockError::NameCollision { .. })));
    }

    #[test]
    fn hostile_words_are_refused_or_cut() {
        let (memory, name) = block_of(5_000);
        for len in [2 * PAGE_BYTES as u64 + 1, u64::MAX, u64::MAX - 4096, i64::MAX as u64, 1 << 62] {
            memory.store(block::LEN, len);
            assert!(matches!(Header::read(&memory), Err(Problem::Foreign(_))), "{len}");
        }
        memory.store(block::LEN, 0);
        for text in [block::NAMESPACE, block::NAME, block::LABEL] {
            memory.store(text.word, u64::MAX);
        }
        let header = Header::read(&memory).unwrap();
        assert_eq!(header.label.len(), block::LABEL.max);
        assert!(header.check(&name).is_err());
        let (memory, name) = block_of(0);
        memory.store(block::FEATURES_REQUIRED, 2);
        let checked = Header::read(&memory).unwrap().check(&name);
        assert!(matches!(checked, Err(BlockError::UnknownFeatures { bits: 2, .. })));
        for (word, expected) in
            [(0, Problem::NotReady), (layout::READY + (1 << 48), Problem::OtherVersion(4))]
        {
            memory.store(block::READY, word);
            assert_eq!(Header::read(&memory), Err(expected));
        }
    }

    #[test]
    fn every_object_has_a_page_of_contents_and_no_size_overflows() {
        assert_eq!(object_bytes(0), Some(2 * PAGE_BYTES));
        assert_eq!(object_bytes(PAGE_BYTES), Some(2 * PAGE_BYTES));
        assert_eq!(object_bytes(PAGE_BYTES + 1), Some(3 * PAGE_BYTES));
        for len in [usize::MAX, usize::MAX - PAGE_BYTES, isize::MAX as usize] {
            assert_eq!(object_bytes(len), None);
        }
    }
}

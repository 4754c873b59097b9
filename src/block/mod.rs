//! Blocks: raw memory under a name, which an owner creates and other processes map.
//!
//! A channel publishes states: each is whole, and readers need no agreement with the writer. A
//! block is for what must stay in one place: a table of many megabytes, an array of another
//! language. All processes that open it share its bytes, and **its contents are theirs to
//! coordinate**: by [atomics](BlockMut::as_atomics) in the block, or by a channel that says which
//! part is ready.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let fleet = tearless::Namespace::in_process("fleet")?;
//! // The owner: the block lives as long as this value.
//! let table = fleet.block("prices", 1 << 20)?;
//! table.write_at(16, b"42.10");
//!
//! // Another process: a view that can't store, or, by `open_mut`, one that can.
//! let view = fleet.block_builder("prices").open()?;
//! let mut price = [0; 5];
//! view.read_at(16, &mut price);
//! assert_eq!(&price, b"42.10");
//! drop(table);
//! assert!(!view.is_current(), "its owner has removed it; the view keeps its memory");
//! # Ok(())
//! # }
//! ```
//!
//! * **One owner.** A block belongs to the process that created it. It is removed when the owner
//!   drops it or exits, and after the owner's death by the next process that creates a block in the
//!   namespace, by [`Namespace::clean`](crate::Namespace::clean) or by `tearless gc`, whatever they
//!   keep of channels. A fork of the owner may use the block, and removes nothing.
//! * **What is mapped stays.** A process that has a block open keeps its memory, also after the
//!   block was removed or its owner died. [`BlockView::is_current`] tells.
//! * **Fixed size, zeroes first.** Memory is reserved at creation, so no store can fail later. For
//!   another size, create the block again: that is another instance.
//! * **Trust.** Whoever may write to the object can change all of it. One that truncates it makes
//!   each access of the others fail (SIGBUS), also [`BlockView::read_at`], [`BlockMut::write_at`]
//!   and [`BlockView::load`]. A block whose header is spoiled can't be opened; a cleanup removes it
//!   after its owner's death.
//! * **Names.** A block and a channel may have the same name. Blocks are in no registry: a listing
//!   of the namespace's directory finds them.

mod cleanup;
mod error;
mod header;
mod open;

pub use cleanup::BlockInfo;
pub(crate) use cleanup::{clean, dry_run, list, names_of};
pub use error::BlockError;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::channel::{Budgets, WriterState, state_of_owner};
use crate::layout::{WORD_BYTES, block};
use crate::memory::{Memory, ReadOnlyWords, Words};
use crate::object::{Access, Backend, Backoff, ObjectError};
use header::{BlockName, Header};
use open::{Creation, Ownership};

/// How to create a block, or to open one of another process. Made by
/// [`Namespace::block_builder`](crate::Namespace::block_builder).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it creates or opens"]
pub struct BlockBuilder {
    backend: Arc<dyn Backend>,
    namespace: String,
    block: String,
    access: Access,
    budgets: Budgets,
    label: String,
    patience: Duration,
}

setters! {
    impl[] BlockBuilder;

    /// What the block contains, for those that open it and for people: a type, a shape, a version.
    /// The library compares nothing. At most 2,048 bytes. Default: empty.
    pub fn label(label: impl Into<String>) { label = label.into() }

    /// Permission bits of a new block, whatever the umask is. Default: those of the namespace.
    /// Those that may write to the object may [open it for writing](Self::open_mut), others only
    /// for reading.
    pub fn permissions(mode: u32) { access.mode = mode }

    /// Waits up to `timeout` for the block to exist, to be ready, and to have a living owner.
    /// Default: not at all, but up to two seconds for a creator that is at work.
    pub fn attach_within(timeout: Duration) { patience = timeout }
}

impl BlockBuilder {
    pub(crate) fn new(
        backend: &Arc<dyn Backend>,
        namespace: &str,
        block: &str,
        access: Access,
        budgets: Budgets,
    ) -> BlockBuilder {
        let (label, patience) = (String::new(), Duration::ZERO);
        let (backend, namespace, block) = (Arc::clone(backend), namespace.into(), block.into());
        BlockBuilder { backend, namespace, block, access, budgets, label, patience }
    }

    fn name(&self) -> Result<BlockName, BlockError> {
        BlockName::new(&self.namespace, &self.block)
    }

    /// Creates the block, of `bytes` zeroes, and owns it. Replaces one whose owner has died, and
    /// removes other blocks of the namespace whose owners have died.
    ///
    /// Cost: a listing of the namespace's directory, some system calls for each block in it, and
    /// the reservation of all memory, some tenths of a second for a gigabyte.
    ///
    /// # Errors
    ///
    /// [`BlockError::AlreadyOwned`] if a living process has it, [`BlockError::OverBudget`] or
    /// [`BlockError::Object`] if there is no room.
    pub fn create(self, bytes: usize) -> Result<Block, BlockError> {
        let (name, backend) = (self.name()?, &self.backend);
        cleanup::remove_dead(backend, &name.namespace);
        let (access, budgets, label) = (self.access, self.budgets, &*self.label);
        let created = Creation { backend, name: &name, access, budgets, label, len: bytes }.create()?;
        let (owner, header) = created;
        Ok(Block { shared: BlockMut::new(backend, name, header, owner.memory()), owner })
    }

    /// Opens a block of another process, or of this one, for reading. The mapping is read-only.
    ///
    /// # Errors
    ///
    /// [`BlockError::NotFound`] if there is none, [`BlockError::OwnerDied`] if its owner is dead:
    /// what it holds may have been left half written.
    pub fn open(self) -> Result<BlockView, BlockError> {
        let name = self.name()?;
        let (header, memory) = open::find(&self.backend, &name, self.patience)?;
        Ok(BlockView::new(&self.backend, name, header, &memory))
    }

    /// Opens a block of another process, or of this one, for reading and writing, if its
    /// permissions allow that. The owner stays the owner.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`BlockError::Object`] if this user may only read it.
    pub fn open_mut(self) -> Result<BlockMut, BlockError> {
        let name = self.name()?;
        let (begin, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            let patience = self.patience.saturating_sub(begin.elapsed());
            let (header, memory) = open::find(&self.backend, &name, patience)?;
            // Replaced since it was found: found again.
            if let Some(words) = open::map_writable(&self.backend, &name, &memory)? {
                return Ok(BlockMut::new(&self.backend, name, header, &words));
            }
            backoff.wait();
        }
    }

    /// Removes the block if no process owns it. Those that have it open see that it was removed.
    /// `false` if there is none of that name.
    ///
    /// # Errors
    ///
    /// [`BlockError::AlreadyOwned`] if a living process owns it.
    pub fn remove(self) -> Result<bool, BlockError> {
        cleanup::remove_named(&self.backend, &self.name()?)
    }
}

/// A block, mapped read-only. Made by [`BlockBuilder::open`]. Clones share the mapping.
///
/// Other processes may write while this one reads: see [`read_at`](Self::read_at).
#[derive(Clone)]
pub struct BlockView {
    header: ReadOnlyWords,
    contents: ReadOnlyWords,
    about: Arc<About>,
}

/// What never changes.
struct About {
    backend: Arc<dyn Backend>,
    name: BlockName,
    header: Header,
}

impl BlockView {
    fn new(backend: &Arc<dyn Backend>, name: BlockName, header: Header, memory: &ReadOnlyWords) -> BlockView {
        let about = Arc::new(About { backend: Arc::clone(backend), name, header });
        let words = about.header.len.div_ceil(WORD_BYTES);
        // The header has been checked against the memory: both parts are in it.
        let part = |start, len| memory.part(start, len).expect("the header was checked");
        BlockView { header: part(0, block::CONTENTS), contents: part(block::CONTENTS, words), about }
    }

    /// The block's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.about.name.block
    }

    /// What its owner said about the contents: [`BlockBuilder::label`].
    #[must_use]
    pub fn label(&self) -> &str {
        &self.about.header.label
    }

    /// Bytes of its contents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.about.header.len
    }

    /// Whether it has no contents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A random id, by which the block differs from others that had its name.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.about.header.instance
    }

    /// The owner's process id, in its own PID namespace.
    #[must_use]
    pub fn owner_pid(&self) -> u64 {
        self.about.header.owner.pid
    }

    /// Whether the block still has its name: `false` once its owner has removed it, or a cleanup
    /// after the owner's death, or a block of the same name has replaced it. One load.
    ///
    /// A block of an owner that was killed is current until then: see
    /// [`owner_state`](Self::owner_state).
    #[must_use]
    pub fn is_current(&self) -> bool {
        !header::is_removed(&self.header)
    }

    /// The state of the process that owns the block; [`WriterState::Closed`] once it is no longer
    /// [current](Self::is_current). Some system calls.
    ///
    /// # Errors
    ///
    /// If the object can't be looked at.
    pub fn owner_state(&self) -> Result<WriterState, ObjectError> {
        if !self.is_current() {
            return Ok(WriterState::Closed);
        }
        let About { backend, name, header } = &*self.about;
        match state_of_owner(backend.as_ref(), &name.object, &self.header, || header.owner)? {
            // It may have been removed in good order since, and the lock released after that.
            WriterState::Dead | WriterState::Unknown if !self.is_current() => Ok(WriterState::Closed),
            state => Ok(state),
        }
    }

    /// Copies bytes from `offset` on. Wait-free.
    ///
    /// **Not a snapshot.** The bytes are loaded in aligned words of 8, each one atomic, in any
    /// order. If another process writes at the same time, the copy may have old words beside new
    /// ones. What a process wrote before it stored to an atomic with `Release` is seen by one that
    /// has loaded that value by [`load`](Self::load).
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    pub fn read_at(&self, offset: usize, into: &mut [u8]) {
        self.check(offset, into.len());
        self.contents.read_bytes(offset, into);
    }

    /// Loads the word that begins at byte 8 · `index`, with `Acquire` ordering: what its writer
    /// stored before it, with `Release`, is visible after this.
    ///
    /// # Panics
    ///
    /// If there is no such whole word.
    #[must_use]
    pub fn load(&self, index: usize) -> u64 {
        assert!(index < self.len() / WORD_BYTES, "word {index} is not in a block of {} bytes", self.len());
        let value = self.contents.load(index);
        // Acquire: what the caller loads next must not be from before this. Pairs with the user's
        // release store. A fence, because memory that is mapped read-only allows only relaxed
        // loads.
        self.contents.fence_acquire();
        value
    }

    /// The address of the first byte, aligned to 4,096 bytes in shared memory, and to 8 in a
    /// namespace inside this process: for other languages, and for slices.
    ///
    /// It is valid for reads of [`len`](Self::len) bytes as long as this value or a clone lives. A
    /// store to memory that is mapped read-only kills the process (SIGSEGV).
    ///
    /// A program that makes a `&[u8]` of it promises, for as long as that slice lives: **no process
    /// and no thread stores to these bytes**. The compiler assumes that they don't change. The same
    /// holds for a `&mut [u8]` of [`as_mut_ptr`](BlockMut::as_mut_ptr): no other process or thread
    /// loads or stores these bytes. Nothing but that slice may touch them, not even the methods of
    /// this block. A program that truncates the object makes accesses fail (SIGBUS).
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.contents.address().cast::<u8>().cast_const()
    }

    fn check(&self, offset: usize, len: usize) {
        let all = self.len();
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= all);
        assert!(is_inside, "{len} bytes at {offset} are not in a block of {all} bytes");
    }
}

debug_by!(BlockView<>, |it| name: it.name(), len: it.len(), label: it.label());

/// A block, mapped writable. Made by [`BlockBuilder::open_mut`]. Clones share the mapping.
///
/// It is a [`BlockView`], too.
#[derive(Clone)]
pub struct BlockMut {
    view: BlockView,
    contents: Words,
}

impl BlockMut {
    fn new(backend: &Arc<dyn Backend>, name: BlockName, header: Header, memory: &Words) -> BlockMut {
        let view = BlockView::new(backend, name, header, &memory.read_only());
        let contents = memory.part(block::CONTENTS, view.contents.len()).expect("the header was checked");
        BlockMut { view, contents }
    }

    /// Copies bytes to `offset` and after.
    ///
    /// The bytes are stored in aligned words of 8, each one atomic, in any order; of a word that is
    /// written in part, the other bytes stay as they are, also while another process writes them. A
    /// process that reads at the same time may get old words beside new ones. Wait-free for whole
    /// words, else lock-free.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) {
        self.view.check(offset, bytes.len());
        self.contents.write_bytes(offset, bytes);
    }

    /// The contents as atomic words, without the bytes after the last whole word: for counters,
    /// flags and locks that the processes share. Store with `Release` what says that other bytes
    /// are written, and load it with `Acquire`, or by [`BlockView::load`].
    #[must_use]
    pub fn as_atomics(&self) -> &[AtomicU64] {
        &self.contents.words()[..self.len() / WORD_BYTES]
    }

    /// The address of the first byte, for reads and writes: see [`BlockView::as_ptr`], also for
    /// what the user of a slice promises.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.contents.address().cast()
    }
}

impl Deref for BlockMut {
    type Target = BlockView;

    fn deref(&self) -> &BlockView {
        &self.view
    }
}

debug_by!(BlockMut<>, |it| name: it.name(), len: it.len(), label: it.label());

/// A block and its ownership. Made by [`Namespace::block`](crate::Namespace::block) and
/// [`BlockBuilder::create`].
///
/// It is a [`BlockMut`], too: `(*block).clone()` shares the memory without the ownership. Dropping
/// it removes the block's name; processes and clones that have it mapped keep the memory.
#[must_use = "a block that is dropped is removed"]
pub struct Block {
    shared: BlockMut,
    owner: Arc<Ownership>,
}

impl Block {
    /// Removes the block, as dropping does, and reports an error. In a fork of the owner, nothing.
    ///
    /// # Errors
    ///
    /// [`BlockError::Object`] if the name can't be removed.
    pub fn close(self) -> Result<(), BlockError> {
        self.owner.end().map_err(|source| self.about.name.failed(source))
    }
}

impl Deref for Block {
    type Target = BlockMut;

    fn deref(&self) -> &BlockMut {
        &self.shared
    }
}

debug_by!(Block<>, |it| name: it.name(), len: it.len(), label: it.label());

//! Writers: publish, lend, touch, close.

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};

use serde::de::IgnoredAny;
use tearless::{Bytes, Loan, MessagePack, Writer, dynamic};

use crate::boundary::{self, Out, call};
use crate::handle::{Handle, Kind};
use crate::namespace::{namespace_of, tl_namespace};
use crate::status::{Failure, Result, tl_status};
use crate::writer_options::tl_writer_options;

/// The writer of one channel. One thread at a time may use a writer. It belongs to the process that
/// opened it: in a fork it publishes nothing.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_writer(#[allow(dead_code, reason = "its address is the handle's")] Handle<Publisher>);

/// A writer, and the loan that it has given.
pub(crate) struct Publisher {
    /// Refers to `writer`, which is not used as long as there is a loan.
    loan: Option<Loan<'static, [u8], Bytes>>,
    /// From a box, which a loan may refer to while this value moves.
    writer: NonNull<Writer<[u8], Bytes>>,
    /// The length of every state.
    state_len: Option<usize>,
    is_of_message_pack: bool,
}

// SAFETY: the address is that of a box which this value owns; what is in it may be sent.
unsafe impl Send for Publisher
where
    Writer<[u8], Bytes>: Send,
    Loan<'static, [u8], Bytes>: Send,
{
}

impl Kind for Publisher {
    const NAME: &str = "writer";
    const MARK: u32 = u32::from_be_bytes(*b"TLW\0");
}

impl Publisher {
    pub(crate) fn new(
        writer: Writer<[u8], Bytes>,
        state_len: Option<usize>,
        is_of_message_pack: bool,
    ) -> Publisher {
        let writer = NonNull::from(Box::leak(Box::new(writer)));
        Publisher { loan: None, writer, state_len, is_of_message_pack }
    }

    /// The writer, unless it has lent a slot.
    #[inline]
    fn writer(&mut self) -> Result<&mut Writer<[u8], Bytes>> {
        if self.loan.is_some() {
            return Err(lent(
                "a loan of this writer is not committed: tl_writer_commit() or tl_writer_discard()",
            ));
        }
        // SAFETY: the box lives as long as this value, and only a loan refers to it, too.
        Ok(unsafe { self.writer.as_mut() })
    }

    fn loan(&mut self) -> Result<Loan<'static, [u8], Bytes>> {
        self.loan.take().ok_or_else(|| Failure::invalid("the writer has lent nothing: call tl_writer_loan()"))
    }

    /// Whether a state can be what the channel's states are.
    #[inline]
    fn check(&self, state: &[u8]) -> Result {
        match self.state_len {
            Some(expected) if state.len() != expected => Err(wrong_len(state.len(), expected)),
            _ if self.is_of_message_pack => is_message_pack(state),
            _ => Ok(()),
        }
    }
}

#[cold]
fn lent(text: &str) -> Failure {
    Failure::new(tl_status::TL_IN_USE, text)
}

#[cold]
fn wrong_len(len: usize, expected: usize) -> Failure {
    Failure::invalid(format!(
        "the state has {len} bytes, but the writer's struct {expected}: give sizeof(type)"
    ))
}

/// Whether the bytes are one value of MessagePack.
fn is_message_pack(state: &[u8]) -> Result {
    let seed = std::marker::PhantomData::<IgnoredAny>;
    dynamic::decode_seed(MessagePack::NAME, None, state, seed).map(|_| ()).map_err(|error| {
        let text = format!("the state of {} bytes is not one value of MessagePack: {error}", state.len());
        Failure::new(tl_status::TL_ENCODE, text)
    })
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.loan = None;
        // SAFETY: from a box, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.writer.as_ptr()) });
    }
}

/// Creates a channel, or resumes it if its former writer died or left it. A channel has one writer.
/// A channel that was left with another codec, type name, schema, checksum, pins or permissions is
/// not resumed but replaced, and its last state is gone.
///
/// channel: the channel's name, 1 to 256 bytes of UTF-8 without control characters.
/// options: NULL for the defaults, a channel of bytes.
/// writer: receives the handle, which tl_writer_close() ends; NULL after an error.
///
/// Returns TL_OK; TL_IN_USE if another writer has the channel; TL_LIMIT without memory; TL_ACCESS;
/// TL_INVALID. After an error nothing has changed. Takes some hundred microseconds.
///
/// A process that ends without tl_writer_close(), also by exit(), leaves the channel with its last
/// state, which readers then know to be of an ended writer. The next writer resumes it.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_open(
    namespace_: *const tl_namespace,
    channel: *const c_char,
    options: *const tl_writer_options,
    writer: *mut *mut tl_writer,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(writer, "the place for the writer")? };
        out.set(ptr::null_mut());
        // SAFETY: the caller's promise.
        let namespace = unsafe { namespace_of(namespace_)? };
        // SAFETY: the caller's promise.
        let channel = unsafe { boundary::text(channel, "the name of the channel")? };
        // SAFETY: the caller's promise.
        let options = unsafe { boundary::options(options)? };
        let builder = namespace.writer_builder::<[u8]>(channel).codec::<Bytes>();
        // SAFETY: the caller's promise.
        let publisher = unsafe { options.open(builder)? };
        out.set(Handle::open(publisher).cast());
        Ok(tl_status::TL_OK)
    })
}

/// Publishes a state: copies it, and makes it the latest one for all readers.
///
/// state: its bytes; of a plain struct, its address. NULL only for no bytes.
/// length: how many; of a plain struct, its sizeof.
/// publication: receives the number of the publication; may be NULL.
///
/// Returns TL_OK; TL_LIMIT if the state is too large or there is no memory to grow; TL_ENCODE if it
/// is not MessagePack on a channel of that; TL_INVALID for a wrong length; TL_FORKED; TL_IN_USE
/// while a loan is lent. After an error readers still have the last state.
///
/// Never waits for readers, and makes no system call unless the channel grows or a reader waits.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_publish(
    writer: *mut tl_writer,
    state: *const c_void,
    length: usize,
    publication: *mut u64,
) -> tl_status {
    let publish = boundary::of_len(&OF_WORDS, length).unwrap_or(publish_any);
    // SAFETY: the caller's promise; the function is for the length.
    unsafe { publish(writer, state, length, publication) }
}

type Publish = unsafe extern "C" fn(*mut tl_writer, *const c_void, usize, *mut u64) -> tl_status;

static OF_WORDS: [Publish; 16] = boundary::by_words!(Publish: publish_exactly);

/// Publishes a state of `N` bytes.
///
/// # Safety
///
/// As of tl_writer_publish(), of a length of `N`.
unsafe extern "C" fn publish_exactly<const N: usize>(
    writer: *mut tl_writer,
    state: *const c_void,
    _length: usize,
    publication: *mut u64,
) -> tl_status {
    // SAFETY: the caller's promise.
    if unsafe { publish_fast(writer, state, N, publication) }.is_some() {
        return tl_status::TL_OK;
    }
    // SAFETY: the caller's promise.
    unsafe { publish(writer, state, N, publication) }
}

/// The same for a state of any length.
///
/// # Safety
///
/// As of tl_writer_publish().
unsafe extern "C" fn publish_any(
    writer: *mut tl_writer,
    state: *const c_void,
    length: usize,
    publication: *mut u64,
) -> tl_status {
    // SAFETY: the caller's promise.
    if unsafe { publish_fast(writer, state, length, publication) }.is_some() {
        return tl_status::TL_OK;
    }
    // SAFETY: the caller's promise.
    unsafe { publish(writer, state, length, publication) }
}

/// A publication that mostly succeeds. Has nothing that unwinds, and needs no memory for a failure.
///
/// # Safety
///
/// As of tl_writer_publish().
#[inline(always)]
unsafe fn publish_fast(
    writer: *mut tl_writer,
    state: *const c_void,
    length: usize,
    publication: *mut u64,
) -> Option<()> {
    // SAFETY: the caller's promise.
    let out = unsafe { Out::fast(publication)? };
    // SAFETY: the caller's promise.
    let state = unsafe { boundary::bytes_fast(state, length)? };
    // SAFETY: the caller's promise.
    let mut publisher = unsafe { Handle::<Publisher>::using_fast(writer.cast())? };
    let is_usual = !publisher.is_of_message_pack && publisher.state_len.is_none_or(|len| len == length);
    if !is_usual || publisher.loan.is_some() {
        return None;
    }
    // SAFETY: as in `Publisher::writer`.
    let writer = unsafe { publisher.writer.as_mut() };
    out.set(writer.try_publish(state)?);
    Some(())
}

/// # Safety
///
/// As of tl_writer_publish().
#[cold]
#[inline(never)]
unsafe extern "C" fn publish(
    writer: *mut tl_writer,
    state: *const c_void,
    length: usize,
    publication: *mut u64,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut publisher = unsafe { Handle::<Publisher>::using(writer.cast())? };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(publication, "the place for the number")? };
        // SAFETY: the caller's promise.
        let state = unsafe { boundary::bytes(state, length, "the state")? };
        publisher.check(state)?;
        out.set(publisher.writer()?.publish(state)?);
        Ok(tl_status::TL_OK)
    })
}

/// Publishes a state if its bytes are others than those of the last call; else it is a heartbeat as
/// tl_writer_touch(), and wakes no reader. The first call publishes, and so does one after
/// tl_writer_publish().
///
/// The arguments are those of tl_writer_publish(). The bytes of a struct's padding count: set the
/// struct to zeros before its members.
///
/// Returns what tl_writer_publish() does; TL_UNCHANGED if the bytes are the same.
///
/// # Safety
///
/// As of tl_writer_publish().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_publish_if_changed(
    writer: *mut tl_writer,
    state: *const c_void,
    length: usize,
    publication: *mut u64,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut publisher = unsafe { Handle::<Publisher>::using(writer.cast())? };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(publication, "the place for the number")? };
        // SAFETY: the caller's promise.
        let state = unsafe { boundary::bytes(state, length, "the state")? };
        publisher.check(state)?;
        match publisher.writer()?.publish_if_changed(state)? {
            Some(number) => out.set(number),
            None => return Ok(tl_status::TL_UNCHANGED),
        }
        Ok(tl_status::TL_OK)
    })
}

/// Lends the memory of the next state, to be filled in place. tl_writer_commit() publishes it,
/// tl_writer_discard() gives it back. Until then readers have the last state.
///
/// length: how many bytes the state can have at most; of a plain struct, its sizeof.
/// memory: receives the address of them, aligned to 8 bytes; NULL after an error. They hold bytes
/// of an older state, or zeros. The caller stores nothing to them after the commit or discard, and
/// a fork of this process never: readers would see torn states.
///
/// Returns TL_OK; TL_IN_USE if a loan is lent already; otherwise what tl_writer_publish() does.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here. As long as the loan is lent, no other
/// process stores to the channel's memory: none does by tearless.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_loan(
    writer: *mut tl_writer,
    length: usize,
    memory: *mut *mut c_void,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(memory, "the place for the address")? };
        out.set(ptr::null_mut());
        // SAFETY: the caller's promise.
        let mut publisher = unsafe { Handle::<Publisher>::using(writer.cast())? };
        publisher.writer()?;
        if let Some(expected) = publisher.state_len.filter(|expected| *expected != length) {
            return Err(wrong_len(length, expected));
        }
        // SAFETY: the box lives as long as the publisher, which drops the loan before it; nothing
        // uses the writer while there is a loan (`Publisher::writer`).
        let writer: &'static mut Writer<[u8], Bytes> = unsafe { &mut *publisher.writer.as_ptr() };
        let loan = publisher.loan.insert(writer.loan(length)?);
        // SAFETY: the caller's promise.
        let lent = unsafe { loan.lend().into_mut() };
        out.set(lent.as_mut_ptr().cast());
        Ok(tl_status::TL_OK)
    })
}

/// Publishes the memory that was lent.
///
/// length: how many of the lent bytes the state has.
/// publication: receives the number of the publication; may be NULL.
///
/// Returns TL_OK; TL_INVALID if nothing is lent, or less than that, or for another length than that
/// of the struct; TL_ENCODE if the bytes are not
/// MessagePack on a channel of that; TL_FORKED. The loan has ended in any case. Costs the same
/// whatever the length, but for checksums and MessagePack.
///
/// # Safety
///
/// As of tl_writer_loan().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_commit(
    writer: *mut tl_writer,
    length: usize,
    publication: *mut u64,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut publisher = unsafe { Handle::<Publisher>::using(writer.cast())? };
        let mut loan = publisher.loan()?;
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(publication, "the place for the number")? };
        if length > loan.len() {
            let lent = loan.len();
            return Err(Failure::invalid(format!("the loan has {lent} bytes, not {length}: ask for more")));
        }
        loan.truncate(length);
        // SAFETY: the caller's promise.
        publisher.check(unsafe { loan.lend().into_mut() })?;
        out.set(loan.publish()?);
        Ok(tl_status::TL_OK)
    })
}

/// Ends a loan without a publication.
///
/// Returns TL_OK; TL_INVALID if nothing is lent.
///
/// # Safety
///
/// The writer is NULL or a handle that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_discard(writer: *mut tl_writer) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut publisher = unsafe { Handle::<Publisher>::using(writer.cast())? };
        drop(publisher.loan()?);
        Ok(tl_status::TL_OK)
    })
}

/// A heartbeat: the state is as it was, and this process works. It wakes no reader. Once a second
/// at most, it checks that the channel's names are still there.
///
/// Returns TL_OK; TL_SYSTEM if the names were removed by hand: close the writer and open another
/// one; TL_FORKED.
///
/// # Safety
///
/// The writer is NULL or a handle that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_touch(writer: *mut tl_writer) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut publisher = unsafe { Handle::<Publisher>::using(writer.cast())? };
        match &mut publisher.loan {
            Some(loan) => loan.touch()?,
            None => publisher.writer()?.touch()?,
        }
        Ok(tl_status::TL_OK)
    })
}

/// Closes a writer, and removes the channel unless the writer was opened with linger. A loan is
/// given back. Readers see the end. NULL is ignored. In a fork of the process that opened the
/// writer the channel stays as it is.
///
/// Returns TL_OK; TL_CLOSED as tl_namespace_close() does; TL_SYSTEM or TL_ACCESS if something of
/// the channel could not be removed. The handle is closed in any case.
///
/// # Safety
///
/// No other thread uses the writer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_writer_close(writer: *mut tl_writer) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        if let Some(publisher) = unsafe { Handle::<Publisher>::close(writer.cast())? } {
            publisher.close()?;
        }
        Ok(tl_status::TL_OK)
    })
}

impl Publisher {
    fn close(mut self) -> Result {
        self.loan = None;
        let writer = self.writer;
        std::mem::forget(self);
        // SAFETY: from a box; the value that owned it is forgotten, and the loan is gone.
        let writer = unsafe { Box::from_raw(writer.as_ptr()) };
        Ok(writer.close()?)
    }
}

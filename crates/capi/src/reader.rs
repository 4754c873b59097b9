//! Readers: the latest state as a copy; older ones; waiting; the writer.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use tearless::dynamic::Decoder;
use tearless::error::SnapshotError;
use tearless::{Bytes, Reader, SnapshotInfo};

use crate::accept::{StateLen, tl_reader_options};
use crate::boundary::{self, Out, call};
use crate::handle::{Handle, Kind};
use crate::info::tl_info;
use crate::namespace::{Described, namespace_of, tl_channel, tl_namespace};
use crate::status::{Failure, Result, tl_status};
use crate::writer_state::tl_writer_state;

/// The reader of one channel. One thread at a time may use a reader; each thread opens its own. In
/// a fork, it works on.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_reader(#[allow(dead_code, reason = "its address is the handle's")] Handle<Subscriber>);

/// A reader, and what its calls return addresses of.
pub(crate) struct Subscriber {
    pub(crate) reader: Reader<Vec<u8>, Bytes>,
    /// The length of every state, of a plain struct.
    pub(crate) state_len: Option<StateLen>,
    /// Decodes the channel's payloads, by its own schema.
    pub(crate) decoder: Option<Arc<Decoder>>,
    /// The last payload that was decoded.
    pub(crate) payload: Vec<u8>,
    channel: Option<Described>,
    writer_state: Option<Box<tl_writer_state>>,
}

impl Kind for Subscriber {
    const NAME: &str = "reader";
    const MARK: u32 = u32::from_be_bytes(*b"TLR\0");
}

/// Opens a reader of a channel. It maps the channel's memory read-only, and holds no lock.
///
/// channel: the channel's name.
/// options: NULL for the defaults, which accept every channel and read its bytes.
/// reader: receives the handle, which tl_reader_close() ends; NULL after an error.
///
/// Returns TL_OK; TL_NOT_FOUND if there is no such channel within attach_timeout_ns, for which the
/// call blocks; TL_MISMATCH if its states are others than the options say; TL_ACCESS; TL_INVALID.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here. With views_in_place, the promise that
/// it makes holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_open(
    namespace_: *const tl_namespace,
    channel: *const c_char,
    options: *const tl_reader_options,
    reader: *mut *mut tl_reader,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(reader, "the place for the reader")? };
        out.set(ptr::null_mut());
        // SAFETY: the caller's promise.
        let namespace = unsafe { namespace_of(namespace_)? };
        // SAFETY: the caller's promise.
        let channel = unsafe { boundary::text(channel, "the name of the channel")? };
        // SAFETY: the caller's promise.
        let options = unsafe { boundary::options(options)? };
        // SAFETY: the caller's promise.
        let (reader, state_len) = unsafe { options.open(namespace.reader_builder(channel).codec())? };
        let (decoder, payload, channel, writer_state) = (None, Vec::new(), None, None);
        let subscriber = Subscriber { reader, state_len, decoder, payload, channel, writer_state };
        out.set(Handle::open(subscriber).cast());
        Ok(tl_status::TL_OK)
    })
}

pub(crate) const OTHER_PLACES: &str = "the channel has the members of the reader's struct in other places, and this call returns \
                            its bytes as they are: use tl_reader_read()";

impl Subscriber {
    /// The result of a copy of a state into a buffer.
    #[inline]
    fn copied(&self, read: SnapshotInfo, out: &Out<tl_info>) -> Result<tl_status> {
        let info = self.info(read);
        out.set(info);
        match self.state_len {
            Some(StateLen { size, .. }) if info.length != size => Err(self.other_len(info.length, size)),
            _ => Ok(tl_status::TL_OK),
        }
    }

    /// What is known of a state, as this reader returns it.
    #[inline]
    fn info(&self, read: SnapshotInfo) -> tl_info {
        let info = tl_info::from(read);
        match self.state_len {
            Some(StateLen { size, is_matched: true }) => tl_info { length: size, ..info },
            _ => info,
        }
    }

    /// Whether the channel has the members of the reader's struct in other places.
    pub(crate) fn is_matched(&self) -> bool {
        self.state_len.is_some_and(|state| state.is_matched)
    }

    #[cold]
    pub(crate) fn other_len(&self, len: usize, expected: usize) -> Failure {
        let channel = self.reader.channel();
        let text = format!(
            "the state of channel {channel:?} has {len} bytes, but the reader's struct {expected}: use the writer's struct"
        );
        Failure::new(tl_status::TL_MISMATCH, text)
    }

    /// What a call returns whose state is longer than its buffer: also the length.
    #[cold]
    fn failed(&self, error: SnapshotError, out: &Out<tl_info>) -> Failure {
        if let SnapshotError::BufferTooSmall { publication, len, .. } = &error {
            out.set(tl_info { publication: *publication, length: *len, ..tl_info::default() });
        }
        error.into()
    }
}

/// What is known of the latest state, without the state. Copies nothing of it, and does not count
/// as a read for tl_reader_wait().
///
/// info: receives it.
///
/// Returns TL_OK; TL_EMPTY before the first publication; TL_CLOSED once the channel is removed;
/// TL_CONTENDED if the writer overwrites its slots faster than they can be looked at.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_latest(reader: *mut tl_reader, info: *mut tl_info) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(info, "the place for the info")? };
        match it.reader.latest_info_or_reason() {
            Ok(info) => out.set(it.info(info)),
            Err(error) => return empty_or(error, Failure::from),
        }
        Ok(tl_status::TL_OK)
    })
}

/// Copies the latest state.
///
/// buffer: receives it; NULL only for no bytes.
/// capacity: bytes of the buffer; for a plain struct at least its sizeof.
/// info: receives what else is known of it; may be NULL.
///
/// Returns TL_OK; TL_EMPTY before the first publication; TL_TOO_SMALL if the state is longer than
/// the buffer, and then info has its number and length, as with TL_MISMATCH; TL_CLOSED once the
/// channel is removed; TL_CONTENDED; TL_CORRUPT; TL_MISMATCH. After an error the buffer holds
/// unspecified bytes.
///
/// Never blocks, and never blocks the writer. No system call, unless the channel has grown.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_read(
    reader: *mut tl_reader,
    buffer: *mut c_void,
    capacity: usize,
    info: *mut tl_info,
) -> tl_status {
    let read = boundary::of_len(&OF_WORDS, capacity).unwrap_or(read_any);
    // SAFETY: the caller's promise; the function is for the capacity.
    unsafe { read(reader, buffer, capacity, info) }
}

type Read = unsafe extern "C" fn(*mut tl_reader, *mut c_void, usize, *mut tl_info) -> tl_status;

static OF_WORDS: [Read; 16] = boundary::by_words!(Read: read_exactly);

/// Reads into a buffer of `N` bytes, mostly a state that has as many.
///
/// # Safety
///
/// As of tl_reader_read(), of a capacity of `N`.
unsafe extern "C" fn read_exactly<const N: usize>(
    reader: *mut tl_reader,
    buffer: *mut c_void,
    _capacity: usize,
    info: *mut tl_info,
) -> tl_status {
    let attempt = |reader: &mut Reader<Vec<u8>, Bytes>, buffer: &mut [u8]| {
        reader.try_snapshot_into_array(buffer.first_chunk_mut::<N>()?)
    };
    // SAFETY: the caller's promise.
    if unsafe { read_fast(reader, buffer, N, info, attempt) }.is_some() {
        return tl_status::TL_OK;
    }
    // SAFETY: the caller's promise.
    unsafe { read(reader, buffer, N, info) }
}

/// The same for a buffer of any other length, and states that are not longer.
///
/// # Safety
///
/// As of tl_reader_read().
unsafe extern "C" fn read_any(
    reader: *mut tl_reader,
    buffer: *mut c_void,
    capacity: usize,
    info: *mut tl_info,
) -> tl_status {
    // SAFETY: the caller's promise.
    if unsafe { read_fast(reader, buffer, capacity, info, Reader::try_snapshot_into_slice) }.is_some() {
        return tl_status::TL_OK;
    }
    // SAFETY: the caller's promise.
    unsafe { read(reader, buffer, capacity, info) }
}

/// A read that mostly succeeds. Has nothing that unwinds, and needs no memory for a failure.
///
/// # Safety
///
/// As of tl_reader_read().
#[inline(always)]
unsafe fn read_fast(
    reader: *mut tl_reader,
    buffer: *mut c_void,
    capacity: usize,
    info: *mut tl_info,
    attempt: impl FnOnce(&mut Reader<Vec<u8>, Bytes>, &mut [u8]) -> Option<SnapshotInfo>,
) -> Option<()> {
    // SAFETY: the caller's promise.
    let out = unsafe { Out::fast(info)? };
    // SAFETY: the caller's promise.
    let buffer = unsafe { boundary::buffer_fast(buffer, capacity)? };
    // SAFETY: the caller's promise.
    let mut it = unsafe { Handle::<Subscriber>::using_fast(reader.cast())? };
    let read = attempt(&mut it.reader, buffer)?;
    if it.state_len.is_some_and(|state| state.size != read.payload_len()) {
        return None;
    }
    out.set(read.into());
    Some(())
}

/// # Safety
///
/// As of tl_reader_read().
#[cold]
#[inline(never)]
unsafe extern "C" fn read(
    reader: *mut tl_reader,
    buffer: *mut c_void,
    capacity: usize,
    info: *mut tl_info,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(info, "the place for the info")? };
        // SAFETY: the caller's promise.
        let buffer = unsafe { boundary::buffer(buffer, capacity, "the buffer")? };
        match it.reader.snapshot_into_slice(buffer) {
            Ok(info) => it.copied(info, &out),
            Err(error) => empty_or(error, |error| it.failed(error, &out)),
        }
    })
}

/// TL_EMPTY, which is no error, or the error.
#[cold]
pub(crate) fn empty_or(
    error: SnapshotError,
    failed: impl FnOnce(SnapshotError) -> Failure,
) -> Result<tl_status> {
    match error {
        SnapshotError::Empty { .. } => Ok(Failure::from(error).report()),
        error => Err(failed(error)),
    }
}

/// Copies a part of the latest state: one member of a large struct, for example, by its offsetof
/// and its sizeof.
///
/// offset: where the part begins.
/// buffer, length: receives it; NULL only for no bytes.
/// info: receives what else is known of the state; may be NULL. Its length is that of the whole.
///
/// Returns TL_OK; TL_EMPTY before the first publication; TL_INVALID if the state does not reach so
/// far, or if TL_MATCHING_FIELDS has found the members in other places; TL_MISMATCH if the state is
/// not as long as the reader's struct; TL_CLOSED, TL_CONTENDED and TL_CORRUPT as tl_reader_read().
///
/// # Safety
///
/// As of tl_reader_read().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_read_at(
    reader: *mut tl_reader,
    offset: usize,
    buffer: *mut c_void,
    length: usize,
    info: *mut tl_info,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(info, "the place for the info")? };
        // SAFETY: the caller's promise.
        let buffer = unsafe { boundary::buffer(buffer, length, "the buffer")? };
        if it.is_matched() {
            return Err(Failure::invalid(OTHER_PLACES));
        }
        match it.reader.read_at(offset, buffer) {
            Ok(info) => it.copied(info, &out),
            Err(error) => empty_or(error, Failure::from),
        }
    })
}

/// Copies the newest state before a publication that the channel still holds: the history, from the
/// latest state backwards, also of a dead writer.
///
///     uint64_t before = 0;
///     while (tl_reader_history(reader, before, &state, sizeof state, &info) == TL_OK)
///         before = info.publication;
///
/// before: the number of a publication; 0 begins with the latest.
/// buffer, capacity, info: as of tl_reader_read(), but info must be given.
///
/// Returns TL_OK; TL_END if the channel holds no older one; TL_TOO_SMALL or TL_MISMATCH, with the
/// number and length in info, so that the next call can go on before it; TL_CORRUPT. After the end
/// of a channel, it still returns what a reader that was open has mapped: the last state, for
/// example.
///
/// # Safety
///
/// As of tl_reader_read().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_history(
    reader: *mut tl_reader,
    before: u64,
    buffer: *mut c_void,
    capacity: usize,
    info: *mut tl_info,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(info, "the place for the info")? };
        // SAFETY: the caller's promise.
        let buffer = unsafe { boundary::buffer(buffer, capacity, "the buffer")? };
        let before = if before == 0 { u64::MAX } else { before };
        match it.reader.history_into_slice(before, buffer) {
            Ok(Some(info)) => it.copied(info, &out),
            Ok(None) => Ok(tl_status::TL_END),
            Err(error) => Err(it.failed(error, &out)),
        }
    })
}

/// A timeout that is waited for in parts.
const PART: Duration = Duration::from_secs(3600);

/// Waits for a publication after the last one that this reader returned or waited for, and copies
/// nothing: tl_reader_read() does.
///
/// timeout_ns: how long, in nanoseconds; 0 only looks, a negative number waits without end.
///
/// Returns TL_OK if there is one; TL_TIMED_OUT; TL_CLOSED if the channel has ended, also if its
/// last state can still be read. A signal does not end the wait. The death of a writer ends no
/// channel: tl_reader_writer_state() reports it. Blocks the calling thread, and never the writer,
/// which wakes it by a system call.
///
/// # Safety
///
/// The reader is NULL or a handle that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_wait(reader: *mut tl_reader, timeout_ns: i64) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        let changed = match u64::try_from(timeout_ns) {
            Ok(nanos) => it.reader.changed(Duration::from_nanos(nanos))?,
            Err(_) => loop {
                if it.reader.changed(PART)? {
                    break true;
                }
            },
        };
        Ok(if changed { tl_status::TL_OK } else { tl_status::TL_TIMED_OUT })
    })
}

/// What the reader's channel is.
///
/// channel: receives the address of it, valid until the next call of this function for this reader,
/// or its end; NULL after an error.
///
/// Returns TL_OK.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_channel(
    reader: *mut tl_reader,
    channel: *mut *const tl_channel,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(channel, "the place for the channel")? };
        out.set(ptr::null());
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        let it = &mut *it;
        let host = it.reader.origin_status().map(|origin| origin.host);
        let texts = [it.reader.channel(), it.reader.codec_name(), it.reader.type_name()].map(Some);
        let [name, codec, type_name] = texts;
        let channel = tl_channel {
            instance: it.reader.instance(),
            incarnation: it.reader.incarnation(),
            writer_pid: it.reader.writer_pid(),
            ..tl_channel::default()
        };
        out.set(it.channel.insert(Described::new([name, codec, type_name, host], channel)).channel());
        Ok(tl_status::TL_OK)
    })
}

/// How the channel's writer is: alive, stopped, dead, and since when. The kernel says so, by a lock
/// that the writer holds: one that was killed is dead at once, and one that is slow is not.
///
/// state: receives the address of it, valid until the next call of this function for this reader,
/// or its end; NULL after an error.
///
/// Returns TL_OK; TL_SYSTEM or TL_ACCESS if the system does not say. Some system calls,
/// microseconds.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_writer_state(
    reader: *mut tl_reader,
    state: *mut *const tl_writer_state,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(state, "the place for the state")? };
        out.set(ptr::null());
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        let state = tl_writer_state::of(&mut it.reader)?;
        out.set(&raw const **it.writer_state.insert(Box::new(state)));
        Ok(tl_status::TL_OK)
    })
}

/// Closes a reader, which no other thread may be using. Its views stay. NULL is ignored.
///
/// Returns TL_OK; TL_CLOSED as tl_namespace_close() does.
///
/// # Safety
///
/// No other thread uses the reader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_close(reader: *mut tl_reader) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        unsafe { Handle::<Subscriber>::close(reader.cast())? };
        Ok(tl_status::TL_OK)
    })
}

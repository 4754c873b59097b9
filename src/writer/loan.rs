//! Loans: the next slot of a channel, filled in place.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Writer, encode};
use crate::channel::{ChannelLoan, PublishError};
use crate::codec::{Bytes, Encode, Plain, Pod};
use crate::memory::LoanMut;
use crate::reader::Field;

/// The next slot of a channel, to be filled in place and then published.
///
/// Made by `Writer::loan` of a writer of [`Bytes`] or [`Pod`], and by [`Writer::encode`]. A state
/// that is produced in its slot is copied by no one but its readers, and publishing it costs the
/// same whatever its size, unless the channel has checksums.
///
/// Until [`publish`](Loan::publish), readers have the last publication. A loan that is dropped, by
/// a panic too, publishes nothing, and the next publication has its number. So does a kill. What it
/// costs: the slot held the oldest publication of the channel's history, and that is gone.
///
/// What is not filled holds bytes of an older publication, or zeroes.
///
/// ```
/// use tearless::{Bytes, Namespace};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet = Namespace::open("fleet-of-loans")?;
/// let mut camera = fleet.writer_builder::<[u8]>("camera").codec::<Bytes>().open()?;
///
/// let mut frame = camera.loan(3 * 640)?;
/// for (row, at) in (0_u8..).zip([0, 640, 1280]) {
///     frame.write_at(at, &[row; 640]); // straight into shared memory
/// }
/// frame.publish()?;
///
/// let mut reader = fleet.reader_builder::<Vec<u8>>("camera").codec::<Bytes>().open()?;
/// assert_eq!(reader.snapshot()?[640..1280], [1; 640]);
/// # Ok(())
/// # }
/// ```
///
/// # Three ways to fill it
///
/// * [`write_at`](Loan::write_at), or [`set`](Loan::set) for a field of plain data: copies what it
///   is given into the slot.
/// * [`sink`](Loan::sink): `std::io::Write`, for encoders and `std::io::copy`. The state has the
///   bytes that were written.
/// * [`lend`](Loan::lend): a reference to the slot's memory, `&mut [u8]` or `&mut T`, for decoders
///   and `read`. Another process could store there, so that takes `unsafe`, and a promise.
#[must_use = "a loan that is dropped publishes nothing"]
pub struct Loan<'a, T: ?Sized, C> {
    loan: ChannelLoan<'a>,
    types: PhantomData<fn(&T) -> C>,
}

impl<T: AsRef<[u8]> + ?Sized> Writer<T, Bytes> {
    /// The copy into the next slot that publishing mostly is; `None` if it takes more, or ends in
    /// an error, and then nothing has changed. For bindings: it neither allocates nor panics.
    #[doc(hidden)]
    #[inline(always)]
    pub fn try_publish(&mut self, state: &T) -> Option<u64> {
        self.session.channel.publish_usual(state.as_ref()).ok()
    }

    /// Lends the next slot, for a state of `len` bytes. It may become shorter:
    /// [`Loan::truncate`], [`Loan::sink`].
    ///
    /// Progress: wait-free, without a system call or an allocation, unless the channel grows.
    ///
    /// # Errors
    ///
    /// [`PublishError`], as [`Writer::publish`] of a state of `len` bytes.
    #[inline]
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_, T, Bytes>, PublishError> {
        Ok(Loan { loan: self.session.channel.loan(len)?, types: PhantomData })
    }
}

impl<S: Plain> Writer<S, Pod> {
    /// Lends the next slot, for a state of plain data.
    ///
    /// Progress: wait-free, without a system call or an allocation, unless the channel grows.
    ///
    /// ```
    /// use tearless::{Namespace, Pod, field_of};
    ///
    /// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    /// #[repr(C)]
    /// struct Frame { number: u64, rows: [[u8; 640]; 480] }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Namespace::open("fleet-of-frames")?;
    /// let mut camera = fleet.writer_builder::<Frame>("camera").codec::<Pod>().open()?;
    ///
    /// let mut frame = camera.loan()?;
    /// frame.set(field_of!(Frame, number), &1);
    /// for (row, value) in (0..480).zip((0_u8..=255).cycle()) {
    ///     frame.set(field_of!(Frame, rows).index(row), &[value; 640]);
    /// }
    /// frame.publish()?;
    ///
    /// let mut frame = camera.loan()?;
    /// // SAFETY: of this user's processes, only this one stores to the channel's memory.
    /// let value: &mut Frame = unsafe { frame.lend().into_mut() };
    /// value.number = 2;
    /// value.rows.iter_mut().for_each(|row| row.fill(7));
    /// frame.publish()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PublishError`], as [`Writer::publish`].
    #[inline]
    pub fn loan(&mut self) -> Result<Loan<'_, S, Pod>, PublishError> {
        Ok(Loan { loan: self.session.channel.loan(size_of::<S::Data>())?, types: PhantomData })
    }
}

impl<T: ?Sized, C: Encode<T>> Writer<T, C> {
    /// Encodes `state` into the next slot. [`Loan::publish`] then makes it the latest state, at the
    /// same cost whatever its size: encode early, publish at the moment that counts. With [`Bytes`]
    /// and [`Pod`], the loan can be changed before that.
    ///
    /// Codecs check what they have encoded and put lengths before it, in private memory: shared
    /// memory is never trusted for that. So this copies the payload, as [`Writer::publish`] does.
    /// For an encoder that needs no such memory, publish [`Bytes`] by a [`Loan::sink`].
    ///
    /// Progress and cost: as [`Writer::publish`].
    ///
    /// # Errors
    ///
    /// As [`Writer::publish`].
    pub fn encode(&mut self, state: &T) -> Result<Loan<'_, T, C>, PublishError> {
        let payload = encode::<T, C>(&mut self.session.channel, state, &mut self.scratch)?;
        let mut loan = self.session.channel.loan(payload.len())?;
        loan.write_at(0, payload);
        Ok(Loan { loan, types: PhantomData })
    }
}

impl<T: ?Sized, C> Loan<'_, T, C> {
    /// Publishes the loan, and returns its number.
    ///
    /// Readers get it from the moment that this returns; its timestamp is of this call. Progress:
    /// wait-free, without a system call or an allocation, unless the loan has grown the channel, or
    /// a process waits. Cost: one read of the clock and some stores; on a channel with checksums,
    /// one pass over the payload.
    ///
    /// # Errors
    ///
    /// [`PublishError::Forked`] in a fork of the process that has the loan: the parent can publish
    /// it.
    #[inline]
    pub fn publish(self) -> Result<u64, PublishError> {
        self.loan.publish()
    }

    /// Reports that the writer works, while it fills a loan for longer than its
    /// [heartbeats](crate::WriterBuilder::heartbeat_interval) promise: as
    /// [`Writer::touch`], without its look at the names in shared memory.
    ///
    /// # Errors
    ///
    /// [`PublishError::Forked`] in a fork of the process that has the loan.
    pub fn touch(&mut self) -> Result<(), PublishError> {
        self.loan.touch()
    }

    /// The number that it will be published under.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.loan.publication()
    }

    /// Bytes that will be published.
    #[must_use]
    pub fn len(&self) -> usize {
        self.loan.len()
    }

    /// Whether the state will have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: ?Sized> Loan<'a, T, Bytes> {
    /// Copies `bytes` into the slot, from byte `offset` on. In a fork of the process that has the
    /// loan it does nothing.
    ///
    /// # Panics
    ///
    /// If they reach beyond the end.
    #[inline]
    #[track_caller]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        self.loan.write_at(offset, bytes);
    }

    /// Publishes no more than the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.loan.truncate(len);
    }

    /// The slot as a sink, from its first byte on.
    pub fn sink(self) -> LoanSink<'a, T> {
        LoanSink { loan: self, written: 0 }
    }

    /// The memory of the loan, for a reference to it: see [`LoanMut`].
    #[must_use]
    pub fn lend(&mut self) -> LoanMut<'_, [u8]> {
        self.loan.lend()
    }

    /// Keeps the memory that [`lend`](Self::lend) lends mapped for as long as the result lives,
    /// also after the loan, its writer and the channel have gone: for arrays of other languages,
    /// which may be used too late. What is stored there after the loan was published tears the
    /// state. `None` in a namespace in this process, where that memory is a copy.
    #[must_use]
    pub fn keep(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.loan.keep().map(|memory| Arc::new(memory) as _)
    }
}

impl<S: Plain> Loan<'_, S, Pod> {
    /// Copies `value` into the slot, as one field of the state: see
    /// [`field_of!`](crate::field_of). In a fork of the process that has the loan it does nothing.
    #[inline]
    pub fn set<F: bytemuck::Pod>(&mut self, field: Field<S::Data, F>, value: &F) {
        self.loan.write_at(field.offset(), bytemuck::bytes_of(value));
    }

    /// The memory of the loan, for a reference to it: see [`LoanMut`].
    #[must_use]
    pub fn lend(&mut self) -> LoanMut<'_, S::Data> {
        self.loan.lend()
    }
}

/// A [`Loan`] that is written from its first byte on: the state has the bytes that were written,
/// and no others that the loan was filled with. After an error, drop it: the state would have less
/// than was to be written. Made by [`Loan::sink`].
///
/// ```
/// use tearless::{Bytes, Namespace};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet = Namespace::open("fleet-of-sinks")?;
/// let mut writer = fleet.writer_builder::<[u8]>("worker-7").codec::<Bytes>().open()?;
///
/// let mut sink = writer.loan(4096)?.sink(); // at most
/// serde_json::to_writer(&mut sink, &["a job", "another"])?;
/// sink.publish()?;
///
/// let mut reader = fleet.reader_builder::<Vec<u8>>("worker-7").codec::<Bytes>().open()?;
/// assert_eq!(*reader.snapshot()?, br#"["a job","another"]"#);
/// # Ok(())
/// # }
/// ```
#[must_use = "a loan that is dropped publishes nothing"]
pub struct LoanSink<'a, T: ?Sized> {
    loan: Loan<'a, T, Bytes>,
    written: usize,
}

impl<T: ?Sized> LoanSink<'_, T> {
    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written
    }

    /// Reports that the writer works: see [`Loan::touch`].
    ///
    /// # Errors
    ///
    /// As [`Loan::touch`].
    pub fn touch(&mut self) -> Result<(), PublishError> {
        self.loan.touch()
    }

    /// Publishes what was written, and returns its number: see [`Loan::publish`].
    ///
    /// # Errors
    ///
    /// As [`Loan::publish`].
    pub fn publish(mut self) -> Result<u64, PublishError> {
        self.loan.truncate(self.written);
        self.loan.publish()
    }
}

/// Writes all bytes or, beyond the end of the loan, none, with an error
/// ([`StorageFull`](ErrorKind::StorageFull)).
impl<T: ?Sized> io::Write for LoanSink<'_, T> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.loan.len() - self.written;
        if bytes.len() > room {
            let (len, channel) = (self.loan.len(), self.loan.loan.channel());
            let text = format!("the loan of channel {channel:?} has {len} bytes: ask for a larger one");
            return Err(io::Error::new(ErrorKind::StorageFull, text));
        }
        self.loan.write_at(self.written, bytes);
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

debug_by!(Loan<'a, T: ?Sized, C>, |it|
    channel: it.loan.channel(), publication: it.publication(), len: it.len());
debug_by!(LoanSink<'a, T: ?Sized>, |it| loan: it.loan, written: it.written);

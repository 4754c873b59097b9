//! The boundary to C: what comes in is checked here, and nothing unwinds through it.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::panic::{self, AssertUnwindSafe};
use std::slice;
use std::time::Duration;

use crate::status::{Failure, Result, tl_status};

/// Runs the body of a call.
#[inline(always)]
pub(crate) fn call(body: impl FnOnce() -> Result<tl_status>) -> tl_status {
    // What a panic leaves behind is memory-safe; TL_PANIC says that nothing else is promised.
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => failure.report(),
        Err(panic) => fault(&*panic),
    }
}

#[cold]
fn fault(panic: &(dyn Any + Send)) -> tl_status {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
    Failure::new(tl_status::TL_PANIC, format!("tearless has a fault, please report it: {text}")).report()
}

#[cold]
fn null(what: &str) -> Failure {
    Failure::invalid(format!("{what} is NULL"))
}

/// A text of C.
///
/// # Safety
///
/// `text` is NULL or points to a text that ends with a zero byte and does not change during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let text = unsafe { optional_text(text, what)? };
    text.ok_or_else(|| null(what))
}

/// A text of C, or none.
///
/// # Safety
///
/// As of [`text`].
pub(crate) unsafe fn optional_text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller promises that the text ends with a zero byte and does not change.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|error| {
        Failure::invalid(format!("{what} is not UTF-8 from byte {} on: use UTF-8", error.valid_up_to()))
    })
}

/// Bytes of C.
///
/// # Safety
///
/// `bytes` is NULL or points to `len` bytes that are not written during `'a`.
#[inline]
pub(crate) unsafe fn bytes<'a>(bytes: *const c_void, len: usize, what: &str) -> Result<&'a [u8]> {
    check_len(bytes, len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL and of a length that an object can have, as checked; the caller promises the
    // rest.
    Ok(unsafe { slice::from_raw_parts(bytes.cast(), len) })
}

/// [`bytes`] for the fast path of a call: `None` if there is an error to tell, or no byte.
///
/// # Safety
///
/// As of [`bytes`].
#[inline(always)]
pub(crate) unsafe fn bytes_fast<'a>(bytes: *const c_void, len: usize) -> Option<&'a [u8]> {
    if bytes.is_null() || len == 0 || len > isize::MAX.cast_unsigned() {
        return None;
    }
    // SAFETY: as in `bytes`.
    Some(unsafe { slice::from_raw_parts(bytes.cast(), len) })
}

/// [`buffer`] for the fast path of a call: `None` if there is an error to tell, or no byte.
///
/// # Safety
///
/// As of [`buffer`].
#[inline(always)]
pub(crate) unsafe fn buffer_fast<'a>(buffer: *mut c_void, len: usize) -> Option<&'a mut [u8]> {
    if buffer.is_null() || len == 0 || len > isize::MAX.cast_unsigned() {
        return None;
    }
    // SAFETY: as in `buffer`.
    Some(unsafe { slice::from_raw_parts_mut(buffer.cast(), len) })
}

/// A buffer of C.
///
/// # Safety
///
/// `buffer` is NULL or points to `len` bytes that only the callee uses during `'a`.
#[inline]
pub(crate) unsafe fn buffer<'a>(buffer: *mut c_void, len: usize, what: &str) -> Result<&'a mut [u8]> {
    check_len(buffer, len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as in `bytes`. To this program, memory of a program in C has some value in each byte.
    Ok(unsafe { slice::from_raw_parts_mut(buffer.cast(), len) })
}

#[inline]
fn check_len(memory: *const c_void, len: usize, what: &str) -> Result {
    if len > isize::MAX.cast_unsigned() {
        return Err(Failure::invalid(format!("{what} can't have {len} bytes: is the length negative?")));
    }
    if memory.is_null() && len > 0 {
        return Err(Failure::invalid(format!("{what} is NULL, but has {len} bytes")));
    }
    Ok(())
}

/// A function for each length of a few whole words, which the compiler then copies by a few moves:
/// `by_words!(Type: function)` is an array whose first element is for one word.
macro_rules! by_words {
    ($of:ty: $function:ident) => {
        $crate::boundary::by_words!($of: $function; 8 16 24 32 40 48 56 64 72 80 88 96 104 112 120 128)
    };
    ($of:ty: $function:ident; $($len:literal)*) => {
        [$($function::<$len> as $of),*]
    };
}
pub(crate) use by_words;

/// The element of an array of [`by_words`] for a length, if it has one.
#[inline(always)]
pub(crate) fn of_len<F: Copy>(functions: &[F], len: usize) -> Option<F> {
    // A length of other than whole words becomes a large number, and so does 0.
    functions.get(len.wrapping_sub(8).rotate_right(3)).copied()
}

/// Where a result goes.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// A place that must be given.
    ///
    /// # Safety
    ///
    /// `place` is NULL or points to memory for a `T` during this value's life.
    #[inline]
    pub(crate) unsafe fn new(place: *mut T, what: &str) -> Result<Out<T>> {
        if place.is_null() {
            return Err(null(what));
        }
        // SAFETY: the caller's promise.
        unsafe { Out::optional(place, what) }
    }

    /// A place that may be NULL.
    ///
    /// # Safety
    ///
    /// As of [`Out::new`].
    #[inline]
    pub(crate) unsafe fn optional(place: *mut T, what: &str) -> Result<Out<T>> {
        if !place.is_aligned() {
            return Err(Failure::invalid(format!("{what} is not aligned to {} bytes", align_of::<T>())));
        }
        Ok(Out(place))
    }

    /// [`Out::optional`] for the fast path of a call: `None` if there is an error to tell.
    ///
    /// # Safety
    ///
    /// As of [`Out::new`].
    #[inline(always)]
    pub(crate) unsafe fn fast(place: *mut T) -> Option<Out<T>> {
        place.is_aligned().then_some(Out(place))
    }

    #[inline]
    pub(crate) fn set(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not NULL and aligned; whoever made this promised that there is memory.
            unsafe { self.0.write(value) };
        }
    }
}

/// A struct of C. Every value of its bytes is one of it.
///
/// # Safety
///
/// The struct is `repr(C)`, and has only integers and raw pointers.
pub(crate) unsafe trait OfC: Copy {}

/// A struct of options that begins with its size, which tells versions of it apart.
///
/// # Safety
///
/// The first member is a `u32`, the size.
pub(crate) unsafe trait Options: OfC {
    /// The name of the struct in C.
    const NAME: &str;
    /// What to do for one with the right size.
    const MADE_BY: &str;
}

/// Sizes beyond this are no sizes.
const MAX_OPTIONS: usize = 4096;

/// The options of C; all zero if there are none. What an older program does not know is zero; what
/// this version does not know has to be zero.
///
/// # Safety
///
/// `options` is NULL or points to a struct that is as long as its first member says.
pub(crate) unsafe fn options<T: Options>(options: *const T) -> Result<T> {
    if options.is_null() {
        // SAFETY: every value of its bytes is one of a `T`.
        return Ok(unsafe { MaybeUninit::zeroed().assume_init() });
    }
    let (name, made_by) = (T::NAME, T::MADE_BY);
    // SAFETY: the struct begins with a `u32`; the place need not be aligned.
    let size = unsafe { options.cast::<u32>().read_unaligned() } as usize;
    if !(size_of::<u32>()..=MAX_OPTIONS).contains(&size) {
        return Err(Failure::invalid(format!("{name}.struct_size is {size}: {made_by}")));
    }
    // SAFETY: `size` bytes are there, by the caller's promise.
    let known = unsafe { grown(options, size) };
    known.ok_or_else(|| {
        Failure::invalid(format!(
            "{name} has {size} bytes, of which this library knows {}, and the others are not 0: use a library \
             as new as the header, or {made_by}",
            size_of::<T>()
        ))
    })
}

/// A struct that has `size` bytes in the version of the caller. What is missing is zero; `None` if
/// bytes beyond those that this version knows are not.
///
/// # Safety
///
/// `size` bytes are at `place`.
pub(crate) unsafe fn grown<T: OfC>(place: *const T, size: usize) -> Option<T> {
    let mut known = MaybeUninit::<T>::zeroed();
    let copied = size.min(size_of::<T>());
    // SAFETY: so many bytes are there, and there is room for them.
    unsafe { known.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(place.cast(), copied) };
    for offset in copied..size {
        // SAFETY: less than `size`.
        let unknown = unsafe { place.cast::<u8>().add(offset) };
        // SAFETY: a byte of the struct.
        if unsafe { unknown.read() } != 0 {
            return None;
        }
    }
    // SAFETY: every value of its bytes is one of a `T`.
    Some(unsafe { known.assume_init() })
}

/// A yes or no of C.
pub(crate) fn flag(value: i32, what: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Failure::invalid(format!("{what} is {other}: it must be 0 or 1"))),
    }
}

/// A duration in nanoseconds that is not negative.
pub(crate) fn duration(nanos: i64, what: &str) -> Result<Duration> {
    let nanos = u64::try_from(nanos)
        .map_err(|_| Failure::invalid(format!("{what} is {nanos}: it must not be negative")))?;
    Ok(Duration::from_nanos(nanos))
}

/// Nanoseconds for C; -1 for none.
pub(crate) fn nanos(duration: Option<Duration>) -> i64 {
    duration.map_or(-1, |duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tl_error_message;

    #[test]
    fn a_panic_ends_at_the_boundary() {
        // SAFETY: the text of this thread ends with a zero byte, and stays until the next call.
        let message = || unsafe { CStr::from_ptr(tl_error_message()) }.to_str().unwrap().to_owned();
        assert_eq!(call(|| panic!("made by a test")), tl_status::TL_PANIC);
        assert_eq!(message(), "tearless has a fault, please report it: made by a test");
        assert_eq!(call(|| panic!("number {}", 7)), tl_status::TL_PANIC);
        assert_eq!(message(), "tearless has a fault, please report it: number 7");
        assert_eq!(call(|| panic::panic_any(7)), tl_status::TL_PANIC);
        assert_eq!(message(), "tearless has a fault, please report it: without a text");
        assert_eq!(call(|| Ok(tl_status::TL_OK)), tl_status::TL_OK);
    }
}

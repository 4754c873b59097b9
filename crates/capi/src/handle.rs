//! Handles: objects of the library behind addresses that C holds.
//!
//! A handle begins with a mark that says of which kind it is, and whether it is used or closed. C
//! can't be kept from using what it has closed. So the memory of the last closed handles is kept
//! for a while, and a use of them is an error instead of a crash.

use std::cell::{RefCell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::status::{Failure, Result, tl_status};

/// How many closed handles a thread remembers.
const REMEMBERED: usize = 128;

/// The marks of a handle: its kind, plus one of these.
const OPEN: u32 = 0;
const USED: u32 = 1;
const CLOSED: u32 = 2;

/// What is in a handle. C may move a handle to another thread.
pub(crate) trait Kind: Sized + Send + 'static {
    /// What it is called in errors.
    const NAME: &str;
    /// The number in its mark: four ASCII characters, of which the last leaves room for the states.
    const MARK: u32;
}

/// An object of the library. Its mark has the first place in memory.
#[repr(C)]
pub(crate) struct Handle<T> {
    mark: AtomicU32,
    contents: UnsafeCell<Option<T>>,
}

/// The handle that an address leads to, which no other call uses as long as this lives.
pub(crate) struct Used<'a, T: Kind> {
    handle: &'a Handle<T>,
    contents: &'a mut T,
}

impl<T: Kind> Handle<T> {
    /// The address of a new handle, for C.
    pub(crate) fn open(contents: T) -> *mut Handle<T> {
        let (mark, contents) = (AtomicU32::new(T::MARK + OPEN), UnsafeCell::new(Some(contents)));
        Box::into_raw(Box::new(Handle { mark, contents }))
    }

    /// The handle at an address, if it is one of this kind that is open and not used.
    ///
    /// # Safety
    ///
    /// `address` is NULL, or that of a handle of any kind which is open, or is one of the last that
    /// were closed.
    #[inline]
    unsafe fn at<'a>(address: *const Handle<T>) -> Result<&'a Handle<T>> {
        if address.is_null() || !address.is_aligned() {
            return Err(no_handle::<T>(address.is_null()));
        }
        // SAFETY: every handle begins with its mark. One of another kind may be smaller than this,
        // so there is no reference to the whole before the mark was looked at.
        let mark = unsafe { &*address.cast::<AtomicU32>() };
        // Relaxed: nothing is read by it but the mark.
        let mark = mark.load(Ordering::Relaxed);
        if mark != T::MARK + OPEN {
            return Err(unusable::<T>(mark));
        }
        // SAFETY: a handle of this kind is there.
        Ok(unsafe { &*address })
    }

    /// The same, marked in one step, so that of two threads one is refused.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`].
    #[inline]
    unsafe fn claim<'a>(address: *const Handle<T>, state: u32) -> Result<&'a Handle<T>> {
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::at(address)? };
        // Acquire: what the last call has done to the contents, maybe in another thread, comes
        // before what this one does. Pairs with the release in `Used::drop`.
        let claimed = handle.mark.compare_exchange(
            T::MARK + OPEN,
            T::MARK + state,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        claimed.map(|_| handle).map_err(unusable::<T>)
    }

    /// For calls that one thread makes at a time.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`].
    #[inline]
    pub(crate) unsafe fn using<'a>(address: *mut Handle<T>) -> Result<Used<'a, T>> {
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::claim(address, USED)? };
        // SAFETY: a handle of this kind that is open, whose contents no other call uses.
        let contents = unsafe { &mut *handle.contents.get() };
        // Only closed handles are empty.
        contents
            .as_mut()
            .map(|contents| Used { handle, contents })
            .ok_or_else(|| unusable::<T>(T::MARK + CLOSED))
    }

    /// [`Handle::using`] for the fast path of a call: `None` if there is an error to tell.
    ///
    /// Marks in two steps, which costs no locked instruction. The header says that threads must not
    /// use the handle at the same time; this finds most of those that do.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`].
    #[inline(always)]
    pub(crate) unsafe fn using_fast<'a>(address: *mut Handle<T>) -> Option<Used<'a, T>> {
        if address.is_null() || !address.is_aligned() {
            return None;
        }
        // SAFETY: as in `at`.
        let mark = unsafe { &*address.cast::<AtomicU32>() };
        // Acquire: as in `claim`.
        if mark.load(Ordering::Acquire) != T::MARK + OPEN {
            return None;
        }
        // SAFETY: a handle of this kind is there.
        let handle = unsafe { &*address };
        // SAFETY: it is open, and no other call uses its contents.
        let contents = unsafe { &mut *handle.contents.get() }.as_mut()?;
        handle.mark.store(T::MARK + USED, Ordering::Relaxed);
        Some(Used { handle, contents })
    }

    /// For calls that several threads make at a time.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`]; no thread closes the handle during `'a`.
    pub(crate) unsafe fn shared<'a>(address: *const Handle<T>) -> Result<&'a T>
    where
        T: Sync,
    {
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::at(address)? };
        // SAFETY: a handle of this kind that is open and is not closed during `'a`: its contents
        // are only read.
        let contents = unsafe { &*handle.contents.get() };
        contents.as_ref().ok_or_else(|| unusable::<T>(T::MARK + CLOSED))
    }

    /// Closes the handle and returns its contents; `None` for NULL.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`]; no other thread uses the handle.
    pub(crate) unsafe fn close(address: *mut Handle<T>) -> Result<Option<T>> {
        if address.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::claim(address, CLOSED)? };
        // SAFETY: it was open, and from the mark on every other call is refused.
        let contents = unsafe { (*handle.contents.get()).take() };
        remember(Closed {
            address: address.cast(),
            // SAFETY: called once, with the address that `open` got from a box.
            free: |address| drop(unsafe { Box::from_raw(address.cast::<Handle<T>>()) }),
        });
        Ok(contents)
    }
}

#[cold]
fn no_handle<T: Kind>(is_null: bool) -> Failure {
    let what = if is_null { "NULL" } else { "no address of a handle" };
    Failure::invalid(format!("the {} is {what}: use one that was opened", T::NAME))
}

#[cold]
fn unusable<T: Kind>(mark: u32) -> Failure {
    let name = T::NAME;
    match mark.wrapping_sub(T::MARK) {
        USED => Failure::new(
            tl_status::TL_IN_USE,
            format!("two threads use the same {name} at the same time: use it in one, or behind a lock"),
        ),
        CLOSED => Failure::new(tl_status::TL_CLOSED, format!("the {name} was closed: open another one")),
        _ => Failure::invalid(format!("this is no {name}: use one that was opened and not closed since")),
    }
}

impl<T: Kind> Drop for Used<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the acquire of the next call.
        self.handle.mark.store(T::MARK + OPEN, Ordering::Release);
    }
}

impl<T: Kind> Deref for Used<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.contents
    }
}

impl<T: Kind> DerefMut for Used<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.contents
    }
}

/// The memory of a closed handle.
struct Closed {
    address: *mut (),
    free: fn(*mut ()),
}

impl Drop for Closed {
    fn drop(&mut self) {
        (self.free)(self.address);
    }
}

/// The last handles that a thread has closed, as a ring.
struct Last {
    closed: [Option<Closed>; REMEMBERED],
    next: usize,
}

/// Keeps the memory of a closed handle, and frees that of the oldest. Each thread has its own,
/// so no thread waits for another, also in a fork.
fn remember(closed: Closed) {
    thread_local! {
        static LAST: RefCell<Last> = const { RefCell::new(Last { closed: [const { None }; REMEMBERED], next: 0 }) };
    }
    // A thread that ends remembers nothing any more.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        let next = last.next;
        last.closed[next] = Some(closed);
        last.next = (next + 1) % REMEMBERED;
    });
}

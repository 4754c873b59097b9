//! Handles: objects of the library behind addresses that C holds.
//!
//! A handle begins with a mark that says of which kind it is, and whether it is used or closed. C
//! can't be kept from using what it has closed. So the memory of the last closed handles is kept
//! for a while, and a use of them is an error instead of a crash. After that while it becomes the
//! next handle of the same kind.

use std::cell::{RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::status::{Failure, tl_status};

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
    /// Taken when it is closed.
    contents: UnsafeCell<ManuallyDrop<T>>,
}

/// The handle that an address leads to, which by the rule for C no other call uses as long as this
/// lives.
pub(crate) struct Used<'a, T: Kind> {
    handle: &'a Handle<T>,
    contents: &'a mut T,
}

impl<T: Kind> Handle<T> {
    /// The address of a new handle, for C.
    pub(crate) fn open(contents: T) -> *mut Handle<T> {
        let contents = UnsafeCell::new(ManuallyDrop::new(contents));
        let handle = Handle { mark: AtomicU32::new(T::MARK + OPEN), contents };
        match take_oldest(T::MARK) {
            Some(address) => {
                let address = address.cast::<Handle<T>>();
                // SAFETY: from a box of this kind, by its mark, and nothing else owns it any more.
                // What is there is empty, so nothing is left to drop.
                unsafe { address.write(handle) };
                address
            }
            None => Box::into_raw(Box::new(handle)),
        }
    }

    /// The handle at an address, if it is one of this kind that is open and not used.
    ///
    /// # Safety
    ///
    /// `address` is NULL, or that of a handle of any kind which is open, or is one of the last that
    /// were closed.
    #[inline(always)]
    unsafe fn at<'a>(address: *const Handle<T>) -> Result<&'a Handle<T>, Unusable<T>> {
        if address.is_null() {
            return Err(Unusable::Null);
        }
        if !address.is_aligned() {
            return Err(Unusable::NotAligned);
        }
        // SAFETY: every handle begins with its mark. One of another kind may be smaller than this,
        // so there is no reference to the whole before the mark was looked at.
        let mark = unsafe { &*address.cast::<AtomicU32>() };
        // Acquire: what the last call has done to the contents, maybe in another thread, comes
        // before what this one does. Pairs with the release in `Used::drop`.
        let mark = mark.load(Ordering::Acquire);
        if mark != T::MARK + OPEN {
            return Err(Unusable::marked(mark));
        }
        // SAFETY: a handle of this kind is there.
        Ok(unsafe { &*address })
    }

    /// For calls that one thread makes at a time. Of two threads that do so nevertheless, one is
    /// refused.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`]; no other thread uses the handle by [`Handle::using_fast`] during `'a`.
    #[inline]
    pub(crate) unsafe fn using<'a>(address: *mut Handle<T>) -> Result<Used<'a, T>, Unusable<T>> {
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::at(address)? };
        handle.claim(USED)?;
        // SAFETY: it was open, and no other call uses its contents.
        let contents = unsafe { &mut *handle.contents.get() };
        Ok(Used { handle, contents })
    }

    /// The same for the fast path of a call. Marks the handle in two steps, which takes no locked
    /// instruction, and does not notice another thread in between.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`]; no other thread uses or closes the handle during `'a`.
    #[inline(always)]
    pub(crate) unsafe fn using_fast<'a>(address: *mut Handle<T>) -> Option<Used<'a, T>> {
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::at(address) }.ok()?;
        // SAFETY: it is open, and no other call uses its contents.
        let contents = unsafe { &mut *handle.contents.get() };
        handle.mark.store(T::MARK + USED, Ordering::Relaxed);
        Some(Used { handle, contents })
    }

    /// Marks an open handle in one step.
    fn claim(&self, state: u32) -> Result<(), Unusable<T>> {
        // Acquire: as in `at`.
        let (open, claimed) = (T::MARK + OPEN, T::MARK + state);
        let exchanged = self.mark.compare_exchange(open, claimed, Ordering::Acquire, Ordering::Relaxed);
        exchanged.map(|_| ()).map_err(Unusable::marked)
    }

    /// For calls that several threads make at a time.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`]; no thread closes the handle during `'a`.
    pub(crate) unsafe fn shared<'a>(address: *const Handle<T>) -> Result<&'a T, Unusable<T>>
    where
        T: Sync,
    {
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::at(address)? };
        // SAFETY: a handle of this kind that is open and is not closed during `'a`: its contents
        // are only read.
        Ok(unsafe { &*handle.contents.get() })
    }

    /// Closes the handle and returns its contents; `None` for NULL.
    ///
    /// # Safety
    ///
    /// As of [`Handle::at`]; no other thread uses the handle.
    pub(crate) unsafe fn close(address: *mut Handle<T>) -> Result<Option<T>, Unusable<T>> {
        if address.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        let handle = unsafe { Handle::at(address)? };
        handle.claim(CLOSED)?;
        // SAFETY: it was open, no other thread uses it, and from now on calls are refused.
        let contents = unsafe { &mut *handle.contents.get() };
        // SAFETY: they are there, since only this call takes them.
        let contents = unsafe { ManuallyDrop::take(contents) };
        remember(Closed {
            mark: T::MARK,
            address: address.cast(),
            // SAFETY: called once, with the address that `open` got from a box.
            free: |address| drop(unsafe { Box::from_raw(address.cast::<Handle<T>>()) }),
        });
        Ok(Some(contents))
    }
}

/// Why there is no handle that can be used. Becomes a [`Failure`] where a program gets it: a fast
/// path needs no text.
pub(crate) enum Unusable<T> {
    Null,
    /// An address that no handle has.
    NotAligned,
    /// The mark that is there instead of an open one.
    Marked(u32, PhantomData<fn(T)>),
}

impl<T: Kind> Unusable<T> {
    fn marked(mark: u32) -> Unusable<T> {
        Unusable::Marked(mark, PhantomData)
    }
}

impl<T: Kind> From<Unusable<T>> for Failure {
    #[cold]
    fn from(unusable: Unusable<T>) -> Failure {
        let name = T::NAME;
        let mark = match unusable {
            Unusable::Null => {
                return Failure::invalid(format!("the {name} is NULL: use one that was opened"));
            }
            Unusable::NotAligned => {
                let text = format!("the {name} is no address of a handle: use one that was opened");
                return Failure::invalid(text);
            }
            Unusable::Marked(mark, _) => mark,
        };
        match mark.wrapping_sub(T::MARK) {
            USED => Failure::new(
                tl_status::TL_IN_USE,
                format!("two threads use the same {name} at the same time: use it in one, or behind a lock"),
            ),
            CLOSED => Failure::new(tl_status::TL_CLOSED, format!("the {name} was closed: open another one")),
            _ => Failure::invalid(format!("this is no {name}: use one that was opened and not closed since")),
        }
    }
}

impl<T: Kind> Drop for Used<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Another thread may have closed it, against the rule: then it stays closed.
        if self.handle.mark.load(Ordering::Relaxed) == T::MARK + USED {
            // Release: pairs with the acquire of the next call.
            self.handle.mark.store(T::MARK + OPEN, Ordering::Release);
        }
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
    /// Its kind.
    mark: u32,
    address: *mut (),
    free: fn(*mut ()),
}

impl Drop for Closed {
    fn drop(&mut self) {
        (self.free)(self.address);
    }
}

/// The last handles that a thread has closed, as a ring. One more than are remembered, because the
/// oldest may be taken.
struct Last {
    closed: [Option<Closed>; REMEMBERED + 1],
    /// The place of the oldest once all are in use, and of the next one.
    next: usize,
}

thread_local! {
    /// Each thread has its own, so no thread waits for another, also in a fork.
    static LAST: RefCell<Last> =
        const { RefCell::new(Last { closed: [const { None }; REMEMBERED + 1], next: 0 }) };
}

/// Keeps the memory of a closed handle, and frees that of the oldest.
fn remember(closed: Closed) {
    // A thread that ends remembers nothing any more.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        let next = last.next;
        last.closed[next] = Some(closed);
        last.next = if next == REMEMBERED { 0 } else { next + 1 };
    });
}

/// The memory of the oldest handle, if it is of this kind and as many others are remembered. It is
/// taken once before each that is remembered, so that the others stay as many.
fn take_oldest(mark: u32) -> Option<*mut ()> {
    let taken = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        let next = last.next;
        let oldest = last.closed[next].take_if(|oldest| oldest.mark == mark)?;
        // The caller owns the memory.
        Some(ManuallyDrop::new(oldest).address)
    });
    taken.ok().flatten()
}

//! Views: states in place.

use std::ffi::c_void;
use std::ptr;

use tearless::view::View;

use crate::accept::StateLen;
use crate::boundary::{Out, call};
use crate::handle::{Handle, Kind};
use crate::info::tl_info;
use crate::reader::{OTHER_PLACES, Subscriber, empty_or, tl_reader};
use crate::status::{Failure, tl_status};

/// A state in place, which does not change as long as it is held.
#[repr(C)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_view {
    /// Its bytes, aligned to 8; info.length is how many.
    pub data: *const c_void,
    /// What tl_view_release() releases.
    pub hold: *mut tl_hold,
    /// 1 if these are the writer's own bytes, 0 if they are a copy.
    pub is_in_place: i32,
    /// For later versions; 0.
    pub reserved: i32,
    /// What else is known of it.
    pub info: tl_info,
}

/// The part of a view that keeps its bytes.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_hold(#[allow(dead_code, reason = "its address is the handle's")] Handle<View<[u8]>>);

impl Kind for View<[u8]> {
    const NAME: &str = "view";
    const MARK: u32 = u32::from_be_bytes(*b"TLV\0");
}

/// Shows the latest state without a copy, if the reader was opened with views_in_place, the writer
/// has pins, and the state has 4 KiB or more; otherwise the view is a copy. The writer does not
/// wait: it leaves the state alone and takes other memory.
///
/// view: receives it. tl_view_release() ends it; it outlives the reader and the channel.
///
/// Returns TL_OK; TL_EMPTY before the first publication; TL_CLOSED once the channel is removed;
/// TL_CONTENDED; TL_CORRUPT; TL_MISMATCH if the state is not as long as the reader's struct;
/// TL_INVALID if TL_MATCHING_FIELDS has found the members in other places. After anything but TL_OK
/// view.hold is NULL. Never blocks. In place it costs the same whatever the size, as a copy what a
/// copy costs.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_view(reader: *mut tl_reader, view: *mut tl_view) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(view, "the place for the view")? };
        let (data, hold) = (ptr::null(), ptr::null_mut());
        out.set(tl_view { data, hold, is_in_place: 0, reserved: 0, info: tl_info::default() });
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        if it.is_matched() {
            return Err(Failure::invalid(OTHER_PLACES));
        }
        let view = match it.reader.view() {
            Ok(view) => view,
            Err(error) => return empty_or(error, Failure::from),
        };
        let (info, length) = (tl_info::from(view.info()), view.len());
        if let Some(StateLen { size, .. }) = it.state_len.filter(|state| state.size != length) {
            return Err(it.other_len(length, size));
        }
        let (data, is_in_place) = (view.as_ptr().cast(), i32::from(view.is_in_place()));
        let hold = Handle::open(view).cast();
        out.set(tl_view { data, hold, is_in_place, reserved: 0, info: tl_info { length, ..info } });
        Ok(tl_status::TL_OK)
    })
}

/// Ends a view: its bytes may no longer be used. NULL and a view that was not taken are ignored.
/// Any thread may release a view, one at a time.
///
/// view: data and hold become NULL.
///
/// Returns TL_OK; TL_CLOSED if a copy of it was released before, as far as that can be seen (see
/// tl_namespace_close()).
///
/// # Safety
///
/// view is NULL or leads to what tl_reader_view() filled. No other thread releases it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_view_release(view: *mut tl_view) -> tl_status {
    call(|| {
        if !view.is_aligned() {
            return Err(Failure::invalid("the view is not aligned to 8 bytes"));
        }
        // SAFETY: the caller's promise; it is aligned.
        let Some(view) = (unsafe { view.as_mut() }) else { return Ok(tl_status::TL_OK) };
        view.data = ptr::null();
        let hold = std::mem::replace(&mut view.hold, ptr::null_mut());
        // SAFETY: the caller's promise.
        unsafe { Handle::<View<[u8]>>::close(hold.cast())? };
        Ok(tl_status::TL_OK)
    })
}

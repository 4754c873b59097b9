//! Huge pages: fewer faults and smaller page tables for readers of large states.

use std::ffi::c_void;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fs, io, thread};

use rustix::io::Errno;

use super::{Backend, ObjectError};
use crate::layout::WORD_BYTES;
use crate::memory::{Memory, Words};

/// Whether a channel's large objects get huge pages, of 2 MiB on x86-64.
///
/// A reader that maps a large state then takes a fault for each 2 MiB, where it takes one for each
/// 64 KiB otherwise, and its page tables are smaller. Copies are no faster. Objects of less than a
/// huge page keep small ones, and so does what is left at the end of a larger one.
///
/// The kernel moves what an object in a tmpfs holds to huge pages (`MADV_COLLAPSE`, Linux 6.1),
/// unless the system's setting for shared memory is `deny`. That takes about 2 ms a page. In a
/// directory on hugetlbfs all pages are huge: there is nothing to do. On a disk, in a namespace
/// inside one process and in a sealed channel there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HugePages {
    /// The pages that the file system has. The default.
    #[default]
    Never,
    /// Huge pages where there are any. A thread asks for them, one after the other, and ends. A
    /// publication may wait for the page that is just being moved. A segment that is replaced, or
    /// whose channel is closed, in the meantime is freed only after that page is moved.
    IfPossible,
    /// Huge pages, or an error of opening, or of the publication for which the channel grows. Both
    /// wait for all of them.
    Required,
}

impl HugePages {
    /// Gives huge pages to an object that was just created or is resumed, if they are required.
    pub(crate) fn require(
        self,
        backend: &Arc<dyn Backend>,
        object: &str,
        words: &Words,
    ) -> Result<(), ObjectError> {
        // A clone: it goes on as long as the words have another user.
        if self == HugePages::Required { backend.collapse(object, &words.clone()) } else { Ok(()) }
    }

    /// Asks for huge pages of such an object, if they are wanted and not required.
    pub(crate) fn ask(self, backend: &Arc<dyn Backend>, object: &str, words: &Words) {
        if self != HugePages::IfPossible || backend.directory().is_none() || range(words).is_none() {
            return;
        }
        let (backend, object, words) = (Arc::clone(backend), object.to_owned(), words.clone());
        let collapse = move || drop(backend.collapse(&object, &words));
        // Without a thread it keeps its small pages.
        let _ = thread::Builder::new().name("tearless-pages".into()).spawn(collapse);
    }
}

/// Bytes of a huge page; `None` if this kernel has none.
pub(super) fn huge_page_bytes() -> Option<usize> {
    static BYTES: OnceLock<Option<usize>> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let found = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
        found.trim().parse().ok().filter(|bytes: &usize| bytes.is_power_of_two())
    })
}

/// Address and length of the part of `words` that can be in huge pages, if there is one.
fn range(words: &Words) -> Option<(usize, usize)> {
    let huge = huge_page_bytes()?;
    let start = words.words().as_ptr().addr();
    let first = start.next_multiple_of(huge);
    let end = (start + words.len() * WORD_BYTES) / huge * huge;
    (first < end).then(|| (first, end - first))
}

/// Moves what a mapping shows to huge pages, as far as it fills them. Stops if no other words have
/// the mapping any more.
pub(super) fn collapse(object: &str, words: &Words) -> Result<(), ObjectError> {
    let no = |reason: String| ObjectError::NoHugePages { object: object.into(), reason };
    let Some(huge) = huge_page_bytes() else {
        return Err(no("this kernel has none for shared memory, or does not say so in /sys".into()));
    };
    let Some((first, bytes)) = range(words) else { return Ok(()) };
    for at in (first..first + bytes).step_by(huge) {
        let address = words.words().as_ptr().cast_mut().with_addr(at);
        collapse_one(address.cast(), huge, || words.are_shared()).map_err(|failed| {
            no(match failed {
                Errno::NOMEM => "none is free, or a control group allows no more memory".into(),
                Errno::INVAL => "this file system, this kernel or a setting allows none for it".into(),
                other => other.to_string(),
            })
        })?;
    }
    Ok(())
}

/// Moves one, as long as it `is_wanted`.
fn collapse_one(address: *mut c_void, huge: usize, is_wanted: impl Fn() -> bool) -> Result<(), Errno> {
    /// Another process may be using a page in a way that passes.
    const TRIES: usize = 50;
    let mut failed = Errno::AGAIN;
    for _ in 0..TRIES {
        if !is_wanted() {
            return Ok(());
        }
        // SAFETY: the pages are in a mapping that the caller keeps. The kernel changes where they
        // are, and nothing that they show.
        if unsafe { libc::madvise(address, huge, libc::MADV_COLLAPSE) } == 0 {
            return Ok(());
        }
        failed = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL);
        if !matches!(failed, Errno::AGAIN | Errno::BUSY | Errno::INTR) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(failed)
}

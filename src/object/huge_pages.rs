//! Huge pages: fewer faults and smaller page tables for readers of large states.

use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use rustix::io::Errno;

use super::{Backend, ObjectError};
use crate::layout::WORD_BYTES;
use crate::memory::{Memory, Words};

/// Whether a channel's large objects get huge pages, of 2 MiB on x86-64.
///
/// A reader that maps 16 MiB then takes 8 faults, not thousands, and its page table stays a page
/// shorter for each 2 MiB. Copies are no faster. Objects of less than a huge page keep small ones,
/// and so does what is left at the end of a larger one.
///
/// The kernel moves what an object holds (`MADV_COLLAPSE`, Linux 6.1), whatever the system's
/// setting for shared memory is. That takes about 2 ms a page. In a directory on hugetlbfs all
/// pages are huge: there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HugePages {
    /// Small pages, unless the file system has huge ones only. The default.
    #[default]
    Never,
    /// Huge pages where there are any. A thread that ends with this task asks for them, and opening
    /// and publishing don't wait for it.
    IfPossible,
    /// Huge pages, or an error of opening, or of the publication for which the channel grows, which
    /// waits for them. A namespace inside one process has none.
    Required,
}

impl HugePages {
    /// Gives huge pages to an object that was just created or is resumed.
    pub(crate) fn give(
        self,
        backend: &Arc<dyn Backend>,
        object: &str,
        words: &Words,
    ) -> Result<(), ObjectError> {
        match self {
            HugePages::Never => {}
            HugePages::Required => backend.collapse(object, words)?,
            HugePages::IfPossible if range(words).is_some() => {
                let (backend, object, words) = (Arc::clone(backend), object.to_owned(), words.clone());
                let collapse = move || drop(backend.collapse(&object, &words));
                // Without a thread it keeps its small pages.
                let _ = thread::Builder::new().name("tearless-pages".into()).spawn(collapse);
            }
            HugePages::IfPossible => {}
        }
        Ok(())
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

/// Moves what a mapping shows to huge pages, as far as it fills them.
pub(super) fn collapse(object: &str, words: &Words) -> Result<(), ObjectError> {
    /// Another process may be using a page in a way that passes.
    const TRIES: usize = 20;
    let no = |reason: String| ObjectError::NoHugePages { object: object.into(), reason };
    if huge_page_bytes().is_none() {
        return Err(no("this kernel has none for shared memory".into()));
    }
    let Some((first, bytes)) = range(words) else { return Ok(()) };
    let mut failed = Errno::AGAIN;
    for _ in 0..TRIES {
        let address = words.words().as_ptr().cast_mut().with_addr(first);
        // SAFETY: the range is in a mapping that `words` keep. The kernel changes where the pages
        // are, and nothing that they show.
        if unsafe { libc::madvise(address.cast(), bytes, libc::MADV_COLLAPSE) } == 0 {
            return Ok(());
        }
        failed = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL);
        if !matches!(failed, Errno::AGAIN | Errno::BUSY | Errno::INTR) {
            break;
        }
    }
    Err(no(match failed {
        Errno::NOMEM => "none is free, or a control group allows no more memory".into(),
        Errno::INVAL => "this kernel, or a setting of this process, allows none for it".into(),
        other => other.to_string(),
    }))
}

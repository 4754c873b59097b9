//! What is known of a state beside its bytes.

use tearless::SnapshotInfo;

use crate::boundary;

/// What is known of a state beside its bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_info {
    /// The number of the publication: 1 for the first of the channel's life.
    pub publication: u64,
    /// Bytes of the state.
    pub length: usize,
    /// When it was published, in nanoseconds since the machine's boot, time asleep included;
    /// negative if it was restored from before the boot, 0 if the writer gives no timestamps.
    /// tl_age_ns() has its age.
    pub boot_ns: i64,
    /// On a channel that is mirrored from another host, the number that the publication has there;
    /// otherwise 0.
    pub origin_publication: u64,
    /// How many attempts to copy it failed because the writer was faster.
    pub retries: u64,
    /// For later versions; 0.
    pub reserved: [u64; 3],
}

impl From<SnapshotInfo> for tl_info {
    #[inline]
    fn from(info: SnapshotInfo) -> tl_info {
        tl_info {
            publication: info.publication(),
            length: info.payload_len(),
            boot_ns: info.boot_nanos().unwrap_or(0),
            origin_publication: info.origin().map_or(0, |origin| origin.publication()),
            retries: info.retries().into(),
            reserved: [0; 3],
        }
    }
}

/// The age of a state in nanoseconds, as of now; of a mirrored one, at least; -1 if it has no
/// timestamp, or if info is NULL or not aligned. Costs a read of the clock. Any thread may call it
/// at any time.
///
/// # Safety
///
/// info is NULL or leads to a tl_info.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_age_ns(info: *const tl_info) -> i64 {
    if !info.is_aligned() {
        return -1;
    }
    // SAFETY: the caller's promise; it is aligned.
    let info = unsafe { info.as_ref() };
    boundary::nanos(info.filter(|info| info.boot_ns != 0).map(|info| SnapshotInfo::age_of(info.boot_ns)))
}

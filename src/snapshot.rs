//! What a reader returns: a state, and the publication that it is of.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use crate::channel::{Origin, SnapshotError, SnapshotInfo};
use crate::codec::CodecError;
use crate::view::View;

/// A private, whole copy of one publication. Derefs to the state, and displays as it.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<T> {
    state: T,
    info: SnapshotInfo,
}

impl<T> Snapshot<T> {
    #[inline]
    pub(crate) fn new(state: T, info: SnapshotInfo) -> Snapshot<T> {
        Snapshot { state, info }
    }

    /// The snapshot of a payload of `channel` that `codec` has decoded, or the codec's error.
    #[inline]
    pub(crate) fn decoded(
        state: Result<T, CodecError>,
        codec: &'static str,
        channel: &str,
        info: SnapshotInfo,
    ) -> Result<Snapshot<T>, SnapshotError> {
        state.map(|state| Snapshot { state, info }).map_err(|source| {
            let (channel, publication) = (channel.to_owned(), info.publication());
            SnapshotError::Decode { channel, publication, codec, source }
        })
    }

    /// The state alone.
    #[inline]
    pub fn into_inner(self) -> T {
        self.state
    }

    /// A snapshot of another value of the same publication, for example of a part of the state.
    #[inline]
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Snapshot<U> {
        Snapshot { state: map(self.state), info: self.info }
    }

    /// The publication that this is a copy of.
    #[inline]
    #[must_use]
    pub fn info(&self) -> SnapshotInfo {
        self.info
    }
}

/// Methods of a snapshot or a view that are those of its [`SnapshotInfo`].
macro_rules! of_info {
    ($($method:ident: $type:ty),*) => {
        impl<T> Snapshot<T> {$(
            #[doc = concat!("See [`SnapshotInfo::", stringify!($method), "`].")]
            #[inline]
            #[must_use]
            pub fn $method(&self) -> $type {
                self.info.$method()
            }
        )*}

        impl<T: ?Sized> View<T> {$(
            #[doc = concat!("See [`SnapshotInfo::", stringify!($method), "`].")]
            #[inline]
            #[must_use]
            pub fn $method(&self) -> $type {
                self.info().$method()
            }
        )*}
    };
}

of_info! {
    publication: u64, origin: Option<Origin>, age: Option<Duration>, published_at: Option<SystemTime>, payload_len: usize, retries: u32
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> AsRef<T> for Snapshot<T> {
    fn as_ref(&self) -> &T {
        &self.state
    }
}

impl<T: fmt::Display> fmt::Display for Snapshot<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(formatter)
    }
}

/// `publication 7, 1.3ms old, 40 bytes`
impl fmt::Display for SnapshotInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "publication {}", self.publication())?;
        if let Some(age) = self.age() {
            write!(formatter, ", {age:.1?} old")?;
        }
        write!(formatter, ", {} bytes", self.payload_len())
    }
}

//! An object of shared memory, as it is listed.

use crate::layout::{Kind, ObjectNames, Side};

/// An object of this library's in shared memory: see [`objects`](crate::inspect::objects).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name, as `/dev/shm` lists it.
    pub name: String,
    /// What it is for, by its name.
    pub kind: ObjectKind,
    /// The namespace that it belongs to; `None` if nothing that may be opened says so.
    pub namespace: Option<String>,
    /// The channel that it is a part of; `None` if there is none, or no control page that may be opened says so.
    pub channel: Option<String>,
    /// Numeric id of the user who owns it.
    pub owner_uid: u32,
    /// Its permission bits, for example `0o600`.
    pub permissions: u32,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// How many bytes of that have memory.
    pub resident: u64,
    /// What it was found to be.
    pub state: ObjectState,
}

impl ObjectInfo {
    /// The version of the layout that the object was made with, if it was opened and says so.
    #[must_use]
    pub fn layout_version(&self) -> Option<u64> {
        match self.state {
            ObjectState::Ready => Some(crate::layout::VERSION),
            ObjectState::OtherVersion { found } => Some(found),
            _ => None,
        }
    }
}

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// The table of a namespace's channels.
    Registry,
    /// The control page of a channel.
    Control,
    /// A segment of a channel, for payloads.
    Segment {
        /// Which of the two.
        side: SegmentSide,
        /// Which incarnation of its side, from 1. Whether it is the one in force the control page says.
        generation: u64,
    },
    /// The schema of a channel's states.
    Schema,
    /// None of these: a later version's, or not this library's at all.
    Unknown,
}

/// One of the two segments of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentSide {
    /// That of the even publications.
    A,
    /// That of the odd ones.
    B,
}

/// What an object was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectState {
    /// It belongs to somebody else and was not opened.
    NotOpened,
    /// Its creator is at work, or died there.
    Unfinished,
    /// It is whole, and of the layout version that this version of the library speaks.
    Ready,
    /// It is of another layout version: made by another version of the library.
    OtherVersion {
        /// Which.
        found: u64,
    },
    /// It is not what its name says: somebody else put something under it.
    Foreign {
        /// What is wrong with it.
        reason: String,
    },
    /// It can't be opened.
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl ObjectKind {
    /// What the name of an object says.
    pub(super) fn of_name(object: &str) -> ObjectKind {
        let Some(prefix) = ObjectNames::prefix_of_object(object) else { return ObjectKind::Unknown };
        if object == ObjectNames::registry_of_prefix(prefix) {
            return ObjectKind::Registry;
        }
        match ObjectNames::of_object(object).and_then(|names| names.kind_of(object)) {
            Some(Kind::Control) => ObjectKind::Control,
            Some(Kind::Segment(side, generation)) => ObjectKind::Segment { side: side.into(), generation },
            Some(Kind::Schema) => ObjectKind::Schema,
            None => ObjectKind::Unknown,
        }
    }
}

impl From<Side> for SegmentSide {
    fn from(side: Side) -> SegmentSide {
        match side {
            Side::A => SegmentSide::A,
            Side::B => SegmentSide::B,
        }
    }
}

//! For tests: finds the objects that a test, or a part of a program, leaves in shared memory.

use std::collections::BTreeSet;
use std::fmt;

use crate::namespace::Namespace;
use crate::object::ObjectError;
use crate::usage::{Found, Part, Place, survey};

/// Finds the objects that a test, or a part of a program, leaves in a namespace.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tearless::{testing::LeakCheck, Bytes, Namespace};
///
/// let fleet = Namespace::open("fleet-of-the-leak-check")?;
/// let check = LeakCheck::begin(&fleet)?;
/// let mut writer = fleet.writer_builder::<[u8]>("worker-7").codec::<Bytes>().open()?;
/// writer.publish(b"state")?;
/// drop(writer);
/// check.assert_nothing_left();
/// # Ok(())
/// # }
/// ```
///
/// It compares names: an object that exists at the end and did not exist at the beginning was left. A
/// channel that existed at the beginning may have grown: its current segments do not count, its replaced
/// segments do. New channels of other processes count, too, so each test needs a namespace of its own.
#[derive(Debug)]
#[must_use = "it finds nothing before `leaks` or `assert_nothing_left`"]
pub struct LeakCheck {
    namespace: Namespace,
    objects: BTreeSet<String>,
    channels: BTreeSet<String>,
}

impl LeakCheck {
    /// Records the objects that exist now.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`].
    pub fn begin(namespace: &Namespace) -> Result<LeakCheck, ObjectError> {
        let found = survey(namespace.backend(), namespace.name())?;
        let channels = found.iter().filter_map(|found| channel_of(&found.place)).map(str::to_owned).collect();
        let objects = found.into_iter().map(|found| found.object).collect();
        Ok(LeakCheck { namespace: namespace.clone(), objects, channels })
    }

    /// The objects that exist now and did not exist at the beginning. Can be called again later.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`].
    pub fn leaks(&self) -> Result<Leaks, ObjectError> {
        let found = survey(self.namespace.backend(), self.namespace.name())?;
        let left = found.into_iter().filter(|found| self.is_new(found)).map(Leak::from).collect();
        Ok(Leaks { namespace: self.namespace.name().into(), left })
    }

    /// The objects that exist now and did not exist at the beginning.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`].
    pub fn finish(self) -> Result<Leaks, ObjectError> {
        self.leaks()
    }

    /// Asserts that no object exists now that did not exist at the beginning.
    ///
    /// # Panics
    ///
    /// If an object was left, with a list; or if shared memory can't be listed.
    #[track_caller]
    pub fn assert_nothing_left(self) {
        match self.leaks() {
            Ok(leaks) => assert!(leaks.is_empty(), "{leaks}"),
            Err(error) => panic!("shared memory can't be listed: {error}"),
        }
    }

    fn is_new(&self, found: &Found) -> bool {
        let replaces_known = match &found.place {
            Place::Channel(channel, Part::Control | Part::Segment(_) | Part::Schema) => {
                self.channels.contains(channel)
            }
            _ => false,
        };
        !replaces_known && !self.objects.contains(&found.object)
    }
}

fn channel_of(place: &Place) -> Option<&str> {
    match place {
        Place::Channel(channel, _) => Some(channel),
        _ => None,
    }
}

/// The objects that were left: see [`LeakCheck`]. Displays a line for each object, and one that says
/// what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaks {
    /// The namespace's name.
    pub namespace: String,
    /// The objects, sorted by channel.
    pub left: Vec<Leak>,
}

/// An object that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// Its name in `/dev/shm`.
    pub object: String,
    /// Its channel, if it has one whose control page exists.
    pub channel: Option<String>,
    /// Bytes of memory that it occupies.
    pub resident: u64,
}

impl From<Found> for Leak {
    fn from(found: Found) -> Leak {
        let channel = channel_of(&found.place).map(str::to_owned);
        Leak { object: found.object, channel, resident: found.size.resident }
    }
}

impl Leaks {
    /// Whether nothing was left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

impl fmt::Display for Leaks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(formatter, "nothing was left in namespace {:?}", self.namespace);
        }
        writeln!(formatter, "{} objects were left in namespace {:?}:", self.left.len(), self.namespace)?;
        for Leak { object, channel, resident } in &self.left {
            match channel {
                Some(channel) => writeln!(formatter, "  {object}: {resident} bytes, of channel {channel:?}")?,
                None => writeln!(formatter, "  {object}: {resident} bytes, of no channel")?,
            }
        }
        write!(
            formatter,
            "drop or close the writers that are open, without linger; what a killed one left goes with \
             Namespace::remove_channel or Namespace::clean(Retention::Nothing); the registry goes with the last channel"
        )
    }
}

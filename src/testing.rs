//! For tests: finds the objects that a test, or a part of a program, leaves in shared memory.

use std::collections::BTreeSet;
use std::fmt;

use crate::namespace::Namespace;
use crate::object::ObjectError;
use crate::usage::{Found, Part, Place, survey};

/// Finds the objects that a test, or a part of a program, leaves behind in a namespace.
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
/// It compares names: what exists at the end and did not at the beginning is left. A channel that was there at the
/// beginning may have grown, so its current segments are not among it, whatever their generation; its replaced ones are.
/// Other processes' new channels are found, too: give a test a namespace of its own.
#[derive(Debug)]
#[must_use = "it finds nothing unless it is asked"]
pub struct LeakCheck {
    namespace: Namespace,
    objects: BTreeSet<String>,
    channels: BTreeSet<String>,
}

impl LeakCheck {
    /// Takes down what is there now.
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

    /// What is there now and was not at the beginning. Can be asked again later.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`].
    pub fn leaks(&self) -> Result<Leaks, ObjectError> {
        let found = survey(self.namespace.backend(), self.namespace.name())?;
        let left = found.into_iter().filter(|found| self.is_new(found)).map(Leak::from).collect();
        Ok(Leaks { namespace: self.namespace.name().into(), left })
    }

    /// What is there now and was not at the beginning.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`].
    pub fn finish(self) -> Result<Leaks, ObjectError> {
        self.leaks()
    }

    /// Makes sure that nothing is there that was not at the beginning.
    ///
    /// # Panics
    ///
    /// If something is, with a list of it; or if shared memory can't be looked at.
    #[track_caller]
    pub fn assert_nothing_left(self) {
        match self.leaks() {
            Ok(leaks) => assert!(leaks.is_empty(), "{leaks}"),
            Err(error) => panic!("whether anything is left can't be seen: {error}"),
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

/// What was left behind: see [`LeakCheck`]. Its text has a line for each object, and one that says what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaks {
    /// The namespace's name.
    pub namespace: String,
    /// The objects, those of a channel together.
    pub left: Vec<Leak>,
}

/// An object that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// Its name, as it is listed in `/dev/shm`.
    pub object: String,
    /// The channel that it belongs to, if it belongs to one that has a control page to say so.
    pub channel: Option<String>,
    /// Its bytes that have memory.
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

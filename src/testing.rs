//! For tests: finds the objects that a test, or a part of a program, leaves in shared memory.

use std::collections::BTreeSet;
use std::fmt;

use crate::catalog::{self, Object, Part, Role};
use crate::namespace::Namespace;
use crate::object::ObjectError;

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
/// It compares names: an object that exists at the end and did not at the beginning is a leak. A
/// channel that existed at the beginning may grow, so its current segments are not reported,
/// whatever their generation; its replaced ones are. New channels of other processes are reported,
/// too: give a test a namespace of its own.
#[derive(Debug)]
#[must_use = "leaks are found only by `leaks` or `assert_nothing_left`"]
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
        let found = objects(namespace)?;
        let channels =
            found.iter().filter_map(|object| channel_of(&object.role)).map(str::to_owned).collect();
        let objects = found.into_iter().map(|object| object.name).collect();
        Ok(LeakCheck { namespace: namespace.clone(), objects, channels })
    }

    /// Objects that exist now and did not at the beginning. May be called repeatedly.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`].
    pub fn leaks(&self) -> Result<Leaks, ObjectError> {
        let found = objects(&self.namespace)?;
        let left = found.into_iter().filter(|object| self.is_new(object)).map(Leak::from).collect();
        Ok(Leaks { namespace: self.namespace.name().into(), left })
    }

    /// Asserts that no object exists that did not at the beginning.
    ///
    /// # Panics
    ///
    /// If there is such an object, with a list of them; or if shared memory can't be listed.
    #[track_caller]
    pub fn assert_nothing_left(self) {
        match self.leaks() {
            Ok(leaks) => assert!(leaks.is_empty(), "{leaks}"),
            Err(error) => panic!("cannot determine whether objects were left: {error}"),
        }
    }

    fn is_new(&self, object: &Object) -> bool {
        let replaces_known = match &object.role {
            Role::Channel(channel, Part::Control | Part::Segment(_)) => self.channels.contains(channel),
            _ => false,
        };
        !replaces_known && !self.objects.contains(&object.name)
    }
}

fn objects(namespace: &Namespace) -> Result<Vec<Object>, ObjectError> {
    catalog::objects(namespace.backend().as_ref(), namespace.name())
}

fn channel_of(role: &Role) -> Option<&str> {
    match role {
        Role::Channel(channel, _) => Some(channel),
        _ => None,
    }
}

/// The objects that were left: see [`LeakCheck`]. `Display` prints a line for each, and advice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaks {
    /// The namespace's name.
    pub namespace: String,
    /// The objects, grouped by channel.
    pub left: Vec<Leak>,
}

/// An object that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// Its name in the namespace's directory, such as `/dev/shm`.
    pub object: String,
    /// Its channel; `None` if no control page claims the object.
    pub channel: Option<String>,
    /// The block that it is, if it is one.
    pub block: Option<String>,
    /// Its resident bytes.
    pub resident: u64,
}

impl From<Object> for Leak {
    fn from(object: Object) -> Leak {
        let channel = channel_of(&object.role).map(str::to_owned);
        let block = match object.role {
            Role::Block(block) => Some(block),
            _ => None,
        };
        Leak { object: object.name, channel, block, resident: object.size.resident }
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
        for Leak { object, channel, block, resident } in &self.left {
            match (channel, block) {
                (Some(channel), _) => {
                    writeln!(formatter, "  {object}: {resident} bytes, of channel {channel:?}")?;
                }
                (None, Some(block)) => writeln!(formatter, "  {object}: {resident} bytes, block {block:?}")?,
                (None, None) => writeln!(formatter, "  {object}: {resident} bytes, of no channel")?,
            }
        }
        write!(
            formatter,
            "drop or close the writers and blocks that are open, without linger; remove what a killed writer left by \
             Namespace::remove_channel or Namespace::clean(Retention::Nothing); the registry is removed with the \
             last channel"
        )
    }
}

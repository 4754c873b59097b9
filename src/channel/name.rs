//! Names of namespaces and channels.

use crate::layout::{ObjectNames, control};

/// Why a name can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no characters.
    #[error("the name of a {what} must not be empty: give it at least one character")]
    Empty {
        /// `namespace` or `channel`.
        what: &'static str,
    },
    /// It is longer than its field in the control page.
    #[error("the name of a {what} may have at most {max} bytes, {name:?} has {len}: shorten it")]
    TooLong {
        /// `namespace` or `channel`.
        what: &'static str,
        /// The beginning of the name.
        name: String,
        /// Its length in bytes.
        len: usize,
        /// The maximum length.
        max: usize,
    },
    /// It contains a control character, which would garble output.
    #[error(
        "the name of a {what} must not contain control characters, {name:?} contains {character:?}: remove it"
    )]
    ControlCharacter {
        /// `namespace` or `channel`.
        what: &'static str,
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
    /// This machine has no group of that name.
    #[error("there is no group {name:?} on this machine: create it (groupadd), or give its number")]
    UnknownGroup {
        /// The name.
        name: String,
    },
}

/// The checked full name of a channel, and the names of its objects.
#[derive(Clone, Debug)]
pub(crate) struct ChannelName {
    pub(crate) namespace: String,
    pub(crate) channel: String,
    pub(crate) objects: ObjectNames,
}

impl ChannelName {
    pub(crate) fn new(namespace: &str, channel: &str) -> Result<ChannelName, NameError> {
        check("namespace", namespace, control::NAMESPACE.max)?;
        check("channel", channel, control::CHANNEL.max)?;
        let objects = ObjectNames::new(namespace, channel);
        Ok(ChannelName { namespace: namespace.into(), channel: channel.into(), objects })
    }
}

/// Checks the name of a namespace alone.
pub(crate) fn check_namespace(name: &str) -> Result<(), NameError> {
    check("namespace", name, control::NAMESPACE.max)
}

fn check(what: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > max {
        let beginning = name.chars().take(24).chain(['…']).collect();
        return Err(NameError::TooLong { what, name: beginning, len: name.len(), max });
    }
    match name.chars().find(|character| character.is_control()) {
        Some(character) => Err(NameError::ControlCharacter { what, name: name.into(), character }),
        None => Ok(()),
    }
}

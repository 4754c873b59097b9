//! Names of namespaces and channels.

use std::sync::Arc;

use crate::layout::{ObjectNames, control};

/// Why a name can't be used.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no characters.
    #[error("the name of a {what} must not be empty: give it at least one character")]
    Empty {
        /// `namespace`, `channel` or `block`.
        what: &'static str,
    },
    /// It is longer than its field in the control page.
    #[error("the name of a {what} may have at most {max} bytes, {name:?} has {len}: shorten it")]
    TooLong {
        /// `namespace`, `channel` or `block`.
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
        "the name of a {what} must not contain control characters, {name:?} contains {character:?}: \
         remove it"
    )]
    ControlCharacter {
        /// `namespace`, `channel` or `block`.
        what: &'static str,
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
    /// The namespace's directory can't be used: it can't hold objects, another user may change it,
    /// or its path is invalid.
    #[error("namespace {namespace:?} can't be used: {problem}")]
    Directory {
        /// The namespace.
        namespace: String,
        /// What is wrong with the directory, and what to do.
        problem: String,
    },
    /// This machine has no group of that name.
    #[error("there is no group {name:?} on this machine: create it (groupadd), or give its number")]
    UnknownGroup {
        /// The name.
        name: String,
    },
}

debug_as_display!(NameError);

/// The checked full name of a channel, and the names of its objects.
#[derive(Clone, Debug)]
pub(crate) struct ChannelName {
    pub(crate) namespace: String,
    pub(crate) channel: String,
    pub(crate) objects: ObjectNames,
}

impl ChannelName {
    pub(crate) fn new(namespace: &str, channel: &str) -> Result<ChannelName, NameError> {
        check_name("namespace", namespace, control::NAMESPACE.max)?;
        check_name("channel", channel, control::CHANNEL.max)?;
        let objects = ObjectNames::new(namespace, channel);
        Ok(ChannelName { namespace: namespace.into(), channel: channel.into(), objects })
    }
}

/// The channels of a namespace in which another one was not found, as far as they are known.
#[derive(Clone, Default)]
pub struct KnownChannels(pub(crate) Arc<[(Arc<str>, u64)]>, pub(crate) Option<Vec<String>>);

impl KnownChannels {
    /// How many there may be for an error to compare their names with the missing one. A program
    /// may ask for a channel, and log why there is none, again and again.
    pub(crate) const MAX_COMPARED: usize = 1024;

    /// The names that are most like `channel`, the most similar first; none if the namespace has
    /// more than 1,024 channels, or can't be listed.
    #[must_use]
    pub fn similar_to(&self, channel: &str) -> Vec<&str> {
        let few = if self.0.len() > Self::MAX_COMPARED { &[] } else { &*self.0 };
        similar(channel, few.iter().map(|(name, _)| &**name))
    }

    /// If the namespace lists no channel at all: the names of other namespaces that are most like
    /// its name, the most similar first.
    #[must_use]
    pub fn similar_namespaces(&self) -> Option<&[String]> {
        self.1.as_deref()
    }

    /// A question that names them, after the name of the missing one; or why that one is missing.
    pub(super) fn question(&self, channel: &str) -> String {
        if self.0.iter().any(|(name, _)| **name == *channel) {
            return " (a writer opened it, and its object was removed: `Writer::reopen` makes it again)"
                .into();
        }
        if channel.contains(['*', '?']) {
            return " (`Hub::iter`, `Hub::select` and `Hub::watch` take patterns, this takes a name)".into();
        }
        let quoted =
            |names: Vec<&str>| names.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ");
        let others = self.1.as_ref().map(|others| quoted(others.iter().map(String::as_str).collect()));
        match (quoted(self.similar_to(channel)), others.as_deref()) {
            (names, _) if !names.is_empty() => format!(" (did you mean {names}?)"),
            (_, None) => String::new(),
            (_, Some("")) => " (that namespace lists no channel)".into(),
            (_, Some(others)) => {
                format!(" (that namespace lists no channel: did you mean namespace {others}?)")
            }
        }
    }
}

debug_by!(KnownChannels<>, |it| channels: it.0.len());

/// At most three of `names`: those that are most like `wanted`, the most similar first. For errors
/// that propose what the user may have meant: a name in which at most a third of the characters are
/// changed, left out, added or exchanged with their neighbours.
///
/// Cost: some tenths of a microsecond for each name.
#[must_use]
pub fn similar<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const MAX_PROPOSED: usize = 3;
    let wanted = wanted.to_lowercase();
    let max = wanted.chars().count() / 3;
    let distance = |name: &str| strsim::osa_distance(&wanted, &name.to_lowercase());
    let mut found: Vec<_> = names.into_iter().map(|name| (distance(name), name)).collect();
    found.retain(|(distance, _)| *distance <= max);
    found.sort_unstable();
    found.into_iter().take(MAX_PROPOSED).map(|(_, name)| name).collect()
}

/// Checks the name of a namespace alone.
pub(crate) fn check_namespace(name: &str) -> Result<(), NameError> {
    check_name("namespace", name, control::NAMESPACE.max)
}

/// Checks the name of a `what`.
pub(crate) fn check_name(what: &'static str, name: &str, max: usize) -> Result<(), NameError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_names_come_first_and_others_are_left_out() {
        let names = ["worker-1", "worker-2", "worker-17", "database", "wroker-7"];
        assert_eq!(similar("worker-7", names), ["worker-1", "worker-17", "worker-2"]);
        assert_eq!(similar("Worker-1", names)[0], "worker-1");
        assert_eq!(similar("job_done", ["jobs_done", "queue"]), ["jobs_done"]);
        for (wanted, far) in
            [("zzz", "worker-1"), ("jobs", "joint"), ("", "a"), ("db", "dba"), ("load", "loader")]
        {
            assert!(similar(wanted, [far]).is_empty(), "{wanted} is no {far}");
        }
    }

    #[test]
    fn an_error_compares_no_more_names_than_it_says() {
        let known =
            |count| KnownChannels((0..count).map(|it| (format!("worker-{it}").into(), it)).collect(), None);
        let (few, many) = (known(1024), known(1025));
        assert_eq!(few.similar_to("wroker-7")[0], "worker-7");
        assert!(few.question("wroker-7").starts_with(" (did you mean \"worker-7\", "));
        assert!(many.similar_to("wroker-7").is_empty() && many.question("wroker-7").is_empty());
    }
}

//! Resolves which namespace the user means, and explains names that do not exist.

use tearless::{
    Namespace,
    error::AttachError,
    inspect::{self, ChannelInfo, NamespaceInfo},
};

use crate::blocks;
use crate::directory::Directory;
use crate::error::{ExitStatus, Failure, trust};
use crate::health;
use crate::output::printable;

/// How many names an error lists if the user has to choose one.
const MAX_LISTED: usize = 20;

/// The hint if there is no namespace at all.
fn no_worker(directory: &Directory) -> String {
    match directory.named() {
        Some(named) => format!("is a worker running whose directory is {}, too?", named.display()),
        None => format!("is a worker running, on this machine and in this container?\n{ELSEWHERE}"),
    }
}

/// The hint if no directory was named.
const ELSEWHERE: &str =
    "if its workers use a directory instead of /dev/shm: add --directory DIR, or set TEARLESS_DIRECTORY";

/// The name of the only namespace there.
pub(crate) fn only_namespace(directory: &Directory) -> Result<String, Failure> {
    let namespaces = directory.namespaces()?;
    let mut names: Vec<&str> = namespaces.iter().filter_map(|info| info.name.as_deref()).collect();
    names.dedup();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(no_namespace(&namespaces, directory)),
        names => {
            let text = format!("which namespace? there are {}: {}", names.len(), listed(names));
            Err(Failure::new(ExitStatus::Usage, text).hint("add -n NAME, or set TEARLESS_NAMESPACE"))
        }
    }
}

fn no_namespace(namespaces: &[NamespaceInfo], directory: &Directory) -> Failure {
    let failure = Failure::new(ExitStatus::NotFound, format!("there is no namespace{}", directory.text()));
    match namespaces.iter().find(|info| !info.readable) {
        Some(info) => failure.hint(format!("a user has one: {}; it must admit you", trust(info.owner_uid))),
        None => failure.hint(no_worker(directory)),
    }
}

/// The first few names, escaped.
pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(MAX_LISTED).map(|name| printable(name.as_ref()));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if names.len() > MAX_LISTED {
        text.push_str(", …");
    }
    text
}

/// The failure that reports a missing namespace; `None` if it exists, or if the namespaces can't be
/// listed.
pub(crate) fn no_such_namespace(namespace: &Namespace, directory: &Directory) -> Option<Failure> {
    let namespaces = directory.namespaces().ok()?;
    let names: Vec<&str> = namespaces.iter().filter_map(|info| info.name.as_deref()).collect();
    if names.contains(&namespace.name()) {
        return None;
    }
    let text = format!("there is no namespace {:?}{}", namespace.name(), directory.text());
    let failure = Failure::new(ExitStatus::NotFound, text);
    let others = || match names.is_empty() {
        true => no_worker(directory),
        false if directory.named().is_some() => format!("there are: {}", listed(&names)),
        false => format!("there are: {}\n{ELSEWHERE}", listed(&names)),
    };
    Some(failure.hint(similar(namespace.name(), &names).unwrap_or_else(others)))
}

/// The channels of a namespace. Fails if it does not exist, and also if its channels can't be
/// listed: an empty list would look as if all of them had ended.
pub(crate) fn channels(namespace: &Namespace, directory: &Directory) -> Result<Vec<ChannelInfo>, Failure> {
    let channels = namespace.channels()?;
    let missing = if channels.is_empty() { no_such_namespace(namespace, directory) } else { None };
    missing.map_or(Ok(channels), Err)
}

/// What is in no list, and has no name that a command could take.
const SEALED: &str = "a sealed channel has no name: only processes with its descriptor read it";

/// The failure that reports a missing channel, with the names that are most like it. `what` is what
/// was asked for: a channel, or also a block.
pub(crate) fn not_found(namespace: &Namespace, channel: &str, what: &str, directory: &Directory) -> Failure {
    if let Some(failure) = no_such_namespace(namespace, directory) {
        return failure;
    }
    let text = format!("there is no {what} {channel:?} in namespace {:?}", namespace.name());
    let failure = Failure::new(ExitStatus::NotFound, text);
    let Ok(mut channels) = namespace.channels() else { return failure };
    let entered = channels.extract_if(.., |info| info.name == channel).collect();
    if let Some(info) = health::nameless(namespace, entered).unwrap_or_default().first() {
        let (name, state) = (namespace.name(), health::word(Some(health::of_process(info.writer_state()))));
        let why = format!("were removed, and its writer (process {}) is {state}", info.writer_pid);
        let text = format!("the names of channel {channel:?} in namespace {name:?} {why}");
        return Failure::new(ExitStatus::NotFound, text).hint("`tearless doctor` says what to do");
    }
    if channel.contains(['*', '?']) {
        return failure.hint("this takes the name of one channel; `tearless ls` takes a pattern");
    }
    let blocks = blocks::matching(namespace, None).unwrap_or_default();
    if blocks.iter().any(|block| block.name == channel) {
        let stat = format!("`tearless stat {}` shows its owner and size", inspect::quoted(channel));
        return failure.hint(format!("there is a block of that name: raw memory, without states; {stat}"));
    }
    let names: Vec<&str> = channels.iter().map(|info| info.name.as_str()).collect();
    let block_names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
    let others = match (names.len(), blocks.len()) {
        (0, 0) => "the namespace has no channels any more".to_owned(),
        (0, count) => {
            format!("the namespace has no channels, only blocks ({count}): `tearless ls` lists them")
        }
        (count, _) => format!(
            "`tearless ls` lists its {count} channels; one that its writer closed or dropped is gone, unless it lingers"
        ),
    };
    // The doctor writes NAMESPACE/CHANNEL.
    let last = channel.rsplit('/').next().unwrap_or(channel);
    let like = similar(channel, &names).or_else(|| similar(last, &names));
    let like = like.or_else(|| did_you_mean(" the block", channel, &block_names));
    failure.hint(like.unwrap_or_else(|| format!("{others}\n{SEALED}")))
}

/// The failure that reports why a channel can't be attached to or inspected.
pub(crate) fn unattached(namespace: &Namespace, error: AttachError, directory: &Directory) -> Failure {
    match error {
        AttachError::NotFound { channel, .. } => not_found(namespace, &channel, "channel", directory),
        error => error.into(),
    }
}

/// A hint with the names that are most like `wanted`, if any is.
pub(crate) fn similar(wanted: &str, names: &[&str]) -> Option<String> {
    did_you_mean("", wanted, names)
}

fn did_you_mean(kind: &str, wanted: &str, names: &[&str]) -> Option<String> {
    let similar = inspect::similar(wanted, names.iter().copied());
    (!similar.is_empty()).then(|| format!("did you mean{kind}: {}?", listed(&similar)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_escaped() {
        let hint = similar("work", &["work\u{1b}", "zzz"]);
        assert_eq!(hint.as_deref(), Some("did you mean: work\\u{1b}?"));
        assert_eq!(similar("zzz", &["work"]), None);
    }
}

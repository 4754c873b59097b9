//! Finds the namespace that is meant, and explains what is not found.

use tearless::{
    Namespace,
    error::AttachError,
    inspect::{NamespaceInfo, namespaces},
};

use crate::error::{ExitStatus, Failure};
use crate::output::printable;

/// How unlike what was typed a name may be and still be proposed.
const MIN_LIKENESS: f64 = 0.75;
/// How many names are proposed.
const MAX_PROPOSED: usize = 3;
/// How many names are listed where one is to be chosen.
const MAX_LISTED: usize = 20;

/// The name of the only namespace on this machine.
pub(crate) fn only_namespace(trust: &[u32]) -> Result<String, Failure> {
    let namespaces = trust.iter().fold(namespaces(), |listing, user| listing.trust_owner(*user)).list()?;
    let mut names: Vec<&str> = namespaces.iter().filter_map(|info| info.name.as_deref()).collect();
    names.dedup();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(no_namespace(&namespaces)),
        names => Err(Failure::new(
            ExitStatus::Usage,
            format!("which namespace? there are {}: {}", names.len(), listed(names)),
        )
        .hint("say -n NAME, or set TEARLESS_NAMESPACE")),
    }
}

fn no_namespace(namespaces: &[NamespaceInfo]) -> Failure {
    let failure = Failure::new(ExitStatus::NotFound, "there is no namespace on this machine");
    match namespaces.iter().find(|info| !info.readable) {
        Some(info) => failure.hint(format!(
            "user {owner} has one: to look at it, say --trust-owner {owner}",
            owner = info.owner_uid
        )),
        None => failure.hint("is a worker running, on this machine and in this container?"),
    }
}

/// The first few names, fit to be printed.
fn listed(names: &[&str]) -> String {
    let mut text = names.iter().take(MAX_LISTED).map(|name| printable(name)).collect::<Vec<_>>().join(", ");
    if names.len() > MAX_LISTED {
        text.push_str(", …");
    }
    text
}

/// That there is no namespace of that name, if there is none: then nothing else needs to be said of it.
pub(crate) fn no_such_namespace(namespace: &Namespace, trust: &[u32]) -> Option<Failure> {
    let namespaces =
        trust.iter().fold(namespaces(), |listing, user| listing.trust_owner(*user)).list().ok()?;
    let names: Vec<&str> = namespaces.iter().filter_map(|info| info.name.as_deref()).collect();
    if names.contains(&namespace.name()) {
        return None;
    }
    let text = format!("there is no namespace {:?} on this machine", namespace.name());
    let failure = Failure::new(ExitStatus::NotFound, text);
    let nearest = nearest(namespace.name(), &names);
    Some(match (names.is_empty(), nearest.is_empty()) {
        (true, _) => failure.hint("is a worker running, on this machine and in this container?"),
        (false, true) => failure.hint(format!("there are: {}", listed(&names))),
        (false, false) => failure.hint(format!("is one of these meant: {}?", nearest.join(", "))),
    })
}

/// Fails where there is no such namespace, and where its channels can't be listed: an empty list would look as if all of
/// them had ended.
pub(crate) fn must_exist(namespace: &Namespace, trust: &[u32]) -> Result<(), Failure> {
    match namespace.channels()?.is_empty() {
        true => no_such_namespace(namespace, trust).map_or(Ok(()), Err),
        false => Ok(()),
    }
}

/// That there is no channel of that name, and which names are like it.
pub(crate) fn no_such_channel(namespace: &Namespace, channel: &str, trust: &[u32]) -> Failure {
    if let Some(failure) = no_such_namespace(namespace, trust) {
        return failure;
    }
    let failure = Failure::new(
        ExitStatus::NotFound,
        format!("there is no channel {channel:?} in namespace {:?}", namespace.name()),
    );
    let Ok(channels) = namespace.channels() else { return failure };
    let names: Vec<&str> = channels.iter().map(|info| info.name.as_str()).collect();
    let nearest = nearest(channel, &names);
    match (names.is_empty(), nearest.is_empty()) {
        (true, _) => failure.hint("the namespace has no channels any more"),
        (false, true) => failure.hint(format!("`tearless ls` lists its {} channels", names.len())),
        (false, false) => failure.hint(format!("is one of these meant: {}?", nearest.join(", "))),
    }
}

/// Why a channel can't be looked at, and what to do about it.
pub(crate) fn unattached(namespace: &Namespace, error: AttachError, trust: &[u32]) -> Failure {
    match error {
        AttachError::NotFound { channel, .. } => no_such_channel(namespace, &channel, trust),
        error => error.into(),
    }
}

/// The names that are most like `wanted`, the likest first, fit to be printed.
pub(crate) fn nearest(wanted: &str, names: &[&str]) -> Vec<String> {
    let likeness = |name: &str| strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase());
    let mut found: Vec<(f64, &str)> = names.iter().map(|name| (likeness(name), *name)).collect();
    found.retain(|(likeness, _)| *likeness >= MIN_LIKENESS);
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    found.truncate(MAX_PROPOSED);
    found.into_iter().map(|(_, name)| printable(name).into_owned()).collect()
}

/// Whether `name` is as `pattern` says, in which `*` stands for any characters, also none, and `?` for any
/// one.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // fitting[n]: whether what has been looked at of the pattern fits the first n characters.
    let mut fitting: Vec<bool> = vec![false; name.chars().count() + 1];
    fitting[0] = true;
    for expected in pattern {
        let mut before = fitting[0];
        fitting[0] &= expected == '*';
        for (index, character) in name.chars().enumerate() {
            let fits = match expected {
                '*' => fitting[index] || fitting[index + 1],
                '?' => before,
                exact => before && exact == character,
            };
            before = std::mem::replace(&mut fitting[index + 1], fits);
        }
    }
    fitting.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::{fits, nearest};

    #[test]
    fn stars_and_question_marks_stand_for_what_they_say() {
        for (pattern, name) in [
            ("*", ""),
            ("", ""),
            ("w*", "worker"),
            ("*-?", "worker-7"),
            ("a*ab", "aaab"),
            ("?", "ü"),
            ("**", "x"),
        ] {
            assert!(fits(pattern, name), "{pattern:?} {name:?}");
        }
        for (pattern, name) in [("", "a"), ("?", ""), ("w*x", "worker"), ("worker", "workers"), ("a?", "a")] {
            assert!(!fits(pattern, name), "{pattern:?} {name:?}");
        }
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)), "and it ends soon");
    }

    #[test]
    fn the_likest_names_come_first_and_unlike_ones_not_at_all() {
        let names = ["worker-1", "worker-2", "worker-17", "database", "wroker-7"];
        assert_eq!(nearest("worker-7", &names)[0], "worker-17");
        assert_eq!(nearest("Worker-1", &names)[0], "worker-1");
        assert!(nearest("zzz", &names).is_empty());
        assert_eq!(nearest("work", &["work\u{1b}"]), ["work\\u{1b}"]);
    }
}

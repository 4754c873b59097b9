//! The parts of error texts that depend on a value: a number, the owner of an object, a codec.

use std::error::Error;
use std::time::Duration;

use crate::layout::control;
use crate::object::{ObjectError, directory_of, is_own_user, may_be_unmapped};

pub(crate) fn process_text(pid: u64) -> String {
    match pid {
        0 => "a process that has not recorded its id yet, or has another version of tearless".into(),
        own if own == u64::from(std::process::id()) => format!("this process ({own})"),
        pid => format!("process {pid}"),
    }
}

/// A hint for decimal digits that would be permissions as octal ones.
pub(crate) fn octal_text(mode: u32) -> String {
    match u32::from_str_radix(&mode.to_string(), 8) {
        Ok(meant) if meant & !0o777 == 0 && meant & 0o600 == 0o600 => {
            format!("; {mode} in decimal is not {meant:#o}")
        }
        _ => String::new(),
    }
}

pub(super) fn slots_text(slots: Option<usize>) -> String {
    slots.map_or_else(String::new, |slots| format!(" in {slots} slots"))
}

pub(crate) fn waited_text(waited: Duration) -> String {
    if waited.is_zero() { String::new() } else { format!(", not even after {waited:.1?}") }
}

/// When a channel was removed, and by which processes that may have been.
pub(crate) fn removed_text(channel: &str, last: u64) -> String {
    let when = match last {
        0 => "before it published anything".into(),
        last => format!("after publication {last}"),
    };
    format!(
        "channel {channel:?} was removed {when}: its writer ended or replaced it by a channel of another \
         format, or `tearless gc`, `Namespace::clean` or a user removed it"
    )
}

pub(super) fn version_text(channel: &str, found: u64, expected: u64) -> String {
    format!(
        "channel {channel:?} was made with layout version {found}, this library uses version \
         {expected}: use the same version of tearless in all processes; if no process writes the \
         channel, `tearless gc` (with its --directory) or `Namespace::clean` removes it"
    )
}

pub(super) fn collision_text(channel: &str, other: &str) -> String {
    format!(
        "channel {channel:?} has the same object name as channel {other:?}: choose another name \
         for one of them"
    )
}

/// What to do about states in another format.
pub(super) fn mismatch_text(found_codec: &str, expected_codec: &str) -> &'static str {
    // The page may have no room for all of the codec's name.
    if control::CODEC.cut(expected_codec) == found_codec {
        "use the writer's type, give both sides one `type_name`, or choose by `accept` what else is accepted \
         (`accept::MatchingFields` compares fields instead of type names, `accept::Any` nothing)"
    } else {
        "choose the writer's codec (`codec` of a builder, or `Hub::with_codec`), or take the \
         encoded bytes (the codec `Bytes` with `accept::Any`)"
    }
}

/// The text of an error, with `advice` for this process if another user owns the object: the text
/// of the error itself advises readers, whom a writer may admit.
fn text_for_owners(error: &ObjectError, advice: impl Fn(u32) -> String) -> String {
    match error {
        ObjectError::OtherOwner { object, owner }
        | ObjectError::PermissionDenied { object, owner: Some(owner) }
            if !is_own_user(*owner) && !may_be_unmapped(*owner) =>
        {
            let advice = advice(*owner);
            format!(
                "shared-memory object {object} belongs to user {owner}{advice}; if user {owner} is \
                 none of the fleet's, that user or root must remove the object"
            )
        }
        other => other.to_string(),
    }
}

/// Why a writer can't use an object.
pub(super) fn text_for_writers(error: &ObjectError) -> String {
    if let ObjectError::PermissionDenied { object, owner: None } = error {
        return format!(
            "no permission to create shared-memory object {object}: run this writer as a user that \
             may create files in {}",
            directory_of(object)
        );
    }
    text_for_owners(error, |user| {
        format!(
            ", and all writers of a namespace run as one user: run this writer as user {user}, or \
             open it in another namespace"
        )
    })
}

/// The paths of objects of a directory; an empty one is not known.
pub(super) fn paths_text(directory: &str, objects: &[String]) -> String {
    let path = |name: &String| format!("{directory}/{name}");
    if directory.is_empty() {
        objects.join(", ")
    } else {
        objects.iter().map(path).collect::<Vec<_>>().join(", ")
    }
}

/// Why a channel can't be removed.
pub(super) fn text_for_removal(error: &ObjectError) -> String {
    text_for_owners(error, |user| format!(": run this as user {user}"))
}

pub(crate) fn attempts_text(attempts: u32) -> String {
    if attempts == 1 { "one attempt".into() } else { format!("{attempts} attempts") }
}

/// The text of an error while decoding, with an advice, which most of our codecs' have.
pub(super) fn advised(text: String) -> String {
    let has_advice = ["the writer", "schema"].iter().any(|word| text.contains(word));
    if has_advice { text } else { text + "; use the writer's type, with the same fields" }
}

/// The text of a codec's error, and the texts of its sources unless it has them, too.
pub(super) fn chain_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

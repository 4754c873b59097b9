//! The parts of an inspection that the commands show, and the words for a writer's health.

use std::thread;
use std::time::Duration;

use anstyle::Style;
use serde_json::{Value, json};
use tearless::dynamic::DynamicReader;
use tearless::{
    Namespace,
    error::{AttachError, ObjectError},
    hub::Health,
    inspect::{ChannelInfo, Inspection, OriginInfo, SlotInspection, SlotState, WriterState},
};

use crate::output::{ago, duration, seconds, style};

/// A writer that closes its channel takes less time than this from the first step to the last,
/// unless it is stopped in between.
pub(crate) const END: Duration = Duration::from_millis(50);

/// How often a channel is inspected again because its writer overwrote the latest publication
/// during the inspection.
const MAX_LOOKS: usize = 8;

/// A channel's memory. A fast writer may overwrite its latest publication during the inspection:
/// then this is the first of several inspections that holds it.
pub(crate) fn inspect(namespace: &Namespace, channel: &str) -> Result<Inspection, AttachError> {
    let mut inspection = namespace.inspect(channel)?;
    for _ in 1..MAX_LOOKS {
        if inspection.publication == 0 || latest(&inspection).is_some() {
            break;
        }
        inspection = namespace.inspect(channel)?;
    }
    Ok(inspection)
}

/// Those of `suspects` that stay in the registry. A suspect is an entry whose channel was not found
/// by name. Its channel may just be ending: a writer removes the names first and the entry last.
pub(crate) fn nameless(
    namespace: &Namespace,
    mut suspects: Vec<ChannelInfo>,
) -> Result<Vec<ChannelInfo>, ObjectError> {
    if !suspects.is_empty() {
        thread::sleep(END);
        let entered = namespace.channels()?;
        suspects.retain(|info| entered.contains(info));
    }
    Ok(suspects)
}

/// Whether the name of the reader's channel now means another channel: its objects were unlinked by
/// hand, and a writer has created them again.
pub(crate) fn is_replaced(namespace: &Namespace, reader: &DynamicReader) -> bool {
    let reader = reader.reader();
    namespace.inspect(reader.channel()).is_ok_and(|found| found.instance != reader.instance())
}

/// Whether there is no channel of that name, whatever the registry says.
pub(crate) fn is_missing(namespace: &Namespace, channel: &str) -> bool {
    matches!(namespace.inspect(channel), Err(AttachError::NotFound { .. }))
}

/// The slots with whole publications that readers can still get, the latest first.
pub(crate) fn whole(inspection: &Inspection) -> Vec<&SlotInspection> {
    let slots = inspection.segments.iter().flatten().flat_map(|segment| &segment.slots);
    let is_held =
        |slot: &&SlotInspection| slot.state == SlotState::Whole && slot.publication <= inspection.publication;
    let mut slots: Vec<_> = slots.filter(is_held).collect();
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.publication));
    slots.dedup_by_key(|slot| slot.publication);
    slots
}

/// The slot of the latest publication.
pub(crate) fn latest(inspection: &Inspection) -> Option<&SlotInspection> {
    whole(inspection).into_iter().next().filter(|slot| slot.publication == inspection.publication)
}

/// How many pins are held, also by readers that were killed, and how many there are, by what
/// [`Inspection::pinned`] says; `None` for a channel without pins.
pub(crate) fn views(pinned: &[u64]) -> Option<(usize, usize)> {
    (!pinned.is_empty()).then(|| (viewed(pinned).count(), pinned.len()))
}

/// The publications that readers view in place.
pub(crate) fn viewed(pinned: &[u64]) -> impl Iterator<Item = u64> {
    pinned.iter().copied().filter(|number| *number != 0)
}

/// The number of pins, and what they keep.
pub(crate) fn pins(pinned: &[u64]) -> String {
    let numbers: Vec<_> = viewed(pinned).map(|number| number.to_string()).collect();
    let viewed = if numbers.is_empty() { "nothing".into() } else { numbers.join(", ") };
    format!("{}; pinned for readers: {viewed}", pinned.len())
}

/// The writer's process; of a mirrored channel, on which host it is.
pub(crate) fn process(pid: u64, origin: Option<OriginInfo>) -> String {
    match origin {
        None => format!("process {pid}"),
        Some(OriginInfo { host, pid, .. }) => format!("process {pid} of host {host:?}"),
    }
}

/// What a mirrored channel is a copy of, and the number that its latest publication has there, as
/// the helps of the commands document it; `null` of any other channel.
pub(crate) fn origin(origin: Option<OriginInfo>, publication: Option<u64>) -> Value {
    let Some(OriginInfo { host, instance, incarnation, pid, news_age, .. }) = origin else {
        return Value::Null;
    };
    json!({
        "host": host, "publication": publication, "instance": format!("{instance:016x}"),
        "incarnation": incarnation, "pid": pid, "news_age_seconds": seconds(news_age),
    })
}

/// The same of an inspected channel.
pub(crate) fn origin_of(inspection: &Inspection) -> Value {
    origin(inspection.origin, latest(inspection).and_then(|slot| slot.origin_publication))
}

/// Publications a second, by the timestamps of those that the channel still holds. These are few,
/// so a burst looks faster than the average.
pub(crate) fn rate(inspection: &Inspection) -> Option<f64> {
    let with_age = |slot: &&SlotInspection| slot.age.map(|age| (slot.publication, age));
    let slots: Vec<_> = whole(inspection).iter().filter_map(with_age).collect();
    let ((newest, young), (oldest, old)) = (*slots.first()?, *slots.last()?);
    let seconds = old.checked_sub(young)?.as_secs_f64();
    (newest > oldest && seconds > 0.0).then(|| (newest - oldest) as f64 / seconds)
}

/// The words for a writer's health, the most urgent first: the same for people, in JSON and in
/// labels.
pub(crate) const WORDS: [&str; 9] =
    ["dead", "unreadable", "unreachable", "stopped", "stalled", "unknown", "exited", "closed", "alive"];

/// Why a process is stopped.
pub(crate) const STOPPED: &str = "stopped by a signal or a debugger, or its control group is frozen";

/// One of [`WORDS`]; without a health the channel cannot be read.
pub(crate) fn word(health: Option<Health>) -> &'static str {
    match health {
        None => "unreadable",
        health if is_up(health) => "alive",
        Some(Health::Stalled { is_stopped: true, .. }) => "stopped",
        Some(health) => health.name(),
    }
}

/// The health of a writer, as far as it depends on the state of its process.
pub(crate) fn of_process(state: WriterState) -> Health {
    match state {
        WriterState::Alive => Health::Empty,
        WriterState::Stopped => Health::Stalled { silent: None, is_stopped: true },
        WriterState::Dead => Health::Dead { since: None },
        WriterState::Exited => Health::Exited { since: None },
        WriterState::Closed => Health::Closed,
        _ => Health::Unknown { silent: None },
    }
}

/// Whether the writer is alive, as far as this process can see, and its state is current.
pub(crate) fn is_up(health: Option<Health>) -> bool {
    matches!(health, Some(Health::Fresh { .. } | Health::Unchanged { .. } | Health::Empty))
}

/// The index of the word in [`WORDS`].
pub(crate) fn urgency(health: Option<Health>) -> usize {
    let word = word(health);
    WORDS.iter().position(|other| *other == word).unwrap_or(WORDS.len())
}

/// The colour of the word.
pub(crate) fn style(health: Option<Health>) -> Style {
    match health {
        None | Some(Health::Dead { .. }) => style::BAD,
        Some(Health::Closed | Health::Exited { .. }) => style::DIM,
        health if is_up(health) => style::GOOD,
        _ => style::ODD,
    }
}

/// How a stalled writer broke its promise; `None` for a writer that has not broken it, or is
/// stopped.
pub(crate) fn breach(inspection: &Inspection) -> Option<String> {
    let Health::Stalled { silent, is_stopped: false } = inspection.health() else { return None };
    let interval = inspection.heartbeat_interval.unwrap_or_default();
    let (promised, last) = (duration(interval), ago(silent));
    Some(format!("promised a sign of life every {promised}, and gave the last one {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_health_has_a_word_and_an_urgency() {
        let second = Duration::from_secs(1);
        let rows = [
            (Some(Health::Dead { since: None }), "dead"),
            (None, "unreadable"),
            (Some(Health::Unreachable { since: None }), "unreachable"),
            (Some(Health::Stalled { silent: None, is_stopped: true }), "stopped"),
            (Some(Health::Stalled { silent: Some(second), is_stopped: false }), "stalled"),
            (Some(Health::Unknown { silent: None }), "unknown"),
            (Some(Health::Exited { since: None }), "exited"),
            (Some(Health::Closed), "closed"),
            (Some(Health::Fresh { age: second }), "alive"),
            (Some(Health::Unchanged { age: None }), "alive"),
            (Some(Health::Empty), "alive"),
        ];
        for (health, expected) in rows {
            assert_eq!((word(health), WORDS[urgency(health)]), (expected, expected));
        }
        assert!(rows.is_sorted_by_key(|(health, _)| urgency(*health)));
    }
}

//! What an inspection tells, as the commands say it.

use std::thread;
use std::time::Duration;

use anstyle::Style;
use tearless::{
    Namespace,
    error::{AttachError, ObjectError},
    inspect::{ChannelInfo, Inspection, SlotInspection, SlotState, WriterState},
};

use crate::output::{ago, duration, state_style, state_text, style};

/// How many of the intervals that a writer promises may pass before its silence means that it is stalled: as
/// `Hub::status` has it.
const INTERVALS: u32 = 3;

/// A writer that ends in order takes less than that between its first step and its last, unless it is stopped there.
const END: Duration = Duration::from_millis(50);

/// How often a channel is looked at anew whose writer has overwritten its latest publication during the look.
const MAX_LOOKS: usize = 8;

/// What stands in a channel's memory; of a writer that is so fast that its latest publication is overwritten
/// before its slot is looked at, the first look that finds it.
pub(crate) fn inspect(namespace: &Namespace, channel: &str) -> Result<Inspection, AttachError> {
    let mut inspection = namespace.inspect(channel)?;
    for _ in 1..MAX_LOOKS {
        if inspection.published == 0 || latest(&inspection).is_some() {
            break;
        }
        inspection = namespace.inspect(channel)?;
    }
    Ok(inspection)
}

/// Those of `suspects`, entries whose channels were not found by name, that stay in the list: of the others the channel was
/// just ending, and their writers remove its names first, and the entry after them.
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

/// Whether there is no channel of that name, whatever the list says.
pub(crate) fn is_missing(namespace: &Namespace, channel: &str) -> bool {
    matches!(namespace.inspect(channel), Err(AttachError::NotFound { .. }))
}

/// The slots with whole publications that readers can still get, the latest first.
pub(crate) fn whole(inspection: &Inspection) -> Vec<&SlotInspection> {
    let slots = inspection.segments.iter().flatten().flat_map(|segment| &segment.slots);
    let is_held =
        |slot: &&SlotInspection| slot.state == SlotState::Whole && slot.publication <= inspection.published;
    let mut slots: Vec<_> = slots.filter(is_held).collect();
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.publication));
    slots.dedup_by_key(|slot| slot.publication);
    slots
}

/// The slot of the latest publication.
pub(crate) fn latest(inspection: &Inspection) -> Option<&SlotInspection> {
    whole(inspection).into_iter().next().filter(|slot| slot.publication == inspection.published)
}

/// Publications a second, by the dates of those that the channel still holds: few, so that bursts look faster
/// than they are on the average.
pub(crate) fn rate(inspection: &Inspection) -> Option<f64> {
    let dated = |slot: &&SlotInspection| slot.age.map(|age| (slot.publication, age));
    let slots: Vec<_> = whole(inspection).iter().filter_map(dated).collect();
    let ((newest, young), (oldest, old)) = (*slots.first()?, *slots.last()?);
    let seconds = old.checked_sub(young)?.as_secs_f64();
    (newest > oldest && seconds > 0.0).then(|| (newest - oldest) as f64 / seconds)
}

/// Age of the last thing that is known of the writer: a publication, or a sign of life.
pub(crate) fn last_sign(inspection: &Inspection) -> Option<Duration> {
    let published = latest(inspection).and_then(|slot| slot.age);
    [published, inspection.heartbeat, inspection.opened_ago].into_iter().flatten().min()
}

/// Whether a writer that promised signs of life, one in each `interval`, was silent for too long. No promise,
/// no breach.
pub(crate) fn is_stalled(silent: Option<Duration>, interval: Option<Duration>) -> bool {
    // An interval out of shared memory may be any: one too long to be multiplied is never over.
    let patience = interval.and_then(|interval| interval.checked_mul(INTERVALS));
    silent.zip(patience).is_some_and(|(silent, patience)| silent > patience)
}

/// How the writer breaks its promise, if it lives and is stalled.
pub(crate) fn stall(inspection: &Inspection) -> Option<String> {
    let silent = last_sign(inspection);
    let is_stalled =
        inspection.writer_state == WriterState::Alive && is_stalled(silent, inspection.heartbeat_interval);
    is_stalled.then(|| {
        format!(
            "promised a sign of life every {}, and gave the last one {}",
            duration(inspection.heartbeat_interval.unwrap_or_default()),
            ago(silent)
        )
    })
}

/// What has become of the writer: as [`state_text`] says it, but for those that live and are stalled.
pub(crate) fn writer_word(inspection: &Inspection) -> &'static str {
    match stall(inspection) {
        Some(_) => "stalled",
        None => state_text(inspection.writer_state),
    }
}

/// The colour of that word.
pub(crate) fn writer_style(inspection: &Inspection) -> Style {
    match stall(inspection) {
        Some(_) => style::ODD,
        None => state_style(inspection.writer_state),
    }
}

#[test]
fn who_promised_nothing_or_for_ever_is_never_stale() {
    let (second, long) = (Duration::from_secs(1), Duration::MAX);
    assert!(is_stalled(Some(second * 3 + Duration::from_nanos(1)), Some(second)));
    assert!(!is_stalled(Some(second * 3), Some(second)));
    for (silent, interval) in [(Some(long), None), (None, Some(second)), (Some(long), Some(long))] {
        assert!(!is_stalled(silent, interval), "{silent:?} {interval:?}");
    }
}

//! What an inspection tells, as the commands say it.

use std::time::Duration;

use tearless::{AttachError, Ending, Inspection, Namespace, SlotInspection, SlotState, WriterState};

use crate::output::{duration, state_text};

/// How often a channel is looked at anew whose writer has overwritten its latest publication during the look.
const MOST_LOOKS: usize = 8;

/// What stands in a channel's memory; of a writer that is so fast that its latest publication is overwritten before its
/// slot is looked at, the first look that finds it.
pub(crate) fn inspect(namespace: &Namespace, channel: &str) -> Result<Inspection, AttachError> {
    let mut inspection = namespace.inspect(channel)?;
    for _ in 1..MOST_LOOKS {
        if inspection.published == 0 || latest(&inspection).is_some() {
            break;
        }
        inspection = namespace.inspect(channel)?;
    }
    Ok(inspection)
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

/// Publications a second, by the dates of those that the channel still holds: few, so that bursts look faster than they
/// are on the average.
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

/// How the writer is late, if it lives and keeps its promise of signs of life no longer.
pub(crate) fn lateness(inspection: &Inspection) -> Option<String> {
    let (interval, heartbeat) = (inspection.interval?, inspection.heartbeat.or(inspection.opened_ago)?);
    let lives = matches!(inspection.writer_state, WriterState::Alive | WriterState::Stopped);
    // One may be missed: the machine was busy.
    (lives && heartbeat > interval.saturating_mul(2)).then(|| {
        format!(
            "promised a sign of life every {}, and gave the last one {} ago",
            duration(interval),
            duration(heartbeat)
        )
    })
}

/// What has become of the writer: as `state` of JSON says it, but for channels that were left on purpose.
pub(crate) fn writer_word(inspection: &Inspection) -> &'static str {
    match (inspection.writer_state, inspection.ending) {
        (WriterState::Closed, Ending::Lingering) => "lingering",
        (state, _) => state_text(state),
    }
}

//! What the control page says about a channel, apart from the hot words.

use super::ChannelName;
use super::options::Format;
use super::schema::SchemaMark;
use crate::layout::{
    self,
    control::{self, Text},
};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{Memory, MemoryMut};
use crate::object::Mode;

/// What never changes while the instance lives, written before the page is declared ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ControlHeader {
    pub(super) instance: u64,
    /// Bits of features without which the channel can't be used. This version knows none.
    pub(super) features_required: u64,
    pub(super) checksum: bool,
    pub(super) mode: Mode,
    pub(super) namespace: String,
    pub(super) channel: String,
    pub(super) format: Format,
    /// Which schema the channel has, if any.
    pub(super) schema: SchemaMark,
}

impl ControlHeader {
    pub(super) fn write(&self, page: &impl MemoryMut) {
        page.store(control::INSTANCE, self.instance);
        page.store(control::FEATURES_REQUIRED, self.features_required);
        page.store(control::FINGERPRINT, self.format.fingerprint);
        page.store(control::CHECKSUM, u64::from(self.checksum));
        page.store(control::MODE, u64::from(self.mode));
        write_text(page, control::NAMESPACE, &self.namespace);
        write_text(page, control::CHANNEL, &self.channel);
        write_text(page, control::CODEC, &self.format.codec);
        write_text(page, control::TYPE_NAME, &self.format.type_name);
        self.schema.write(page);
    }

    /// Reads what a page says that was found ready. Anything may stand there; nothing of it is trusted further than
    /// its comparison with what is expected.
    pub(super) fn read(page: &impl Memory) -> ControlHeader {
        ControlHeader {
            instance: page.load(control::INSTANCE),
            features_required: page.load(control::FEATURES_REQUIRED),
            checksum: page.load(control::CHECKSUM) != 0,
            mode: Mode::try_from(page.load(control::MODE)).unwrap_or(0),
            namespace: read_text(page, control::NAMESPACE),
            channel: read_text(page, control::CHANNEL),
            format: Format {
                codec: read_text(page, control::CODEC),
                type_name: read_text(page, control::TYPE_NAME),
                fingerprint: page.load(control::FINGERPRINT),
            },
            schema: SchemaMark::read(page),
        }
    }

    /// Whether a later version made the channel, with something that can't be ignored.
    pub(super) fn needs_more_than_we_know(&self) -> bool {
        self.features_required != 0
    }

    /// The full name of the channel that the page belongs to, if that is not `name`: their hashes collide.
    pub(super) fn collides_with(&self, name: &ChannelName) -> Option<String> {
        let same = self.namespace == name.namespace && self.channel == name.channel;
        (!same).then(|| format!("{}/{}", self.namespace, self.channel))
    }
}

/// Why a page that begins with the word `found` is not one of ours.
pub(super) fn not_ours(found: u64) -> String {
    let expected = layout::READY;
    format!("it begins with {found:#018x}, a control page with {expected:#018x} (64-bit little-endian words)")
}

/// Says who writes from now on.
pub(super) fn write_identity(page: &impl MemoryMut, identity: ProcessIdentity) {
    page.store(control::PID, identity.pid);
    page.store(control::START_TIME, identity.start_time);
    page.store(control::BOOT_ID, identity.boot_id[0]);
    page.store(control::BOOT_ID + 1, identity.boot_id[1]);
    page.store(control::PID_NAMESPACE, identity.pid_namespace);
    page.store(control::INCARNATION, page.load(control::INCARNATION).wrapping_add(1));
}

/// Who writes, or wrote last.
pub(super) fn read_identity(page: &impl Memory) -> ProcessIdentity {
    ProcessIdentity {
        pid: page.load(control::PID),
        start_time: page.load(control::START_TIME),
        boot_id: [page.load(control::BOOT_ID), page.load(control::BOOT_ID + 1)],
        pid_namespace: page.load(control::PID_NAMESPACE),
    }
}

/// Whether the writer that the page names is dead for certain, though somebody holds its lock.
///
/// A lock does not outlive a boot: another boot id then means a container that has one of its own, and nothing is certain.
pub(super) fn is_abandoned(page: &impl Memory) -> bool {
    let identity = read_identity(page);
    identity.other_boot().is_none() && identity.state() == ProcessState::Dead
}

/// Writes `text`, cut at a character's end if there is no room for all of it.
pub(crate) fn write_text(page: &impl MemoryMut, place: Text, text: &str) {
    let cut = place.cut(text);
    page.store(place.word, cut.len() as u64);
    page.write(place.bytes_at(), cut.as_bytes());
}

/// Reads a text; never more than its place holds, and with whatever is not valid UTF-8 replaced.
pub(crate) fn read_text(page: &impl Memory, place: Text) -> String {
    let len = usize::try_from(page.load(place.word)).unwrap_or(usize::MAX).min(place.max);
    let mut bytes = vec![0; len];
    page.read(place.bytes_at(), &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::WORD_BYTES;
    use crate::memory::Words;

    fn header() -> ControlHeader {
        ControlHeader {
            instance: 7,
            features_required: 0,
            checksum: true,
            mode: 0o640,
            namespace: "fleet".into(),
            channel: "worker-ü".into(),
            format: Format { codec: "postcard".into(), type_name: "State".into(), fingerprint: 9 },
            schema: SchemaMark { bytes: 70, fingerprint: 11 },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let page = Words::zeroed(control::BYTES / WORD_BYTES);
        header().write(&page);
        assert_eq!(ControlHeader::read(&page), header());
    }

    #[test]
    fn a_long_schema_is_cut_at_a_character() {
        let page = Words::zeroed(control::BYTES / WORD_BYTES);
        let mut long = header();
        long.format.type_name = "ü".repeat(400);
        long.write(&page);
        assert_eq!(ControlHeader::read(&page).format.type_name, "ü".repeat(control::TYPE_NAME.max / 2));
    }

    #[test]
    fn a_hostile_length_reads_no_further_than_its_place() {
        let page = Words::zeroed(control::BYTES / WORD_BYTES);
        header().write(&page);
        page.store(control::TYPE_NAME.word, u64::MAX);
        assert_eq!(ControlHeader::read(&page).format.type_name.len(), control::TYPE_NAME.max);
    }
}

//! The header of a control page, and the texts of a page: with a length, in a field of fixed size.

use super::super::ChannelName;
use super::super::options::{Format, SchemaMark};
use super::super::origin::Mirrored;
use crate::layout::control::{self, Text};
use crate::memory::{Memory, MemoryMut};
use crate::object::Mode;

/// The header of a control page: what never changes during an instance, written before the page is
/// declared ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlHeader {
    pub(crate) instance: u64,
    /// Bits of required features.
    pub(crate) features_required: u64,
    pub(crate) checksum: bool,
    pub(crate) mode: Mode,
    pub(crate) namespace: String,
    pub(crate) channel: String,
    pub(crate) format: Format,
    /// Which schema the channel carries, if any.
    pub(crate) schema: SchemaMark,
    /// Which channel it mirrors, if it is a mirrored one.
    pub(crate) mirrored: Option<Mirrored>,
}

/// The features that this version knows.
const KNOWN_FEATURES: u64 = control::FEATURE_PINS | control::FEATURE_MIRRORED;

impl ControlHeader {
    /// Whether a later version made the channel, with a feature that must not be ignored.
    pub(in crate::channel) fn needs_unknown_features(&self) -> bool {
        self.features_required & !KNOWN_FEATURES != 0
    }

    /// The full name of the page's channel, if that is not `name`: then their hashes collide.
    pub(in crate::channel) fn collides_with(&self, name: &ChannelName) -> Option<String> {
        let same = self.namespace == name.namespace && self.channel == name.channel;
        (!same).then(|| format!("{}/{}", self.namespace, self.channel))
    }

    pub(super) fn write(&self, page: &impl MemoryMut) {
        page.store(control::INSTANCE, self.instance);
        page.store(control::FEATURES_REQUIRED, self.features_required);
        page.store(control::FINGERPRINT, self.format.fingerprint);
        page.store(control::CHECKSUM, u64::from(self.checksum));
        page.store(control::MODE, u64::from(self.mode));
        write_text(page, control::NAMESPACE, &self.namespace);
        write_text(page, control::CHANNEL, &self.channel);
        write_text(page, control::CODEC, &self.format.codec);
        let type_name =
            if self.mirrored.is_some() { control::MIRRORED_TYPE_NAME } else { control::TYPE_NAME };
        write_text(page, type_name, &self.format.type_name);
        self.schema.write(page);
        if let Some(Mirrored { host, instance }) = &self.mirrored {
            write_text(page, control::HOST, host);
            page.store(control::ORIGIN_INSTANCE, *instance);
        }
    }

    /// Reads the header of a page. The words may hold anything; they are trusted only for
    /// comparison with what is expected.
    pub(super) fn read(page: &impl Memory) -> ControlHeader {
        let features_required = page.load(control::FEATURES_REQUIRED);
        let is_mirrored = features_required & control::FEATURE_MIRRORED != 0;
        let type_name = if is_mirrored { control::MIRRORED_TYPE_NAME } else { control::TYPE_NAME };
        ControlHeader {
            instance: page.load(control::INSTANCE),
            features_required,
            checksum: page.load(control::CHECKSUM) != 0,
            mode: Mode::try_from(page.load(control::MODE)).unwrap_or(0),
            namespace: read_text(page, control::NAMESPACE),
            channel: read_text(page, control::CHANNEL),
            format: Format {
                codec: read_text(page, control::CODEC),
                type_name: read_text(page, type_name),
                fingerprint: page.load(control::FINGERPRINT),
            },
            schema: SchemaMark::read(page),
            mirrored: is_mirrored.then(|| Mirrored {
                host: read_text(page, control::HOST),
                instance: page.load(control::ORIGIN_INSTANCE),
            }),
        }
    }
}

/// Writes `text`, cut at the end of a character if its field has no room for all of it.
pub(crate) fn write_text(page: &impl MemoryMut, field: Text, text: &str) {
    let cut = field.cut(text);
    page.store(field.word, cut.len() as u64);
    page.write(field.bytes_at(), cut.as_bytes());
}

/// Reads a text: never more than its field holds, with invalid UTF-8 replaced.
pub(crate) fn read_text(page: &impl Memory, field: Text) -> String {
    let len = usize::try_from(page.load(field.word)).unwrap_or(usize::MAX).min(field.max);
    let mut bytes = vec![0; len];
    page.read(field.bytes_at(), &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
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
            mirrored: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let page = Words::zeroed(control::WORDS);
        header().write(&page);
        assert_eq!(ControlHeader::read(&page), header());
    }

    #[test]
    fn the_host_of_a_mirrored_channel_takes_the_end_of_the_type_names_room() {
        let page = Words::zeroed(control::WORDS);
        let mut mirrored = header();
        mirrored.features_required = control::FEATURE_MIRRORED;
        mirrored.mirrored = Some(Mirrored { host: "h".repeat(64), instance: 12 });
        mirrored.format.type_name = "x".repeat(512);
        mirrored.write(&page);
        mirrored.format.type_name.truncate(440);
        assert_eq!(ControlHeader::read(&page), mirrored);
        assert_eq!(page.load(control::SCHEMA_BYTES), 70);
    }

    #[test]
    fn a_long_type_name_is_cut_at_a_character() {
        let page = Words::zeroed(control::WORDS);
        let mut long = header();
        long.format.type_name = "ü".repeat(400);
        long.write(&page);
        assert_eq!(ControlHeader::read(&page).format.type_name, "ü".repeat(control::TYPE_NAME.max / 2));
    }

    #[test]
    fn a_hostile_length_reads_no_further_than_its_field() {
        let page = Words::zeroed(control::WORDS);
        header().write(&page);
        page.store(control::TYPE_NAME.word, u64::MAX);
        assert_eq!(ControlHeader::read(&page).format.type_name.len(), control::TYPE_NAME.max);
    }
}

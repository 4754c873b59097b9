//! The names of shared objects: short enough for every system, derived from the full names.
//!
//! `tl_` + 7 characters for the namespace + 10 for the channel + the kind + the generation, all in
//! base 36. The registry has `r` and the layout's version after the namespace, its chunks `t`,
//! their number and the version. The control page holds the full names, and attaching compares
//! them: a collision of hashes is an error and never a mix-up.
//!
//! A block is named like a channel, of another hash and kind: a channel and a block may have one
//! name, and no object of the one begins with the prefix of the other's.

use super::{Side, VERSION};

/// Maximum characters of an object's name (macOS allows 31 with the slash).
const MAX: usize = 30;
const PREFIX: &str = "tl_";
const NAMESPACE_DIGITS: u32 = 7;
const CHANNEL_DIGITS: u32 = 10;
const KIND_DIGITS: u32 = 1;
const GENERATION_DIGITS: u32 = 9;
const CHUNK_DIGITS: u32 = 1;
const RADIX: u32 = 36;
/// The kind of a block's object.
const BLOCK: &str = "m";
/// Length of the prefix that all objects of a channel share.
const STEM: usize = PREFIX.len() + (NAMESPACE_DIGITS + CHANNEL_DIGITS) as usize;

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The channel's object: control page, schema and first segments.
    Control,
    /// A segment of a later generation than the first, by side and generation.
    Segment(Side, u64),
    /// The schema of a channel of an earlier version of the layout.
    Schema,
}

/// Derives the names of all objects of one channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectNames {
    stem: String,
}

impl ObjectNames {
    /// Prefix of the names of all objects.
    pub(crate) const PREFIX: &str = PREFIX;

    /// The largest generation that fits in a name.
    pub(crate) const MAX_GENERATION: u64 = (RADIX as u64).pow(GENERATION_DIGITS) - 1;

    pub(crate) fn new(namespace: &str, channel: &str) -> ObjectNames {
        let mut stem = ObjectNames::prefix(namespace);
        push_digits(&mut stem, hash(channel), CHANNEL_DIGITS);
        ObjectNames { stem }
    }

    /// The name of a block's object. Versions that know no blocks leave an object of this kind
    /// alone.
    pub(crate) fn block(namespace: &str, block: &str) -> String {
        // No name of a channel begins with a control character.
        let mut name = ObjectNames::new(namespace, &format!("\0{block}")).stem;
        name.push_str(BLOCK);
        name
    }

    /// Whether `object` is the name of a block's object.
    pub(crate) fn is_block(object: &str) -> bool {
        object.len() == STEM + BLOCK.len()
            && object.ends_with(BLOCK)
            && ObjectNames::prefix_of_object(object).is_some()
    }

    /// Prefix of the names of all objects of a namespace.
    pub(crate) fn prefix(namespace: &str) -> String {
        let mut prefix = String::with_capacity(MAX);
        prefix.push_str(PREFIX);
        push_digits(&mut prefix, hash(namespace), NAMESPACE_DIGITS);
        prefix
    }

    /// The namespace prefix of `object`, if `object` is one of our names.
    pub(crate) fn prefix_of_object(object: &str) -> Option<&str> {
        let (prefix, rest) = object.split_at_checked(PREFIX.len() + NAMESPACE_DIGITS as usize)?;
        let digits = object.strip_prefix(PREFIX)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        (plain && !rest.is_empty()).then_some(prefix)
    }

    /// The name of a namespace's registry; shorter than any channel's. Each version of the layout
    /// has a registry of its own: a new fleet starts beside what processes of an older version have
    /// left.
    pub(crate) fn registry(namespace: &str) -> String {
        ObjectNames::chunk_of_prefix(&ObjectNames::prefix(namespace), 0)
    }

    /// The name of a chunk of the registry of the namespace with this prefix; chunk 0 is the
    /// registry's first object.
    pub(crate) fn chunk_of_prefix(prefix: &str, chunk: usize) -> String {
        let mut name = format!("{prefix}r");
        if chunk > 0 {
            name.replace_range(prefix.len().., "t");
            push_digits(&mut name, chunk as u64, CHUNK_DIGITS);
        }
        push_digits(&mut name, VERSION, digits_of(VERSION));
        name
    }

    /// The version of the layout, and the number of the chunk, of a registry's object.
    pub(crate) fn chunk_of_object(object: &str) -> Option<(u64, usize)> {
        if let Some(version) = ObjectNames::version_of_registry(object) {
            return Some((version, 0));
        }
        let prefix = ObjectNames::prefix_of_object(object).filter(|_| object.len() < STEM)?;
        let digits = object[prefix.len()..].strip_prefix('t')?;
        let (chunk, version) = digits.split_at_checked(CHUNK_DIGITS as usize)?;
        let number = |digits| u64::from_str_radix(digits, RADIX).ok();
        Some((number(version)?, usize::try_from(number(chunk)?).ok()?))
    }

    /// The version of the layout whose registry has the name `object`, if any has. The first
    /// version had no number in the name.
    pub(crate) fn version_of_registry(object: &str) -> Option<u64> {
        let prefix = ObjectNames::prefix_of_object(object)?;
        match object[prefix.len()..].strip_prefix('r')? {
            "" => Some(1),
            version if object.len() < STEM => u64::from_str_radix(version, RADIX).ok(),
            _ => None,
        }
    }

    /// The names of the channel that `object` belongs to, if it is the name of a channel's object.
    pub(crate) fn of_object(object: &str) -> Option<ObjectNames> {
        let (stem, _) = object.split_at_checked(STEM)?;
        let is_plain = object.strip_prefix(PREFIX)?.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let names = ObjectNames { stem: stem.into() };
        (is_plain && names.kind_of(object).is_some()).then_some(names)
    }

    /// The kind of `object`, if it is one of these names.
    pub(crate) fn kind_of(&self, object: &str) -> Option<Kind> {
        let rest = object.strip_prefix(&self.stem)?;
        let (kind, generation) = rest.split_at_checked(KIND_DIGITS as usize)?;
        let side = match kind {
            "c" => return generation.is_empty().then_some(Kind::Control),
            "s" => return generation.is_empty().then_some(Kind::Schema),
            "a" if generation.len() <= GENERATION_DIGITS as usize => Side::A,
            "b" if generation.len() <= GENERATION_DIGITS as usize => Side::B,
            _ => return None,
        };
        let generation = u64::from_str_radix(generation, RADIX).ok()?;
        Some(Kind::Segment(side, generation))
    }

    /// Prefix of the names of all objects of the channel, and of no other object.
    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }

    /// Prefix of the names of all objects of the channel's namespace.
    pub(crate) fn namespace_prefix(&self) -> &str {
        &self.stem[..PREFIX.len() + NAMESPACE_DIGITS as usize]
    }

    pub(crate) fn object(&self, kind: Kind) -> String {
        match kind {
            Kind::Control => format!("{}c", self.stem),
            Kind::Schema => format!("{}s", self.stem),
            Kind::Segment(side, generation) => {
                let letter = if side == Side::A { 'a' } else { 'b' };
                let mut name = format!("{}{letter}", self.stem);
                push_digits(&mut name, generation, digits_of(generation));
                name
            }
        }
    }
}

/// Number of digits of `value`, at least one.
fn digits_of(value: u64) -> u32 {
    value.checked_ilog(RADIX.into()).unwrap_or(0) + 1
}

/// The last `digits` digits of `value`.
fn push_digits(text: &mut String, value: u64, digits: u32) {
    for position in (0..digits).rev() {
        let digit = value / u64::from(RADIX).pow(position) % u64::from(RADIX);
        text.push(char::from_digit(u32::try_from(digit).unwrap_or(0), RADIX).unwrap_or('0'));
    }
}

/// FNV-1a (Fowler, Noll, Vo), finished with the 64-bit mixer of MurmurHash3 so that the low digits
/// depend on every byte.
pub(crate) fn hash<D: AsRef<[u8]> + ?Sized>(data: &D) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in data.as_ref() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

const _: () = assert!(
    PREFIX.len() + (NAMESPACE_DIGITS + CHANNEL_DIGITS + KIND_DIGITS + GENERATION_DIGITS) as usize == MAX
);

#[cfg(test)]
mod tests {
    use super::super::registry;
    use super::*;

    #[test]
    fn the_namespace_prefix_is_found_in_every_name() {
        let names = ObjectNames::new("fleet", "worker-7");
        let [page, segment] = [Kind::Control, Kind::Segment(Side::A, 1)].map(|kind| names.object(kind));
        for object in [page, segment, ObjectNames::registry("fleet")] {
            assert_eq!(ObjectNames::prefix_of_object(&object), Some(names.namespace_prefix()));
        }
        let prefix = names.namespace_prefix();
        for other in ["", "tl_", "tl_test_9_fleetc", "shmem_0123456789", prefix, "tl_üüüüüüü"] {
            assert_eq!(ObjectNames::prefix_of_object(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_short_plain_and_distinct() {
        let names = ObjectNames::new("fleet", "worker-7");
        let all = [
            names.object(Kind::Control),
            names.object(Kind::Segment(Side::A, 1)),
            names.object(Kind::Segment(Side::B, 1)),
            names.object(Kind::Segment(Side::B, 36)),
            names.object(Kind::Segment(Side::A, ObjectNames::MAX_GENERATION)),
            names.object(Kind::Schema),
            ObjectNames::new("fleet", "worker-8").object(Kind::Control),
            ObjectNames::new("fleet2", "worker-7").object(Kind::Control),
        ];
        for (index, name) in all.iter().enumerate() {
            assert!(name.len() <= MAX, "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
            assert!(!all[..index].contains(name), "{name} twice");
        }
        let own = ObjectNames::new("fleet", "worker-7");
        assert!(all[..6].iter().all(|name| ObjectNames::of_object(name) == Some(own.clone())));
        assert!(all[..7].iter().all(|name| name.starts_with(&ObjectNames::prefix("fleet"))));
        for other in ["", "tl_", "tl_fleet", "shmem_1234567890abcdefghc", "tl_0000000aaaaaaaaaax", "ü"] {
            assert_eq!(ObjectNames::of_object(other), None);
        }
        let prefix = ObjectNames::prefix("fleet");
        for chunk in 0..registry::Chunk::MAX.0 + 1 {
            let name = ObjectNames::chunk_of_prefix(&prefix, chunk);
            assert_eq!(ObjectNames::chunk_of_object(&name), Some((VERSION, chunk)));
            assert_eq!(ObjectNames::version_of_registry(&name), (chunk == 0).then_some(VERSION));
            assert!(ObjectNames::of_object(&name).is_none() && name.starts_with(&prefix));
        }
        for other in [&all[0], "tl_0000000t", "tl_0000000t1", "tl_0000000t1ü", "tl_0000000x13"] {
            assert_eq!(ObjectNames::chunk_of_object(other), None, "{other}");
        }
        for alone in [&all[0], &all[5]] {
            assert_eq!(
                ObjectNames::of_object(&format!("{alone}1")),
                None,
                "there is one, without generations"
            );
        }
        assert!(all[1].ends_with("a1") && all[3].ends_with("b10"));
        assert_eq!(own.namespace_prefix(), ObjectNames::prefix("fleet"));
        assert!(all[..6].iter().all(|name| name.starts_with(own.stem())) && !all[6].starts_with(own.stem()));
    }

    #[test]
    fn the_kind_of_an_object_is_found_in_its_name() {
        let names = ObjectNames::new("fleet", "worker-7");
        let last = ObjectNames::MAX_GENERATION;
        for kind in [
            Kind::Control,
            Kind::Segment(Side::A, 1),
            Kind::Segment(Side::B, 36),
            Kind::Segment(Side::A, last),
            Kind::Schema,
        ] {
            assert_eq!(names.kind_of(&names.object(kind)), Some(kind));
            assert_eq!(ObjectNames::new("fleet", "worker-8").kind_of(&names.object(kind)), None);
        }
        for rest in ["", "a", "c1", "s1", "d1", "m", "a-1", "ü"] {
            assert_eq!(names.kind_of(&format!("{}{rest}", names.stem())), None, "{rest}");
        }
    }

    #[test]
    fn a_block_is_no_channel_of_its_name() {
        let block = ObjectNames::block("fleet", "worker-7");
        assert!(ObjectNames::is_block(&block) && block.len() <= MAX, "{block}");
        assert_eq!(ObjectNames::prefix_of_object(&block), Some(&*ObjectNames::prefix("fleet")));
        assert_eq!(ObjectNames::of_object(&block), None);
        assert_eq!(ObjectNames::chunk_of_object(&block), None);
        let channel = ObjectNames::new("fleet", "worker-7");
        assert!(!block.starts_with(channel.stem()));
        assert_ne!(block, ObjectNames::block("fleet", "worker-8"));
        let page = channel.object(Kind::Control);
        for other in [&*page, "", "m", "tl_0000000m", &block[1..], &format!("{block}1")] {
            assert!(!ObjectNames::is_block(other), "{other}");
        }
    }
}

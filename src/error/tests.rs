//! Every error as people and programs report it: an error of each variant, and what it says.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io;
use std::mem::{self, Discriminant};
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// What the text of a cause contains.
const CAUSE: &str = "tl_cause";

fn text() -> String {
    "a text".into()
}

fn channel() -> String {
    "worker-7".into()
}

fn cause() -> ObjectError {
    ObjectError::Exists { object: CAUSE.into() }
}

/// The error of a codec, and the error that caused it.
#[derive(Debug)]
struct OfCodec(io::Error);

impl std::fmt::Display for OfCodec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a key is missing")
    }
}

impl StdError for OfCodec {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn of_codec() -> CodecError {
    Box::new(OfCodec(io::Error::other(CAUSE)))
}

/// Checks an error as people and programs report it.
fn check(error: &(impl StdError + 'static)) -> String {
    let text = error.to_string();
    assert!(error.source().is_none(), "the text has the cause, which would be printed twice: {text}");
    assert!(!text.is_empty() && !text.contains('\n'), "one line: {text:?}");
    assert_eq!(format!("{error:?}"), text, "`main` and `unwrap` print what people need");
    text
}

/// Checks that the text names the channel, unless it has no valid name: a program may have
/// hundreds of channels, and one log.
fn names_its_channel(error: impl StdError, is_of_name: bool) {
    let text = error.to_string();
    assert!(is_of_name || text.contains("\"worker-7\""), "{text}");
}

/// Checks that there are errors of each variant, and that those with a cause contain its text
/// once.
fn check_each<E: StdError + 'static>(variants: &[&str], errors: &[E], causes: usize) {
    let kinds: HashSet<Discriminant<E>> = errors.iter().map(mem::discriminant).collect();
    assert_eq!(kinds.len(), variants.len(), "an error of each of {variants:?}");
    let texts: Vec<_> = errors.iter().map(check).collect();
    let with_cause = texts.iter().filter(|text| text.contains(CAUSE));
    assert!(with_cause.clone().all(|text| text.matches(CAUSE).count() == 1), "{texts:#?}");
    assert_eq!(with_cause.count(), causes, "{texts:#?}");
}

/// Checks errors of each of the variants. If the list lacks a variant, it does not compile.
macro_rules! check_all {
    ($error:ident: $($variant:ident)*; $errors:expr, $causes:literal) => {
        let _ = |error: &$error| match error {
            $($error::$variant { .. } => {})*
        };
        check_each(&[$(stringify!($variant)),*], $errors, $causes);
    };
}

fn creations() -> Vec<CreateError> {
    use CreateError as E;
    let over = OverBudget { scope: BudgetScope::Channel, budget: 1, used: 2, needed: 3 };
    vec![
        E::Name(NameError::UnknownGroup { name: CAUSE.into() }),
        E::AlreadyOwned { channel: channel(), pid: 7 },
        E::Mirrored { channel: channel(), host: text() },
        E::NotMirrored { channel: channel() },
        E::InvalidOrigin { channel: channel(), host: text(), reason: text() },
        E::CapacityAboveLimit { channel: channel(), capacity: 2, max_state_len: 1 },
        E::TooManyPins { channel: channel(), pins: 99 },
        E::InvalidSize { channel: channel(), bytes: 0, slots: Some(1) },
        E::OverBudget { channel: channel(), over },
        E::InvalidPermissions { channel: channel(), mode: 644 },
        E::SchemaRefused { channel: channel(), reason: text() },
        E::SchemaOfAnotherCodec { channel: channel() },
        E::NameCollision { channel: channel(), other: text() },
        E::LayoutVersion { channel: channel(), found: 1, expected: 3 },
        E::Object { channel: channel(), source: cause() },
        E::NoRandomness(channel(), CAUSE.into()),
    ]
}

fn attachments() -> Vec<AttachError> {
    use AttachError as E;
    let known = KnownChannels(Arc::new([("worker-17".into(), 1)]), None);
    vec![
        E::Name(NameError::UnknownGroup { name: CAUSE.into() }),
        E::NotFound { namespace: text(), channel: channel(), waited: Duration::ZERO, known },
        E::NotReady { channel: channel(), waited: Duration::ZERO },
        mismatch("pod", "postcard"),
        E::SchemaDiffers { channel: channel(), differences: text() },
        E::NoSchema { channel: channel() },
        E::SchemaCorrupt { channel: channel(), object: text(), reason: text() },
        E::SchemaUnknown { channel: channel(), reason: text() },
        E::NameCollision { channel: channel(), other: text() },
        E::LayoutVersion { channel: channel(), found: 1, expected: 3 },
        E::UnknownFeatures { channel: channel(), bits: 1 },
        E::OtherBoot { channel: channel(), found: text(), expected: text() },
        E::Object { channel: channel(), source: cause() },
    ]
}

fn mismatch(found_codec: &str, expected_codec: &str) -> AttachError {
    AttachError::FormatMismatch {
        channel: channel(),
        found_codec: found_codec.into(),
        found_type_name: "State".into(),
        expected_codec: expected_codec.into(),
        expected_type_name: "Other".into(),
    }
}

fn publications() -> Vec<PublishError> {
    use PublishError as E;
    let unnamed = CreateError::Object { channel: text(), source: cause() };
    vec![
        E::TooLarge { channel: channel(), len: 2, max_state_len: 1, limit: SizeLimit::MaxStateLen },
        E::InvalidNumber { channel: channel(), publication: u64::MAX },
        E::Encode { channel: channel(), codec: "own", source: of_codec() },
        E::Growth { channel: channel(), bytes: 1, source: cause() },
        E::NamesRemoved { channel: channel() },
        E::NamesNotRestored { channel: channel(), source: Arc::new(unnamed) },
        E::RegistryNotRestored { channel: channel(), source: Arc::new(cause()) },
        E::Forked { channel: channel(), owner: 7 },
        E::Exhausted { channel: channel() },
        E::Closed { channel: channel() },
    ]
}

fn snapshots() -> Vec<SnapshotError> {
    use SnapshotError as E;
    vec![
        E::Empty { channel: channel() },
        E::Contended { channel: channel(), attempts: 4, waited: Duration::ZERO },
        E::Closed { channel: channel(), last: 7 },
        E::Corrupt { channel: channel(), publication: 7, reason: text() },
        E::WrongLength { channel: channel(), publication: 7, len: 1, expected: 2 },
        E::BufferTooSmall { channel: channel(), publication: 7, len: 2, capacity: 1 },
        E::OutOfRange { channel: channel(), publication: 7, len: 1, offset: 2, wanted: 3 },
        E::Decode { channel: channel(), publication: 7, codec: "own", source: of_codec() },
        E::Object { channel: channel(), source: cause() },
    ]
}

fn removals() -> Vec<RemoveError> {
    use RemoveError as E;
    vec![
        E::Name(NameError::UnknownGroup { name: CAUSE.into() }),
        E::AlreadyOwned { channel: channel(), pid: 0 },
        E::Left { channel: channel(), objects: vec![text()], source: cause() },
        E::Entry { channel: channel(), source: cause() },
        E::Object { channel: channel(), source: cause() },
    ]
}

fn blocks() -> Vec<BlockError> {
    use BlockError as E;
    let (block, over) =
        (channel, OverBudget { scope: BudgetScope::Namespace, budget: 1, used: 2, needed: 3 });
    vec![
        E::Name(NameError::UnknownGroup { name: CAUSE.into() }),
        E::AlreadyOwned { block: block(), pid: 7 },
        E::NotFound { namespace: text(), block: block(), waited: Duration::ZERO, is_channel: true },
        E::OwnerDied { block: block(), pid: 7, waited: Duration::ZERO },
        E::NotReady { block: block(), waited: Duration::ZERO },
        E::InvalidSize { block: block(), bytes: usize::MAX },
        E::LabelTooLong { block: block(), len: 9_999 },
        E::InvalidPermissions { block: block(), mode: 644 },
        E::OverBudget { block: block(), over },
        E::NameCollision { block: block(), other: text() },
        E::LayoutVersion { block: block(), found: 1, expected: 3 },
        E::UnknownFeatures { block: block(), bits: 1 },
        E::Object { block: block(), source: cause() },
        E::NoRandomness(block(), CAUSE.into()),
    ]
}

fn spawns() -> Vec<SpawnError> {
    let created = CreateError::Object { channel: channel(), source: cause() };
    vec![
        SpawnError::IntervalTooShort { channel: channel(), asked: Duration::ZERO, min: Duration::ZERO },
        SpawnError::Create(created),
        SpawnError::Resume(SnapshotError::Object { channel: channel(), source: cause() }),
        SpawnError::Publish(PublishError::Growth { channel: channel(), bytes: 1, source: cause() }),
        SpawnError::Thread(channel(), io::Error::other(CAUSE)),
    ]
}

fn objects() -> Vec<ObjectError> {
    use ObjectError as E;
    let object = text;
    let limit = ResourceLimit::Mappings;
    vec![
        E::NotFound { object: object() },
        E::Exists { object: object() },
        E::Unfinished { object: object() },
        E::Claimed { object: object() },
        E::NoSpace { object: object(), bytes: 1 },
        E::PermissionDenied { object: object(), owner: Some(7) },
        E::NotOwner { object: object(), owner: 7, user: 8 },
        E::NotMember { object: object(), group: 7 },
        E::OtherGroup { object: object(), found: 7, wanted: 8 },
        E::Foreign { object: object(), reason: text() },
        E::OtherVersion { object: object(), found: 1 },
        E::OtherNamespace { object: object(), namespace: text().into(), other: text().into() },
        E::OtherOwner { object: object(), owner: 7 },
        E::NotSealed { object: object(), reason: text() },
        E::Unusable { problem: text() },
        E::NoHugePages { object: text(), reason: text() },
        E::Limit { object: object(), operation: "mmap", limit },
        E::Full { object: object(), channels: 7 },
        E::Recorded { kind: 9, text: text() },
        E::Os { object: object(), operation: "open", source: io::Error::other(CAUSE) },
    ]
}

fn names() -> Vec<NameError> {
    use NameError as E;
    vec![
        E::Empty { what: "channel" },
        E::TooLong { what: "channel", name: text(), len: 2, max: 1 },
        E::ControlCharacter { what: "channel", name: text(), character: '\n' },
        E::Directory { namespace: text(), problem: text() },
        E::UnknownGroup { name: text() },
    ]
}

fn files() -> Vec<SavedError> {
    use SavedError as E;
    let path = || "fleet.saved".into();
    vec![
        E::File { path: path(), operation: "write", source: io::Error::other(CAUSE) },
        E::NoLocks { path: path(), exists: true, source: io::Error::other(CAUSE) },
        E::Busy { path: path() },
        E::Foreign { path: path() },
        E::OtherVersion { path: path(), found: 9 },
        E::Cut { path: path(), offset: 7 },
        E::Damaged { path: path(), offset: 7, reason: text() },
        E::NoSuchChannel { pattern: channel(), place: text() },
        E::NothingToSave {
            namespace: channel(),
            unsaved: vec![crate::saved::Unsaved { channel: channel(), reason: text() }],
        },
        E::NoState { channel: channel(), reason: text() },
        E::Object(cause()),
        E::Attach(AttachError::Object { channel: channel(), source: cause() }),
        E::Create(CreateError::Object { channel: channel(), source: cause() }),
        E::Publish(PublishError::Growth { channel: channel(), bytes: 1, source: cause() }),
        E::Close(RemoveError::Object { channel: channel(), source: cause() }),
    ]
}

#[test]
fn every_error_says_all_in_one_line_and_nothing_twice() {
    check_all!(CreateError:
        Name AlreadyOwned Mirrored NotMirrored InvalidOrigin CapacityAboveLimit InvalidSize TooManyPins
        OverBudget InvalidPermissions SchemaRefused SchemaOfAnotherCodec NameCollision LayoutVersion Object NoRandomness;
        &creations(), 3);
    check_all!(AttachError:
        Name NotFound NotReady FormatMismatch SchemaDiffers NoSchema SchemaCorrupt SchemaUnknown
        NameCollision LayoutVersion UnknownFeatures OtherBoot Object;
        &attachments(), 2);
    check_all!(PublishError:
        TooLarge InvalidNumber Encode Growth NamesRemoved NamesNotRestored RegistryNotRestored Forked
        Exhausted Closed;
        &publications(), 4);
    check_all!(SnapshotError:
        Empty Contended Closed Corrupt WrongLength BufferTooSmall OutOfRange Decode Object;
        &snapshots(), 2);
    check_all!(RemoveError: Name AlreadyOwned Left Entry Object; &removals(), 4);
    check_all!(BlockError:
        Name AlreadyOwned NotFound OwnerDied NotReady InvalidSize LabelTooLong InvalidPermissions
        OverBudget NameCollision LayoutVersion UnknownFeatures Object NoRandomness;
        &blocks(), 3);
    check_all!(ObjectError:
        NotFound Exists Unfinished Claimed NoSpace PermissionDenied NotOwner NotMember
        OtherGroup Foreign OtherVersion OtherNamespace OtherOwner NotSealed Unusable NoHugePages Limit
        Full Recorded Os;
        &objects(), 1);
    check_all!(SavedError:
        File NoLocks Busy Foreign OtherVersion Cut Damaged NoSuchChannel NothingToSave NoState Object Attach Create
        Publish Close;
        &files(), 7);
    let descriptors = {
        use DescriptorError as E;
        let (reason, source) = ("a text", io::Error::other(CAUSE));
        let os = E::Os { operation: "recvmsg", source };
        [E::Closed, E::Lost, E::Unexpected { reason }, E::Refused { reason }, os]
    };
    check_all!(DescriptorError: Closed Lost Unexpected Refused Os; &descriptors, 1);
    check_all!(NameError: Empty TooLong ControlCharacter Directory UnknownGroup; &names(), 0);
    let statistics = Box::<crate::syncer::SyncerStatistics>::default;
    let removal = RemoveError::Object { channel: channel(), source: cause() };
    let publication = || PublishError::Growth { channel: channel(), bytes: 1, source: cause() };
    let ends = [
        ShutdownError::Publish { source: publication(), statistics: statistics() },
        ShutdownError::Close { source: removal, statistics: statistics() },
        ShutdownError::AlreadyShutDown { channel: channel(), statistics: statistics() },
    ];
    check_all!(ShutdownError: Publish Close AlreadyShutDown; &ends, 2);
    check_all!(SpawnError: IntervalTooShort Create Resume Publish Thread; &spawns(), 4);
    let queries = attachments().into_iter().map(QueryError::from);
    let queries = queries.chain(snapshots().into_iter().map(QueryError::from)).chain([
        QueryError::List { namespace: text(), source: cause() },
        QueryError::Writer { channel: channel(), source: cause() },
    ]);
    check_all!(QueryError: Attach Snapshot List Writer; &queries.collect::<Vec<_>>(), 6);
}

#[test]
fn every_error_of_a_channel_names_it() {
    for error in creations() {
        names_its_channel(&error, matches!(error, CreateError::Name(_)));
    }
    for error in attachments() {
        names_its_channel(&error, matches!(error, AttachError::Name(_)));
    }
    for error in removals() {
        names_its_channel(&error, matches!(error, RemoveError::Name(_)));
    }
    for error in blocks() {
        names_its_channel(&error, matches!(error, BlockError::Name(_)));
    }
    publications().iter().for_each(|error| names_its_channel(error, false));
    snapshots().iter().for_each(|error| names_its_channel(error, false));
    spawns().iter().for_each(|error| names_its_channel(error, false));
}

#[test]
#[cfg(all(feature = "schema", feature = "message-pack"))]
fn so_do_those_of_codecs_and_schemas() {
    use crate::{Encode, Postcard};
    let caps = [CapError::TooDeep, CapError::TooManyElements { len: 7 }];
    check_all!(CapError: TooDeep TooManyElements; &caps, 0);
    let refused = Postcard::encode(&vec![(); 1 << 20], &mut Vec::new()).err().unwrap();
    let refused = refused.downcast::<EncodeError>().unwrap();
    check(&*refused);
    assert!(matches!(refused.cap(), Some(CapError::TooManyElements { .. })));
    let schemas = {
        use SchemaError as E;
        let (at, bytes) = (7, 8);
        [
            E::TooLong { bytes },
            E::Version { found: 9 },
            E::Truncated { at },
            E::Malformed { at },
            E::UnknownTag { at, tag: 9 },
            E::LongName { bytes: 9 },
            E::SameName { at },
            E::TooDeep,
            E::TooManyTypes,
            E::NotPlain,
            E::Left { bytes },
        ]
    };
    check_all!(SchemaError:
        TooLong Version Truncated Malformed UnknownTag LongName SameName TooDeep TooManyTypes
        NotPlain Left;
        &schemas, 0);
}

#[test]
#[cfg(feature = "dynamic")]
fn so_do_those_of_reading_without_a_type() {
    let path = "queue[".parse::<crate::schema::FieldPath>().unwrap_err();
    check(&path);
    let payload = || DecodeError::Payload { at: 7, reason: CAUSE.into() };
    let found = crate::schema::Encoding::Pod;
    let decodes = {
        use DecodeError as E;
        [
            E::NoSchema { codec: text() },
            E::Schema { reason: CAUSE.into() },
            E::OtherEncoding { codec: text(), found },
            E::UnknownCodec { codec: text() },
            payload(),
            E::TooDeep,
            E::TooManyElements { len: 7 },
            E::TooLarge { len: 7 },
            E::Left { bytes: 7 },
        ]
    };
    check_all!(DecodeError:
        NoSchema Schema OtherEncoding UnknownCodec Payload TooDeep TooManyElements TooLarge Left;
        &decodes, 2);
    let dynamic = [
        DynamicError::Snapshot(SnapshotError::Object { channel: channel(), source: cause() }),
        DynamicError::Decode { channel: channel(), publication: 7, source: payload() },
        DynamicError::NoSuchField { channel: channel(), path: text(), fields: vec![text()], count: 2 },
    ];
    check_all!(DynamicError: Snapshot Decode NoSuchField; &dynamic, 2);
    let decode = check(&Error::from(path));
    assert!(decode.starts_with("column"), "{decode}");
}

#[test]
fn any_error_has_the_text_and_the_kind_of_the_error_inside() {
    for error in creations() {
        let (text, kind) = (error.to_string(), error.kind());
        let error = Error::from(error);
        assert_eq!((check(&error), error.kind()), (text, kind));
    }
    for error in snapshots() {
        let (text, kind) = (error.to_string(), error.kind());
        let error = Error::from(error);
        assert_eq!((check(&error), error.kind()), (text, kind));
    }
}

#[test]
fn the_kind_and_the_name_of_an_error_are_those_of_its_cause() {
    let names =
        |errors: &[AttachError]| -> Vec<_> { errors.iter().map(|it| (it.kind(), it.name())).collect() };
    assert_eq!(
        names(&attachments())[..4],
        [
            (ErrorKind::Argument, "Name.UnknownGroup"),
            (ErrorKind::NotFound, "Attach.NotFound"),
            (ErrorKind::NotFound, "Attach.NotReady"),
            (ErrorKind::TypeMismatch, "Attach.FormatMismatch"),
        ]
    );
    let object = AttachError::Object { channel: channel(), source: cause() };
    assert_eq!((object.kind(), object.name()), (ErrorKind::InUse, "Object.Exists"));
    let of_three = QueryError::from(object);
    assert_eq!((of_three.kind(), of_three.name()), (ErrorKind::InUse, "Object.Exists"));
    let contended = SnapshotError::Contended { channel: channel(), attempts: 4, waited: Duration::ZERO };
    assert_eq!((contended.kind(), contended.name()), (ErrorKind::Contended, "Snapshot.Contended"));
}

#[test]
fn the_error_of_a_codec_comes_with_what_caused_it() {
    for text in [publications().remove(2).to_string(), snapshots().remove(7).to_string()] {
        assert!(text.contains("a key is missing: tl_cause"), "{text}");
    }
}

#[test]
fn another_codec_and_another_type_have_different_remedies() {
    let other_codec = mismatch("pod", "postcard").to_string();
    assert!(other_codec.contains("choose the writer's codec"), "{other_codec}");
    assert!(!other_codec.contains("type_name"), "{other_codec}");
    let other_type = mismatch("pod", "pod").to_string();
    assert!(other_type.contains("give both sides one `type_name`"), "{other_type}");
    let long = "codec".repeat(100);
    let cut = mismatch(&long[..64], &long).to_string();
    assert!(cut.contains("give both sides one `type_name`"), "the page has its beginning: {cut}");
}

#[test]
fn writers_of_another_user_are_not_advised_as_readers() {
    let errors: [fn() -> ObjectError; 2] = [
        || ObjectError::OtherOwner { object: text(), owner: 54_001 },
        || ObjectError::PermissionDenied { object: text(), owner: Some(54_001) },
    ];
    for source in errors {
        let create = CreateError::Object { channel: channel(), source: source() }.to_string();
        let advice = "run this writer as user 54001, or open it in another namespace";
        assert!(create.contains(advice), "{create}");
        let remove = RemoveError::Object { channel: channel(), source: source() }.to_string();
        assert!(remove.contains("belongs to user 54001: run this as user 54001; if"), "{remove}");
        let left = RemoveError::Left { channel: channel(), objects: vec![text()], source: source() };
        let growth = PublishError::Growth { channel: channel(), bytes: 1, source: source() };
        let registry = PublishError::RegistryNotRestored { channel: channel(), source: Arc::new(source()) };
        for text in [create, remove, left.to_string(), growth.to_string(), registry.to_string()] {
            for advice in ["trust", "readers", "NamespaceBuilder"] {
                assert!(!text.contains(advice), "{text}");
            }
        }
    }
}

/// A filter of system calls or a security module may refuse what the owner may do.
#[test]
fn the_owner_of_a_refused_object_is_not_told_to_become_its_owner() {
    let owner = Some(rustix::process::geteuid().as_raw());
    let source = || ObjectError::PermissionDenied { object: text(), owner };
    let create = CreateError::Object { channel: channel(), source: source() }.to_string();
    let remove = RemoveError::Object { channel: channel(), source: source() }.to_string();
    for text in [source().to_string(), create, remove] {
        assert!(text.contains("a filter of system calls") && !text.contains("run as"), "{text}");
    }
}

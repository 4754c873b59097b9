//! Errors of a hub: what they advise, and which are transient.

use super::*;
use crate::channel::{AttachError, SnapshotError};

#[test]
fn the_errors_advise_what_a_caller_of_a_hub_can_do() {
    let channel = || "worker".to_owned();
    let waited = Duration::from_millis(1);
    let mismatch = AttachError::FormatMismatch {
        channel: channel(),
        found_codec: "pod".into(),
        found_type_name: "State".into(),
        expected_codec: "postcard".into(),
        expected_type_name: "u64".into(),
    };
    let decode = |source: &str| SnapshotError::Decode {
        channel: channel(),
        publication: 7,
        codec: "postcard",
        source: source.into(),
    };
    let errors: [QueryError; 11] = [
        mismatch.into(),
        AttachError::NoSchema { channel: channel() }.into(),
        AttachError::SchemaUnknown { channel: channel(), reason: "it is newer".into() }.into(),
        AttachError::NotFound {
            namespace: "fleet".into(),
            channel: channel(),
            waited,
            known: crate::error::KnownChannels::default(),
        }
        .into(),
        SnapshotError::WrongLength { channel: channel(), publication: 7, len: 24, expected: 16 }.into(),
        decode("1 byte is left over").into(),
        AttachError::NotReady { channel: channel(), waited }.into(),
        SnapshotError::Empty { channel: channel() }.into(),
        SnapshotError::Closed { channel: channel(), last: 0 }.into(),
        SnapshotError::Closed { channel: channel(), last: 7 }.into(),
        SnapshotError::Contended { channel: channel(), attempts: 4, waited }.into(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.contains("channel \"worker\""), "{text}");
        for advice in ["attach again", "snapshot_within", "Reader", "the reader"] {
            assert!(!text.contains(advice), "{text}");
        }
    }
}

#[test]
fn transient_errors_are_those_after_which_the_same_query_may_succeed() {
    let (channel, waited) = (|| "worker".to_owned(), Duration::from_millis(1));
    let transient: [QueryError; 2] = [
        AttachError::NotReady { channel: channel(), waited }.into(),
        SnapshotError::Contended { channel: channel(), attempts: 4, waited }.into(),
    ];
    assert!(transient.iter().all(QueryError::is_transient));
    let lasting: [QueryError; 3] = [
        AttachError::NoSchema { channel: channel() }.into(),
        SnapshotError::Empty { channel: channel() }.into(),
        SnapshotError::Closed { channel: channel(), last: 7 }.into(),
    ];
    assert!(!lasting.iter().any(QueryError::is_transient));
}

#[test]
fn the_error_of_a_missing_channel_names_the_ways_to_miss_it() {
    let namespace = Namespace::in_process("missed").unwrap();
    // The writer is dropped at the end of the statement.
    namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap().publish(&1).unwrap();
    let error = namespace.hub_builder().codec::<Pod>().open().get::<u64>("worker").unwrap_err();
    for part in ["under the same names", "`attach_within`", "dropped", "unless it lingers"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

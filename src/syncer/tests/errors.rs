//! A state that can't be published is reported, tried again, and harms nothing.

use super::awkward::Mood;
use super::*;
use crate::{
    Bytes,
    error::{AttachError, CreateError, PublishError, ShutdownError, SpawnError},
};

fn bytes(namespace: &Namespace, initial: &[u8]) -> SyncerBuilder<Vec<u8>, Bytes> {
    namespace.writer_builder("worker").codec::<Bytes>().linger(true).max_state_len(8).syncer(initial.into())
}

fn bytes_reader(namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
    namespace.reader_builder("worker").codec::<Bytes>().open().unwrap()
}

const TOO_LARGE: &[u8] = b"more than eight";

#[test]
fn an_error_of_a_tick_is_kept_and_the_ticks_go_on() {
    let namespace = namespace();
    let state = bytes(&namespace, b"first").interval(OFTEN).spawn().unwrap();
    let mut reader = bytes_reader(&namespace);
    assert!(state.last_error().is_none());
    state.replace(TOO_LARGE.into());
    eventually("several ticks have failed", || state.statistics().failed > 2);
    let is_too_large =
        |error: &PublishError| matches!(error, PublishError::TooLarge { max_state_len: 8, .. });
    assert!(is_too_large(&state.last_error().unwrap()));
    assert!(is_too_large(&state.flush().unwrap_err()), "a flush tries again, and returns the error");
    assert_eq!(*reader.snapshot().unwrap(), b"first");
    state.replace(b"second".into());
    eventually("a later state is published", || *reader.snapshot().unwrap() == b"second");
    assert!(is_too_large(&state.last_error().unwrap()), "it is not lost");
    assert!(state.shutdown().unwrap().failed > 2);
}

#[test]
fn a_failed_flush_leaves_no_heartbeat() {
    let namespace = namespace();
    let state = bytes(&namespace, b"first").interval(NEVER).spawn().unwrap();
    let reader = bytes_reader(&namespace);
    let begin = Instant::now();
    std::thread::sleep(OFTEN);
    state.replace(TOO_LARGE.into());
    state.flush().unwrap_err();
    assert!(!has_come_after(begin, reader.heartbeat_age()));
    state.replace(b"second".into());
    state.flush().unwrap();
    assert!(has_come_after(begin, reader.heartbeat_age()));
    assert!(state.last_error().is_none(), "the caller of the flush has that error");
}

#[test]
fn a_shutdown_says_that_the_last_state_was_not_published() {
    let namespace = namespace();
    let state = bytes(&namespace, b"first").interval(NEVER).spawn().unwrap();
    state.replace(TOO_LARGE.into());
    let error = state.shutdown().unwrap_err();
    assert!(
        matches!(&error, ShutdownError::Publish { source: PublishError::TooLarge { .. }, .. }),
        "{error}"
    );
    assert_eq!((error.statistics().published, error.statistics().failed), (1, 1));
    assert!(bytes_reader(&namespace).is_closed(), "the channel has ended in any case");
    assert_eq!(*bytes_reader(&namespace).snapshot().unwrap(), b"first");
}

#[test]
fn a_panic_of_the_codec_is_an_error_and_the_ticks_go_on() {
    let namespace = namespace();
    let state = awkward(&namespace, Awkward::new(1, Mood::Good)).interval(OFTEN).spawn().unwrap();
    state.replace(Awkward::new(2, Mood::Panicking));
    eventually("several ticks have failed", || state.statistics().failed > 2);
    let error = state.last_error().unwrap();
    assert!(error.to_string().contains("panicked: in a panicking mood"), "{error}");
    assert!(matches!(state.flush(), Err(PublishError::Encode { codec: "moody", .. })));
    state.update(|state| state.mood = Mood::Failing);
    eventually("a tick has failed otherwise", || {
        state.last_error().unwrap().to_string().contains("in a failing mood")
    });
    state.update(|state| state.mood = Mood::Good);
    let mut reader = awkward_reader(&namespace);
    eventually("the state is published", || reader.snapshot().unwrap().value == 2);
}

#[test]
fn an_initial_state_that_cannot_be_published_starts_nothing() {
    let namespace = namespace();
    let error = bytes(&namespace, TOO_LARGE).spawn().unwrap_err();
    assert!(matches!(error, SpawnError::Publish(PublishError::TooLarge { .. })), "{error}");
    assert!(namespace.channels().unwrap().is_empty());
    let attached = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    assert!(matches!(attached, Err(AttachError::NotFound { .. })), "nothing was left, though it lingers");
}

#[test]
fn an_initial_state_that_cannot_be_published_leaves_the_former_writers() {
    let namespace = namespace();
    bytes(&namespace, b"first").spawn().unwrap().shutdown().unwrap();
    let plain = namespace.writer_builder("worker").codec::<Bytes>().max_state_len(8);
    plain.syncer(TOO_LARGE.to_vec()).spawn().unwrap_err();
    assert_eq!(*bytes_reader(&namespace).snapshot().unwrap(), b"first");
    assert_eq!(namespace.channels().unwrap().len(), 1);
}

#[test]
fn a_channel_that_has_a_writer_is_refused() {
    let namespace = namespace();
    let _state = builder(&namespace, 1).interval(NEVER).spawn().unwrap();
    let error = builder(&namespace, 2).spawn().unwrap_err();
    assert!(matches!(error, SpawnError::Create(CreateError::AlreadyOwned { .. })), "{error}");
}

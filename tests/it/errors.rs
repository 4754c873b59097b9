//! Errors as people meet them: printed by `main`, by `unwrap`, and after a typing error.

use std::panic::catch_unwind;
use std::process::{Command, Termination};
use std::time::Duration;

use crate::common::{OwnNamespace, eventually};
use tearless::{
    Bytes, Namespace, Pod,
    error::{AttachError, QueryError},
    hub::Hub,
    inspect,
};
use testkit::objects::Objects;

const ROLE: &str = "TEARLESS_ERRORS_MAIN";

#[test]
fn a_main_that_returns_an_error_prints_what_to_do() {
    let failed = || -> Result<(), tearless::Error> {
        let namespace = Namespace::in_process("fleet")?;
        namespace.reader_builder::<u64>("worker-7").codec::<Pod>().open()?;
        Ok(())
    };
    if std::env::var_os(ROLE).is_some() {
        // What the standard library does with the result of `main`.
        failed().report();
        return;
    }
    let test = "errors::a_main_that_returns_an_error_prints_what_to_do";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args([test, "--exact", "--nocapture"]).env(ROLE, "").output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    let expected = format!("Error: {}\n", failed().unwrap_err());
    assert!(expected.contains("there is no channel \"worker-7\" in namespace \"fleet\" (that namespace lists no channel): start its writer"));
    assert!(printed.contains(&expected), "{printed}");
}

#[test]
fn an_unwrapped_error_is_one_readable_line() {
    let panic = catch_unwind(|| Namespace::open("a\nb").unwrap()).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(
        text,
        "called `Result::unwrap()` on an `Err` value: the name of a namespace must not contain control \
         characters, \"a\\nb\" contains '\\n': remove it"
    );
}

#[test]
fn a_mistyped_name_is_answered_with_similar_ones() {
    let own = OwnNamespace::new(&["worker-1", "worker-2", "database"]);
    let open = |name: &str| own.writer_builder::<u64>(name).codec::<Pod>().open().unwrap();
    let _writers = ["worker-1", "worker-2", "database"].map(open);
    let question = "(did you mean \"worker-1\", \"worker-2\"?)";
    let attach = |name: &str| own.reader_builder::<u64>(name).codec::<Pod>().open().unwrap_err();
    let hub = own.hub_builder().codec::<Pod>().open();
    let query = |name: &str| match hub.get::<u64>(name).unwrap_err() {
        QueryError::Attach(error) => error,
        other => panic!("{other}"),
    };
    let inspected = own.inspect("wroker-1").unwrap_err();
    for error in [attach("wroker-1"), query("wroker-1"), inspected] {
        assert!(error.to_string().contains(question), "{error}");
        let AttachError::NotFound { known, .. } = &error else { panic!("{error}") };
        assert_eq!(known.similar_to("wroker-1"), ["worker-1", "worker-2"]);
    }
    for error in [attach("zzz"), query("zzz"), own.inspect("zzz").unwrap_err()] {
        assert!(!error.to_string().contains("did you mean"), "{error}");
    }
    let _late = open("zzy");
    assert!(query("zzz").to_string().contains("(did you mean \"zzy\"?)"), "a hub knows later ones");
    let names: Vec<_> = own.channels().unwrap().into_iter().map(|info| info.name).collect();
    let similar = inspect::similar("wroker-1", names.iter().map(String::as_str));
    assert_eq!(similar, ["worker-1", "worker-2"], "by the same rule");
}

#[test]
fn a_mistyped_namespace_is_answered_with_similar_ones() {
    let own = OwnNamespace::new(&["worker-1"]);
    let mistyped = Namespace::open(&format!("{}x", own.name())).unwrap();
    let hub = mistyped.hub_builder().codec::<Pod>().open();
    let query = |hub: &Hub<Pod>| missing(hub, "worker-1");
    let proposes = |error: &AttachError| {
        let AttachError::NotFound { known, .. } = error else { panic!("{error}") };
        let names = known.similar_namespaces().expect("it has no channel");
        let is_proposed = names.iter().any(|name| name == own.name());
        let text = error.to_string();
        assert!(text.contains("(that namespace lists no channel"), "{text}");
        assert_eq!(text.contains(&format!("did you mean namespace {:?}", own.name())), is_proposed, "{text}");
        is_proposed
    };
    assert!(!proposes(&query(&hub)), "there is no other namespace yet");
    let _writer = own.writer_builder::<u64>("worker-1").codec::<Pod>().open().unwrap();
    let reader = mistyped.reader_builder::<u64>("worker-1").codec::<Pod>().open().unwrap_err();
    let later = query(&mistyped.hub_builder().codec::<Pod>().open());
    for error in [reader, later] {
        assert!(proposes(&error), "{error}");
    }
    eventually("the hub looks again", || proposes(&query(&hub)));
    let right = own.hub_builder().codec::<Pod>().open();
    let AttachError::NotFound { known, .. } = missing(&right, "zzz") else { panic!("it is missing") };
    assert_eq!(known.similar_namespaces(), None, "this namespace has a channel");
}

fn missing(hub: &Hub<Pod>, channel: &str) -> AttachError {
    match hub.get::<u64>(channel).unwrap_err() {
        QueryError::Attach(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_pattern_in_place_of_a_name_is_answered_with_the_calls_that_take_patterns() {
    let namespace = Namespace::in_process("patterns").unwrap();
    let mut writer = namespace.writer_builder::<u64>("worker-1").codec::<Pod>().open().unwrap();
    writer.publish(&7).unwrap();
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let reader = |name: &str| namespace.reader_builder::<u64>(name).codec::<Pod>().open().unwrap_err();
    for pattern in ["worker-*", "worker-?"] {
        for text in [reader(pattern).to_string(), hub.get::<u64>(pattern).unwrap_err().to_string()] {
            assert!(text.contains("`Hub::iter`, `Hub::select` and `Hub::watch` take patterns"), "{text}");
        }
    }
    let states: Vec<_> = hub.iter::<u64>("worker-1").unwrap().map(|it| *it.state.unwrap()).collect();
    assert_eq!(states, [7], "a name is the pattern that matches only it");
    let mut watch = hub.watch("worker-1");
    assert_eq!(watch.wait_any(Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn a_reader_of_a_removed_channel_learns_how_that_may_have_been_and_what_to_do() {
    let namespace = Namespace::in_process("removed").unwrap();
    let writer = || namespace.writer_builder::<u64>("worker").codec::<Pod>();
    let mut first = writer().open().unwrap();
    first.publish(&7).unwrap();
    let (hub, mut reader) = (
        namespace.hub_builder().codec::<Pod>().open(),
        namespace.reader_builder::<u64>("worker").codec::<Pod>().open().unwrap(),
    );
    first.close_lingering().unwrap();
    assert_eq!((*hub.get::<u64>("worker").unwrap(), *reader.snapshot().unwrap()), (7, 7));
    assert!(namespace.remove_channel("worker").unwrap());
    let read = reader.snapshot().unwrap_err().to_string();
    for text in [&read, &hub.get::<u64>("worker").unwrap_err().to_string()] {
        assert!(
            text.contains("channel \"worker\" was removed after publication 1: its writer ended or"),
            "{text}"
        );
        assert!(text.contains("`tearless gc`"), "{text}");
    }
    assert!(read.contains("attach again, or start its writer"), "{read}");
}

#[test]
fn a_channel_whose_object_was_removed_is_not_proposed_in_its_own_place() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    writer.publish(&7).unwrap();
    std::fs::remove_file(Objects::of(own.name(), "worker").path("c")).unwrap();
    let error = own.reader_builder::<u64>("worker").codec::<Pod>().open().unwrap_err().to_string();
    assert!(
        error.contains("its object was removed: `Writer::reopen`") && !error.contains("did you mean"),
        "{error}"
    );
    writer.reopen().unwrap();
    assert!(own.reader_builder::<u64>("worker").codec::<Pod>().open().is_ok());
}

/// A decoding error has one advice: that of the codec, or the general one.
#[test]
#[cfg(feature = "message-pack")]
fn an_error_of_decoding_has_one_advice() {
    let namespace = Namespace::in_process("decoding").unwrap();
    let mut writer = namespace.writer_builder::<u64>("worker").type_name("state").open().unwrap();
    writer.publish(&7).unwrap();
    let mut reader = namespace.reader_builder::<Vec<u8>>("worker").type_name("state").open().unwrap();
    let error = reader.snapshot().unwrap_err().to_string();
    assert!(error.contains("use one type") && !error.contains("with the same fields"), "{error}");
}

#[test]
fn the_advice_on_another_codec_leads_to_the_states() {
    let namespace = Namespace::in_process("codecs").unwrap();
    let mut writer = namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    writer.publish(&7).unwrap();
    let builder = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>();
    let error = builder.clone().open().unwrap_err();
    assert!(error.to_string().contains("(the codec `Bytes` with `accept::Any`)"), "{error}");
    let mut reader = builder.accept(tearless::accept::Any).open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), 7_u64.to_ne_bytes());
}

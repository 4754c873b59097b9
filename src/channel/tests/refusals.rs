//! A channel of another version, of another format, or from before the last boot is refused, and
//! the refusal names both sides.

use super::*;
use crate::layout::{self, Kind, control};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::Backend;

/// A channel whose writer was killed, and its control page.
fn left() -> (Heap, Words) {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    writer.publish(b"of another time").unwrap();
    kill(writer);
    let page = heap.reopen(&name().objects.object(Kind::Control)).unwrap();
    (heap, page)
}

/// Both the reader's and the writer's refusal hold all of `parts`, and the page is untouched.
fn refused(heap: &Heap, page: &Words, parts: &[String]) {
    let before = page.load(control::READY);
    let errors =
        [attach(heap).unwrap_err().to_string(), open(heap, &options()).map(drop).unwrap_err().to_string()];
    for error in errors {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}: {parts:?}");
    }
    assert_eq!(page.load(control::READY), before);
}

#[test]
fn another_layout_version() {
    let (heap, page) = left();
    page.store(control::READY, layout::READY + (6 << 48));
    let ours = layout::VERSION;
    refused(&heap, &page, &[format!("version {}", ours + 6), format!("version {ours}")]);
}

#[test]
fn another_magic_and_words_of_another_order() {
    let expected = format!("{:#018x}", layout::READY);
    for word in [layout::READY.swap_bytes(), layout::READY & 0xffff_ffff, layout::READY ^ 1, u64::MAX] {
        let (heap, page) = left();
        page.store(control::READY, word);
        refused(&heap, &page, &[format!("{word:#018x}"), expected.clone()]);
    }
}

#[test]
fn another_codec_and_another_type_name() {
    for (codec, type_name) in [("pod", "test"), ("bytes", "another test")] {
        let (heap, _) = left();
        let error = attach(&heap).unwrap().has_format(&Format::new(codec, type_name)).unwrap_err();
        assert!(matches!(error, AttachError::FormatMismatch { .. }), "{error}");
        let text = error.to_string();
        let parts = ["\"test\" encoded as bytes".into(), format!("{type_name:?} encoded as {codec}")];
        assert!(parts.iter().all(|part: &String| text.contains(part)), "{text}");
    }
}

#[test]
fn a_state_from_before_the_last_boot() {
    let (heap, page) = left();
    let mut attached = attach(&heap).unwrap();
    let own = [page.load(control::BOOT_ID), page.load(control::BOOT_ID + 1)];
    page.store(control::BOOT_ID, own[0] ^ 1);
    let error = attach(&heap).unwrap_err();
    let AttachError::OtherBoot { found, expected, .. } = &error else { panic!("{error}") };
    let actual = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(found != expected && expected == actual.trim(), "{error}");
    assert!(error.to_string().contains(found) && error.to_string().contains(expected));
    let mut writer = open(&heap, &options()).unwrap();
    assert_eq!(writer.publish(b"of this time").unwrap(), 1, "created again");
    assert!(matches!(snapshot(&mut attached), Err(SnapshotError::Closed { .. })));
    assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap(), (1, b"of this time".to_vec()));
}

#[test]
fn an_unknown_boot_is_no_reason_to_refuse() {
    let (heap, page) = left();
    page.store(control::BOOT_ID, 0);
    page.store(control::BOOT_ID + 1, 0);
    assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap().0, 1);
    assert_eq!(open(&heap, &options()).unwrap().publish(b"next").unwrap(), 2);
}

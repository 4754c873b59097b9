//! Signals that interrupt system calls all the time make no operation fail.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::{Actor, OwnNamespace, is_pattern, pattern, role, rounds, say};
use tearless::{Bytes, Namespace};
use testkit::fork::{self, Forked};

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Everything that makes system calls: create, attach, growth up to 16 MiB, taking over, closing.
fn one_life(namespace: &Namespace) {
    let open = || namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().linger(true).open().unwrap();
    let mut writer = open();
    let mut reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap();
    for len in [10, 10_000, 1_000_000, 16_000_000, 16_000_001] {
        writer.publish(&pattern(len)).unwrap();
        let snapshot = reader.snapshot().unwrap();
        assert!(snapshot.len() == len && is_pattern(&snapshot));
        assert_eq!(reader.writer_state().unwrap(), tearless::inspect::WriterState::Alive);
    }
    drop(writer);
    assert_eq!(open().publish(&pattern(3)).unwrap(), 6);
    assert!(namespace.remove_channel("worker").unwrap());
}

#[test]
fn a_storm_of_signals_makes_nothing_fail() {
    let Some((_, namespace)) = role() else {
        let own = OwnNamespace::new(&["worker"]);
        let mut stormy = Actor::start("a_storm_of_signals_makes_nothing_fail", "stormy", &own);
        println!("{}", stormy.await_line_with("signals"));
        return stormy.finish();
    };
    // The fork has one thread only, so that the signals interrupt the system calls of this test.
    let child = Forked::start(|| {
        fork::alarm_every_millisecond(count);
        let mut lives = 0;
        while SIGNALS.load(Ordering::Relaxed) < rounds(300, 30_000) || lives < 10 {
            one_life(&namespace);
            lives += 1;
        }
        say(&format!("{lives} channels' lives, {} signals", SIGNALS.load(Ordering::Relaxed)));
    });
    assert_eq!(child.wait().exit_status(), Some(0));
}

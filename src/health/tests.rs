//! The judge's table: each row gives signs, thresholds and the one answer.

use std::time::Duration;

use super::{Health, Signs, Thresholds};
use crate::channel::WriterState::{self, Alive, Closed, Dead, Exited, Stopped, Unknown, Unreachable};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Ages in seconds.
type Age = Option<u64>;

fn signs(writer: WriterState, publication: u64, ages: [Age; 3], interval: Age) -> Signs {
    let [age, heartbeat_age, opened_ago] = ages.map(|age| age.map(seconds));
    let heartbeat_interval = interval.map(seconds);
    let (slept, ended_ago, news_age) = (Duration::ZERO, None, None);
    Signs {
        writer,
        publication,
        age,
        heartbeat_age,
        opened_ago,
        heartbeat_interval,
        slept,
        ended_ago,
        news_age,
    }
}

fn thresholds(fresh_within: Age, stalled_after: Age) -> Thresholds {
    Thresholds { fresh_within: fresh_within.map(seconds), stalled_after: stalled_after.map(seconds) }
}

fn fresh(age: u64) -> Health {
    Health::Fresh { age: seconds(age) }
}

fn unchanged(age: Age) -> Health {
    Health::Unchanged { age: age.map(seconds) }
}

fn stalled(silent: Age) -> Health {
    Health::Stalled { silent: silent.map(seconds), is_stopped: false }
}

fn stopped(silent: Age) -> Health {
    Health::Stalled { silent: silent.map(seconds), is_stopped: true }
}

fn dead(since: Age) -> Health {
    Health::Dead { since: since.map(seconds) }
}

fn exited(since: Age) -> Health {
    Health::Exited { since: since.map(seconds) }
}

fn unknown(silent: Age) -> Health {
    Health::Unknown { silent: silent.map(seconds) }
}

fn unreachable(since: Age) -> Health {
    Health::Unreachable { since: since.map(seconds) }
}

/// What the row is about; writer; publication; ages of publication, heartbeat and opening;
/// interval; the answer with the default thresholds.
#[test]
fn the_default_thresholds_follow_the_promise() {
    let none = [None; 3];
    let opened = |age| [None, None, Some(age)];
    #[rustfmt::skip]
    let rows = [
        ("published now", Alive, 1, [Some(0), None, Some(9)], None, fresh(0)),
        ("at the limit without a promise", Alive, 1, [Some(1), None, Some(9)], None, fresh(1)),
        ("no promise, no breach", Alive, 1, [Some(9999), None, Some(9999)], None, unchanged(Some(9999))),
        ("at three intervals", Alive, 1, [Some(6), None, Some(9)], Some(2), fresh(6)),
        ("beyond three intervals", Alive, 1, [Some(7), None, Some(9)], Some(2), stalled(Some(7))),
        ("the heartbeat counts", Alive, 1, [Some(7), Some(6), Some(9)], Some(2), unchanged(Some(7))),
        ("an old heartbeat", Alive, 1, [Some(8), Some(7), Some(9)], Some(2), stalled(Some(7))),
        ("the publication counts", Alive, 1, [Some(1), Some(7), Some(9)], Some(2), fresh(1)),
        ("a promise for ever", Alive, 1, [Some(7), None, Some(9)], Some(u64::MAX), fresh(7)),

        ("took over just now", Alive, 5, [Some(99), None, Some(0)], Some(2), unchanged(Some(99))),
        ("took over within its promise", Alive, 5, [Some(99), None, Some(6)], Some(2), unchanged(Some(99))),
        ("took over and hangs", Alive, 5, [Some(99), None, Some(7)], Some(2), stalled(Some(7))),
        ("took over without a promise", Alive, 5, [Some(99), None, Some(50)], None, unchanged(Some(99))),
        ("took over and died", Dead, 5, [Some(99), None, Some(7)], Some(2), dead(Some(7))),

        ("just opened", Alive, 0, opened(0), Some(2), Health::Empty),
        ("opened, within its promise", Alive, 0, opened(6), Some(2), Health::Empty),
        ("opened and hangs", Alive, 0, opened(7), Some(2), stalled(Some(7))),
        ("opened, only heartbeats", Alive, 0, [None, Some(6), Some(99)], Some(2), Health::Empty),
        ("heartbeats end", Alive, 0, [None, Some(7), Some(99)], Some(2), stalled(Some(7))),
        ("opened, owes nothing", Alive, 0, opened(9999), None, Health::Empty),
        ("opened, and died", Dead, 0, opened(7), Some(2), dead(Some(7))),
        ("opened, and was stopped", Stopped, 0, opened(1), Some(2), stopped(Some(1))),

        ("no timestamps, empty", Alive, 0, none, None, Health::Empty),
        ("no timestamps", Alive, 5, none, None, unchanged(None)),
        ("no timestamps, a promise", Alive, 5, opened(6), Some(2), unchanged(None)),
        ("no timestamps, a breach", Alive, 5, opened(7), Some(2), stalled(Some(7))),
        ("no timestamps, dead", Dead, 5, none, None, dead(None)),
        ("no timestamps, stopped", Stopped, 5, none, None, stopped(None)),

        ("stopped while fresh", Stopped, 1, [Some(0), None, Some(9)], None, stopped(Some(0))),
        ("dead", Dead, 1, [Some(3), Some(2), Some(9)], Some(1), dead(Some(2))),
        ("closed", Closed, 1, [Some(99), None, Some(99)], Some(1), Health::Closed),
        ("closed and empty", Closed, 0, opened(9), None, Health::Closed),
        ("another PID namespace", Unknown, 1, [Some(0), None, Some(9)], None, unknown(Some(0))),
        ("another one, no timestamps", Unknown, 1, none, None, unknown(None)),
    ];
    for (row, writer, publication, ages, interval, expected) in rows {
        let signs = signs(writer, publication, ages, interval);
        assert_eq!(Health::judge(&signs, Thresholds::default()), expected, "{row}: {signs:?}");
    }
}

/// Ages of publication, heartbeat and opening; interval; `fresh_within` and `stalled_after`; the
/// answer of a living writer.
#[test]
fn a_hub_may_set_thresholds_of_its_own() {
    #[rustfmt::skip]
    let rows = [
        ("longer fresh", 1, [Some(50), None, Some(60)], None, [Some(50), None], fresh(50)),
        ("shorter fresh", 1, [Some(1), None, Some(60)], Some(9), [Some(0), None], unchanged(Some(1))),
        ("patient", 1, [Some(50), None, Some(60)], Some(1), [None, Some(50)], unchanged(Some(50))),
        ("patience ends", 1, [Some(51), None, Some(60)], Some(1), [None, Some(50)], stalled(Some(51))),
        ("without a promise", 1, [Some(51), None, Some(60)], None, [None, Some(50)], stalled(Some(51))),
        ("stalled goes before fresh", 1, [Some(1), None, Some(60)], None, [Some(9), Some(0)], stalled(Some(1))),
        ("a promise before the first", 0, [None, None, Some(3)], Some(1), [None, Some(2)], stalled(Some(3))),
        ("patient before the first", 0, [None, None, Some(9)], Some(1), [None, Some(9)], Health::Empty),
        ("it owes nothing yet", 0, [None, None, Some(60)], None, [None, Some(0)], Health::Empty),
        ("took over", 5, [Some(99), None, Some(3)], None, [None, Some(3)], unchanged(Some(99))),
        ("took over and is silent", 5, [Some(99), None, Some(4)], None, [None, Some(3)], stalled(Some(4))),
        ("no timestamps", 5, [None, None, None], None, [Some(9), Some(0)], unchanged(None)),
    ];
    for (row, publication, ages, interval, [fresh_within, stalled_after], expected) in rows {
        let signs = signs(Alive, publication, ages, interval);
        let thresholds = thresholds(fresh_within, stalled_after);
        assert_eq!(Health::judge(&signs, thresholds), expected, "{row}: {signs:?} {thresholds:?}");
    }
}

/// The machine slept for eight hours since the last sign of life: ages count them, and no worker is
/// stalled because of them.
#[test]
fn a_worker_is_not_stalled_by_the_sleep_of_the_machine() {
    const NIGHT: u64 = 8 * 3_600;
    let asleep = |writer, ages, interval| {
        let signs = Signs { slept: seconds(NIGHT), ..signs(writer, 5, ages, interval) };
        move |stalled_after| Health::judge(&signs, thresholds(None, stalled_after))
    };
    let before = |age: u64| Some(NIGHT + age);
    let promised = asleep(Alive, [before(5), before(1), before(9)], Some(2));
    assert_eq!(promised(None), unchanged(before(5)), "its heartbeat is a second awake old");
    let hangs = asleep(Alive, [before(9), before(7), before(9)], Some(2));
    assert_eq!(hangs(None), stalled(Some(7)));
    let only_publishes = asleep(Alive, [before(3), None, before(9)], None);
    assert_eq!(only_publishes(Some(3)), unchanged(before(3)));
    assert_eq!(only_publishes(Some(2)), stalled(Some(3)));
    let opened = asleep(Alive, [None, None, before(6)], Some(2));
    assert_eq!(opened(None), unchanged(None));
    assert_eq!(asleep(Dead, [before(3), None, before(9)], None)(None), dead(before(3)));
    assert_eq!(asleep(Stopped, [before(3), None, before(9)], None)(None), stopped(Some(3)));
    // The sign was given after the sleep, and the sleep not noted yet.
    assert_eq!(asleep(Alive, [Some(0), Some(1), before(9)], Some(2))(None), fresh(0));
}

#[test]
fn an_exit_is_not_a_death() {
    let signs = signs(Exited, 5, [Some(9), Some(8), Some(10)], Some(1));
    let signs = Signs { ended_ago: Some(seconds(7)), ..signs };
    assert_eq!(Health::judge(&signs, Thresholds::default()), exited(Some(7)));
}

#[test]
fn no_news_are_no_death() {
    let signs = signs(Unreachable, 5, [Some(9), Some(8), Some(10)], Some(1));
    let signs = Signs { news_age: Some(seconds(7)), ..signs };
    assert_eq!(Health::judge(&signs, Thresholds::default()), unreachable(Some(7)));
}

#[test]
fn every_answer_has_a_text() {
    let rows = [
        (fresh(2), "fresh, published 2.0s ago"),
        (unchanged(Some(2)), "unchanged since a publication 2.0s ago"),
        (unchanged(None), "unchanged"),
        (stalled(Some(7)), "stalled, silent for 7.0s"),
        (stopped(Some(7)), "stalled (the process is stopped), silent for 7.0s"),
        (stopped(None), "stalled (the process is stopped)"),
        (dead(Some(3)), "dead, last sign of life 3.0s ago"),
        (dead(None), "dead"),
        (exited(Some(3)), "exited 3.0s ago"),
        (exited(None), "exited"),
        (Health::Closed, "closed"),
        (Health::Empty, "empty"),
        (unknown(Some(3)), "unknown, silent for 3.0s"),
        (unreachable(Some(3)), "unreachable, last news 3.0s ago"),
        (unreachable(None), "unreachable"),
    ];
    for (health, text) in rows {
        assert_eq!(health.to_string(), text);
        assert!(text.starts_with(health.name()));
    }
    assert_eq!(format!("{Dead:>8}"), "    dead");
}

#[test]
#[cfg(feature = "message-pack")]
fn every_answer_can_be_serialized() {
    let json = |health: Health| serde_json::to_value(health).unwrap();
    let rows = [
        (fresh(2), serde_json::json!({"name": "fresh", "age_seconds": 2.0, "is_stopped": false})),
        (stopped(None), serde_json::json!({"name": "stalled", "age_seconds": null, "is_stopped": true})),
        (dead(Some(3)), serde_json::json!({"name": "dead", "age_seconds": 3.0, "is_stopped": false})),
        (Health::Empty, serde_json::json!({"name": "empty", "age_seconds": null, "is_stopped": false})),
    ];
    for (health, expected) in rows {
        assert_eq!(json(health), expected);
    }
    assert_eq!(serde_json::to_value(Stopped).unwrap(), "stopped");
}

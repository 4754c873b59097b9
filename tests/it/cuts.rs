//! A cut is one picture of several workers. The states of a consistent cut belong to one moment. A
//! cut that is not consistent is reported as such.
//!
//! Money moves from one account to another and its sum never changes: `left` pays, then `right`
//! receives. At any time, `left` has paid as often as `right` has received, or once more. The
//! number of a payment determines the amount underway. A picture with `left` from before a payment
//! and `right` from after it would count money twice.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, role, rounds, say, wait_for_end};
use bytemuck::Zeroable;
use tearless::{
    Namespace, Pod, Writer,
    hub::{Cut, CutTime, Hub, Skew},
    options::TimestampSource,
};
use testkit::trace::stay_on_processor;

const TOTAL: i64 = 1_000_000;
const ACCOUNTS: [&str; 2] = ["left", "right"];

/// The state of one of the two accounts.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Account {
    balance: i64,
    /// The number of payments or receipts so far.
    moves: u64,
}

/// The amount of the payment with this number. Some amounts are negative.
fn amount(number: u64) -> i64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as i64 - (1 << 15)
}

impl Account {
    fn pay(&mut self) {
        self.moves += 1;
        self.balance -= amount(self.moves);
    }

    fn receive(&mut self) {
        self.moves += 1;
        self.balance += amount(self.moves);
    }
}

type Accounts = [Writer<Account, Pod>; 2];

fn open(
    namespace: &Namespace,
    channel: &str,
    depth: usize,
    timestamp: TimestampSource,
) -> Writer<Account, Pod> {
    let builder = namespace.writer_builder::<Account>(channel).codec::<Pod>();
    builder.slots(2 * depth).timestamps(timestamp).open().unwrap()
}

fn beginning() -> [Account; 2] {
    [Account { balance: TOTAL, moves: 0 }, Account::zeroed()]
}

/// The number of cuts of each kind.
#[derive(Debug, Default, PartialEq)]
struct Met {
    cuts: u64,
    instants: u64,
    /// The number of those, and of the following cuts, with money underway.
    underway: u64,
    as_of: u64,
    later: u64,
    without_timestamps: u64,
    failed: u64,
}

impl AddAssign<&Cut<Account>> for Met {
    /// Counts a cut, and checks it if it claims to be consistent.
    fn add_assign(&mut self, cut: &Cut<Account>) {
        let [left, .., right] = &cut.states[..] else { panic!("two states at least") };
        assert_eq!([&*left.channel, &*right.channel], ACCOUNTS);
        self.cuts += 1;
        let skews = cut.states.iter().map(|state| state.skew);
        self.later += u64::from(skews.clone().any(|skew| matches!(skew, Skew::Later(by) if !by.is_zero())));
        self.without_timestamps += u64::from(skews.clone().any(|skew| skew == Skew::NoTimestamps));
        let is_exact = cut.moment == CutTime::Instant;
        assert!(cut.is_consistent() || !is_exact, "an instant has no skews");
        assert_eq!(cut.is_consistent(), skews.clone().all(|skew| skew == Skew::None));
        let [Ok(left), Ok(right)] = [&left.state, &right.state] else {
            self.failed += 1;
            return;
        };
        if !cut.is_consistent() {
            return;
        }
        let moves = [left.moves, right.moves];
        assert!(left.moves == right.moves || left.moves == right.moves + 1, "{moves:?} {:?}", cut.moment);
        let underway = if left.moves > right.moves { amount(left.moves) } else { 0 };
        assert_eq!(left.balance + right.balance + underway, TOTAL, "{moves:?} {:?}", cut.moment);
        self.underway += u64::from(left.moves > right.moves);
        *(if is_exact { &mut self.instants } else { &mut self.as_of }) += 1;
    }
}

/// The time limit for every kind of cut to occur often enough, even on a busy machine.
fn patience() -> Duration {
    Duration::from_secs(rounds(400, 2_000).into())
}

/// Takes cuts until `enough` is true, and panics if that takes too long. Every other cut reads
/// `between` states between the two accounts.
fn cut_until(hub: &Hub<Pod>, between: usize, enough: impl Fn(&Met) -> bool) {
    let (begin, mut met) = (Instant::now(), Met::default());
    while !enough(&met) {
        assert!(begin.elapsed() < patience(), "only met {met:?}");
        // The more states are between the two, the more changes while they are read.
        let between = if met.cuts.is_multiple_of(2) { between } else { 0 };
        let names = [ACCOUNTS[0]].into_iter().chain([ACCOUNTS[0]].repeat(between)).chain([ACCOUNTS[1]]);
        met += &hub.cut(names);
    }
    println!("{met:?}");
}

fn flag_of_end() -> Arc<AtomicBool> {
    let has_ended = Arc::new(AtomicBool::new(false));
    let setter = Arc::clone(&has_ended);
    thread::spawn(move || {
        wait_for_end();
        setter.store(true, Ordering::Relaxed);
    });
    has_ended
}

/// One process that has both accounts. It publishes flat out, with a pause now and then in which a
/// cut finds an instant. Half of the pauses are in the middle of a payment.
fn be_a_bank(namespace: &Namespace, depth: usize, timestamp: TimestampSource, pause: Duration) {
    // Not on the processor of the cuts, or none of them would meet a publication.
    stay_on_processor(1);
    let [mut left, mut right]: Accounts = ACCOUNTS.map(|channel| open(namespace, channel, depth, timestamp));
    let [mut payer, mut receiver] = beginning();
    left.publish(&payer).unwrap();
    right.publish(&receiver).unwrap();
    say("open");
    let has_ended = flag_of_end();
    while !has_ended.load(Ordering::Relaxed) {
        let phase = payer.moves % 40_000;
        payer.pay();
        left.publish(&payer).unwrap();
        if phase == 10_000 && !pause.is_zero() {
            thread::sleep(pause);
        }
        receiver.receive();
        right.publish(&receiver).unwrap();
        if phase == 30_000 && !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

fn started(test: &str, roles: &[&str]) -> (OwnNamespace, Vec<Actor>, Hub<Pod>) {
    let own = OwnNamespace::new(&ACCOUNTS);
    let mut actors = Vec::new();
    for role in roles {
        let mut actor = Actor::start(test, role, &own);
        actor.await_line("open");
        actors.push(actor);
    }
    stay_on_processor(0);
    let hub = own.hub_builder().codec::<Pod>().open();
    (own, actors, hub)
}

#[test]
fn cuts_of_one_process_lose_and_duplicate_no_money() {
    if let Some((_, namespace)) = role() {
        return be_a_bank(&namespace, 4_096, TimestampSource::Precise, Duration::from_millis(1));
    }
    let test = "cuts::cuts_of_one_process_lose_and_duplicate_no_money";
    let (_own, actors, hub) = started(test, &["bank"]);
    let each = u64::from(rounds(200, 100_000));
    cut_until(&hub, 0, |met| met.instants.min(met.as_of).min(met.underway) >= each);
    actors.into_iter().for_each(Actor::finish);
}

/// One of two processes that have an account each. Every payment waits until the last one was
/// received.
fn be_a_side(namespace: &Namespace, role: &str) {
    let [own, other] = if role == "left" { ACCOUNTS } else { [ACCOUNTS[1], ACCOUNTS[0]] };
    let mut writer = open(namespace, own, 4_096, TimestampSource::Precise);
    let [payer, receiver] = beginning();
    let mut account = if role == "left" { payer } else { receiver };
    writer.publish(&account).unwrap();
    say("open");
    let has_ended = flag_of_end();
    let builder = namespace.reader_builder::<Account>(other).codec::<Pod>();
    let mut reader = builder.attach_within(Duration::from_secs(60)).open().unwrap();
    while !has_ended.load(Ordering::Relaxed) {
        let Ok(seen) = reader.snapshot() else { continue };
        match role {
            "left" if seen.moves == account.moves => account.pay(),
            "right" if seen.moves == account.moves + 1 => account.receive(),
            // Both also make progress where there are fewer processors than processes.
            _ => {
                thread::yield_now();
                continue;
            }
        }
        writer.publish(&account).unwrap();
    }
}

#[test]
fn cuts_of_two_processes_lose_and_duplicate_no_money() {
    if let Some((role, namespace)) = role() {
        return be_a_side(&namespace, &role);
    }
    let (_own, actors, hub) = started("cuts::cuts_of_two_processes_lose_and_duplicate_no_money", &ACCOUNTS);
    let each = u64::from(rounds(300, 10_000));
    cut_until(&hub, 5_000, |met| met.instants.min(met.underway) >= each);
    actors.into_iter().for_each(Actor::finish);
}

#[test]
fn a_ring_that_does_not_reach_back_gives_a_later_state() {
    if let Some((_, namespace)) = role() {
        return be_a_bank(&namespace, 1, TimestampSource::Precise, Duration::ZERO);
    }
    let test = "cuts::a_ring_that_does_not_reach_back_gives_a_later_state";
    let (_own, actors, hub) = started(test, &["bank"]);
    let each = u64::from(rounds(200, 100_000));
    cut_until(&hub, 0, |met| met.later >= each);
    actors.into_iter().for_each(Actor::finish);
}

#[test]
fn states_without_timestamps_are_reported_as_such() {
    if let Some((_, namespace)) = role() {
        return be_a_bank(&namespace, 64, TimestampSource::None, Duration::from_millis(1));
    }
    let (_own, actors, hub) = started("cuts::states_without_timestamps_are_reported_as_such", &["bank"]);
    let each = u64::from(rounds(200, 20_000));
    cut_until(&hub, 0, |met| {
        assert_eq!((met.as_of, met.later), (0, 0));
        met.without_timestamps.min(met.instants) >= each
    });
    actors.into_iter().for_each(Actor::finish);
}

#[test]
fn coarse_timestamps_never_make_a_cut_consistent() {
    if let Some((_, namespace)) = role() {
        return be_a_bank(&namespace, 64, TimestampSource::Coarse, Duration::ZERO);
    }
    let test = "cuts::coarse_timestamps_never_make_a_cut_consistent";
    let (_own, actors, hub) = started(test, &["bank"]);
    let (begin, mut coarse) = (Instant::now(), 0);
    while coarse < rounds(200, 20_000) {
        assert!(begin.elapsed() < patience(), "only {coarse} cuts were made by timestamps");
        let cut = hub.cut::<Account>(ACCOUNTS);
        if cut.moment != CutTime::Instant {
            coarse += u32::from(cut.states.iter().all(|state| state.skew == Skew::Coarse));
            assert!(!cut.is_consistent());
        }
    }
    actors.into_iter().for_each(Actor::finish);
}

#[test]
fn a_missing_state_keeps_its_place_in_the_cut() {
    let namespace = Namespace::in_process("places").unwrap();
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let [mut left, mut right]: Accounts =
        ACCOUNTS.map(|channel| open(&namespace, channel, 1, TimestampSource::Precise));
    let empty = open(&namespace, "empty", 1, TimestampSource::Precise);
    let gone = open(&namespace, "gone", 1, TimestampSource::Precise);
    let mut other = namespace.writer::<u64>("other").unwrap();
    other.publish(&1).unwrap();
    hub.cut::<Account>(["gone"]);
    gone.close().unwrap();
    let [payer, receiver] = beginning();
    left.publish(&payer).unwrap();
    right.publish(&receiver).unwrap();
    let names = ["nobody", "left", "empty", "gone", "other", "right", "left", "nobody"];
    let cut = hub.cut::<Account>(names);
    assert!(cut.moment == CutTime::Instant && cut.is_consistent() && !cut.is_complete());
    assert!(hub.cut::<Account>(["left", "right"]).is_complete());
    assert_eq!(cut.states.iter().map(|state| &*state.channel).collect::<Vec<_>>(), names);
    let found = cut.states.iter().map(|state| match &state.state {
        Ok(account) if **account == payer => "paid",
        Ok(account) if **account == receiver => "received",
        Ok(_) => "wrong",
        Err(error) if error.is_gone() => "gone",
        Err(error) if error.is_empty() => "empty",
        Err(_) => "other",
    });
    let expected = ["gone", "paid", "empty", "gone", "other", "received", "paid", "gone"];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    drop(empty);
    let nothing = hub.cut::<Account>(Vec::<String>::new());
    assert!(nothing.states.is_empty() && nothing.is_consistent());
}

#[test]
fn channels_that_never_coexisted_are_not_in_one_cut() {
    let namespace = Namespace::in_process("after another").unwrap();
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let mut left = Some(open(&namespace, "left", 1, TimestampSource::Precise));
    left.as_mut().unwrap().publish(&beginning()[0]).unwrap();
    assert!(hub.get::<Account>("left").is_ok(), "its segments are mapped");
    let mut right = None;
    let names = ACCOUNTS.into_iter().inspect(|name| {
        // The cut has found the left account by then.
        if *name == "right" {
            left.take().unwrap().close().unwrap();
            let right = right.insert(open(&namespace, "right", 1, TimestampSource::Precise));
            right.publish(&beginning()[1]).unwrap();
        }
    });
    let cut = hub.cut::<Account>(names);
    assert!(cut.states[0].state.as_ref().is_err_and(|error| error.is_gone()), "{cut:?}");
    assert!(cut.states[1].state.is_ok(), "{cut:?}");
}

//! The costs of publishing and reading without other processes: both ends in one process, in turns.

use std::cell::RefCell;
use std::rc::Rc;

use crate::batch::{Batch, changing, in_turns, publications, reads};
use crate::common::{boxed, size, spread};
use crate::effort::Arguments;
use crate::peer::{Ends, Peer, Publish, Read};
use crate::peers::{
    ArcSwapped, ArcSwappedGuard, Dated, Floor, FloorDated, Iceoryx, LeftRight, Locked, Memcpy, MemcpyAround,
    MmapSync, MmapSyncGuard, Ringfire, SeqLocked, Shallow, Tripled, TripledGuard, Undated,
};
use crate::place::Ground;
use crate::report::{Report, Table, figure};

/// The peers are compared with this one: like them, it does not read the clock.
const REFERENCE: &str = "tearless undated";

/// A peer with both of its operations.
pub(crate) struct Contestant {
    name: &'static str,
    copies: bool,
    across_processes: bool,
    /// Publications of one state.
    pub(crate) publish: Batch,
    /// Publications of a state that changes in between.
    change: Batch,
    /// Reads of the latest state.
    pub(crate) read: Batch,
}

/// The outcome, in nanoseconds.
struct Outcome {
    publish: Vec<f64>,
    change: Vec<f64>,
    read: Vec<f64>,
}

/// All sizes.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, report: &mut Report) {
    one_size::<8>(arguments, ground, report, small::<8>);
    one_size::<32>(arguments, ground, report, small::<32>);
    one_size::<{ 1 << 7 }>(arguments, ground, report, small::<{ 1 << 7 }>);
    one_size::<{ 64 << 7 }>(arguments, ground, report, everybody::<{ 64 << 7 }>);
    one_size::<{ 1 << 17 }>(arguments, ground, report, everybody::<{ 1 << 17 }>);
    one_size::<{ 16 << 17 }>(arguments, ground, report, ours_and_memcpy::<{ 16 << 17 }>);
    one_size::<{ 64 << 17 }>(arguments, ground, report, ours_and_memcpy::<{ 64 << 17 }>);
}

fn one_size<const WORDS: usize>(
    arguments: &Arguments,
    ground: &Ground,
    report: &mut Report,
    contestants: fn(&Ground) -> Vec<Contestant>,
) {
    let label = size(WORDS * 8);
    if !arguments.wants(&format!("uncontended/{label}")) {
        return;
    }
    let contestants = contestants(ground);
    let peers: Vec<_> = contestants.iter().map(|one| (one.name, one.copies, one.across_processes)).collect();
    let outcome = run(arguments, contestants);
    for (index, (name, ..)) in peers.iter().enumerate() {
        report.add(format!("uncontended/{label}/{name}/read ns"), outcome.read[index]);
        report.add(format!("uncontended/{label}/{name}/publish ns"), outcome.publish[index]);
        report.add(format!("uncontended/{label}/{name}/changing ns"), outcome.change[index]);
    }
    print(&label, &peers, &outcome);
}

fn run(arguments: &Arguments, contestants: Vec<Contestant>) -> Outcome {
    let (mut publish, mut change, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for one in contestants {
        publish.push(one.publish);
        change.push(one.change);
        read.push(one.read);
    }
    let (rounds, batch) = (arguments.effort.rounds, arguments.effort.batch);
    // Publications come first: most peers have nothing to read before.
    let publish = in_turns(&mut publish, rounds, batch);
    let change = in_turns(&mut change, rounds, batch);
    Outcome { publish, change, read: in_turns(&mut read, rounds, batch) }
}

/// The floor is for states that are read in nanoseconds. seqlock reads the whole state by one
/// volatile load, from which the compiler makes one instruction for every word: large states take
/// hours.
fn small<const WORDS: usize>(ground: &Ground) -> Vec<Contestant> {
    let mut all = everybody::<WORDS>(ground);
    all.extend([
        contestant::<Floor, WORDS>(ground),
        contestant::<FloorDated, WORDS>(ground),
        contestant::<SeqLocked, WORDS>(ground),
    ]);
    all
}

fn everybody<const WORDS: usize>(ground: &Ground) -> Vec<Contestant> {
    let mut all = ours_and_memcpy::<WORDS>(ground);
    all.extend([
        contestant::<Iceoryx, WORDS>(ground),
        contestant::<Ringfire, WORDS>(ground),
        contestant::<MmapSync, WORDS>(ground),
        contestant::<MmapSyncGuard, WORDS>(ground),
        contestant::<ArcSwapped, WORDS>(ground),
        contestant::<ArcSwappedGuard, WORDS>(ground),
        contestant::<Tripled, WORDS>(ground),
        contestant::<TripledGuard, WORDS>(ground),
        contestant::<LeftRight, WORDS>(ground),
        contestant::<Locked, WORDS>(ground),
    ]);
    all
}

fn ours_and_memcpy<const WORDS: usize>(ground: &Ground) -> Vec<Contestant> {
    vec![
        contestant::<Undated, WORDS>(ground),
        contestant::<Dated, WORDS>(ground),
        contestant::<Shallow, WORDS>(ground),
        contestant::<Memcpy, WORDS>(ground),
        contestant::<MemcpyAround, WORDS>(ground),
    ]
}

/// Both ends of a peer, opened and checked.
pub(crate) fn contestant<P: Peer<WORDS>, const WORDS: usize>(ground: &Ground) -> Contestant {
    let name = format!("{}-{WORDS}", P::NAME).replace([' ', ','], "-");
    let Ends { mut publisher, mut reader } = P::open(&ground.place(&name));
    check(&mut publisher, &mut reader);
    let state = boxed::<WORDS>(|word| spread(word as u64));
    let publisher = Rc::new(RefCell::new(publisher));
    Contestant {
        name: P::NAME,
        copies: P::COPIES,
        across_processes: P::ACROSS_PROCESSES,
        publish: publications(&publisher, state.clone()),
        change: changing(&publisher, state),
        read: reads(reader),
    }
}

/// Checks that a read returns the published state: a measured operation does its work.
fn check<const WORDS: usize>(publisher: &mut impl Publish<WORDS>, reader: &mut impl Read<WORDS>) {
    for seed in 1..=2 {
        let state = boxed::<WORDS>(|word| spread(seed << 32 | word as u64));
        publisher.publish(&state);
        let mut seen = false;
        reader.read(|latest| seen = *latest == *state);
        assert!(seen, "the state that was read is not the published one");
    }
}

fn print(label: &str, peers: &[(&str, bool, bool)], outcome: &Outcome) {
    let reference = peers.iter().position(|(name, ..)| *name == REFERENCE).expect("it is always there");
    println!("### {label}, uncontended\n");
    let mut table = Table::new(&[
        "peer",
        "a copy",
        "processes",
        "read ns",
        "ratio",
        "publish ns",
        "ratio",
        "changing ns",
        "ratio",
    ]);
    for (index, (name, copies, across_processes)) in peers.iter().enumerate() {
        let yes_or_no = |yes: &bool| if *yes { "yes" } else { "no" }.to_string();
        table.row(vec![
            (*name).into(),
            yes_or_no(copies),
            yes_or_no(across_processes),
            figure(outcome.read[index]),
            figure(outcome.read[index] / outcome.read[reference]),
            figure(outcome.publish[index]),
            figure(outcome.publish[index] / outcome.publish[reference]),
            figure(outcome.change[index]),
            figure(outcome.change[index] / outcome.change[reference]),
        ]);
    }
    table.print();
}

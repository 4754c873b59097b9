//! Publishing and reading large states in place, beside copies: both ends in one process, in turns.
//!
//! A publication puts its number into the first and the last 8 bytes of the state; a read looks at
//! both, and drops what it holds. *In place* the rest of the state was made in the memory that is
//! published, so that publishing costs what lending and handing over cost. *Copied*, the state is
//! made in private memory, which publishing copies, and reading copies it out again.
//!
//! Every publication is read once, because a subscriber of iceoryx2 gets each sample once.
//!
//! What the peers do not promise, and a channel with views does:
//!
//! * iceoryx2's samples: see `peers/pubsub.rs`.
//! * mmap-sync's writer copies, hashes and flushes. It waits for a guard on the file that it needs,
//!   and after the grace period overwrites what the guard shows: so a guard is `unsafe` to take. It
//!   does get a late reader the latest state.
//! * iceoryx2's blackboard copies. Its entry has one size, and a read stores to a shared line.
//! * memcpy protects no reader.

use std::cell::RefCell;
use std::hint::black_box;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tearless::options::TimestampSource;
use testkit::stats::{Histogram, quantiles};

use crate::batch::{Batch, in_turns};
use crate::common::{boxed, histogram, nanos, size};
use crate::effort::Arguments;
use crate::peer::{Ends, Peer, Publish, Read};
use crate::peers::{
    Iceoryx, Loans, Memcpy, MemcpyAround, MmapSyncGuard, Receiver, Sender, Undated, Views, writer_builder,
};
use crate::place::{Ground, Place};
use crate::report::{Report, Table, figure};

/// The others are compared with this one: like them, it does not read the clock.
const REFERENCE: &str = "tearless undated, in place";

/// Both ends of a way to pass states on.
trait Pass {
    /// Publishes a state with `number` at both ends.
    fn publish(&mut self, number: u64);

    /// Passes the latest state to `look`, and drops what it holds.
    fn read(&mut self, look: impl FnOnce(&[u8]));
}

/// What is measured of a way.
struct Contestant {
    name: &'static str,
    in_place: &'static str,
    /// Publications that are read, without a reading of the clock.
    both: Batch,
    /// The same for so long, each publication and each read by the clock.
    singly: Box<dyn FnMut(Duration, &mut Times)>,
}

/// The times of single operations.
struct Times {
    publish: Histogram<u64>,
    read: Histogram<u64>,
}

/// Loans and views.
struct InPlace {
    loans: Loans,
    views: Views,
}

/// Loans and samples.
struct PubSub {
    sender: Sender,
    receiver: Receiver,
}

/// A peer of the other tables, whose publications copy.
struct Copied<P: Peer<WORDS>, const WORDS: usize> {
    ends: Ends<P::Publisher, P::Reader>,
    state: Box<[u64; WORDS]>,
    peer: PhantomData<P>,
}

/// All sizes.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, report: &mut Report) {
    one_size::<{ 64 << 7 }>(arguments, ground, report);
    one_size::<{ 1 << 17 }>(arguments, ground, report);
    one_size::<{ 16 << 17 }>(arguments, ground, report);
}

fn one_size<const WORDS: usize>(arguments: &Arguments, ground: &Ground, report: &mut Report) {
    let label = size(WORDS * 8);
    if !arguments.wants(&format!("in place/{label}")) {
        return;
    }
    let (rounds, batch) = (arguments.effort.rounds, arguments.effort.batch);
    let (mut peers, mut batches) = (Vec::new(), Vec::new());
    for Contestant { name, in_place, both, singly } in contestants::<WORDS>(ground) {
        batches.push(both);
        peers.push((name, in_place, singly, Times { publish: histogram(), read: histogram() }));
    }
    let both = in_turns(&mut batches, rounds, batch);
    for _ in 0..rounds {
        for (.., singly, times) in &mut peers {
            singly(arguments.effort.contended / 6, times);
        }
    }
    let reference = peers.iter().position(|(name, ..)| *name == REFERENCE).expect("it is always there");
    println!("### {label}, in place and copied, each publication read once\n");
    let mut table = Table::new(&[
        "peer",
        "in place",
        "read p50 ns",
        "p99 ns",
        "publish p50 ns",
        "p99 ns",
        "both, mean ns",
        "ratio",
    ]);
    for ((name, in_place, _, times), both_ns) in peers.iter().zip(&both) {
        let [read, read_p99] = quantiles(&times.read, [0.5, 0.99]).map(|nanos| nanos as f64);
        let [publish, publish_p99] = quantiles(&times.publish, [0.5, 0.99]).map(|nanos| nanos as f64);
        let figures = [read, read_p99, publish, publish_p99, *both_ns];
        let names = ["read p50 ns", "read p99 ns", "publish p50 ns", "publish p99 ns", "both ns"];
        for (figure, value) in names.iter().zip(figures) {
            report.add(format!("in place/{label}/{name}/{figure}"), value);
        }
        let cells = figures.into_iter().chain([both_ns / both[reference]]).map(figure);
        table.row([name.to_string(), in_place.to_string()].into_iter().chain(cells).collect());
    }
    table.print();
}

fn contestants<const WORDS: usize>(ground: &Ground) -> Vec<Contestant> {
    let place = |name: &str| ground.place(&format!("in-place-{name}-{WORDS}"));
    let copied = |name: &str| place(&format!("copied-{name}"));
    vec![
        contestant(REFERENCE, "yes", InPlace::open(&place("undated"), WORDS * 8, TimestampSource::None)),
        contestant(
            "tearless, in place",
            "yes",
            InPlace::open(&place("dated"), WORDS * 8, TimestampSource::Precise),
        ),
        contestant("iceoryx2 publish-subscribe", "yes", PubSub::open(&place("iceoryx2"), WORDS * 8)),
        contestant(
            "mmap-sync raw, guard",
            "read",
            Copied::<MmapSyncGuard, WORDS>::open(&copied("mmap-sync")),
        ),
        contestant("tearless undated, copied", "no", Copied::<Undated, WORDS>::open(&copied("tearless"))),
        contestant("iceoryx2 blackboard", "no", Copied::<Iceoryx, WORDS>::open(&copied("blackboard"))),
        contestant("memcpy", "no", Copied::<Memcpy, WORDS>::open(&copied("memcpy"))),
        contestant("memcpy around", "no", Copied::<MemcpyAround, WORDS>::open(&copied("around"))),
    ]
}

/// The number at both ends of a state.
fn ends(state: &[u8]) -> [u64; 2] {
    [0, state.len() - 8].map(|at| u64::from_ne_bytes(state[at..][..8].try_into().expect("8 bytes")))
}

/// A way, opened and checked.
fn contestant(name: &'static str, in_place: &'static str, pass: impl Pass + 'static) -> Contestant {
    let shared = Rc::new(RefCell::new((pass, 0_u64)));
    let both = Rc::clone(&shared);
    let both: Batch = Box::new(move |times| {
        let (pass, number) = &mut *both.borrow_mut();
        let begin = Instant::now();
        for _ in 0..times {
            *number += 1;
            pass.publish(*number);
            pass.read(|state| {
                black_box(ends(state));
            });
        }
        begin.elapsed()
    });
    let singly = Box::new(move |duration, times: &mut Times| {
        let (pass, number) = &mut *shared.borrow_mut();
        let (begin, mut after) = (Instant::now(), Instant::now());
        while after - begin < duration {
            *number += 1;
            let mut seen = [0; 2];
            let before = Instant::now();
            pass.publish(*number);
            let between = Instant::now();
            pass.read(|state| seen = ends(state));
            after = Instant::now();
            assert_eq!(seen, [*number; 2], "the state that was read is not the published one");
            times.publish.saturating_record(nanos(between - before));
            times.read.saturating_record(nanos(after - between));
        }
    });
    Contestant { name, in_place, both, singly }
}

impl InPlace {
    fn open(place: &Place, len: usize, timestamps: TimestampSource) -> InPlace {
        let builder = writer_builder(place, len).pins(1).timestamps(timestamps);
        let mut loans = Loans::open(builder, len);
        for _ in 0..loans.slots() {
            loans.publish_filled(7, 0);
        }
        InPlace { loans, views: Views::open(place) }
    }
}

impl Pass for InPlace {
    #[inline]
    fn publish(&mut self, number: u64) {
        self.loans.publish_ends(number);
    }

    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u8])) {
        look(&self.views.view());
    }
}

impl PubSub {
    fn open(place: &Place, len: usize) -> PubSub {
        let (mut sender, mut receiver) = (Sender::open(place, len, 1), Receiver::open(place));
        // More than the pool has samples.
        for _ in 0..8 {
            sender.send_filled(7, 0);
            drop(receiver.receive());
        }
        PubSub { sender, receiver }
    }
}

impl Pass for PubSub {
    #[inline]
    fn publish(&mut self, number: u64) {
        self.sender.send_ends(number);
    }

    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u8])) {
        look(&self.receiver.receive().expect("a sample was sent"));
    }
}

impl<P: Peer<WORDS>, const WORDS: usize> Copied<P, WORDS> {
    fn open(place: &Place) -> Copied<P, WORDS> {
        Copied { ends: P::open(place), state: boxed(|_| 7), peer: PhantomData }
    }
}

impl<P: Peer<WORDS>, const WORDS: usize> Pass for Copied<P, WORDS> {
    #[inline]
    fn publish(&mut self, number: u64) {
        self.state[0] = number;
        self.state[WORDS - 1] = number;
        self.ends.publisher.publish(black_box(&self.state));
    }

    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u8])) {
        self.ends.reader.read(|state| look(bytemuck::bytes_of(state)));
    }
}

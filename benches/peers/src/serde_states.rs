//! What the library adds to the codec: publish and snapshot, against a bare encode, memcpy and decode.

use std::hint::black_box;
use std::time::Instant;

use tearless::{options::TimestampSource, Decode, Encode, MessagePack, Postcard};

use crate::batch::{Batch, in_turns};
use crate::effort::Arguments;
use crate::place::{Ground, Place};
use crate::report::{Report, Table, figure};
use crate::worker_state::WorkerState;

/// Sizes as they are in Postcard, and the jobs that make them.
const SIZES: [(&str, usize); 3] = [("200 B", 3), ("2 KiB", 45), ("50 KiB", 1160)];

/// All codecs and sizes.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, report: &mut Report) {
    let mut table = Table::new(&["publish + snapshot", "state", "bytes", "tearless ns", "bare ns", "ratio"]);
    let mut any = false;
    for (label, jobs) in SIZES {
        for codec in [Postcard::bare(), MessagePack::bare()] {
            let id = format!("serde/{}/{label}", codec.name);
            if !arguments.wants(&id) {
                continue;
            }
            any = true;
            let place = ground.place(&id.replace(['/', ' '], "-"));
            let state = WorkerState::new(jobs, 1);
            let len = (codec.len)(&state);
            let mut batches = [(codec.ours)(&place, state.clone()), (codec.bare)(state)];
            let nanos = in_turns(&mut batches, arguments.effort.rounds, arguments.effort.batch);
            let ratio = nanos[0] / nanos[1];
            let figures =
                [("bytes", len as f64), ("tearless ns", nanos[0]), ("bare ns", nanos[1]), ("ratio", ratio)];
            for (name, value) in figures {
                report.add(format!("{id}/{name}"), value);
            }
            let cells = figures.map(|(_, value)| figure(value));
            table.row([codec.name.into(), label.into()].into_iter().chain(cells).collect());
        }
    }
    if any {
        println!("### States of serde\n");
        table.print();
    }
}

/// What is measured of a codec.
struct Measured {
    name: &'static str,
    len: fn(&WorkerState) -> usize,
    ours: fn(&Place, WorkerState) -> Batch,
    bare: fn(WorkerState) -> Batch,
}

/// A codec, with and without the library.
trait Bare {
    fn bare() -> Measured;
}

impl Bare for Postcard {
    fn bare() -> Measured {
        Measured {
            name: "postcard",
            len: |state| postcard::to_stdvec(state).expect("it can be encoded").len(),
            ours: ours::<Postcard>,
            bare: |state| {
                bare(
                    state,
                    |state, scratch| {
                        postcard::to_io(state, scratch).expect("it can be encoded");
                    },
                    |payload| postcard::from_bytes(payload).expect("it is whole"),
                )
            },
        }
    }
}

impl Bare for MessagePack {
    fn bare() -> Measured {
        Measured {
            name: "message-pack",
            len: |state| rmp_serde::to_vec_named(state).expect("it can be encoded").len(),
            ours: ours::<MessagePack>,
            bare: |state| {
                bare(
                    state,
                    |state, scratch| {
                        rmp_serde::encode::write_named(scratch, state).expect("it can be encoded");
                    },
                    |payload| rmp_serde::from_slice(payload).expect("it is whole"),
                )
            },
        }
    }
}

/// Publishes and takes a snapshot, all else at its default.
fn ours<C: Encode<WorkerState> + Decode<WorkerState> + 'static>(place: &Place, state: WorkerState) -> Batch {
    let namespace = place.namespace();
    let builder = namespace.writer_builder::<WorkerState>(place.name()).codec::<C>();
    let mut writer = builder.timestamps(TimestampSource::None).open().expect("there is room in shared memory");
    // Until both segments are as large as they have to be.
    for _ in 0..2 * writer.slots() {
        writer.publish(&state).expect("the state fits");
    }
    let builder = namespace.reader_builder::<WorkerState>(place.name()).codec::<C>();
    let mut reader = builder.open().expect("the channel is there");
    assert!(*reader.snapshot().expect("something was published") == state);
    Box::new(move |times| {
        let begin = Instant::now();
        for _ in 0..times {
            writer.publish(black_box(&state)).expect("the state fits");
            black_box(reader.snapshot().expect("something was published"));
        }
        begin.elapsed()
    })
}

/// Encodes, copies the bytes, and decodes the copy. The memory for either is reused, as the library does.
fn bare(
    state: WorkerState,
    encode: impl Fn(&WorkerState, &mut Vec<u8>) + 'static,
    decode: impl Fn(&[u8]) -> WorkerState + 'static,
) -> Batch {
    let (mut encoded, mut copy) = (Vec::new(), Vec::new());
    Box::new(move |times| {
        let begin = Instant::now();
        for _ in 0..times {
            encoded.clear();
            encode(black_box(&state), &mut encoded);
            copy.clear();
            copy.extend_from_slice(black_box(&encoded));
            black_box(decode(black_box(&copy)));
        }
        begin.elapsed()
    })
}

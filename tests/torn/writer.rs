//! A writer process: publishes flat out, grows, and shrinks now and then.

use bytemuck::Zeroable;
use tearless::{Bytes, Namespace, Pod, Writer};

use crate::child::{self, Task};
use crate::combination::{COMBINATIONS, Combination, Payload, Plain};
use crate::content::{MAX_BYTES, Script};
use crate::tally::Tally;

/// Publications of bytes in a row. Where a process writes two channels, it takes about as long on either.
const BYTES_BURST: u32 = 64;
/// Publications of plain data in a row.
const PLAIN_BURST: u32 = 1024;

/// The writer of one channel.
enum Author {
    Bytes(Writer<[u8], Bytes>, Vec<u8>),
    Plain(Writer<Plain, Pod>, Box<Plain>),
}

struct Desk {
    index: usize,
    script: Script,
    author: Author,
}

impl Desk {
    fn open(index: usize, namespace: &Namespace, seed: u64) -> Desk {
        let combination = &COMBINATIONS[index];
        let author = match combination.payload {
            Payload::Bytes => Author::Bytes(combination.bytes_writer(namespace), vec![0; MAX_BYTES]),
            Payload::Plain => Author::Plain(combination.plain_writer(namespace), Box::new(Plain::zeroed())),
        };
        Desk { index, script: Combination::script(index, seed), author }
    }

    fn burst(&mut self) {
        let max = match self.author {
            Author::Bytes(..) => BYTES_BURST,
            Author::Plain(..) => PLAIN_BURST,
        };
        for _ in 0..max {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let (expected, published) = match &mut self.author {
            Author::Bytes(writer, room) => {
                let next = writer.publication() + 1;
                if self.script.shrinks(next) {
                    writer.shrink_to_fit();
                }
                (next, writer.publish(self.script.write(next, room)))
            }
            Author::Plain(writer, state) => {
                let next = writer.publication() + 1;
                self.script.write(next, bytemuck::bytes_of_mut(&mut **state));
                (next, writer.publish(state))
            }
        };
        let published = published.unwrap_or_else(|error| panic!("publication {expected}: {error}"));
        assert_eq!(published, expected, "{}", COMBINATIONS[self.index].name);
    }

    fn close(self) {
        let (publications, growths, closed) = match self.author {
            Author::Bytes(writer, _) => (writer.publication(), writer.growths(), writer.close()),
            Author::Plain(writer, _) => (writer.publication(), writer.growths(), writer.close()),
        };
        closed.expect("its own names can be removed");
        child::report(self.index, Tally { publications, growths, ..Tally::default() });
    }
}

/// Publishes on the channels of writer `index` until the time is over, and closes them.
pub(crate) fn run(index: usize, namespace: &Namespace, task: &Task) {
    let mut desks = (0..COMBINATIONS.len())
        .filter(|channel| COMBINATIONS[*channel].writer == index)
        .map(|channel| Desk::open(channel, namespace, task.seed))
        .collect::<Vec<_>>();
    let Some(shift) = child::wait_for_start(task) else { return };
    while !shift.is_over() {
        for desk in &mut desks {
            desk.burst();
        }
    }
    for desk in desks {
        desk.close();
    }
}

//! The cost of a query without shared memory: a process encodes its state and sends it, and this
//! process decodes it.

use std::hint::black_box;
use std::io::{Read, Write, stdin, stdout};
use std::os::unix::net::{UnixListener, UnixStream};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use testkit::child;

use crate::place::Place;
use crate::worker_state::WorkerState;

/// The state of the small query: as much as fits in a cache line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) values: [u64; 8],
}

/// Answers over a Unix socket until the peer hangs up.
pub(crate) fn at_socket(jobs: Option<usize>, place: &Place) {
    let listener = UnixListener::bind(place.file()).expect("the run's directory is there");
    child::ready();
    let (stream, _) = listener.accept().expect("the main process connects");
    answer_all(jobs, &stream, &stream);
}

/// Answers by this process's output until its input ends.
pub(crate) fn by_pipe(jobs: Option<usize>) {
    child::ready();
    answer_all(jobs, stdin().lock(), stdout().lock());
}

fn answer_all(jobs: Option<usize>, input: impl Read, output: impl Write) {
    match jobs {
        Some(jobs) => answer(&WorkerState::new(jobs, 1), input, output),
        None => answer(&Counters { values: [u64::MAX; 8] }, input, output),
    }
}

/// Answers each byte with the state in Postcard, after its length.
fn answer(state: &impl Serialize, mut input: impl Read, mut output: impl Write) {
    let mut request = [0];
    let mut message = Vec::new();
    while input.read_exact(&mut request).is_ok() {
        message.clear();
        message.extend([0; 4]);
        postcard::to_io(black_box(state), &mut message).expect("it can be encoded");
        let len = u32::try_from(message.len() - 4).expect("it is small");
        message[..4].copy_from_slice(&len.to_le_bytes());
        output.write_all(&message).expect("the main process reads");
        output.flush().expect("the main process reads");
    }
}

/// Asks once, and decodes the answer.
pub(crate) fn ask<T: DeserializeOwned>(
    mut output: impl Write,
    mut input: impl Read,
    scratch: &mut Vec<u8>,
) -> T {
    output.write_all(&[1]).expect("it listens");
    output.flush().expect("it listens");
    let mut len = [0; 4];
    input.read_exact(&mut len).expect("it answers");
    scratch.resize(u32::from_le_bytes(len) as usize, 0);
    input.read_exact(scratch).expect("it answers");
    postcard::from_bytes(scratch).expect("it is the state asked for")
}

/// The other end of `at_socket`.
pub(crate) fn connect(place: &Place) -> UnixStream {
    UnixStream::connect(place.file()).expect("it listens")
}

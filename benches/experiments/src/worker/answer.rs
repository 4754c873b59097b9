//! A worker that answers requests for its state over a socket, as many services do; and the request.

use std::io::{self, Read, Write};

use tearless::{Encode, Namespace, Postcard};

use super::{CHANNEL, Link};
use crate::Failure;
use crate::worker_state::WorkerState;

/// Publishes the state once, and then answers each request, a byte, with the state's length and a new
/// encoding of it.
pub(crate) fn run(namespace: &Namespace, mut link: Link, jobs: usize) -> Result<(), Failure> {
    let state = WorkerState::new(jobs, 1);
    let mut writer = namespace.writer_builder::<WorkerState>(CHANNEL).codec::<Postcard>().open()?;
    writer.publish(&state)?;
    link.say(&"ready")?;
    let mut socket = link.stream.into_inner();
    let (mut scratch, mut answer, mut request) = (Vec::new(), Vec::new(), [0]);
    while socket.read(&mut request)? > 0 {
        let payload = Postcard::encode(&state, &mut scratch)?;
        answer.clear();
        answer.extend_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
        answer.extend_from_slice(payload);
        socket.write_all(&answer)?;
    }
    Ok(writer.close()?)
}

/// In the main process: asks for the state, and waits for its encoding.
pub(crate) fn ask_for_state(link: &mut Link, payload: &mut Vec<u8>) -> io::Result<()> {
    link.stream.get_mut().write_all(&[1])?;
    let mut len = [0; 4];
    link.stream.read_exact(&mut len)?;
    payload.resize(u32::from_le_bytes(len) as usize, 0);
    link.stream.read_exact(payload)
}

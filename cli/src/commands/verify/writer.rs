//! A writer process: publishes flat out, grows and shrinks, until it is told to end or is killed.

use tearless::{Bytes, Namespace, Writer};

use super::content::{Content, scramble};
use super::course::{COURSES, Course};
use crate::again::{self, READY, Shift, text};

/// Publications in a row of one channel.
const BURST: u32 = 64;

/// One in so many publications is preceded by `shrink_to_fit`, so that growth never ends.
const SHRINK_EVERY: u64 = 1024;

/// Which channels a writer process has, and which life of it this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) index: usize,
    pub(super) writers: usize,
    pub(super) life: u64,
}

struct Desk {
    writer: Writer<[u8], Bytes>,
    content: Content,
    payload: Vec<u8>,
}

impl Desk {
    fn publish(&mut self, life: u64) -> Result<(), String> {
        let next = self.writer.publication() + 1;
        if scramble(life, next).is_multiple_of(SHRINK_EVERY) {
            self.writer.shrink_to_fit();
        }
        self.content.write(next, life, &mut self.payload);
        match self.writer.publish(&self.payload) {
            Ok(number) if number == next => Ok(()),
            Ok(number) => Err(format!("{}: published as {number}, not as {next}", self.writer.channel())),
            Err(error) => Err(format!("{}: publication {next}: {error}", self.writer.channel())),
        }
    }
}

/// Publishes on the channels of its share, and closes them at the end.
///
/// # Errors
///
/// What went wrong, in words.
pub(super) fn run(share: Share, namespace: &Namespace, seed: u64, shift: &Shift) -> Result<(), String> {
    let mut desks = (share.index..COURSES.len())
        .step_by(share.writers)
        .map(|course| {
            let writer = COURSES[course].writer(namespace).map_err(text)?;
            Ok(Desk { writer, content: Course::content(course, seed), payload: Vec::new() })
        })
        .collect::<Result<Vec<_>, String>>()?;
    again::say(READY);
    while !shift.is_over() {
        for desk in &mut desks {
            for _ in 0..BURST {
                desk.publish(share.life)?;
            }
        }
    }
    desks.into_iter().try_for_each(|desk| desk.writer.close().map_err(text))
}

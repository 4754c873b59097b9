//! Channels of a fleet, and copies that only count what they get.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tearless_mirror::message::{Description, Status};
use tearless_mirror::sink::{Copies, Mirrored};
use tearless_mirror::source::{Channel, Latest, Read};

/// A channel whose states have zeros, and numbers.
#[derive(Clone)]
pub struct Worker {
    pub publication: Rc<Cell<u64>>,
    pub len: usize,
}

impl Channel for Worker {
    fn latest(&mut self) -> Option<Latest> {
        Some(Latest { publication: self.publication.get(), len: self.len as u64 })
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read> {
        payload.clear();
        payload.resize(self.len, 1);
        Some(Read { publication: self.publication.get(), age: Some(Duration::ZERO) })
    }
}

/// The copies of one reader of one origin.
#[derive(Default)]
pub struct Copied {
    pub publications: Vec<Cell<u64>>,
    pub states: Vec<Cell<u64>>,
    pub unreachable: Cell<u64>,
}

pub struct Memory(pub Rc<RefCell<Copied>>);

pub struct Copy {
    of: Rc<RefCell<Copied>>,
    at: usize,
}

impl Copies for Memory {
    type Copy = Copy;

    fn open(&mut self, _: &str, _: &Description) -> Result<Copy, String> {
        let mut copied = self.0.borrow_mut();
        copied.publications.push(Cell::new(0));
        copied.states.push(Cell::new(0));
        Ok(Copy { of: Rc::clone(&self.0), at: copied.states.len() - 1 })
    }

    fn remove_others(&mut self, _: &str, _: &dyn Fn(&str, &str) -> bool) {}
}

impl Mirrored for Copy {
    fn publication(&self) -> u64 {
        self.of.borrow().publications[self.at].get()
    }

    fn publish(&mut self, _: &[u8], publication: u64, _: Option<Duration>) -> Result<(), String> {
        let of = self.of.borrow();
        of.publications[self.at].set(publication);
        of.states[self.at].update(|states| states + 1);
        Ok(())
    }

    fn set_status(&mut self, _: &Status) {}

    fn set_unreachable(&mut self, since: Option<Duration>) {
        if since.is_some() && self.at == 0 {
            self.of.borrow().unreachable.update(|times| times + 1);
        }
    }

    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn remove(self) {}
}

/// One channel of ten is a summary.
pub fn name(channel: usize) -> String {
    format!("worker-{channel}{}", if channel.is_multiple_of(10) { "-summary" } else { "" })
}

//! The lower bound: two words of shared memory, and bare system calls.

#![allow(unsafe_code, reason = "maps the words")]

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, ftruncate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::shm;
use rustix::thread::futex::{Flags, wait, wake};

const BYTES: usize = 4096;
const END: u32 = u32::MAX;

/// The words of the question and of the answer, each on its own cache line.
pub(crate) struct Words {
    base: *mut AtomicU32,
    /// The name, in the process that created the object and unlinks it at the end.
    created: Option<String>,
}

impl Words {
    pub(crate) fn create(name: &str) -> Words {
        let name = object(name);
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let fd = shm::open(&*name, flags, Mode::RUSR | Mode::WUSR).expect("the name is new");
        ftruncate(&fd, BYTES as u64).expect("a page fits");
        Words { base: map(fd), created: Some(name) }
    }

    pub(crate) fn open(name: &str) -> Words {
        let fd = shm::open(&*object(name), shm::OFlags::RDWR, Mode::empty()).expect("it was created before");
        Words { base: map(fd), created: None }
    }

    fn question(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped and aligned for as long as `self` lives, and all access to it
        // is atomic.
        unsafe { &*self.base }
    }

    fn answered(&self) -> &AtomicU32 {
        // SAFETY: the 32nd word is within the page.
        let address = unsafe { self.base.add(32) };
        // SAFETY: as for `question`.
        unsafe { &*address }
    }

    pub(crate) fn ask(&self) {
        let number = self.question().load(Ordering::Relaxed) + 1;
        send(self.question(), number);
        await_change(self.answered(), number - 1);
    }

    pub(crate) fn answer(&self) -> bool {
        let last = self.answered().load(Ordering::Relaxed);
        let number = await_change(self.question(), last);
        if number != END {
            send(self.answered(), number);
        }
        number != END
    }

    pub(crate) fn end(&self) {
        send(self.question(), END);
    }
}

fn send(word: &AtomicU32, number: u32) {
    word.store(number, Ordering::Release);
    let _ = wake(word, Flags::empty(), 1);
}

fn await_change(word: &AtomicU32, from: u32) -> u32 {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != from {
            return now;
        }
        let _ = wait(word, Flags::empty(), from, None);
    }
}

fn object(name: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    format!("/{}", name.chars().map(plain).collect::<String>())
}

fn map(fd: std::os::fd::OwnedFd) -> *mut AtomicU32 {
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
    let base = unsafe { mmap(ptr::null_mut(), BYTES, prot, MapFlags::SHARED, fd, 0) };
    base.expect("a page can be mapped").cast()
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and its words are borrowed from `self` only.
        let _ = unsafe { munmap(self.base.cast(), BYTES) };
        if let Some(name) = &self.created {
            let _ = shm::unlink(&**name);
        }
    }
}

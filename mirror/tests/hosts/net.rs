//! A network of hosts in one process: each host has a TAP device, and a switch in this process
//! carries the frames between them. So a link is delayed, lossy, narrow or cut without any module
//! of the kernel but `tun`, and a cut link is silent, as a broken cable behind a switch is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a link does to the frames between two hosts, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// How long a frame takes.
    pub delay: Duration,
    /// The share of frames that are lost, 0.0 to 1.0.
    pub loss: f64,
    /// Bits a second; `None`: as fast as the machine.
    pub rate: Option<u64>,
    /// Loses every frame, without a sign.
    pub cut: bool,
}

/// What waits for a narrow link: a frame that would wait longer is lost.
const QUEUE: Duration = Duration::from_millis(200);
pub const MTU: usize = 9000;

pub struct Net {
    switch: Arc<Switch>,
}

#[derive(Default)]
struct Switch {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    ports: Vec<Arc<File>>,
    links: HashMap<(usize, usize), Link>,
    /// When each direction of a narrow link has sent what waits.
    free_at: HashMap<(usize, usize), Instant>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    count: u64,
    random: u64,
    closed: bool,
}

#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Delayed {
    due: Instant,
    /// Frames that are due at the same time stay in order.
    number: u64,
    to: usize,
    frame: Vec<u8>,
}

impl Net {
    pub fn new() -> Net {
        let switch = Arc::new(Switch::default());
        switch.lock().random = 0x9e37_79b9_7f4a_7c15;
        let delayer = Arc::clone(&switch);
        thread::spawn(move || delayer.deliver_delayed());
        Net { switch }
    }

    /// Creates a TAP device and carries its frames; returns its number, from 1. The caller moves it
    /// into the namespace of a host. It disappears with that namespace.
    pub fn add_port(&self, device: &str) -> usize {
        let port = Arc::new(open_tap(device).expect("a TAP device can be made"));
        let mut state = self.switch.lock();
        state.ports.push(Arc::clone(&port));
        let number = state.ports.len();
        drop(state);
        let switch = Arc::clone(&self.switch);
        thread::spawn(move || switch.carry(number, &port));
        number
    }

    /// What the link between two hosts does from now on.
    pub fn set(&self, a: usize, b: usize, link: Link) {
        let mut state = self.switch.lock();
        for direction in [(a, b), (b, a)] {
            state.links.insert(direction, link);
            state.free_at.remove(&direction);
        }
    }

    /// Changes a part of what the link between two hosts does.
    pub fn change(&self, a: usize, b: usize, change: impl FnOnce(&mut Link)) {
        let mut link = self.switch.lock().links.get(&(a, b)).copied().unwrap_or_default();
        change(&mut link);
        self.set(a, b, link);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.switch.lock().closed = true;
        self.switch.wake.notify_all();
    }
}

pub fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(number).expect("a few hosts"))
}

pub fn mac(number: usize) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

impl Switch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries what `port` sends, until its device disappears.
    fn carry(&self, from: usize, mut port: &File) {
        let mut buffer = vec![0; MTU + 64];
        while let Ok(len) = port.read(&mut buffer) {
            let frame = &buffer[..len];
            // The hosts know each other's hardware addresses: nothing is broadcast.
            if len < 14 || frame[..5] != [2, 0, 0, 0, 0] {
                continue;
            }
            let mut state = self.lock();
            if state.closed {
                return;
            }
            let to = usize::from(frame[5]);
            let Some(target) = state.ports.get(to.wrapping_sub(1)).cloned() else { continue };
            match state.fate((from, to), len) {
                Fate::Lost => {}
                Fate::Now => {
                    drop(state);
                    // A full device loses frames, as a full link does.
                    let _ = (&*target).write_all(frame);
                }
                Fate::At(due) => {
                    state.count += 1;
                    let number = state.count;
                    state.delayed.push(Reverse(Delayed { due, number, to, frame: frame.to_vec() }));
                    drop(state);
                    self.wake.notify_one();
                }
            }
        }
    }

    fn deliver_delayed(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            match state.delayed.peek() {
                Some(Reverse(first)) if first.due <= now => {
                    let Some(Reverse(first)) = state.delayed.pop() else { continue };
                    let target = state.ports[first.to - 1].clone();
                    drop(state);
                    let _ = (&*target).write_all(&first.frame);
                    state = self.lock();
                }
                Some(Reverse(first)) => {
                    let wait = first.due - now;
                    state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

enum Fate {
    Lost,
    Now,
    At(Instant),
}

impl State {
    fn fate(&mut self, direction: (usize, usize), len: usize) -> Fate {
        let link = self.links.get(&direction).copied().unwrap_or_default();
        if link.cut || self.random() < link.loss {
            return Fate::Lost;
        }
        let now = Instant::now();
        let mut sent = now;
        if let Some(rate) = link.rate {
            let free_at = self.free_at.entry(direction).or_insert(now);
            if free_at.saturating_duration_since(now) > QUEUE {
                return Fate::Lost;
            }
            sent = now.max(*free_at) + Duration::from_secs_f64(len as f64 * 8.0 / rate as f64);
            *free_at = sent;
        }
        let due = sent + link.delay;
        if due > now { Fate::At(due) } else { Fate::Now }
    }

    /// xorshift64*; the same numbers in each run.
    fn random(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The request of `TUNSETIFF`: the first part of the kernel's `struct ifreq`, which has 40 bytes.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;
const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 202);

#[expect(unsafe_code, reason = "the standard library has no ioctl")]
fn open_tap(device: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut name = [0; 16];
    name[..device.len()].copy_from_slice(device.as_bytes());
    let request = Request { name, flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    // SAFETY: TUNSETIFF reads a `struct ifreq`, whose 40 bytes `Request` has.
    let setter = unsafe { rustix::ioctl::Setter::<{ TUNSETIFF }, Request>::new(request) };
    // SAFETY: the file is a TUN device's, whose driver knows this request, and the request lives
    // until the call returns.
    unsafe { rustix::ioctl::ioctl(&file, setter)? };
    Ok(file)
}

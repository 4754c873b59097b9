//! The other side of `tests/peers.c`: publishes states in Rust, and reads those of C.
//!
//! `peer NAMESPACE write` publishes one state on `plain`, `packed`, `compact` (Postcard) and
//! `bytes`, prints `ready`, and ends when its input does. `peer NAMESPACE read` reads all but
//! `compact`, and fails unless they hold the same state.

use std::error::Error;
use std::io::{Read, stdin};

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};
use tearless::accept::{MatchingFields, SameSchema};
use tearless::{Bytes, Namespace, Pod, Postcard};

#[derive(
    Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable, Serialize, Deserialize, Schema,
)]
#[repr(C)]
struct Motor {
    speed: f64,
    code: i32,
    #[serde(default)]
    _padding: [u8; 4],
}
tearless::describe_pod!(Motor { speed, code, _padding });

#[derive(
    Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable, Serialize, Deserialize, Schema,
)]
#[repr(C)]
struct Robot {
    jobs: u64,
    position: [f64; 3],
    motors: [Motor; 2],
}
tearless::describe_pod!(Robot { jobs, position, motors });

const fn motor(speed: f64, code: i32) -> Motor {
    Motor { speed, code, _padding: [0; 4] }
}

const STATE: Robot = Robot { jobs: 12, position: [0.0, 0.5, -2.0], motors: [motor(9.0, -1), motor(0.25, 3)] };

fn write(fleet: &Namespace) -> Result<(), Box<dyn Error>> {
    let mut plain = fleet.writer_builder::<Robot>("plain").codec::<Pod>().with_schema().open()?;
    let mut packed = fleet.writer::<Robot>("packed")?;
    let mut compact = fleet.writer_builder::<Robot>("compact").codec::<Postcard>().with_schema().open()?;
    let mut bytes = fleet.writer_builder::<[u8]>("bytes").codec::<Bytes>().open()?;
    plain.publish(&STATE)?;
    packed.publish(&STATE)?;
    compact.publish(&STATE)?;
    bytes.publish(b"\0rust")?;
    println!("ready");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn read(fleet: &Namespace) -> Result<(), Box<dyn Error>> {
    assert_eq!(*fleet.reader_builder::<Robot>("plain").codec::<Pod>().open()?.snapshot()?, STATE);
    let same = fleet.reader_builder::<Robot>("plain").codec::<Pod>().accept(SameSchema).open();
    assert_eq!(*same?.snapshot()?, STATE);
    let matching = fleet.reader_builder::<Robot>("plain").codec::<Pod>().accept(MatchingFields).open();
    assert_eq!(*matching?.snapshot()?, STATE);
    assert_eq!(*fleet.reader::<Robot>("packed")?.snapshot()?, STATE);
    let mut bytes = fleet.reader_builder::<Vec<u8>>("bytes").codec::<Bytes>().open()?;
    assert_eq!(&bytes.snapshot()?[..], b"\0c");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [namespace, task] = &arguments[..] else { return Err("usage: peer NAMESPACE write|read".into()) };
    let fleet = Namespace::open(namespace)?;
    if task == "write" { write(&fleet) } else { read(&fleet) }
}

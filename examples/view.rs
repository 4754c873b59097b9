//! Looks at the camera's frames where the camera put them: nothing is copied, however large they
//! are. Start the camera of the example `loan` in one terminal, this one in another:
//!
//! ```text
//! cargo run --release --example loan        cargo run --release --example view
//! ```
//!
//! It keeps the brightest frame so far in view while the camera goes on, and compares each new one
//! with it.

use std::{error::Error, time::Duration};

use tearless::view::{TrustedWriters, View};
use tearless::{Boxed, Namespace, Pod};

/// A grey picture, as the camera has it.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Frame {
    number: u64,
    rows: [[u8; 640]; 480],
}

fn main() -> Result<(), Box<dyn Error>> {
    let builder = Namespace::open("examples")?.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>();
    // SAFETY: of this user's processes, only tearless stores to the camera's memory, and this one
    // does not fork.
    let builder = builder.views_in_place(unsafe { TrustedWriters::new() });
    let mut reader = builder.attach_within(Duration::from_secs(60)).open()?;
    let mut brightest: Option<View<Frame>> = None;
    // Ends with the error that the camera has closed the channel.
    loop {
        if !reader.changed(Duration::from_secs(10))? {
            continue;
        }
        let frame = reader.view()?;
        let place = if frame.is_in_place() { "in place" } else { "a copy" };
        println!("frame {:3}, {place}: brightness {:5.1}", frame.number, brightness(&frame));
        if brightest.as_ref().is_none_or(|it| brightness(it) < brightness(&frame)) {
            brightest = Some(frame);
        } else if let Some(brightest) = &brightest {
            println!("           still in view: frame {:3}, {:5.1}", brightest.number, brightness(brightest));
        }
    }
}

/// The mean of all pixels.
fn brightness(frame: &Frame) -> f64 {
    let pixels = frame.rows.as_flattened();
    pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels.len() as f64
}

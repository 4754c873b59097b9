//! A worker that sends the states of many workers through queues: one socket for each.

use std::io::{ErrorKind, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use super::hold::{Held, STATE_WORDS};
use super::orders::{Order, Orders, Pace, is_hung_up};
use super::{Link, Rate};
use crate::payload::word_of;
use crate::{Failure, measure};

/// Waits for the connections, then sends a state through each at `rate` until the input ends.
pub(crate) fn run(link: Link, sockets: usize, rate: Rate, name: &str) -> Result<(), Failure> {
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    let mut orders = Orders::ready(link)?;
    let mut streams = Vec::with_capacity(sockets);
    while streams.len() < sockets {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                streams.push(stream);
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            // After the end of the main process no more connections arrive.
            Err(_) if orders.poll().is_some() => return Ok(()),
            Err(_) => thread::sleep(Duration::from_micros(100)),
        }
    }
    let mut pace = Pace::new(rate);
    let mut held = Held::default();
    loop {
        match pace.next(&orders) {
            None => {
                let state = [word_of(held.updates + 1); STATE_WORDS];
                if !send(&mut streams, bytemuck::bytes_of(&state))? {
                    return Ok(());
                }
                held.updates += sockets as u64;
            }
            Some(Order::Report) => {
                held.processor_nanos = measure::processor_nanos();
                orders.say(&held)?;
            }
            Some(Order::End) => return Ok(()),
        }
    }
}

/// Returns `false` if the main process has ended.
fn send(streams: &mut [UnixStream], state: &[u8]) -> Result<bool, Failure> {
    for stream in streams {
        match stream.write_all(state) {
            Ok(()) => {}
            Err(error) if is_hung_up(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

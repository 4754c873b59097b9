//! A worker process: samples, publishes, sleeps until the next tick.

use std::{
    error::Error,
    io::{self, Read},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use tearless::{CreateError, Decode, Encode, Namespace, Writer, WriterBuilder};

use crate::{kind::Job, options::WorkerOptions, state::State};

/// Publishes until standard input ends: the main process closes it when it has seen enough, and the kernel
/// closes it when the main process is killed. Either way the channel is closed and leaves nothing behind.
pub(crate) fn run(options: &WorkerOptions) -> Result<(), Box<dyn Error>> {
    options.assignment.run(Publishing { options, end: end_of_input()? })
}

struct Publishing<'a> {
    options: &'a WorkerOptions,
    end: Receiver<()>,
}

impl Job for Publishing<'_> {
    type Output = Result<(), Box<dyn Error>>;

    fn run<T: State + 'static, C: Encode<T> + Decode<T> + 'static>(self) -> Self::Output {
        // The main process has cleaned up.
        let fleet = Namespace::builder(&self.options.namespace).without_cleaning().open()?;
        let builder = fleet.writer_builder::<T>(&self.options.channel).codec::<C>();
        let mut writer = open_soon(&builder)?;
        let mut ticks = Ticks { next: Instant::now(), every: T::EVERY };
        loop {
            let state = T::sample(writer.publication() + 1)?;
            writer.publish(&state)?;
            if let Ok(()) | Err(RecvTimeoutError::Disconnected) = self.end.recv_timeout(ticks.until_next()) {
                break;
            }
        }
        Ok(writer.close()?)
    }
}

/// Opens a writer. The worker of a fleet that was killed may have the channel for a moment more.
fn open_soon<T: ?Sized, C: Encode<T>>(builder: &WriterBuilder<T, C>) -> Result<Writer<T, C>, CreateError> {
    let begin = Instant::now();
    loop {
        match builder.clone().open() {
            Err(CreateError::AlreadyOwned { .. }) if begin.elapsed() < Duration::from_secs(1) => {
                thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// The times at which to sample.
struct Ticks {
    next: Instant,
    every: Duration,
}

impl Ticks {
    /// How long to wait for the next one. Those that were missed are not made up for.
    fn until_next(&mut self) -> Duration {
        let now = Instant::now();
        self.next = (self.next + self.every).max(now);
        self.next - now
    }
}

/// A channel that is disconnected when standard input ends.
fn end_of_input() -> io::Result<Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("end of input".to_owned()).spawn(move || {
        let mut ignored = [0; 64];
        while io::stdin().read(&mut ignored).is_ok_and(|len| len > 0) {}
        drop(sender);
    })?;
    Ok(receiver)
}

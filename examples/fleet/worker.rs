//! A worker process: samples, publishes, passes on coins, sleeps.

use std::{
    error::Error,
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use tearless::{Decode, Namespace, Pod, Writer, WriterBuilder, error::CreateError, hub::Hub};

use crate::{
    options::WorkerOptions,
    patience::within,
    state::{Purse, State, Telling, Way, kind::Job},
};

/// Heartbeat interval that a worker with a seldom changing state promises.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How long the workers of a killed fleet may take to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Publishes until standard input ends: the main process closes it at its end, and the kernel
/// closes it when the main process is killed. Either way the channels are closed and nothing is
/// left.
pub(crate) fn run(options: &WorkerOptions) -> Result<(), Box<dyn Error>> {
    options.assignment().run(Working(options))
}

struct Working<'a>(&'a WorkerOptions);

impl Job for Working<'_> {
    type Output = Result<(), Box<dyn Error>>;

    fn run<T: State, C: Telling<T> + Decode<T> + 'static>(self) -> Self::Output {
        let end = end_of_input()?;
        // The main process has cleaned up the namespace.
        let fleet = Namespace::open(&self.0.namespace)?;
        // Opened first and dropped last: a worker that owns the purse owns both channels.
        let mut pocket = Pocket::open(&fleet, self.0)?;
        let mut publish = publisher::<T, C>(fleet.writer_builder(&self.0.channel()).codec())?;
        loop {
            publish()?;
            pocket.turn()?;
            if end.recv_timeout(T::PAUSE) == Err(RecvTimeoutError::Disconnected) {
                return Ok(());
            }
        }
    }
}

/// Samples and publishes once per call; dropping it closes the channel.
type Publisher = Box<dyn FnMut() -> Result<(), Box<dyn Error>>>;

/// Opens the channel, and returns a publisher that publishes as `T::WAY` says.
fn publisher<T: State, C: Telling<T> + 'static>(
    builder: WriterBuilder<T, C>,
) -> Result<Publisher, Box<dyn Error>> {
    let builder = C::describe(builder);
    Ok(match T::WAY {
        Way::Each => {
            let mut writer = builder.open()?;
            Box::new(move || Ok(writer.publish(&T::sample(writer.publication() + 1)?).map(drop)?))
        }
        Way::Changed => {
            let mut writer = builder.heartbeat_interval(SIGN_OF_LIFE).open()?;
            Box::new(move || Ok(writer.publish_if_changed(&T::sample(0)?).map(drop)?))
        }
        Way::Synced => {
            let syncer = builder.syncer(T::sample(1)?).spawn()?;
            Box::new(move || {
                syncer.replace(T::sample(0)?);
                Ok(())
            })
        }
    })
}

/// The worker's purse, and access to its neighbour's.
struct Pocket {
    purse: Purse,
    writer: Writer<Purse, Pod>,
    neighbour: String,
    hub: Hub<Pod>,
}

impl Pocket {
    /// Resumes the purse of a killed predecessor, or starts with a full one, and publishes it.
    fn open(fleet: &Namespace, options: &WorkerOptions) -> Result<Pocket, Box<dyn Error>> {
        let hub = fleet.hub().with_codec();
        let channel = Purse::channel(options.index);
        let open = || match fleet.writer_builder(&channel).codec().with_schema().open() {
            Err(CreateError::AlreadyOwned { .. }) => Ok(None),
            opened => opened.map(Some),
        };
        let mut writer = within(PATIENCE, hub.watch(&channel), open)?
            .ok_or_else(|| format!("another worker has had {channel} for {PATIENCE:?}"))?;
        let purse = hub.get(&channel).map_or(Purse::FULL, |found| *found);
        writer.publish_if_changed(&purse)?;
        let neighbour = Purse::channel((options.index + options.ring - 1) % options.ring);
        Ok(Pocket { purse, writer, neighbour, hub })
    }

    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        match self.hub.get(&self.neighbour) {
            Ok(neighbour) => self.purse.turn(&neighbour),
            Err(error) if error.is_gone() || error.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.writer.publish_if_changed(&self.purse).map(drop)?)
    }
}

/// A channel (of threads) that is disconnected when standard input ends.
fn end_of_input() -> io::Result<Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("end of input".to_owned()).spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(sender);
    })?;
    Ok(receiver)
}

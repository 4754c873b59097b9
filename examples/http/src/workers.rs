//! The workers, seen through a hub. Their states have many types; this module finds a channel's
//! type by trying them.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Serialize;
use serde_json::Value;
use tearless::{
    Decode, Namespace, Snapshot,
    error::{AttachError, QueryError},
    hub::{Health, Hub, Status},
};
use tokio::time::sleep;

use crate::state::{
    State, Telling,
    kind::{Assignment, CodecKind, Job, Kind},
};

/// Minimum time between two events of a stream.
const PAUSE: Duration = Duration::from_millis(100);

/// The workers of a namespace.
#[derive(Clone)]
pub(crate) struct Workers {
    pub(crate) hub: Hub,
}

/// The answer for one worker.
#[derive(Serialize)]
pub(crate) struct Worker {
    name: String,
    #[serde(flatten)]
    vital: Option<Vital>,
    #[serde(flatten)]
    state: Option<Published>,
    /// Why a part is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A worker's health.
#[derive(Serialize)]
struct Vital {
    health: &'static str,
    /// Time since the last sign of life, if the worker is stalled or dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_ms: Option<f64>,
    writer_pid: u64,
    incarnation: u64,
}

/// A published state.
#[derive(Serialize)]
pub(crate) struct Published {
    kind: String,
    pub(crate) publication: u64,
    age_ms: Option<f64>,
    state: Value,
}

impl Workers {
    pub(crate) fn of(namespace: &Namespace) -> Workers {
        Workers { hub: namespace.hub_builder().stalled_after(Duration::from_secs(1)).open() }
    }

    pub(crate) fn names(&self) -> Result<Vec<Arc<str>>, QueryError> {
        self.hub.channels("worker-*")
    }

    /// All workers, with an error in place of a missing part; without workers that vanish during
    /// the call.
    pub(crate) fn all(&self) -> Result<Vec<Worker>, QueryError> {
        let names = self.names()?;
        let all = names.iter().filter_map(|name| match self.one(name) {
            Ok(worker) => Some(worker),
            Err(error) if error.is_gone() => None,
            Err(error) => Some(Worker::without_state(name, None, &error)),
        });
        Ok(all.collect())
    }

    /// One worker, even if it has published nothing yet. An error if no worker has that name.
    pub(crate) fn one(&self, name: &str) -> Result<Worker, QueryError> {
        let vital = Some(Vital::of(&self.hub.status(name)?));
        match self.state(name) {
            Ok(state) => Ok(Worker { name: name.into(), vital, state: Some(state), error: None }),
            Err(error) if error.is_gone() => Err(error),
            Err(error) => Ok(Worker::without_state(name, vital, &error)),
        }
    }

    fn state(&self, name: &str) -> Result<Published, QueryError> {
        self.with_type(|assignment| assignment.run(Look { hub: &self.hub, name, kind: assignment.kind }))
    }

    /// The states of one worker as they are published. States that are overwritten before they are
    /// read, or within a [`PAUSE`], are skipped.
    pub(crate) fn changes(&self, name: &str) -> Result<Changes, QueryError> {
        self.with_type(|assignment| assignment.run(Follow { hub: &self.hub, name, kind: assignment.kind }))
    }

    /// Tries `look` with one type after another until one matches the channel.
    fn with_type<R>(&self, look: impl Fn(Assignment) -> Result<R, QueryError>) -> Result<R, QueryError> {
        let mut mismatch = None;
        let all =
            Kind::ALL.into_iter().flat_map(|kind| CodecKind::ALL.map(|codec| Assignment { kind, codec }));
        for assignment in all {
            match look(assignment) {
                Err(error @ QueryError::Attach(AttachError::FormatMismatch { .. })) => mismatch = Some(error),
                found => return found,
            }
        }
        Err(mismatch.expect("there are kinds"))
    }
}

/// Copies the latest state.
struct Look<'a> {
    hub: &'a Hub,
    name: &'a str,
    kind: Kind,
}

impl Job for Look<'_> {
    type Output = Result<Published, QueryError>;

    fn run<T: State, C: Telling<T> + Decode<T> + 'static>(self) -> Self::Output {
        Ok(Published::of(self.kind, &self.hub.with_codec::<C>().get::<T>(self.name)?))
    }
}

/// States, or the error in place of one.
pub(crate) type Changes = BoxStream<'static, Result<Published, String>>;

/// Follows the states of a channel.
struct Follow<'a> {
    hub: &'a Hub,
    name: &'a str,
    kind: Kind,
}

impl Job for Follow<'_> {
    type Output = Result<Changes, QueryError>;

    fn run<T: State, C: Telling<T> + Decode<T> + 'static>(self) -> Self::Output {
        let changes = self.hub.with_codec::<C>().changes::<T>(self.name)?;
        let kind = self.kind;
        let next = move |(mut changes, pause): (tearless::hub::HubChanges<T>, Duration)| async move {
            sleep(pause).await;
            let published = match changes.next().await.state {
                Ok(snapshot) => Ok(Published::of(kind, &snapshot)),
                Err(error) => Err(error.to_string()),
            };
            Some((published, (changes, PAUSE)))
        };
        Ok(stream::unfold((changes, Duration::ZERO), next).boxed())
    }
}

impl Worker {
    fn without_state(name: &str, vital: Option<Vital>, error: &QueryError) -> Worker {
        Worker { name: name.into(), vital, state: None, error: Some(error.to_string()) }
    }
}

impl Vital {
    fn of(status: &Status) -> Vital {
        let (health, silent) = match status.health {
            Health::Fresh { .. } => ("fresh", None),
            Health::Unchanged { .. } => ("unchanged", None),
            Health::Stalled { silent, .. } => ("stalled", silent),
            Health::Dead { since } => ("dead", since),
            Health::Exited { since } => ("exited", since),
            Health::Closed => ("closed", None),
            Health::Empty => ("empty", None),
            _ => ("unknown", None),
        };
        let (writer_pid, incarnation) = (status.writer_pid, status.incarnation);
        Vital { health, silent_ms: silent.map(milliseconds), writer_pid, incarnation }
    }
}

impl Published {
    fn of<T: State>(kind: Kind, snapshot: &Snapshot<T>) -> Published {
        Published {
            kind: kind.name(),
            publication: snapshot.publication(),
            age_ms: snapshot.age().map(milliseconds),
            // All maps have string keys, so this can't fail.
            state: serde_json::to_value(&**snapshot).unwrap_or_default(),
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

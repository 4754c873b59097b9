//! Hubs whose channels are in this process.

mod cuts;
mod destinations;
mod errors;
mod limits;
mod queries;
#[cfg(feature = "async")]
pub(super) mod streams;

use std::thread;
use std::time::Duration;

use super::{Hub, QueryError};
use crate::{Namespace, Pod};

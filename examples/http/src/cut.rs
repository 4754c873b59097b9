//! One consistent picture of all workers.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tearless::hub::{Cut, CutState, CutTime, Skew};

use crate::{
    failure::Failure,
    state::{Coins, Purse},
    workers::{Workers, milliseconds},
};

/// The purses of all workers as of one moment.
#[derive(Serialize)]
pub(crate) struct Picture {
    /// An instant during the request, or a time just before it, by the timestamps of the
    /// publications.
    moment: Value,
    purses: Vec<Value>,
    /// `None` if the workers were too fast for one moment; `late_ms` of each purse says by how
    /// much.
    coins: Option<Coins>,
}

impl Picture {
    pub(crate) fn of(workers: &Workers) -> Result<Picture, Failure> {
        let cut = Coins::cut(&workers.hub, workers.names()?.len());
        let purses = cut.states.iter().map(purse).collect::<Result<_, _>>()?;
        let wrong = |error: Box<dyn std::error::Error>| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        };
        let coins = cut.is_consistent().then(|| Coins::count(&cut).map_err(wrong)).transpose()?;
        Ok(Picture { moment: moment(&cut), purses, coins })
    }
}

fn moment(cut: &Cut<Purse>) -> Value {
    match cut.moment {
        CutTime::AsOf { monotonic_nanos } => json!({ "as_of": { "monotonic_nanos": monotonic_nanos } }),
        _ => json!("instant"),
    }
}

/// One purse; an error while its worker starts.
fn purse(cut: &CutState<Purse>) -> Result<Value, Failure> {
    let purse = cut.state.as_ref().map_err(|error| {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("{}: {error}", cut.channel))
    })?;
    let late_ms = match cut.skew {
        Skew::Later(by) => Some(milliseconds(by)),
        _ => None,
    };
    Ok(
        json!({ "name": *cut.channel, "publication": purse.publication(), "late_ms": late_ms, "state": **purse }),
    )
}

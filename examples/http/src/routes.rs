//! Which request gets which answer.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;

use crate::{
    cut::Picture,
    failure::Failure,
    workers::{Published, Worker, Workers},
};

/// State that all requests share.
#[derive(Clone)]
struct Shared {
    workers: Workers,
    is_ending: watch::Receiver<bool>,
}

/// All routes. Streams end when `is_ending` becomes true.
pub(crate) fn routes(workers: Workers, is_ending: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/workers", get(all))
        .route("/workers/{name}", get(one))
        .route("/workers/{name}/changes", get(changes))
        .route("/cut", get(cut))
        .fallback(async || {
            Failure::not_found("such page: try /workers, /workers/NAME, /workers/NAME/changes, /cut")
        })
        .method_not_allowed_fallback(async || {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed")
        })
        .with_state(Shared { workers, is_ending })
}

async fn all(State(shared): State<Shared>) -> Result<Json<Vec<Worker>>, Failure> {
    Ok(Json(shared.workers.all()?))
}

async fn one(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Worker>, Failure> {
    Ok(Json(shared.workers.one(&worker(name)?)?))
}

async fn cut(State(shared): State<Shared>) -> Result<Json<Picture>, Failure> {
    Ok(Json(Picture::of(&shared.workers)?))
}

async fn changes(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let changes = shared.workers.changes(&worker(name)?)?;
    let mut is_ending = shared.is_ending;
    let events = changes.map(|change| Ok(event(change))).take_until(async move {
        // An error means that the sender is gone, so the program is ending.
        let _ = is_ending.wait_for(|is_ending| *is_ending).await;
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// A state under the number of its publication, or the error in its place.
fn event(change: Result<Published, String>) -> Event {
    let event = match change {
        Ok(state) => Event::default().id(state.publication.to_string()).event("state").json_data(state),
        Err(error) => Event::default().event("error").json_data(error),
    };
    event.unwrap_or_else(|error| Event::default().event("error").data(error.to_string()))
}

/// Other channels of the namespace are not workers.
fn worker(name: String) -> Result<String, Failure> {
    match name.strip_prefix("worker-") {
        Some(_) => Ok(name),
        None => Err(Failure::not_found(&format!("worker {name:?}"))),
    }
}
